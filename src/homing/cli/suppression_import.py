"""`homing suppression import`: what another provider knew is brought along, a batch at a time."""

import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from os import fstat
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from homing.cli.client import Gateway, Json, given
from homing.cli.exits import ExitCode, Unsuccessful, bad_input
from homing.cli.output import say, sheet, show, table
from homing.loop.problem import Fault, Problem, how_many

if TYPE_CHECKING:
    from rich.console import RenderableType

    from homing.loop.suppression_import import Export, Imported, Terms

AT_ONCE = 500
"""Suppressions of one request."""
LINES_TOLD = 1000
"""Lines left out that the document names; it counts all of them."""
_LINES_SHOWN = 30


@dataclass(slots=True)
class Report:
    """What has become of a file so far."""

    format: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    lines: list[Json] = field(default_factory=list)

    def omit(self, line: int, code: str, message: str, *, harmless: bool) -> None:
        self.counts["skipped" if harmless else "faulty"] += 1
        self.codes[code] += 1
        if len(self.lines) < LINES_TOLD:
            self.lines.append({"line": line, "code": code, "message": message})

    @property
    def document(self) -> Json:
        counts = {name: self.counts[name] for name in ("added", "strengthened", "kept", "skipped", "faulty")}
        return {"format": self.format, **counts, "codes": dict(sorted(self.codes.items())), "lines": self.lines}


def import_file(gateway: Gateway, file: Path, stream: str, terms: "Terms", *, strict: bool) -> None:
    """The whole file is read first: where its lines cannot be told apart or, with `strict`, a single one has a fault,
    nothing is imported."""
    with _opened(file) as source:
        with _export(source, terms) as export:
            if strict:
                _all_good(export)
            else:
                deque(export.rows, maxlen=0)
        report = Report()
        with _export(source, terms) as export, _progress(source) as told:
            report.format = export.format
            _import(gateway, export, stream, report, strict, told)
    show(report.document, lambda: _picture(report))
    if report.counts["skipped"]:
        say(
            "Skipped lines say nothing that should suppress anybody: failures of the moment, of the message or of ours."
        )


def _import(
    gateway: Gateway, export: "Export", stream: str, report: Report, strict: bool, told: Callable[[], None]
) -> None:
    from homing.loop.suppression_import import Omitted

    rows = export.read()
    while batch := list(islice(rows, AT_ONCE)):
        good: list[Imported] = []
        for row in batch:
            if isinstance(row, Omitted):
                report.omit(row.line, row.code, row.message, harmless=row.harmless)
            else:
                good.append(row)
        if good:
            body = {"strict": strict, "suppressions": [_asked(row, stream) for row in good]}
            answer = gateway.call("POST", "/v1/suppressions/import", body)
            report.counts.update({name: answer[name] for name in ("added", "strengthened", "kept")})
            _tell_faults(answer["faults"], good, report)
        told()


def _tell_faults(faults: list[Json], asked: "list[Imported]", report: Report) -> None:
    """What the gateway itself found wrong; of each line the first fault."""
    lines: dict[int, Json] = {}
    for fault in faults:
        lines.setdefault(int(fault["pointer"].split("/")[2]), fault)
    for index, fault in lines.items():
        report.omit(asked[index].line, fault["code"], fault["message"], harmless=False)


def _asked(row: "Imported", stream: str) -> Json:
    moments = {name: moment.isoformat() for name in ("created_at", "expires_at") if (moment := getattr(row, name))}
    return given(address=row.address, stream=stream, reason=row.reason, evidence=row.evidence, rule=row.rule, **moments)


def _all_good(export: "Export") -> None:
    from homing.loop.suppression_import import Omitted

    wrong = [row for row in export.read() if isinstance(row, Omitted) and not row.harmless]
    if wrong:
        faults = tuple(Fault(f"line {row.line}", row.code, row.message) for row in wrong)
        title = "Nothing was imported, since some lines have faults."
        problem = Problem(status=0, code="import-faulty", title=title, detail=how_many(faults), faults=faults)
        raise Unsuccessful(ExitCode.INPUT, problem)


@contextmanager
def _export(source: BinaryIO, terms: "Terms") -> "Iterator[Export]":
    """The file from its beginning."""
    from homing.loop.suppression_import import ExportError, open_export

    source.seek(0)
    encoding, errors = _encoding(source.read(2))
    source.seek(0)
    with open(source.fileno(), encoding=encoding, errors=errors, newline="", closefd=False) as text:
        try:
            yield open_export(text, terms)
        except ExportError as error:
            place = f"line {error.line}" if error.line else "FILE"
            raise bad_input(place, error.code, str(error)) from None


def _encoding(first: bytes) -> tuple[str, str]:
    """By the first two octets, and what to do with octets that are none of it. UTF-16 has a mark, or a zero beside the
    first letter."""
    if first in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16", "replace"
    if 0 in first:
        return "utf-16-be" if first[0] == 0 else "utf-16-le", "replace"
    return "utf-8-sig", "surrogateescape"


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    """A file, unbuffered, in which one can go back; `-`: standard input."""
    if str(file) == "-":
        with _copied(sys.stdin.buffer) as copy:
            yield copy
        return
    try:
        source = file.open("rb", buffering=0)
    except OSError as error:
        raise bad_input("FILE", "file-unreadable", f"{error.strerror}: {file}") from None
    with source:
        if source.seekable():
            yield source
        else:
            with _copied(source) as copy:
                yield copy


@contextmanager
def _copied(source: BinaryIO) -> Iterator[BinaryIO]:
    from shutil import copyfileobj
    from tempfile import TemporaryFile

    with TemporaryFile(buffering=0) as copy:
        copyfileobj(source, copy)
        yield copy


@contextmanager
def _progress(source: BinaryIO) -> Iterator[Callable[[], None]]:
    """What to call as the reading goes on: it moves a bar on a terminal."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    size = fstat(source.fileno()).st_size
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("importing", total=size)
        yield lambda: progress.update(task, completed=source.tell())


def _picture(report: Report) -> "RenderableType":
    from rich.console import Group

    document = report.document
    names = ("format", "added", "strengthened", "kept", "skipped", "faulty")
    parts: list[Any] = [sheet({name: document[name] for name in names})]
    if report.lines:
        first = report.lines[:_LINES_SHOWN]
        parts.append(table(("Line", "Code", "Why it was left out"), (tuple(one.values()) for one in first)))
        left = sum(report.codes.values()) - len(first)
        parts.append(f"and {left:,} more lines" if left else "")
    return Group(*parts)
