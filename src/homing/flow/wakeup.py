"""Who wakes whom: a worker sleeps until its bell rings, or until it is time to look anyway."""

import asyncio
import contextlib


class WakeUp:
    """Rung after a commit that left work; rings that come while the worker is busy are not lost."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def wake(self) -> None:
        self._rung.set()

    async def wait(self, seconds: float) -> None:
        """Until the bell is rung, `seconds` at most."""
        await _within(seconds, self._rung)
        self._rung.clear()


class Broadcast(WakeUp):
    """A bell that any number of listeners hear, each at his own pace.

    Take `coming` before looking at what the bell tells of; who then finds nothing waits with `hear`, and misses no ring
    that came between.
    """

    def wake(self) -> None:
        self._rung.set()
        self._rung = asyncio.Event()

    @property
    def coming(self) -> asyncio.Event:
        """The next ring."""
        return self._rung

    async def hear(self, ring: asyncio.Event, seconds: float) -> None:
        """Until that ring, `seconds` at most."""
        await _within(seconds, ring)


async def _within(seconds: float, ring: asyncio.Event) -> None:
    # Not wait_for, which in Python 3.11 forgets a cancellation that comes together with the ring.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await ring.wait()
