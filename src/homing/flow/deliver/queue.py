"""The worker of the queue: claims due deliveries, renews leases while attempts run, and gives back unfinished ones.

The delivery row is the queue entry. A claim is a lease with an epoch: a write under an older epoch changes nothing.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from homing.flow.deliver.attempt import DeliveryAgent
from homing.flow.disk_space import DiskSpace
from homing.flow.ending import PATIENCE, all_to_their_end
from homing.flow.outgoing import Clock, LastClockJump
from homing.flow.store_watch import StoreHold
from homing.flow.wakeup import WakeUp
from homing.flow.worker import surviving, work_until_canceled
from homing.loop.ids import show
from homing.loop.model import DeliveryId
from homing.loop.retry import is_disputed
from homing.store import deliveries
from homing.store.database import Database
from homing.store.deliveries import Capacity, ClaimedDelivery

LEASE = timedelta(seconds=180)
_RENEW_EVERY = 60.0
_LOOK_EVERY = 0.5
OCTETS_AT_ONCE = 128 * 1024 * 1024
"""Octets of contents in memory above which nothing new is claimed, however many deliveries there is room for."""
_Lease = tuple[DeliveryId, int]
"""A delivery and the epoch of its claim."""

_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Deliverer:
    """Works through the queue, `at_once` deliveries at a time. `owner` names this process in its leases; `work` wakes
    this worker when something becomes due; the worker wakes `news` when anything has happened."""

    database: Database
    disk: DiskSpace
    hold: StoreHold
    agent: DeliveryAgent
    clock: Clock
    jumped_at: LastClockJump
    owner: str
    at_once: int
    work: WakeUp
    news: WakeUp
    patience: float = PATIENCE
    _running: dict[_Lease, asyncio.Task[None]] = field(default_factory=dict)
    _octets: int = 0
    _full: bool = False
    """The last claim ended for want of room: there may be more to claim when deliveries end."""

    async def run(self) -> None:
        """Run until canceled; then nothing new is claimed, and running attempts have half a minute to end."""
        renew = work_until_canceled(
            self._renew, failed="cannot renew leases", every=_RENEW_EVERY, first_after=_RENEW_EVERY, patience=0.0
        )
        renewing = asyncio.create_task(renew)
        try:
            await work_until_canceled(
                self._claim, failed="cannot claim deliveries", every=_LOOK_EVERY, wake_up=self.work
            )
        finally:
            renewing.cancel()
            await all_to_their_end(self._running.values(), self.patience)
            await self._give_back()

    async def _claim(self) -> bool:
        """Claim as much as there is room for; returns whether more may be due now."""
        if self.disk.is_low or self.hold.is_held:
            return False
        room, octets = self.at_once - len(self._running), OCTETS_AT_ONCE - self._octets
        if room <= self.at_once // 4 or octets <= 0:
            self._full = True
            return False
        now = self.clock()
        expiring = not is_disputed(self.jumped_at(), now)
        capacity = Capacity(room, octets)
        claimed = await self.database.write(deliveries.claim, self.owner, now, capacity, LEASE, expiring=expiring)
        for leased in claimed:
            task = asyncio.create_task(self._work_on(leased))
            self._running[leased.delivery.id, leased.delivery.epoch] = task
            self._octets += len(leased.content)
            task.add_done_callback(lambda _, leased=leased: self._done(leased))  # type: ignore[misc]
        if claimed:
            self.news.wake()
        self._full = self._octets > OCTETS_AT_ONCE // 2
        return len(claimed) == room

    def _done(self, leased: ClaimedDelivery) -> None:
        del self._running[leased.delivery.id, leased.delivery.epoch]
        self._octets -= len(leased.content)
        suspect = leased.delivery.silent_deaths > 0
        if suspect or (self._full and len(self._running) <= self.at_once // 2):
            self.work.wake()

    async def _work_on(self, leased: ClaimedDelivery) -> None:
        """One delivery. A bug costs this attempt and no more: it is tried again, a few times."""
        try:
            with surviving("delivery attempt broke", delivery=show("delivery", leased.delivery.id)):
                await self._deliver(leased)
        finally:
            self.news.wake()

    async def _deliver(self, leased: ClaimedDelivery) -> None:
        try:
            await self.agent.deliver(leased)
        except (SQLAlchemyError, OSError):
            raise  # the store's fault
        except Exception:
            delivery = leased.delivery
            await self.database.write(deliveries.put_off, delivery.id, delivery.epoch, self.clock())
            raise

    async def _give_back(self) -> None:
        """Release unfinished deliveries at once for other workers, so that a clean stop does not count as a death."""
        try:
            await self.database.write(deliveries.give_back, self.clock(), self.owner, frozenset(self.agent.unsent))
        except (SQLAlchemyError, OSError):
            _log.exception("cannot give leases back")

    async def _renew(self) -> None:
        held = {delivery for delivery, _ in self._running}
        await self.database.write(deliveries.renew, self.owner, held, self.clock() + LEASE)
