"""Work beside the loop: whose comes when."""

import asyncio
import threading
from uuid import UUID

from homing.flow.large_work import LargeWork, Locks
from tests.patience import until

ONE, OTHER, THIRD = UUID(int=1), UUID(int=2), UUID(int=3)


async def test_what_is_not_large_is_done_at_once() -> None:
    assert await LargeWork().do(ONE, False, threading.get_ident) == threading.get_ident()
    assert await LargeWork().do(ONE, True, threading.get_ident) != threading.get_ident()


async def test_an_organizations_work_is_done_one_after_the_other_and_two_organizations_at_once() -> None:
    work, free = LargeWork(), threading.Event()
    begun: list[UUID] = []

    def long(whose: UUID) -> None:
        begun.append(whose)
        assert free.wait(30)

    tasks = [asyncio.create_task(work.do(whose, True, long, whose)) for whose in (ONE, ONE, ONE, OTHER, THIRD)]
    try:
        await until(lambda: len(begun) >= 2)
        await asyncio.sleep(0)
        assert sorted(begun) == [ONE, OTHER]
    finally:
        free.set()
    await asyncio.gather(*tasks)
    assert sorted(begun) == [ONE, ONE, ONE, OTHER, THIRD]
    assert begun.index(THIRD) < 4, "whoever came last did not wait for all of the first one's"


async def test_no_lock_is_kept_of_who_is_not_at_work() -> None:
    turns = Locks()
    async with turns.of(ONE):
        assert turns.of(ONE).locked()
    assert not turns._locks
