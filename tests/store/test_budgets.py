"""Whoever writes to a person takes a place in the budgets of the day; of two who want the last one, one gets it."""

import asyncio
from datetime import datetime, timedelta

from homing.loop.budget import Budget
from homing.loop.model import ActionKind, ActionState, FailurePolicy, Step, StepKind
from homing.store import actions, budgets, policies
from homing.store.actions import Action, Finished
from homing.store.database import Database
from homing.store.organizations import Organization
from homing.store.record import record
from tests.store.scenes import NOW, an_organization, answered, claimed, claimed_actions, submitted

EVERYBODY = Budget(organization=3, person=2, everybody=True)
NUMBER, OTHER = "+4420", "+4421"


async def running(
    database: Database,
    times: int,
    organization: Organization | None = None,
    *,
    now: datetime = NOW,
    kind: ActionKind = ActionKind.SMS,
) -> list[Action]:
    """As many actions of an organization, claimed."""
    one = organization or await an_organization(database)
    policy = FailurePolicy(name="default", steps=(Step(kind=StepKind(kind)),))
    await database.write(policies.put, one.id, policy, NOW)
    for _ in range(times):
        await submitted(database, one)
        [claim] = await claimed(database)
        await database.write_grouped(record, answered(claim, None, 550))
    found = await claimed_actions(database, now)
    assert len(found) == times
    return found


async def taken(
    database: Database, action: Action, to: str = NUMBER, budget: Budget = EVERYBODY, now: datetime = NOW
) -> str | None:
    refused = await database.write(budgets.take, action, to, budget, now)
    return refused and refused.name


async def ended(database: Database, action: Action, state: ActionState) -> None:
    end = Finished(action=action.id, epoch=action.epoch, state=state, result="", now=NOW)
    assert await database.write(actions.finish, end)


async def test_a_person_and_an_organization_have_their_places(database: Database) -> None:
    one, two, three, four, five = await running(database, 5)
    assert [await taken(database, action) for action in (one, two, three)] == [None, None, "sms-person"]
    assert await taken(database, one) is None, "to repeat it takes no second place"
    assert [await taken(database, action, OTHER) for action in (four, five)] == [None, "sms-organization"]


async def test_an_administrator_is_one_person_however_his_address_is_spelled(database: Database) -> None:
    budget = Budget(organization=None, person=2)
    one, two, three, four = await running(database, 4, kind=ActionKind.ADMINISTRATOR)
    spelled = (
        (one, "it+1@crm.example"),
        (two, "IT+2@crm.example"),
        (three, "it@crm.example"),
        (four, "i.t@crm.example"),
    )
    found = [await taken(database, action, to, budget) for action, to in spelled]
    assert found == [None, None, "administrator-person", None]


async def test_what_was_not_written_gives_its_place_back(database: Database) -> None:
    one, two, three, four = await running(database, 4)
    assert [await taken(database, action) for action in (one, two)] == [None, None]
    await ended(database, one, ActionState.FAILED)
    assert await taken(database, three) is None
    await ended(database, two, ActionState.DONE)
    await ended(database, three, ActionState.IN_DOUBT)
    assert await taken(database, four) == "sms-person", "what may have been sent counts as well"


async def test_a_day_later_there_is_room_again(database: Database) -> None:
    one = await an_organization(database)
    for action in await running(database, 2, one):
        assert await taken(database, action) is None
        await ended(database, action, ActionState.DONE)
    later = NOW + timedelta(days=1, seconds=1)
    [third, fourth] = await running(database, 2, one, now=later)
    assert await taken(database, third, now=NOW + timedelta(hours=1)) == "sms-person"
    assert await taken(database, fourth, now=later) is None


async def test_whoever_else_writes_to_a_person_counts_only_where_everybody_does(database: Database) -> None:
    for action in await running(database, 2):
        assert await taken(database, action, "It@crm.example") is None
    [elsewhere] = await running(database, 1)
    assert await taken(database, elsewhere, "it@CRM.example") == "sms-person"
    assert await taken(database, elsewhere, "it@CRM.example", Budget(organization=None, person=2)) is None


async def test_of_many_at_once_no_more_than_the_budget_get_a_place(database: Database) -> None:
    found = await asyncio.gather(*(taken(database, action) for action in await running(database, 8)))
    assert found.count(None) == 2
