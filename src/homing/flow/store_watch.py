"""Notice that the store was restored from a backup, and hold what is queued until the operator releases it.

What was sent after the backup was made is in its queue again. So each node notes in its data folder how far it has seen
the store, and compares, at the start and each time that it lets the store's mark rise. A node whose folder is new has
seen nothing, and believes the store.
"""

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

import structlog

from homing.flow import metrics
from homing.flow.alarms import noted
from homing.flow.outgoing import Clock
from homing.flow.wakeup import WakeUp
from homing.flow.worker import work_until_canceled
from homing.loop.store_mark import StoreMark, StoreStanding
from homing.store import store_mark
from homing.store.database import Database

NOTE = "store-mark.json"
"""The file's name in the data folder, and in a backup."""
_LOOK_EVERY = 10.0

_log = structlog.get_logger()


@dataclass(slots=True)
class StoreHold:
    """Whether nothing that is queued may be begun, as of the last look."""

    is_held: bool = False


@dataclass(slots=True, kw_only=True)
class StoreWatch:
    """The worker that lets the store's mark rise and minds the hold. When it ends, `work` and `actions` are woken."""

    database: Database
    folder: Path
    clock: Clock
    hold: StoreHold
    work: WakeUp
    actions: WakeUp
    _seen: StoreMark | None = None

    async def run(self) -> None:
        await work_until_canceled(
            self.look, failed="cannot mark the store", every=_LOOK_EVERY, first_after=_LOOK_EVERY, patience=0.0
        )

    async def look(self) -> None:
        """Let the mark rise, and compare. The note is written after the store has committed, so that it never is ahead
        of the same store. Raises ValueError: what the folder has is no note of ours."""
        noted_before = await asyncio.to_thread(read_note, self.folder)
        known = [mark for mark in (noted_before, self._seen) if mark is not None]
        self._seen = max(known, default=None)
        now_is, alarm = await self.database.write(store_mark.advance, self._seen, self.clock())
        noted(alarm)
        await self._follow(now_is)

    async def hold_now(self, why: str) -> StoreStanding:
        """Hold what is queued, on the operator's word."""
        now_is, alarm = await self.database.write(store_mark.hold, why, self.clock())
        noted(alarm)
        await self._follow(now_is)
        return now_is

    async def release(self) -> StoreStanding | None:
        """Begin the next generation; other nodes follow with their next look. None: nothing is held."""
        released = await self.database.write(store_mark.release, self._seen, self.clock())
        if released is not None:
            _log.warning("what was held is released", generation=released.mark.generation)
            await self._follow(released)
        return released

    async def _follow(self, now_is: StoreStanding) -> None:
        was_held, self.hold.is_held = self.hold.is_held, now_is.held_at is not None
        metrics.STORE_HELD.set(self.hold.is_held)
        if self.hold.is_held:
            return  # the note stays, as the proof that the store is another one
        self._seen = max(now_is.mark, self._seen or now_is.mark)
        await asyncio.to_thread(write_note, self.folder, now_is.mark)
        if was_held:
            self.work.wake()
            self.actions.wake()


def read_note(folder: Path) -> StoreMark | None:
    """How far this node has seen the store; None: the folder is new. Raises ValueError: it is no note of ours."""
    try:
        found = json.loads((folder / NOTE).read_bytes())
        return StoreMark(int(found["generation"]), int(found["mark"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / NOTE} cannot be read: {error!r}") from None


def write_note(folder: Path, mark: StoreMark) -> None:
    """Whole or not at all. Two nodes may share a folder, so each writes a file of its own first."""
    with NamedTemporaryFile("w", dir=folder, prefix=NOTE, suffix=".new", delete=False) as out:
        fresh = Path(out.name)
        try:
            json.dump({"generation": mark.generation, "mark": mark.mark}, out)
            out.flush()
            os.fsync(out.fileno())
            fresh.rename(folder / NOTE)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
