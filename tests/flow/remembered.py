"""How long something is remembered: until the store is asked again."""

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from homing.store.database import Database
from tests.flow.clock import Clock

MOMENT = timedelta(milliseconds=1)


class Asked(Database):
    """Counts the questions that came to it."""

    def __init__(self, runner: Any) -> None:
        super().__init__(runner)
        self.questions: Counter[str] = Counter()

    async def read(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self.questions[fn.__name__] += 1
        return await super().read(fn, *args, **kwargs)


async def lifetime_of(ask: Callable[[], Awaitable[Any]], asked: Callable[[], int], clock: Clock) -> float:
    """Seconds from the first time that it was asked for until the store is asked again."""
    await ask()
    first, since = asked(), clock.now
    while asked() == first:
        clock.advance(timedelta(seconds=1) - MOMENT)
        await ask()
        if asked() > first:
            break
        clock.advance(MOMENT)
        await ask()
    return (clock.now - since).total_seconds()
