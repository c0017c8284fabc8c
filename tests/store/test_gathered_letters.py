"""What one person must hear within minutes goes into one letter, and each case has its own end all the same."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from homing.loop.model import ActionState, EventType, FailurePolicy, NewEvent, Origin, Step, StepState
from homing.loop.model import StepKind as Kind
from homing.store import actions, cases, gathered_letters, policies, suppressions, tables
from homing.store.actions import Action, Finished
from homing.store.database import Database
from homing.store.gathered_letters import WINDOW, Gathered
from homing.store.organizations import Organization
from homing.store.record import record
from homing.store.suppressions import Suppression
from tests.store.scenes import (
    NOW,
    a_submission,
    all_rows,
    an_organization,
    answered,
    claimed,
    claimed_actions,
    submitted,
)

JANET = "Janet@example.net"
POLICY = FailurePolicy(
    name="default", steps=(Step(kind=Kind.LETTER), Step(kind=Kind.ADMINISTRATOR, only_if_unheard=True))
)
SOON = NOW + timedelta(seconds=10)
LATER = NOW + WINDOW


async def failures(database: Database, times: int, organization: Organization | None = None) -> Organization:
    one = organization or await an_organization(database)
    await database.write(policies.put, one.id, POLICY, NOW)
    for _ in range(times):
        await submitted(database, one)
        [claim] = await claimed(database)
        await database.write_grouped(record, answered(claim, None, 550))
    return one


async def to_tell(database: Database, now: datetime) -> list[Action]:
    return await claimed_actions(database, now)


async def turn(database: Database, action: Action, now: datetime, to: str = JANET) -> Any:
    found = await database.write(gathered_letters.turn, action, to, now)
    return sorted(one.id for one in found) if isinstance(found, list) else found


def done(action: Action, now: datetime, *, taken_along: bool = False) -> Finished:
    event = NewEvent(type=EventType.REROUTED, data={"to": JANET})
    epoch = None if taken_along else action.epoch
    return Finished(action=action.id, epoch=epoch, state=ActionState.DONE, result="e-mail", now=now, events=(event,))


async def tell(database: Database, one: Organization, first: Action, *others: Action, now: datetime) -> Any:
    letter = a_submission(one, JANET, origin=Origin.LETTER, case=first.case_id, step=0, now=now)
    along = [
        Gathered(finished=done(other, now, taken_along=True), case=other.case_id, step=0)  # type: ignore[arg-type]
        for other in others
    ]
    return await database.write(gathered_letters.tell, done(first, now), letter, None, along)


async def steps(database: Database) -> list[tuple[StepState, ...]]:
    rows = await database.read(all_rows, tables.case)
    found = await database.read(cases.load, [row["id"] for row in rows], lock=False)
    return sorted(opened.case.steps for opened in found.values())


async def told_together(database: Database, times: int = 4) -> tuple[Organization, list[Action]]:
    """The first was told alone; then so many with one letter, which waits to be sent."""
    one = await failures(database, times + 1)
    first, *rest = await to_tell(database, NOW)
    assert await turn(database, first, NOW) == []
    await tell(database, one, first, now=NOW)
    for action in rest:
        await turn(database, action, SOON)
    leader, *others = await to_tell(database, LATER)
    assert await turn(database, leader, LATER) == sorted(other.id for other in others)
    assert await tell(database, one, leader, *others, now=LATER) is ActionState.DONE
    return one, [leader, *others]


async def test_the_first_goes_at_once_and_what_follows_waits_for_the_end_of_five_minutes(database: Database) -> None:
    one = await failures(database, 3)
    first, second, third = await to_tell(database, NOW)
    assert await turn(database, first, NOW) == []
    assert await turn(database, second, SOON) == LATER, "while the first is still being written"
    await tell(database, one, first, now=NOW)
    assert await turn(database, third, SOON, JANET.lower()) == LATER
    assert await to_tell(database, LATER - timedelta(seconds=1)) == []
    fourth, fifth = await to_tell(database, LATER)
    assert await turn(database, fourth, LATER) == [fifth.id], "whoever comes first takes the other along"
    assert await turn(database, fifth, LATER) == LATER + WINDOW


async def test_other_people_and_other_organizations_are_told_at_once(database: Database) -> None:
    await failures(database, 2)
    first, second = await to_tell(database, NOW)
    assert await turn(database, first, NOW) == []
    assert await turn(database, second, NOW, "joe@example.net") == []
    await failures(database, 1)
    [elsewhere] = await to_tell(database, NOW)
    assert await turn(database, elsewhere, NOW) == []


async def test_of_many_at_once_one_writes(database: Database) -> None:
    await failures(database, 8)
    found = await asyncio.gather(*(turn(database, action, NOW) for action in await to_tell(database, NOW)))
    assert found.count(LATER) == 7
    waiting = await to_tell(database, LATER)
    found = await asyncio.gather(*(turn(database, action, LATER) for action in waiting))
    assert found.count(LATER + WINDOW) == 6


async def test_whoever_died_writing_holds_nobody_up(database: Database) -> None:
    await failures(database, 2)
    first, second = await to_tell(database, NOW)
    await turn(database, first, NOW)
    await turn(database, second, SOON)
    await database.write(actions.recover, NOW, True)
    [again] = await to_tell(database, SOON)
    assert again.id == first.id
    assert await turn(database, again, SOON) == [second.id]


async def test_a_clock_that_was_fast_makes_nobody_wait_for_long(database: Database) -> None:
    await failures(database, 2)
    first, second = await to_tell(database, NOW)
    await turn(database, first, NOW + timedelta(days=1))
    assert await turn(database, second, NOW) == []


async def test_whoever_has_lost_the_lease_writes_nothing(database: Database) -> None:
    await failures(database, 1)
    [action] = await to_tell(database, NOW)
    await database.write(actions.recover, NOW, True)
    assert await turn(database, action, NOW) is None


@pytest.mark.parametrize(
    ("code", "end"), [(250, (StepState.HEARD, StepState.WAITING)), (550, (StepState.UNHEARD, StepState.RUNNING))]
)
async def test_each_step_ends_as_the_one_letter_does(database: Database, code: int, end: tuple[StepState, ...]) -> None:
    _, told = await told_together(database)
    letters = await claimed(database, now=LATER)
    [digest] = [one for one in letters if one.delivery.case == told[0].case_id]
    assert {action.state for action in [await stored(database, one) for one in told]} == {ActionState.DONE}
    await database.write_grouped(record, answered(digest, None, code, now=LATER))
    assert (await steps(database)).count(end) == 4
    results = {(await stored(database, one)).result for one in told}
    assert len(results) == 1, "and beside each step stands how"
    events = await database.read(all_rows, tables.event, tables.event.c.type == "rerouted")
    assert len(events) == 5


async def test_a_letter_that_must_not_go_out_moves_all_of_its_cases_on(database: Database) -> None:
    one = await failures(database, 3)
    entry = Suppression(
        organization=one.id, stream="default", address=JANET.lower(), reason="manual", evidence="", created_at=NOW
    )
    await database.write(suppressions.add, [entry])
    for action in (found := await to_tell(database, NOW)):
        await turn(database, action, NOW)
    first, *rest = found
    assert await tell(database, one, first, *rest, now=NOW) is ActionState.DONE
    assert await steps(database) == [(StepState.UNHEARD, StepState.RUNNING)] * 3


async def test_what_ended_otherwise_meanwhile_keeps_its_end(database: Database) -> None:
    one = await failures(database, 3)
    first, second, third = await to_tell(database, NOW)
    await turn(database, first, NOW)
    await turn(database, second, NOW)
    assert second.case_id
    await database.write(cases.close, [second.case_id], NOW)
    await tell(database, one, first, second, third, now=NOW)
    ends = [(await stored(database, action)).state for action in (first, second, third)]
    assert ends == [ActionState.DONE, ActionState.SKIPPED, ActionState.DONE]
    assert await tell(database, one, third, now=NOW) is None, "its own worker finds the lease gone"


async def stored(database: Database, action: Action) -> Action:
    found = await database.read(actions.by_id, action.id)
    assert found
    return found


async def test_without_a_window_each_goes_alone_and_at_once(database: Database) -> None:
    await failures(database, 2)
    for action in await to_tell(database, NOW):
        assert await database.write(gathered_letters.turn, action, JANET, NOW, timedelta()) == []
