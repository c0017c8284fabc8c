"""Where a message waits while it comes in: in memory while small, else in a nameless file that no crash leaves."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from homing.doors.budget import Budget, NoRoomError

_CHUNK = 256 * 1024


class SpooledBody:
    """A message that came in, as it stands on the wire without dot-stuffing. Valid until the handler has answered.

    Large ones are read from a file: take a thread for `read` and `chunks` where a few milliseconds matter.
    """

    def __init__(self, size: int, memory: bytes, file: IO[bytes] | None) -> None:
        self.size = size
        self._memory = memory
        self._file = file

    @property
    def in_memory(self) -> bool:
        return self._file is None

    def head(self, limit: int) -> bytes:
        """The first `limit` octets at most."""
        if self._file is None:
            return self._memory[:limit]
        self._file.seek(0)
        return self._file.read(limit)

    def read(self) -> bytes:
        return self.head(self.size)

    def chunks(self) -> Iterator[bytes]:
        """The whole message, in order, a quarter of a MiB at a time."""
        if self._file is None:
            yield self._memory
            return
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK):
            yield chunk


class Spool:
    """Takes the octets of one message as they come."""

    def __init__(self, budget: Budget, folder: Path | None, spool_above: int) -> None:
        self._budget = budget
        self._folder = folder
        self._spool_above = spool_above
        self._pieces: list[bytes] = []
        self._held = 0
        self._size = 0
        self._file: IO[bytes] | None = None

    async def write(self, octets: bytes) -> None:
        """Raises NoRoomError if neither memory nor disk can take them."""
        self._budget.take(len(octets))
        self._pieces.append(octets)
        self._held += len(octets)
        self._size += len(octets)
        if self._held > self._spool_above:
            await self._flush()

    async def finish(self) -> SpooledBody:
        if self._file is not None:
            await self._flush()
        return SpooledBody(self._size, b"".join(self._pieces), self._file)

    def discard(self) -> None:
        self._let_go()
        if self._file is not None:
            self._file.close()
            self._file = None

    async def _flush(self) -> None:
        try:
            await asyncio.to_thread(self._write, b"".join(self._pieces))
        except OSError as error:
            raise NoRoomError from error
        self._let_go()

    def _write(self, octets: bytes) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - closed by discard
        self._file.write(octets)

    def _let_go(self) -> None:
        self._pieces.clear()
        self._budget.give_back(self._held)
        self._held = 0
