"""Workers survive what breaks, rest instead of running hot, miss no wake-up, and end what they have begun."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs

from homing.flow.ending import all_to_their_end
from homing.flow.wakeup import WakeUp
from homing.flow.worker import surviving, work_until_canceled
from tests.patience import PATIENCE, until

NEVER = 3600.0
"""Seconds. A test that waits for these would never end, so what happens did not come by time."""


@asynccontextmanager
async def at_work(
    turn: Callable[[], Coroutine[Any, Any, bool | None]], **how: Any
) -> AsyncIterator["asyncio.Task[Any]"]:
    how = {"failed": "cannot work", "every": NEVER} | how
    task = asyncio.create_task(work_until_canceled(turn, **how))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE)
        assert task.cancelled(), "it did not end"


async def some_time() -> None:
    """Enough for whatever is not waiting for something."""
    for _ in range(200):
        await asyncio.sleep(0)


@dataclass(slots=True)
class Turns:
    """Counts its turns. `answers`: what the first ones give or raise; all others find nothing to do."""

    answers: list[bool | BaseException] = field(default_factory=list)
    count: int = 0

    async def __call__(self) -> bool:
        self.count += 1
        answer = self.answers.pop(0) if self.answers else False
        if isinstance(answer, BaseException):
            raise answer
        return answer


async def test_whatever_breaks_is_logged_and_the_worker_goes_on() -> None:
    turns = Turns([OSError("the disk is full"), ValueError("a bug")])
    with capture_logs() as logs:
        async with at_work(turns, every=0.001):
            await until(lambda: turns.count >= 4)
    assert [(log["event"], log["log_level"]) for log in logs] == [("cannot work", "error")] * 2
    assert all(log["exc_info"] for log in logs)


async def test_something_canceled_within_a_turn_does_not_end_the_worker() -> None:
    turns = Turns([asyncio.CancelledError()])
    with capture_logs() as logs:
        async with at_work(turns, every=0.001):
            await until(lambda: turns.count >= 3)
    assert [log["event"] for log in logs] == ["cannot work"]


async def test_a_turn_that_fails_is_not_tried_again_at_once_however_often_it_is_woken() -> None:
    turns, bell = Turns([OSError()] * 1000), WakeUp()
    with capture_logs():
        async with at_work(turns, wake_up=bell):
            await until(lambda: turns.count)
            for _ in range(100):
                bell.wake()
                await asyncio.sleep(0)
            await some_time()
    assert turns.count == 1


async def test_while_there_is_more_nobody_waits() -> None:
    turns = Turns([True] * 20)
    async with at_work(turns):
        await until(lambda: turns.count == 21)
        await some_time()
    assert turns.count == 21


async def test_a_worker_is_woken_at_once() -> None:
    turns, bell = Turns(), WakeUp()
    async with at_work(turns, wake_up=bell):
        await until(lambda: turns.count == 1)
        await some_time()
        assert turns.count == 1, "it did not rest"
        bell.wake()
        await until(lambda: turns.count == 2)
        await some_time()
    assert turns.count == 2, "one wake-up woke it twice"


async def test_a_wake_up_during_a_turn_is_not_lost() -> None:
    bell, going, count = WakeUp(), asyncio.Event(), 0

    async def turn() -> bool:
        nonlocal count
        count += 1
        await going.wait()
        return False

    async with at_work(turn, wake_up=bell):
        await until(lambda: count == 1)
        bell.wake()
        going.set()
        await until(lambda: count == 2)


async def test_whoever_is_not_woken_looks_from_time_to_time() -> None:
    turns = Turns()
    async with at_work(turns, every=0.001):
        await until(lambda: turns.count >= 3)


async def test_the_first_turn_may_wait() -> None:
    turns = Turns()
    async with at_work(turns, first_after=NEVER, every=0.0):
        await some_time()
    assert turns.count == 0


async def test_who_is_canceled_ends_the_turn_and_begins_no_other() -> None:
    going, committed = asyncio.Event(), []

    async def turn() -> bool:
        await going.wait()
        committed.append("claimed")
        return True

    async with at_work(turn) as task:
        await some_time()
        task.cancel()
        await some_time()
        assert not task.done()
        going.set()
        await asyncio.wait([task], timeout=PATIENCE)
    assert committed == ["claimed"]


@pytest.mark.parametrize("patience", [0.0, 0.01])
async def test_a_turn_that_takes_too_long_is_canceled(patience: float) -> None:
    fates = []

    async def turn() -> None:
        try:
            await asyncio.sleep(NEVER)
        except asyncio.CancelledError:
            fates.append("canceled")
            raise

    async with at_work(turn, patience=patience) as task:
        await some_time()
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE)
    assert fates == ["canceled"]


@pytest.mark.parametrize("ticks", range(8))
@pytest.mark.parametrize("answer", [False, True, OSError()], ids=["nothing", "more", "broken"])
async def test_who_is_woken_and_canceled_at_about_the_same_time_ends(answer: bool | OSError, ticks: int) -> None:
    """Python 3.11's wait_for forgets a cancellation that comes together with what it waits for."""
    bell = WakeUp()

    async def turn() -> bool:
        await asyncio.sleep(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    with capture_logs():
        async with at_work(turn, wake_up=bell) as task:
            await asyncio.sleep(0.001)
            bell.wake()
            for _ in range(ticks):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task], timeout=PATIENCE)
            assert task.done(), "it slept through its end"


async def test_one_thing_that_breaks_costs_no_other_its_try() -> None:
    done = []

    async def work_on(number: int) -> None:
        with surviving("a number broke", number=str(number)):
            if number == 1:
                raise ZeroDivisionError
            done.append(number)

    with capture_logs() as logs:
        await asyncio.gather(*map(work_on, range(3)))
    assert done == [0, 2]
    assert [(log["event"], log["number"]) for log in logs] == [("a number broke", "1")]


async def test_who_is_canceled_in_the_middle_of_a_thing_is_canceled() -> None:
    with pytest.raises(asyncio.CancelledError), surviving("a thing broke"):
        raise asyncio.CancelledError


@dataclass(slots=True)
class Crowd:
    """A worker like those for deliveries and actions: claims as much as it has capacity for, works on all of it at
    once, and wakes itself when there is capacity again."""

    queue: list[int]
    capacity: int = 3
    bell: WakeUp = field(default_factory=WakeUp)
    going: asyncio.Event = field(default_factory=asyncio.Event)
    running: dict[int, "asyncio.Task[None]"] = field(default_factory=dict)
    most: int = 0
    ended: list[int] = field(default_factory=list)
    given_back: bool = False

    async def run(self) -> None:
        try:
            await work_until_canceled(self._claim, failed="cannot claim", every=NEVER, wake_up=self.bell)
        finally:
            await all_to_their_end(self.running.values())
            self.given_back = True

    async def _claim(self) -> bool:
        free = self.capacity - len(self.running)
        claimed, self.queue = self.queue[:free], self.queue[free:]
        for number in claimed:
            task = self.running[number] = asyncio.create_task(self._work_on(number))
            task.add_done_callback(lambda _, number=number: self._done(number))  # type: ignore[misc]
        self.most = max(self.most, len(self.running))
        return bool(claimed) and len(claimed) == free

    async def _work_on(self, number: int) -> None:
        with surviving("it broke", number=str(number)):
            await self.going.wait()
            if number == 1:
                raise ZeroDivisionError
            self.ended.append(number)

    def _done(self, number: int) -> None:
        del self.running[number]
        self.bell.wake()


async def test_a_worker_with_many_hands_works_off_its_queue_and_ends_what_it_has_begun() -> None:
    crowd = Crowd(list(range(10)))
    task = asyncio.create_task(crowd.run())
    with capture_logs() as logs:
        await until(lambda: len(crowd.running) == 3)
        crowd.going.set()
        await until(lambda: len(crowd.ended) == 9)
        assert crowd.most == 3
        crowd.going.clear()
        crowd.queue += [10, 11]
        crowd.bell.wake()
        await until(lambda: len(crowd.running) == 2)
        task.cancel()
        await some_time()
        crowd.queue.append(12)
        assert not task.done()
        crowd.going.set()
        await asyncio.wait([task], timeout=PATIENCE)
    assert task.cancelled()
    assert crowd.given_back
    assert crowd.ended[-2:] == [10, 11]
    assert crowd.queue == [12], "it claimed after it was canceled"
    assert [log["number"] for log in logs] == ["1"]
