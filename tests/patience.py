"""What comes true in its own time is waited for: no test depends on how fast or in which order things happen."""

import asyncio
from collections.abc import Callable
from typing import Any

PATIENCE = 30.0
"""Seconds. Only what never comes true takes so long."""


async def until(look: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """What `look` (plain or async) gives, as soon as it is true; fails after a while."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        found = look()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert asyncio.get_running_loop().time() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)
