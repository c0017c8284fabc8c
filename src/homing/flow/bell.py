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
