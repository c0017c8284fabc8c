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
from homing.loop.queue import Line, Places
from homing.loop.retry import is_disputed
from homing.store import claims, deliveries
from homing.store.claims import ClaimedDelivery
from homing.store.database import Database

LEASE = timedelta(seconds=180)
_RENEW_EVERY = 60.0
_LOOK_EVERY = 0.5
_Lease = tuple[DeliveryId, int]
"""A delivery and the epoch of its claim."""

_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Deliverer:
    """Works through the queue, as many deliveries at a time as there are `places`. `owner` names this process in its
    leases; `work` wakes this worker when something becomes due; the worker wakes `news` when anything has happened."""

    database: Database
    disk: DiskSpace
    hold: StoreHold
    agent: DeliveryAgent
    clock: Clock
    jumped_at: LastClockJump
    owner: str
    places: Places
    work: WakeUp
    news: WakeUp
    patience: float = PATIENCE
    _running: dict[_Lease, asyncio.Task[None]] = field(default_factory=dict)
    _until_claim: int = 0
    """The last claim was short of places: when so many deliveries have ended, there is something to claim for them."""

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
        now = self.clock()
        expiring = not is_disputed(self.jumped_at(), now)
        places = self.places.copy()  # for another thread
        found = await self.database.write(claims.claim, self.owner, now, places, LEASE, expiring=expiring)
        for leased in found.deliveries:
            self.places.hold(leased.place)
            task = asyncio.create_task(self._work_on(leased))
            self._running[leased.delivery.id, leased.delivery.epoch] = task
            task.add_done_callback(lambda _, leased=leased: self._done(leased))  # type: ignore[misc]
        if found.deliveries:
            self.news.wake()
        self._until_claim = max(len(found.deliveries) // 2, 1) if found.short else 0
        return found.more and self.places.has_room(Line.FIRST)

    def _done(self, leased: ClaimedDelivery) -> None:
        del self._running[leased.delivery.id, leased.delivery.epoch]
        self.places.give_back(leased.place)
        suspect = leased.delivery.silent_deaths > 0
        if suspect or self._until_claim == 1:
            self.work.wake()
        self._until_claim = max(self._until_claim - 1, 0)

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
