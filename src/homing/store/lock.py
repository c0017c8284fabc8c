"""One process per SQLite file: a lock that the kernel drops when its holder dies."""

import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from filelock import lock_descriptor


class AlreadyOpen(Exception):  # noqa: N818 - it says what is the case
    """Another process writes to this database."""


class FileLock:
    """Locks a file of our own rather than `filelock.FileLock`'s: it stays where it is, says who holds it, and where the
    kernel has no such lock nothing weaker stands in for it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Raises `AlreadyOpen`, naming the process that holds the lock, and OSError where no file can be locked."""
        with ExitStack() as undone:
            file = undone.enter_context(open(self._path, "a+", opener=_privately))
            if not lock_descriptor(file.fileno(), blocking=False):
                file.seek(0)
                holder = file.read(32).strip() or "unknown"
                raise AlreadyOpen(
                    f"another process (pid {holder}) has this database open ({self._path}): "
                    "stop it, or talk to it over HTTP"
                )
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            undone.pop_all()
        self._file = file

    def give_back(self) -> None:
        if self._file:
            self._file.close()
            self._file = None


def _privately(path: str, flags: int) -> int:
    """Who can open the file can hold the lock, and then no gateway starts."""
    descriptor = os.open(path, flags, 0o600)
    with suppress(PermissionError):  # somebody else's file: it can be locked or not
        os.fchmod(descriptor, 0o600)
    return descriptor
