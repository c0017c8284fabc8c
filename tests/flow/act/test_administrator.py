"""The letter to an administrator: whose address it goes to."""

from dataclasses import replace

import pytest

from homing.flow.act.administrator import ToAdministrator
from homing.flow.act.channel import Ended
from homing.loop.model import ActionKind, ActionState, EventType

from .made import CONTEXT, FACTS_OF, ORGANIZATION, POST, assigned

WITH_ONE = replace(CONTEXT, organization=replace(ORGANIZATION, administrator="it@crm.example"))


@pytest.mark.parametrize(
    ("context", "operators", "to"),
    [
        (WITH_ONE, "root@operator.example", "it@crm.example"),
        (CONTEXT, "root@operator.example", "root@operator.example"),
        (replace(CONTEXT, organization=None), "root@operator.example", "root@operator.example"),
    ],
)
async def test_the_organizations_own_before_the_operators(context, operators: str, to: str) -> None:  # type: ignore[no-untyped-def]
    end = await ToAdministrator(POST, FACTS_OF, operators)(assigned(ActionKind.ADMINISTRATOR, context))
    assert isinstance(end, Ended)
    assert end.letter is not None
    [delivery] = end.letter.deliveries
    assert delivery.recipient == to
    assert b"For the administrator" in end.letter.message.content
    [event] = end.events
    assert (event.type, event.data["to"]) == (EventType.NOTIFIED, to)


async def test_nobody_is_named() -> None:
    end = await ToAdministrator(POST, FACTS_OF, None)(assigned(ActionKind.ADMINISTRATOR))
    assert isinstance(end, Ended)
    assert (end.state, end.letter) == (ActionState.FAILED, None)
