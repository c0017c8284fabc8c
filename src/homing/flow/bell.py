"""Who wakes whom: a worker sleeps until its bell rings, or until it is time to look anyway."""

import asyncio
import contextlib


class Bell:
    """Rung after a commit that left work; rings that come while the worker is busy are not lost."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, seconds: float) -> None:
        """Until the bell is rung, `seconds` at most."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), seconds)
        self._rung.clear()


class Chime(Bell):
    """A bell that any number of listeners hear, each at his own pace.

    Take `coming` before looking at what the bell tells of; who then finds nothing waits with `hear`, and misses no ring
    that came between.
    """

    def ring(self) -> None:
        self._rung.set()
        self._rung = asyncio.Event()

    @property
    def coming(self) -> asyncio.Event:
        """The next ring."""
        return self._rung

    async def hear(self, ring: asyncio.Event, seconds: float) -> None:
        """Until that ring, `seconds` at most."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ring.wait(), seconds)
