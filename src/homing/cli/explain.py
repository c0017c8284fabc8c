"""`homing explain`: what mails that came back say, why, and what Homing would do about it."""

import errno
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from homing.cli.exits import ExitCode, bad_input, unsuccessful
from homing.cli.mailboxes import Found, files_below, mails_in, split
from homing.cli.output import for_person

if TYPE_CHECKING:
    from rich.panel import Panel

    from homing.loop.reading.understand import Understood

_MANY_FILES = 20
_MANY_OCTETS = 4 << 20
_WHERE_MAILS_ARE = "Hidden files and folders are skipped. Name files, folders, maildirs or mboxes."
_ADVICE = {
    os.strerror(errno.ENOENT): "Is the path right?",
    os.strerror(errno.EACCES): "Run this as somebody who may read it.",
}
_OTHER_FILES = {
    b"\xd0\xcf\x11\xe0": "a file of Outlook's own (.msg): save the mail as .eml instead",
    b"PK\x03\x04": "a zip archive: unpack it first",
    b"\x1f\x8b": "compressed: unpack it first, with gunzip",
    b"\xff\xfe": "text in UTF-16, as Windows tools write it: save it as it came, or as UTF-8",
    b"\xfe\xff": "text in UTF-16: save it as it came, or as UTF-8",
}
"""What a file is that is not a mail, by its first octets."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A mail and what it says; None where it could not be read. `secs`: the processor time of reading it."""

    found: Found
    understood: "Understood | None"
    secs: float
    error: str = ""


def explain(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH]...", help="Files, folders, maildirs, mboxes; - for standard input."),
    ] = None,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="One JSON object a line for each mail, in order; - reads paths, one a line.")
    ] = False,
) -> None:
    """Explain mails that came back: what, whom, why, by which rule, and what Homing would do about it.

    A card for each mail at a terminal, else a line of JSON. The exit code is 0, whatever the mails say; at a terminal
    1 if a file could not be read, 5 if there was no mail at all.
    """
    if not paths and sys.stdin.isatty():
        raise bad_input("paths", "missing", "Name files or folders, or - for standard input.")
    given = paths or ["-"]
    read = _reader()
    try:
        if jsonl or not for_person():
            named = _paths_on_stdin if jsonl else _mail_on_stdin
            for one in named(given):
                print(json.dumps(_line(read(one))), flush=True)
        else:
            _show(given, read)
    except BrokenPipeError:  # whoever read us has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _paths_on_stdin(given: Iterable[str]) -> Iterator[Found]:
    for path in given:
        listed = (os.fsdecode(line.rstrip(b"\r\n")) for line in sys.stdin.buffer) if path == "-" else (path,)
        for file in files_below(each for each in listed if each):
            yield from mails_in(file)


def _mail_on_stdin(given: Iterable[str]) -> Iterator[Found]:
    for path in given:
        if path == "-":
            yield from split("-", sys.stdin.buffer)
        else:
            for file in files_below([path]):
                yield from mails_in(file)


def _reader() -> Callable[[Found], Explained]:
    from homing.flow.rules import reading_rules
    from homing.loop.reading.understand import understand

    rules = reading_rules()

    def read(found: Found) -> Explained:
        if found.error:
            return Explained(found, None, 0.0, found.error)
        began = time.process_time()
        try:
            understood = understand(found.raw, rules=rules)
        except Exception as error:  # noqa: BLE001 - a bug costs this mail and no other
            return Explained(found, None, time.process_time() - began, f"{type(error).__name__}: {error}")
        return Explained(found, understood, time.process_time() - began)

    return read


def _line(one: Explained) -> dict[str, object]:
    from homing.loop.reading.explanation import rows

    return {
        "file": one.found.file,
        "secs": round(one.secs, 6),
        "error": one.error or None,
        "what": one.understood.what.value if one.understood else "unknown",
        "recipients": rows(one.understood) if one.understood else (),
    }


# -- for a person -----------------------------------------------------------------------------------------------------


def _show(given: list[str], read: Callable[[Found], Explained]) -> None:
    """A card for each mail, with a bar below them where there are many; at the end how many were what."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from homing.cli.explain_card import summary

    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    counted: Counter[tuple[str, str, str]] = Counter()
    unread, mails = 0, 1
    files = [file for path in given for file in (["-"] if path == "-" else files_below([path]))]
    sizes = [Path(file).stat().st_size if Path(file).is_file() else 0 for file in files]
    if not files:
        raise unsuccessful(ExitCode.NOT_FOUND, "no-mail", "There is no mail.", _WHERE_MAILS_ARE)
    many = len(files) > _MANY_FILES or sum(sizes) > _MANY_OCTETS
    with Progress(*columns, console=console, transient=True, disable=not many) as progress:
        task, before = progress.add_task("reading", total=sum(sizes)), 0
        for file, size in zip(files, sizes, strict=True):
            for found in _mail_on_stdin([file]):
                one = read(found)
                unread += one.understood is None
                counted.update(_words(one))
                console.print(picture_of(one))
                progress.update(task, completed=before + found.end, description=f"mails: {mails}")
                mails += 1
            before += size
    if len(files) > 1 or sum(counted.values()) > 1:
        console.print(summary(counted))
    if unread:
        title = "A file could not be read." if unread == 1 else f"{unread} files could not be read."
        raise unsuccessful(ExitCode.OTHER, "unreadable", title)


def picture_of(one: Explained) -> "Panel":
    """The card of a mail, or of a file that could not be read."""
    from homing.cli.explain_card import card, unreadable

    if one.understood is None:
        return unreadable(one.found.file, one.error, _ADVICE.get(one.error, ""))
    return card(one.understood, one.found.file, _remark(one.found.raw, one.understood))


def _remark(raw: bytes, understood: "Understood") -> str:
    """What is odd about a file in which no mail was found."""
    if understood.headers.fields:
        return ""
    kind = next((kind for start, kind in _OTHER_FILES.items() if raw.startswith(start)), None)
    if kind is None:
        return "It has no header. Save the whole mail, its header included: as “original”, “source” or .eml."
    return f"It is {kind}."


def _words(one: Explained) -> list[tuple[str, str, str]]:
    from homing.loop.reading.explanation import rows

    if one.understood is None:
        return [("unreadable", "", "")]
    return [(one.understood.what.value, row["class"], row["kind"]) for row in rows(one.understood)] or [
        (one.understood.what.value, "", "")
    ]
