"""The loop of every worker: claim and work, survive what breaks, wait to be woken, end what was begun."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import structlog

from homing.flow.ending import PATIENCE, to_its_end
from homing.flow.wakeup import WakeUp

_log = structlog.get_logger()


async def work_until_canceled(
    turn: Callable[[], Coroutine[Any, Any, bool | None]],
    *,
    failed: str,
    every: float,
    wake_up: WakeUp | None = None,
    first_after: float = 0.0,
    patience: float = PATIENCE,
) -> NoReturn:
    """Turn after turn until canceled, the first one after `first_after` seconds.

    A turn that returns True has left work: the next one follows at once. Else it follows when `wake_up` is called, or
    after `every` seconds; a call during a turn counts. A turn that raises is logged under the words of `failed`, and
    the next one follows in `every` seconds, called or not. On cancellation the turn under way has `patience` seconds to
    end before it is canceled.
    """
    wake_up = wake_up or WakeUp()
    await asyncio.sleep(first_after)
    while True:
        try:
            more = await to_its_end(turn(), patience)
        except (Exception, asyncio.CancelledError):
            if _is_canceled():  # the worker, and not something within its turn
                raise
            _log.exception(failed)
            await asyncio.sleep(every)
        else:
            if not more:
                await wake_up.wait(every)


@contextmanager
def surviving(failed: str, **about: str) -> Iterator[None]:
    """One of several things that a turn works on: an error in it is logged, and does not stop the others."""
    try:
        yield
    except Exception:  # noqa: BLE001 - the one catch around a single piece of work
        _log.exception(failed, **about)


def _is_canceled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
