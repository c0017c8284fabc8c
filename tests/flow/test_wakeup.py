"""Bells: no ring is lost, no worker sleeps through its end."""

import asyncio

import pytest

from homing.flow.wakeup import Broadcast, WakeUp


async def answers(bell: WakeUp) -> None:
    while True:
        await bell.wait(60)


async def listens(chime: Broadcast) -> None:
    while True:
        await chime.hear(chime.coming, 60)


@pytest.mark.parametrize("ticks", range(5))
@pytest.mark.parametrize("worker", [answers, listens])
async def test_a_worker_that_is_rung_and_canceled_at_once_ends(worker, ticks: int) -> None:
    chime = Broadcast()
    bell = chime if worker is listens else WakeUp()
    task = asyncio.create_task(worker(bell))
    await asyncio.sleep(0.001)
    bell.wake()
    for _ in range(ticks):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=30)
    task.cancel()
    assert done, "it slept through its end"


async def test_a_ring_that_came_before_is_heard() -> None:
    bell = WakeUp()
    bell.wake()
    await asyncio.wait_for(bell.wait(60), 30)
    begun = asyncio.get_running_loop().time()
    await bell.wait(0.02)
    assert asyncio.get_running_loop().time() - begun >= 0.015, "one ring was heard twice"


async def test_all_listeners_hear_a_chime_that_rings_after_they_looked() -> None:
    chime = Broadcast()
    coming = chime.coming
    chime.wake()
    await asyncio.wait_for(asyncio.gather(chime.hear(coming, 60), chime.hear(coming, 60)), 30)
