"""How channels say what became of an action, and how the store is told."""

from homing.flow.act.channel import Ended, NoText, failed, finished
from homing.loop.model import ActionKind, ActionState, CaseKind, EventType, StepState

from .made import NOW, an_action


def test_a_failure_is_told_and_its_step_reached_nobody() -> None:
    ended = failed(ActionKind.SMS, "no telephone number is known")
    assert (ended.state, ended.step, ended.letter) == (ActionState.FAILED, StepState.UNHEARD, None)
    [event] = ended.events
    assert event.type is EventType.ACTION_FAILED
    assert event.data == {"channel": "sms", "why": "no telephone number is known"}
    assert failed(ActionKind.SMS, "x", ActionState.IN_DOUBT).state is ActionState.IN_DOUBT


def test_an_end_belongs_to_the_claim_that_it_was_reached_under() -> None:
    action = an_action(ActionKind.WEBHOOK, epoch=3)
    ended = Ended(state=ActionState.DONE, result="it answered", step=StepState.HEARD, provider_id="x")
    written = finished(action, ended, NOW)
    assert (written.action, written.epoch, written.now) == (action.id, 3, NOW)
    assert (written.state, written.result, written.step) == (ActionState.DONE, "it answered", StepState.HEARD)
    assert written.provider_id == "x"


def test_no_text_names_the_kind() -> None:
    assert "digest" in str(NoText(CaseKind.DIGEST))
