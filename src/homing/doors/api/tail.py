"""One reader of new events for all live streams of a process.

Each stream reads from the store what its reader has missed, page by page at his own pace, and then listens here. So
what happens is read once, however many listen. Who does not keep up is cut loose, and reads from the store again.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property

import structlog
from sqlalchemy.exc import SQLAlchemyError

from homing.doors.api.responses import event_out
from homing.flow.wakeup import Broadcast, WakeUp
from homing.loop.model import HumanSenderId, OrganizationId
from homing.loop.problem import Rejected
from homing.store import events
from homing.store.database import Database
from homing.store.events import Event

LOOK_AT_LEAST = 1.0
"""Seconds: what other nodes write wakes nobody here."""
BREATH = 0.02
"""Seconds between two looks, so that a storm of events is read in pages and not one by one."""
PAGE = 500
KEPT = 400
"""Events that are kept for a listener who is slow to take them."""

_log = structlog.get_logger()


@dataclass(frozen=True)
class News:
    """An event, and how a stream tells it: put into words once for all who hear it."""

    event: Event

    @cached_property
    def frame(self) -> str:
        # JSON from pydantic holds no line breaks.
        event = self.event
        return f"id: {event.cursor}\nevent: {event.type}\ndata: {event_out(event).model_dump_json()}\n\n"


@dataclass(slots=True, eq=False)
class Listener:
    """Who hears of an organization's new events, or of those of one human sender alone. `lost`: some were not kept for
    him, and he is to read from the store what he has not seen. `ended`: nothing will come any more."""

    human_sender: HumanSenderId | None
    lost: bool = True
    ended: bool = False
    _kept: list[News] = field(default_factory=list)
    _called: WakeUp = field(default_factory=WakeUp)

    def begin(self) -> None:
        """Keep what comes from now on: called before the store is read."""
        self._kept.clear()
        self.lost = False

    def tell(self, news: News) -> None:
        if self.lost or self.human_sender not in (None, news.event.human_sender):
            return
        if len(self._kept) == KEPT:
            self._kept.clear()
            self.lost = True
        else:
            self._kept.append(news)
        self._called.wake()

    def end(self) -> None:
        self.ended = True
        self._called.wake()

    async def take(self, seconds: float, cursor: str) -> list[News]:
        """What was kept and lies behind the cursor, as soon as anything was; nothing after so many seconds, and for who
        is lost or ended."""
        if not (self._kept or self.lost or self.ended):
            await self._called.wait(seconds)
        kept, self._kept = self._kept, []
        return [news for news in kept if events.is_behind(news.event.cursor, cursor)]


@dataclass(slots=True)
class Tail:
    """It reads while anybody listens. `stopping` is set, and `news` woken, when the process ends."""

    database: Database
    news: Broadcast
    stopping: asyncio.Event
    _listeners: dict[OrganizationId, set[Listener]] = field(default_factory=dict)
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Who comes during a look could miss what it passes over."""
    _cursor: str | None = None
    _reading: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def listening(
        self, organization: OrganizationId, human_sender: HumanSenderId | None
    ) -> AsyncIterator[Listener]:
        """A listener, lost at first. Raises `Rejected` while the store is held."""
        listener = Listener(human_sender)
        async with self._looking:
            if self._reading is None or self._reading.done():
                self._cursor = await self.database.read(events.latest_of_all)
                self._reading = asyncio.create_task(self._read())
            self._listeners.setdefault(organization, set()).add(listener)
        try:
            yield listener
        finally:
            self._leave(organization, listener)

    def _leave(self, organization: OrganizationId, listener: Listener) -> None:
        mine = self._listeners.get(organization, set())
        mine.discard(listener)
        if not mine:
            self._listeners.pop(organization, None)

    async def _read(self) -> None:
        """Until nobody listens, or until nothing more can be read: then all listeners are told so."""
        try:
            while self._listeners and not self.stopping.is_set():
                call = self.news.upcoming
                async with self._looking:
                    more = await self._look()
                if not more:
                    await self.news.wait_for(call, LOOK_AT_LEAST)
                await asyncio.sleep(BREATH)
        except Rejected:
            pass  # the store was restored under way: whoever comes back is told so
        except (SQLAlchemyError, OSError):
            _log.exception("cannot read events")
        finally:
            for listeners in self._listeners.values():
                for listener in listeners:
                    listener.end()
            self._listeners.clear()

    async def _look(self) -> bool:
        assert self._cursor is not None
        found, self._cursor, more = await self.database.read(
            events.after_of_all, list(self._listeners), self._cursor, PAGE
        )
        for news in map(News, found):
            for listener in self._listeners.get(news.event.organization, ()):
                listener.tell(news)
        return more
