"""Room on the disk: a reserve below which nothing new is taken or begun, and a ballast that gives results room.

What a server answered must be committed, or the message goes out again; and what is erased needs room for the log of
the erasure. So new work stops while there is room for the results of what runs, and if the disk fills up all the same,
by us or by another program, the ballast goes.
"""

import asyncio
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from homing.flow import metrics
from homing.flow.alarms import raise_alarm
from homing.flow.outgoing import Clock
from homing.flow.worker import work_until_canceled
from homing.loop.alarm import alarm
from homing.loop.problem import Problem, Rejected
from homing.store.database import Database

BALLAST = "ballast"
"""The file's name in the data folder."""

_LOOK_EVERY = 1.0
_NO_ROOM = Problem(
    status=503,
    code="disk-full",
    title="There is too little room on the disk for that now.",
    detail="Nothing was accepted. The operator has been told; send the request again later.",
    retry_after=60,
)
_MIB = 1024 * 1024

_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class DiskSpace:
    """The room in a folder. `reserve`: octets that stay free; a quarter of them lie in the ballast beside. `free` asks
    the system, in octets."""

    folder: Path
    reserve: int
    free: Callable[[Path], int] = field(default=lambda folder: shutil.disk_usage(folder).free)
    is_low: bool = False
    """Whether nothing new may be taken or begun. After a shortage there must be a quarter more than the reserve."""

    def require_room(self) -> None:
        """Raises Rejected (`disk-full`) while the disk is low. Whatever a request makes grow by much asks here first:
        messages, also resent ones, letters that prove an address, and lists of many at once (suppressions that are
        imported, addresses that are attested). A change of one thing does not, nor what removes as much as it adds: an
        operator needs them to get out of trouble. Which is which for each route: tests/doors/test_low_disk.py."""
        if self.is_low:
            raise Rejected(452, "4.3.1", _NO_ROOM)

    def look(self) -> None:
        """Measure, let the ballast go where little is left, and lay it in again where there is plenty."""
        free = self.free(self.folder)
        metrics.DISK_FREE.set(free)
        ballast = self.folder / BALLAST
        if free < self._ballast // 2 and ballast.exists():
            ballast.unlink(missing_ok=True)
            _log.error("the disk is nearly full: the ballast makes room for results", free=free, octets=self._ballast)
            free = self.free(self.folder)
        self.is_low = free < self.reserve + (self.reserve // 4 if self.is_low else 0)
        if free >= self.reserve + 2 * self._ballast and self._ballast and not ballast.exists():
            _lay_in(ballast, self._ballast)

    @property
    def _ballast(self) -> int:
        return self.reserve // 4


@dataclass(slots=True, kw_only=True)
class DiskWatch:
    """The worker that looks at the disk, and warns the operator."""

    disk: DiskSpace
    database: Database
    clock: Clock
    _warned: bool = False

    async def run(self) -> None:
        await work_until_canceled(self.look, failed="cannot look at the disk", every=_LOOK_EVERY)

    async def look(self) -> None:
        """Look once. An alarm that finds no room is told at the next look."""
        was_low = self.disk.is_low
        await asyncio.to_thread(self.disk.look)
        metrics.DISK_LOW.set(self.disk.is_low)
        if self.disk.is_low and not self._warned:
            try:
                await raise_alarm(self.database, alarm("disk-low", _words(self.disk)), self.clock())
            except (SQLAlchemyError, OSError):
                _log.exception("cannot store the alarm about the disk")
                return
            self._warned = True
        elif was_low and not self.disk.is_low:
            _log.warning("the disk has room again: work goes on", folder=str(self.disk.folder))
            self._warned = False


def _words(disk: DiskSpace) -> str:
    return (
        f"less than {disk.reserve // _MIB} MiB are free in {disk.folder}: no message is accepted and none is sent "
        f"until {(disk.reserve + disk.reserve // 4) // _MIB} MiB are free; nothing is lost meanwhile"
    )


def _lay_in(file: Path, octets: int) -> None:
    """Take so much room on the disk; a file of zeros where the system cannot reserve blocks."""
    file.touch(mode=0o600)
    with file.open("wb") as out:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(out.fileno(), 0, octets)
            return
        for _ in range(0, octets, _MIB):
            out.write(bytes(min(octets, _MIB)))
