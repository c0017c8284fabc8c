"""Wake-ups: no call is lost, no worker sleeps through its end."""

import asyncio

import pytest

from homing.flow.wakeup import Broadcast, WakeUp


async def works(wakeup: WakeUp) -> None:
    while True:
        await wakeup.wait(60)


async def listens(broadcast: Broadcast) -> None:
    while True:
        await broadcast.wait_for(broadcast.upcoming, 60)


@pytest.mark.parametrize("ticks", range(5))
@pytest.mark.parametrize("worker", [works, listens])
async def test_a_worker_that_is_woken_and_canceled_at_once_ends(worker, ticks: int) -> None:
    broadcast = Broadcast()
    wakeup = broadcast if worker is listens else WakeUp()
    task = asyncio.create_task(worker(wakeup))
    await asyncio.sleep(0.001)
    wakeup.wake()
    for _ in range(ticks):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=30)
    task.cancel()
    assert done, "it slept through its end"


async def test_a_ring_that_came_before_is_heard() -> None:
    wakeup = WakeUp()
    wakeup.wake()
    await asyncio.wait_for(wakeup.wait(60), 30)
    begun = asyncio.get_running_loop().time()
    await wakeup.wait(0.02)
    assert asyncio.get_running_loop().time() - begun >= 0.015, "one call was answered twice"


async def test_all_listeners_hear_a_chime_that_rings_after_they_looked() -> None:
    broadcast = Broadcast()
    upcoming = broadcast.upcoming
    broadcast.wake()
    await asyncio.wait_for(asyncio.gather(broadcast.wait_for(upcoming, 60), broadcast.wait_for(upcoming, 60)), 30)
