"""The letter to the human sender, and what every letter of a case has in common."""

from dataclasses import replace

from homing.flow.act.channel import End, Ended
from homing.flow.act.letter import OneLetter, ToHumanSender
from homing.loop import ids
from homing.loop.model import ActionKind, ActionState, EventType, Origin, StepState
from homing.store.case_context import CaseContext
from homing.store.database import Database
from homing.store.told_delays import Delay
from tests.store.test_budgets import running

from .made import CASE, CONTEXT, DELAY, FACTS_OF, ORGANIZATION, POST, assigned


async def told(database: Database, context: CaseContext = CONTEXT) -> End:
    """What becomes of the step of a case that is there to be told."""
    [action] = await running(database, 1, kind=ActionKind.LETTER)
    assignment = assigned(ActionKind.LETTER, context)
    action = replace(assignment.action, id=action.id)
    return await ToHumanSender(OneLetter(database, POST), FACTS_OF)(replace(assignment, action=action))


async def test_it_goes_to_the_human_sender_and_serves_the_step(database: Database) -> None:
    end = await told(database)
    assert isinstance(end, Ended)
    assert end.letter is not None
    message, [delivery] = end.letter.message, end.letter.deliveries
    assert (message.origin, message.organization) == (Origin.LETTER, ORGANIZATION.id)
    assert (message.case, message.step) == (CASE.id, 0)
    assert delivery.recipient == "janet@example.net"
    assert b"john@corp.com" in message.content
    assert b'To: "Janet Roe" <janet@example.net>' in message.content


async def test_the_step_ends_when_the_letters_delivery_does(database: Database) -> None:
    end = await told(database)
    assert isinstance(end, Ended)
    assert (end.state, end.step, end.result) == (ActionState.DONE, None, "e-mail to janet@example.net")
    assert end.letter is not None
    [event] = end.events
    assert event.type is EventType.REROUTED
    shown = ids.show("message", end.letter.message.id)
    assert event.data == {"channel": "letter", "to": "janet@example.net", "letter": shown}


async def test_a_delay_is_told_for_its_person_and_receiver(database: Database) -> None:
    end = await told(database, DELAY)
    assert isinstance(end, Ended)
    expected = Delay(case=CASE.id, organization=ORGANIZATION.id, address="janet@example.net", receiver="corp.com")
    assert end.delay == expected
    assert end.letter is not None
    assert b"<b>later</b>" not in end.letter.message.content.partition(b"text/html")[2], "a stranger's words"
    nobody = await told(database, replace(DELAY, letter_to=None))
    assert isinstance(nobody, Ended)
    assert nobody.delay is None
    failure = await told(database)
    assert isinstance(failure, Ended)
    assert failure.delay is None


async def test_nobody_to_write_to(database: Database) -> None:
    for address, why in ((None, "no address is known"), ("not an address", "not an address")):
        end = await told(database, replace(CONTEXT, letter_to=address))
        assert isinstance(end, Ended)
        assert (end.state, end.step, end.letter) == (ActionState.FAILED, StepState.UNHEARD, None)
        assert why in end.result
