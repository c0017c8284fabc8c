"""Work that takes long and waits for nothing, such as to compose a large message: beside the event loop, and in turn.

A thread that works takes the interpreter from the loop for a few milliseconds at a time, so of all organizations two
work at once, and each one's pieces of work wait for each other.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

_AT_ONCE = 2

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Locks:
    """A lock for each organization (or key) that is at work; none is kept for the others."""

    _locks: WeakValueDictionary[UUID, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    def of(self, who: UUID) -> asyncio.Lock:
        return self._locks.setdefault(who, asyncio.Lock())


@dataclass(slots=True)
class LargeWork:
    """All that organizations make a process do beside its loop."""

    _at_work: Locks = field(default_factory=Locks)
    _free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    async def do(
        self, organization: UUID, large: bool, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What `work` gives. What is not `large` is done at once."""
        if not large:
            return work(*args, **kwargs)
        async with self._at_work.of(organization), self._free:
            return await asyncio.to_thread(work, *args, **kwargs)
