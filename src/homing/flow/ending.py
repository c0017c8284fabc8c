"""How workers stop: work already begun is finished, so that a clean stop leaves nothing to recover."""

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

PATIENCE = 30.0
"""Seconds that a stopping worker gives to what it has begun."""

T = TypeVar("T")


async def to_its_end(work: Coroutine[Any, Any, T], seconds: float = PATIENCE) -> T:
    """The result of `work`. A caller that is canceled meanwhile waits until `work` has ended, `seconds` at most, and
    cancels it then: so every committed claim keeps the worker that knows of it."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise


async def all_to_their_end(running: Collection[asyncio.Task[None]], seconds: float = PATIENCE) -> None:
    """Wait until all of them have ended, `seconds` at most; what runs then still is canceled."""
    tasks = list(running)
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
