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
_FIELD = re.compile(rb"[!-9;-~]{1,100}[ \t]*:")
_BOUNDARY = re.compile(rb"boundary[ \t]*=[ \t]*\"?([^\"\s;]{1,70})", re.IGNORECASE)
_HEADER = 64 << 10
_COPY_FOLLOWS = re.compile(
    rb"(?:copy of|original|unsent|undelivered|returned|rejected|the) (?:the |your |this )?(?:original )?"
    rb"(?:message|mail)|(?:message|mail)[^\n]{0,20} (?:follow|below|attached|included)",
    re.IGNORECASE,
)
_LAST_WORDS = 200


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
    """The mails of an open file, the first MiB of each. A file is one mail unless it is an mbox beyond doubt."""
    first = file.readline(_LONGEST_SEPARATOR)
    if not _SEPARATOR.match(first):
        raw = first + file.read(LARGEST - len(first))
        yield Found(name, raw, len(raw))
        return
    kept, number, end, blank = bytearray(first), 1, len(first), False
    line = file.readline(LARGEST)
    while line:
        following = file.readline(LARGEST)
        if blank and _separates(line, following, kept):
            yield Found(f"{name}#{number}", bytes(kept), end)
            kept, number = bytearray(), number + 1
        kept += line[: LARGEST - len(kept)]
        end += len(line)
        blank, line = not line.strip(), following
    yield Found(name if number == 1 else f"{name}#{number}", bytes(kept), end)


def _separates(line: bytes, following: bytes, kept: bytearray) -> bool:
    """Whether another mail of an mbox begins here: with a "From " line and a header, and not within the mail so far,
    which may quote an mbox, or return an original that was kept in one."""
    if len(line) >= _LONGEST_SEPARATOR or not _SEPARATOR.match(line) or not _FIELD.match(following):
        return False
    header = bytes(kept[:_HEADER]).replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    boundary = _BOUNDARY.search(header)
    if boundary and len(kept) < LARGEST:
        return kept.rfind(b"--" + boundary[1] + b"--") >= 0
    return not _COPY_FOLLOWS.search(bytes(kept[-_LAST_WORDS:]).rstrip().rpartition(b"\n")[2])
