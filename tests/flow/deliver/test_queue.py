"""The worker: how much it claims, what it does when something breaks, and what it leaves behind when it stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from homing.flow.deliver import queue
from homing.loop.model import DeliveryId, State
from homing.loop.queue import Line
from homing.store import tables
from homing.store.claims import ClaimedDelivery
from tests.flow.deliver.scene import JOHN, Scene
from tests.patience import until
from tests.store.scenes import NOW, a_statement, all_rows, fresh


class _Agent:
    """Holds what it is given until it is let go."""

    def __init__(self) -> None:
        self.given: list[ClaimedDelivery] = []
        self.let_go = asyncio.Event()
        self.broken = False
        self.unsent: set[DeliveryId] = set()

    async def deliver(self, leased: ClaimedDelivery) -> None:
        self.given.append(leased)
        if self.broken:
            raise LookupError("a bug")
        await self.let_go.wait()


@asynccontextmanager
async def running(scene: Scene) -> AsyncIterator[None]:
    task = asyncio.create_task(scene.deliverer.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def rows(scene: Scene) -> list[dict[str, object]]:
    return await scene.database.read(all_rows, tables.delivery)


async def test_what_is_due_is_delivered(scene: Scene) -> None:
    site = scene.world.mx("corp.com")
    await scene.waiting()
    async with running(scene):
        await site.wait_for(JOHN)
        await until(lambda: not scene.deliverer._running)
    (row,) = await rows(scene)
    assert (row["state"], row["lease_owner"]) == ("delivered", None)


async def test_no_more_is_claimed_than_there_is_room_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "_LOOK_EVERY", 60.0)  # what ends makes room, and nobody has to look
    agent = scene.deliverer.agent = _Agent()  # type: ignore[assignment]
    for _ in range(6):
        await scene.waiting()
    async with running(scene):
        await until(lambda: len(agent.given) == 4)
        assert not await scene.deliverer._claim()
        assert [row["state"] for row in await rows(scene)].count(State.SENDING.value) == 4
        agent.let_go.set()
        await until(lambda: len(agent.given) == 6)


async def test_where_nothing_was_left_the_end_of_a_delivery_claims_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "_LOOK_EVERY", 60.0)
    agent = scene.deliverer.agent = _Agent()  # type: ignore[assignment]
    await scene.waiting()
    await scene.deliverer._claim()
    agent.let_go.set()
    await until(lambda: not scene.deliverer._running)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(scene.deliverer.work._called.wait(), 0.05)


async def test_no_more_octets_are_claimed_than_there_is_room_for(scene: Scene) -> None:
    agent = scene.deliverer.agent = _Agent()  # type: ignore[assignment]
    places = scene.deliverer.places
    large = places.take(fresh(), "elsewhere.example", Line.FIRST, places.octets)
    await scene.waiting()
    assert not await scene.deliverer._claim()
    assert not agent.given
    places.give_back(large)
    await scene.deliverer._claim()
    await until(lambda: agent.given)
    assert places.octets_taken == len(agent.given[0].content)
    agent.let_go.set()
    await until(lambda: not places.taken)
    assert not places.octets_taken


async def test_a_bug_costs_one_attempt_and_not_the_worker(scene: Scene) -> None:
    agent = scene.deliverer.agent = _Agent()  # type: ignore[assignment]
    agent.broken = True
    with capture_logs() as logs:
        await scene.waiting()
        async with running(scene):
            await until(lambda: any(log["event"] == "delivery attempt broke" for log in logs))
            agent.broken = False
            await scene.waiting()
            scene.deliverer.work.wake()
            await until(lambda: len(agent.given) == 2)
            agent.let_go.set()


async def test_a_stop_waits_for_what_runs_and_gives_back_what_does_not_end(scene: Scene) -> None:
    agent = scene.deliverer.agent = _Agent()  # type: ignore[assignment]
    scene.deliverer.patience = 0.05
    await scene.waiting()
    async with running(scene):
        await until(lambda: agent.given)
    (row,) = await rows(scene)
    assert (row["state"], row["lease_owner"], row["silent_deaths"]) == ("queued", None, 0)


async def test_leases_are_prolonged_while_attempts_run(scene: Scene) -> None:
    agent = scene.deliverer.agent = _Agent()  # type: ignore[assignment]
    await scene.waiting()
    await scene.deliverer._claim()
    scene.clock.now = NOW + timedelta(seconds=90)
    await scene.deliverer._renew()
    (row,) = await rows(scene)
    assert row["lease_until"] == NOW + timedelta(seconds=270)
    agent.let_go.set()
    await until(lambda: not scene.deliverer._running)


async def test_a_lease_that_another_has_now_is_not_prolonged(scene: Scene) -> None:
    agent = scene.deliverer.agent = _Agent()  # type: ignore[assignment]
    await scene.waiting()
    await scene.deliverer._claim()
    await scene.database.write(a_statement("UPDATE delivery SET lease_owner = 'another'"))
    scene.clock.now = NOW + timedelta(seconds=90)
    await scene.deliverer._renew()
    (row,) = await rows(scene)
    assert row["lease_until"] == NOW + timedelta(minutes=3)
    agent.let_go.set()
    await until(lambda: not scene.deliverer._running)
