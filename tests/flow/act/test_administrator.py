"""The letter to an administrator: whose address it goes to, and that nobody gets it unasked or too often."""

from dataclasses import replace

import pytest

from homing.flow.act.administrator import ToAdministrator
from homing.flow.act.channel import Ended
from homing.flow.act.letter import OneLetter, Post
from homing.loop.budget import DEFAULTS
from homing.loop.model import ActionKind, ActionState, EventType, StepState
from homing.store.case_context import CaseContext
from homing.store.database import Database
from homing.store.gathered_letters import WINDOW
from tests.flow.deliver.scene import Clock
from tests.store.scenes import an_organization
from tests.store.test_budgets import ended, running

from .made import CONTEXT, FACTS_OF, NOW, ORGANIZATION, OUTGOING, POST, assigned

OPERATOR = "root@operator.example"
NAMED = replace(ORGANIZATION, administrator="it@crm.example")
PROVED = replace(CONTEXT, organization=replace(NAMED, administrator_proved_at=NOW))
TAKEN_OVER = replace(CONTEXT, organization=replace(NAMED, administrator_taken_over=True))
UNPROVED = replace(CONTEXT, organization=NAMED)


async def written(database: Database, context: CaseContext, operators: str | None = OPERATOR) -> Ended:
    [action] = await running(database, 1, kind=ActionKind.ADMINISTRATOR)
    assignment = assigned(ActionKind.ADMINISTRATOR, context)
    assignment = replace(assignment, action=replace(assignment.action, id=action.id))
    end = await ToAdministrator(OneLetter(database, POST), FACTS_OF, operators)(assignment)
    assert isinstance(end, Ended)
    return end


@pytest.mark.parametrize(
    ("context", "to"),
    [
        (PROVED, "it@crm.example"),
        (TAKEN_OVER, "it@crm.example"),
        (CONTEXT, OPERATOR),
        (replace(CONTEXT, organization=None), OPERATOR),
    ],
)
async def test_the_organizations_own_before_the_operators(database: Database, context: CaseContext, to: str) -> None:
    end = await written(database, context)
    assert end.letter is not None
    [delivery] = end.letter.deliveries
    assert delivery.recipient == to
    assert b"For the administrator" in end.letter.message.content
    [event] = end.events
    assert (event.type, event.data["to"]) == (EventType.NOTIFIED, to)


async def test_who_has_not_proved_his_address_is_not_written_to_and_the_operator_is_alerted(
    database: Database,
) -> None:
    end = await written(database, UNPROVED)
    assert (end.state, end.step, end.letter) == (ActionState.FAILED, StepState.UNHEARD, None)
    assert end.result.startswith("it@crm.example has not been proved")
    [event] = end.events
    assert (event.type, event.data["why"]) == (EventType.ACTION_FAILED, end.result)
    assert end.alarm is not None
    assert (end.alarm.cause, end.alarm.organization) == ("administrator-unproved crm", ORGANIZATION.id)


async def test_nobody_is_named(database: Database) -> None:
    end = await written(database, CONTEXT, None)
    assert (end.state, end.letter) == (ActionState.FAILED, None)


async def test_one_administrator_gets_so_many_a_day_and_each_refusal_says_so(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = ActionKind.ADMINISTRATOR
    monkeypatch.setitem(DEFAULTS, kind, replace(DEFAULTS[kind], person=2))
    ends = []
    one = await an_organization(database)
    clock = Clock(NOW)
    channel = ToAdministrator(OneLetter(database, Post(OUTGOING, clock)), FACTS_OF, OPERATOR)
    for _ in range(3):
        [action] = await running(database, 1, one, kind=kind, now=clock.now)
        end = await channel(replace(assigned(kind, PROVED), action=action))
        assert isinstance(end, Ended)
        ends.append(end)
        await ended(database, action, end.state)
        clock.now += WINDOW
    assert [end.letter is not None for end in ends] == [True, True, False]
    assert ends[-1].result == "over budget: it@crm.example has had 2 e-mails about failures within 24 hours"
    [event] = ends[-1].events
    assert event.data == {"channel": "administrator", "why": ends[-1].result, "budget": "administrator-person"}
