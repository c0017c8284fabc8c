"""Wake-ups: a worker sleeps until somebody wakes it after a commit, or until it is time to look anyway."""

import asyncio
import contextlib


class WakeUp:
    """A wake-up call for one worker. Calls that come while it is busy are not lost."""

    def __init__(self) -> None:
        self._called = asyncio.Event()

    def wake(self) -> None:
        """Called after a commit that left work."""
        self._called.set()

    async def wait(self, seconds: float) -> None:
        """Return at the next call, after `seconds` at most."""
        await _within(seconds, self._called)
        self._called.clear()


class Broadcast(WakeUp):
    """A wake-up call for any number of listeners, each of which waits at a pace of its own.

    Take `upcoming` before looking for news; a listener who finds none waits with `wait_for`, and misses no call that
    came in between.
    """

    def wake(self) -> None:
        self._called.set()
        self._called = asyncio.Event()

    @property
    def upcoming(self) -> asyncio.Event:
        """The next call."""
        return self._called

    async def wait_for(self, call: asyncio.Event, seconds: float) -> None:
        """Return at that call, after `seconds` at most."""
        await _within(seconds, call)


async def _within(seconds: float, call: asyncio.Event) -> None:
    # Not asyncio.wait_for, which in Python 3.11 forgets a cancellation that comes together with the call.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await call.wait()
