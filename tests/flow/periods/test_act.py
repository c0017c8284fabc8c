"""An action that breaks its worker is due again when its lease is over, some times, and has then failed on record."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

from structlog.testing import capture_logs

from homing.flow.act.worker import Actor
from homing.loop.model import ActionState, FailurePolicy, Step, StepKind
from homing.store import actions, cases
from homing.store.database import Database
from tests.flow.act.made import NOW, new_case
from tests.flow.act.test_worker import an_actor

TRIES = 12
"""A webhook's own tries are seven; five more are left for faults of ours."""


async def test_what_breaks_its_worker_is_tried_two_minutes_apart_and_then_fails(database: Database) -> None:
    policy = FailurePolicy(name="x", steps=(Step(kind=StepKind.LOG),))
    case = await database.write(cases.open_case, replace(new_case(policy), opened_at=NOW))
    assert case is not None
    tried = []

    class Broken(Actor):
        async def _carry_out(self, action: Any) -> Any:
            tried.append(action.tries)
            raise RuntimeError("a bug")

    now = [NOW]
    made = an_actor(database, clock=lambda: now[0])
    actor = Broken(**{name: getattr(made, name) for name in Actor.__dataclass_fields__})

    async def look(seconds: int) -> list[int]:
        now[0] = NOW + timedelta(seconds=seconds)
        await database.write(actions.recover, now[0])
        await actor._claim()
        await asyncio.gather(*actor._running)
        return list(tried)

    with capture_logs():
        assert await look(0) == [1]
        assert await look(119) == [1]
        for number in range(1, TRIES):
            assert await look(121 * number) == list(range(1, number + 2))
        assert await look(121 * TRIES) == list(range(1, TRIES + 1))
    [one] = await database.read(actions.of_case, case)
    assert (one.state, one.result) == (ActionState.FAILED, f"it broke {TRIES} times")
