"""Mails from wherever people keep them: files, folders of files, maildirs, mboxes (RFC 4155)."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

LARGEST = 1 << 20
"""So much of a mail is read, as at the MX door; what came back in full stands behind the report."""

_SEPARATOR = re.compile(rb"From \S.{0,200}\d\d:\d\d(?::\d\d)?.{0,40}\d{4}\s*\Z")
_LONGEST_SEPARATOR = 300


@dataclass(frozen=True, slots=True)
class Found:
    """One mail. `file` is the path as it was given, with #1, #2 … for the mails of an mbox that holds several; `end` is
    how far into the file it reaches. With an `error` the file could not be read."""

    file: str
    raw: bytes
    end: int = 0
    error: str = ""


def files_below(paths: Iterable[str]) -> Iterator[str]:
    """The paths in their order, each folder replaced by the files below it, in the order of their names. Hidden files
    and folders are passed over; of a maildir only new and cur are read, also of those within it that begin with a dot.
    """
    for path in paths:
        if Path(path).is_dir():
            yield from _walk(Path(path))
        else:
            yield path


def _walk(folder: Path) -> Iterator[str]:
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        yield str(folder)  # whoever reads it learns why
        return
    below = [one for one in inside if one.is_dir() and not one.is_symlink()]
    maildir = {"new", "cur"} <= {one.name for one in below}
    if not maildir:
        yield from (str(one) for one in inside if one.is_file() and not one.name.startswith("."))
    for one in below:
        if (maildir and one.name == "tmp") or (one.name.startswith(".") and not (one / "cur").is_dir()):
            continue
        yield from _walk(one)


def mails_in(path: str) -> Iterator[Found]:
    """The mails of one file: one, or those of an mbox, or one with an `error`."""
    try:
        with Path(path).open("rb") as file:
            yield from split(path, file)
    except (OSError, ValueError) as error:  # ValueError: no path may hold a NUL
        yield Found(path, b"", error=getattr(error, "strerror", None) or str(error))


def split(name: str, file: BinaryIO) -> Iterator[Found]:
    """The mails of an open file, the first MiB of each."""
    start = file.read(5)
    if start != b"From ":
        raw = start + file.read(LARGEST - len(start))
        yield Found(name, raw, len(raw))
        return
    kept, number, end, blank = bytearray(start), 1, len(start), False
    while line := file.readline(LARGEST):
        if blank and len(line) < _LONGEST_SEPARATOR and _SEPARATOR.match(line):
            yield Found(f"{name}#{number}", bytes(kept), end)
            kept, number = bytearray(), number + 1
        kept += line[: LARGEST - len(kept)]
        end += len(line)
        blank = not line.strip()
    yield Found(name if number == 1 else f"{name}#{number}", bytes(kept), end)
