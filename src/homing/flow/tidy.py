"""Take over from dead workers, measure the backlog, and erase what is over: leases, figures, retention."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import structlog

from homing.flow import metrics
from homing.flow.deliver import LEASE
from homing.flow.outgoing import Clock, LastClockJump
from homing.flow.wakeup import WakeUp
from homing.flow.worker import work_until_canceled
from homing.loop.model import InboundId
from homing.loop.retry import LONGEST_WAIT, is_disputed
from homing.net import webhook
from homing.store import (
    actions,
    alarms,
    deliveries,
    figures,
    inbound,
    inbound_claims,
    lifts,
    loop_probes,
    mail_domains,
    sessions,
    suppressions,
    tidy,
    wall_clock,
)
from homing.store.database import Database

_RECOVER_EVERY = 5.0
_NOTE_EVERY = timedelta(minutes=1)
_FORGET_EVERY = timedelta(minutes=10)
_COUNTERS_KEPT = timedelta(days=3)
_ENTERED_AT_ONCE = 1000
_STRAY_AFTER = timedelta(hours=1)

_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Tidier:
    """`alone`: no other process works on this store, so at the start every lease of another owner is a dead one's.
    `jumped_at`: when the clock last jumped. `spool`: the folder of this process's large mails."""

    database: Database
    clock: Clock
    jumped_at: LastClockJump
    owner: str
    alone: bool
    content_retention: timedelta
    spool: Path
    work: WakeUp
    _noted_at: datetime | None = None
    _forgot_at: datetime | None = None
    _mended_at: datetime | None = None

    async def recover(self) -> None:
        """At the start, before anything is claimed."""
        now = self.clock()
        dead = self._is_dead if self.alone else None
        in_time = self.alone or self.jumped_at() is None  # else others' leases only seem to be over
        outcomes = await self.database.write(deliveries.recover, now, dead) if in_time else []
        started = await self.database.write(actions.recover, self.clock(), self.alone)
        if outcomes or started:
            _log.warning("took over from a dead process", deliveries=len(outcomes), actions=len(started))
        await self._enter_lines()
        await self.database.write(inbound_claims.recover, self.clock())
        self.work.wake()

    async def run(self) -> None:
        """Run until canceled, then stop at once: the next look finds whatever is left undone."""
        await work_until_canceled(
            self.look, failed="cannot tidy up", every=_RECOVER_EVERY, first_after=_RECOVER_EVERY, patience=0.0
        )

    async def look(self) -> None:
        """Tidy once. After a clock jump no lease ends before its holder could renew it, and nothing is erased for a
        day: erased data do not come back when the clock does. Deliveries and actions that a wrong clock put off too far
        are due at once."""
        now, jumped_at = self.clock(), self.jumped_at()
        if jumped_at != self._mended_at:
            await self.database.write(deliveries.bring_forward, now, now + LONGEST_WAIT)
            await self.database.write(actions.bring_forward, now, now + webhook.RETRIES[-1])
            self._mended_at = jumped_at
            self.work.wake()
        if jumped_at is None or now - jumped_at >= LEASE:
            await self.database.write(deliveries.recover, now, None)
            await self.database.write(actions.recover, now)
            await self.database.write(inbound_claims.recover, now)
        await self._enter_lines()
        await self._measure()
        if self._noted_at is None or abs(now - self._noted_at) >= _NOTE_EVERY:
            await self.database.write(wall_clock.note_time, now, jumped_at)
            self._noted_at = now
        if is_disputed(jumped_at, now):
            return
        if self._forgot_at is None or now - self._forgot_at >= _FORGET_EVERY:
            await self.forget()
            self._forgot_at = self.clock()

    async def _enter_lines(self) -> None:
        """An older version on another machine may still add to these."""
        while await self.database.write(deliveries.enter_lines, _ENTERED_AT_ONCE):
            self.work.wake()
        while await self.database.write(actions.enter_lines, _ENTERED_AT_ONCE):
            pass

    async def _measure(self) -> None:
        waiting = await self.database.read(figures.waiting, self.clock())
        for state, count in waiting.deliveries.items():
            metrics.QUEUE.labels(state).set(count)
        for case, count in waiting.cases.items():
            metrics.CASES.labels(case).set(count)
        late = self.clock() - waiting.oldest_due if waiting.oldest_due else timedelta()
        metrics.OLDEST_DUE.set(late.total_seconds())

    async def forget(self) -> None:
        """Erase in small batches, so that nothing waits long for the writer."""
        now = self.clock()
        while await self.database.write(tidy.forget_idempotency, now):
            pass
        while await self.database.write(tidy.forget_contents, now - self.content_retention):
            pass
        while await self._erase_inbound(now):
            pass
        await self._forget_strays()
        while await self.database.write(tidy.forget_counters, now - _COUNTERS_KEPT):
            pass
        for forget in (
            suppressions.forget_full,
            suppressions.forget_hearsay,
            suppressions.forget_expired,
            lifts.forget_lifted,
            mail_domains.forget_domains,
            alarms.forget,
            sessions.forget,
            loop_probes.forget,
        ):
            while await self.database.write(forget, now):
                pass

    async def _erase_inbound(self, now: datetime) -> int:
        erased = await self.database.write(inbound.erase, now)
        await asyncio.to_thread(_remove, [self.spool / name for name in erased.files])
        return erased.mails

    async def _forget_strays(self) -> None:
        """Files of mails that were never kept after all, or that another node erased."""
        files = await asyncio.to_thread(_old_files, self.spool, self.clock() - _STRAY_AFTER)
        held = await self.database.read(inbound.spooled, list(files))
        await asyncio.to_thread(_remove, [file for mail, file in files.items() if mail not in held])

    def _is_dead(self, owner: str) -> bool:
        return owner != self.owner


def _old_files(folder: Path, before: datetime) -> dict[InboundId, Path]:
    """Files too old to be still in writing, by the mail that each belongs to."""
    files = [file for file in folder.glob("[0-9a-f]" * 32 + ".eml") if file.stat().st_mtime < before.timestamp()]
    return {InboundId(UUID(file.stem)): file for file in files}


def _remove(files: list[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
