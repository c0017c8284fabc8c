"""Stopping in the middle of something: it ends first, unless it takes too long."""

import asyncio

import pytest

from homing.flow.ending import to_its_end


async def test_what_was_begun_ends_before_the_worker_does() -> None:
    going, ended = asyncio.Event(), []

    async def claim() -> str:
        await going.wait()
        ended.append("claimed")
        return "a job"

    worker = asyncio.create_task(to_its_end(claim()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    worker.cancel()
    await asyncio.sleep(0.01)
    assert not worker.done()
    going.set()
    with pytest.raises(asyncio.CancelledError):
        await worker
    assert ended == ["claimed"]


async def test_what_takes_too_long_is_canceled() -> None:
    fates = []

    async def hang() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            fates.append("canceled")
            raise

    worker = asyncio.create_task(to_its_end(hang(), seconds=0.02))
    await asyncio.sleep(0.01)
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker
    assert fates == ["canceled"]


async def test_results_and_faults_come_through() -> None:
    async def ready() -> int:
        return 7

    async def broken() -> int:
        raise OSError("the disk is full")

    assert await to_its_end(ready()) == 7
    with pytest.raises(OSError, match="the disk is full"):
        await to_its_end(broken())
