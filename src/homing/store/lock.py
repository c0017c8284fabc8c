"""One process per SQLite file: a lock that the kernel drops when its holder dies."""

import os
import sys
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class AlreadyOpen(Exception):  # noqa: N818 - it says what is the case
    """Another process writes to this database."""


class FileLock:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Raises `AlreadyOpen`, naming the process that holds the lock."""
        file = self._path.open("a+")
        try:
            _lock(file)
        except OSError:
            file.seek(0)
            holder = file.read(32).strip() or "unknown"
            file.close()
            raise AlreadyOpen(
                f"another process (pid {holder}) has this database open ({self._path}): "
                "stop it, or talk to it over HTTP"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def give_back(self) -> None:
        if self._file:
            self._file.close()
            self._file = None
