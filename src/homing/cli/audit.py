"""`homing audit`: how much of the mail that goes out under users' own addresses fails today, and why."""

import asyncio
import csv
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homing.cli.exits import bad_input
from homing.cli.output import for_person, say, show

if TYPE_CHECKING:
    from homing.cli.audit_summary import Summary
    from homing.flow.audit import Auditor, StateFile
    from homing.loop.audit import Audited

_LOOKED_AT = 200
_DELIMITERS = ",;\t|"
_NAMED = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^"<>@]*)\s*<([^<>]+)>')
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS = (
    "address",
    "domain",
    "verdict",
    "fails",
    "reasons",
    "own_refusal",
    "spf",
    "dmarc",
    "mail_host",
    "mx",
    "unknown",
)


def audit(  # noqa: PLR0913 - each way to look is an option
    file: Annotated[Path, typer.Argument(help="A CSV file with your users' addresses.", exists=True, dir_okay=False)],
    column: Annotated[str, typer.Option(help="Name or number of the addresses' column. Default: found.")] = "",
    egress: Annotated[
        list[str] | None,
        typer.Option(metavar="IP", help="An address that you send from; repeat. Default: some stranger's."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="CSV with a verdict a line. Default: FILE.audit.csv.")] = None,
    plot: Annotated[Path | None, typer.Option(help="The outcome as a picture (SVG). Default: FILE.audit.svg.")] = None,
    state: Annotated[Path | None, typer.Option(help="What is known so far. Default: FILE.audit.state.")] = None,
    resolver: Annotated[str, typer.Option(metavar="IP:PORT", help="Ask this resolver.")] = "",
    at_once: Annotated[int, typer.Option(min=1, max=500, help="Domains that are asked about at a time.")] = 40,
    pace: Annotated[float, typer.Option(min=0.1, help="Domains a second at most.")] = 100.0,
) -> None:
    """Say which of your users' addresses cannot be put into From today, and why: by what their domains publish.

    Ended early, it goes on where it was.
    """
    sheet = _Sheet(file, column)
    auditor = _auditor(resolver, egress or [], at_once, pace)
    kept = _state(state or file.with_name(f"{file.name}.audit.state"), auditor)
    domains = sheet.domains()
    target, picture = (
        given or file.with_name(f"{file.name}.audit.{kind}") for given, kind in ((out, "csv"), (plot, "svg"))
    )
    done = False
    try:
        _look_up([domain for domain in domains if domain not in kept.known], auditor, kept, of=len(domains))
        summary = _write(target, sheet, kept.known)
        _draw(picture, summary)
        done = not any(found.unknown for found in kept.known.values())
    finally:
        kept.close(done=done)
    document = summary.document() | {"domains": len(domains), "csv": str(target), "plot": str(picture)}
    show(document, summary.picture)
    say(f"A verdict for each address is in {target}, a picture in {picture}.")


# -- the file ---------------------------------------------------------------------------------------------------------


class _Sheet:
    """A CSV file and its column of addresses."""

    def __init__(self, file: Path, column: str) -> None:
        self._file = file
        with self._open() as lines:
            head = [line for _, line in zip(range(_LOOKED_AT), lines, strict=False)]
        if not head:
            raise bad_input("file", "file-empty", f"{file} is empty.")
        self._delimiter = max(_DELIMITERS, key=lambda one: (head[0].count(one), -_DELIMITERS.index(one)))
        rows = [row for row in csv.reader(head, delimiter=self._delimiter) if row]
        self._column = _named(rows[0], column) if column else _found(rows)
        self._titled = not _is_address(_cell(rows[0], self._column))

    def addresses(self) -> Iterator[str]:
        with self._open() as lines:
            rows = csv.reader(lines, delimiter=self._delimiter)
            for number, row in enumerate(rows):
                if row and not (number == 0 and self._titled):
                    yield _cell(row, self._column)

    def domains(self) -> list[str]:
        """Each domain once, in order."""
        return list(dict.fromkeys(domain for address in self.addresses() if (domain := domain_of(address))))

    def _open(self) -> Any:
        return self._file.open(encoding="utf-8-sig", errors="replace", newline="")


def _named(titles: Sequence[str], column: str) -> int:
    names = [title.strip().lower() for title in titles]
    if column.strip().lower() in names:
        return names.index(column.strip().lower())
    if column.isdecimal() and 1 <= int(column) <= len(titles):
        return int(column) - 1
    raise bad_input("--column", "column-unknown", f"There is no column “{column}”.")


def _found(rows: Sequence[Sequence[str]]) -> int:
    """The column with the most addresses in it."""
    counted = Counter(place for row in rows for place, text in enumerate(row) if _is_address(text))
    if not counted:
        raise bad_input("file", "column-unknown", "No column holds addresses; name it with --column.")
    return counted.most_common(1)[0][0]


def _cell(row: Sequence[str], column: int) -> str:
    return row[column].strip() if column < len(row) else ""


def _is_address(text: str) -> bool:
    return domain_of(text) is not None


def domain_of(text: str) -> str | None:
    """The domain of an address as lower-case A-labels, None for what is no address. A name may stand before it, as in
    "Janet" <janet@example.com> (RFC 5322 §3.4)."""
    from homing.mail.address import AddressError, parse_address

    named = _NAMED.fullmatch(text.strip())
    try:
        return parse_address((named[1] if named else text).strip()).domain
    except AddressError:
        return None


# -- asking -----------------------------------------------------------------------------------------------------------


def _auditor(resolver: str, egress: Sequence[str], at_once: int, pace: float) -> "Auditor":
    from homing.config import server_of
    from homing.flow.audit import Auditor
    from homing.net.dns import Resolver
    from homing.net.suffix import suffix_list

    try:
        servers = [server_of(resolver)] if resolver else None
    except ValueError:
        raise bad_input("--resolver", "resolver", "A resolver is given as 9.9.9.9 or 9.9.9.9:53.") from None
    try:
        addresses = tuple(str(ip_address(text)) for text in egress)
    except ValueError as error:
        raise bad_input("--egress", "ip-address", f"{error}.") from None
    return Auditor(resolver=Resolver(servers), egress=addresses, suffix_of=suffix_list(), at_once=at_once, pace=pace)


def _state(path: Path, auditor: "Auditor") -> "StateFile":
    from homing.flow.audit import StateFile

    question = hashlib.sha256(repr(("1", auditor.egress)).encode()).hexdigest()
    kept = StateFile(path, question)
    try:
        kept.open()
    except OSError as error:
        raise bad_input("--state", "file", f"{path} cannot be used: {error.strerror}.") from None
    return kept


def _look_up(domains: Sequence[str], auditor: "Auditor", kept: "StateFile", *, of: int) -> None:
    """Asks the DNS, with a progress bar for a person. What is known is kept even if it ends early."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("domains"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not for_person()) as bar:
        task = bar.add_task("", total=of, completed=of - len(domains), rate="")

        def judged(found: "Audited") -> None:
            kept.keep(found)
            speed = bar.tasks[0].speed
            bar.update(task, advance=1, rate=f"{speed:.0f}/s" if speed else "")

        try:
            asyncio.run(auditor.audit(domains, judged))
        except KeyboardInterrupt:
            bar.stop()
            say(f"Ended early: {int(bar.tasks[0].completed)} of {of} domains. The same command goes on from there.")
            raise


# -- telling ----------------------------------------------------------------------------------------------------------


def _write(target: Path, sheet: _Sheet, known: "dict[str, Audited]") -> "Summary":
    from homing.cli.audit_summary import Summary

    summary = Summary()
    try:
        with target.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(_COLUMNS)
            for address in sheet.addresses():
                found = known.get(domain_of(address) or "")
                summary.add(found)
                writer.writerow(_row(address, found))
    except OSError as error:
        raise bad_input("--out", "file", f"{target} cannot be written: {error.strerror}.") from None
    return summary


def _draw(target: Path, summary: "Summary") -> None:
    from homing.cli.audit_plot import plot

    try:
        target.write_text(plot(summary), "utf-8")
    except OSError as error:
        raise bad_input("--plot", "file", f"{target} cannot be written: {error.strerror}.") from None


def _row(address: str, found: "Audited | None") -> list[str]:
    """A row whose cells no spreadsheet takes for a formula."""
    harmless = f"'{address}" if address.startswith(_FORMULA) else address
    if found is None:
        return [harmless, "", "invalid", *([""] * (len(_COLUMNS) - 3))]
    return [
        harmless,
        found.domain,
        found.verdict,
        "yes" if found.fails else "no",
        " ".join(found.reasons),
        found.own_refusal,
        found.spf,
        found.dmarc,
        found.mail_host,
        found.mx,
        found.unknown,
    ]
