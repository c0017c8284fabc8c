"""The live stream: words for a pop-up, and no claim that anybody has seen them."""

from homing.flow.act.channel import Ended
from homing.flow.act.live import Live
from homing.loop.model import ActionKind, ActionState, EventType, StepState

from .made import FACTS_OF, assigned


async def test_an_event_with_words_for_a_pop_up() -> None:
    end = await Live(FACTS_OF)(assigned(ActionKind.LIVE))
    assert isinstance(end, Ended)
    assert (end.state, end.step) == (ActionState.DONE, StepState.DONE)
    [event] = end.events
    assert event.type is EventType.NOTIFIED
    assert event.data.keys() == {"channel", "title", "sentence", "suggestion", "recipient", "subject"}
    assert (event.data["channel"], event.data["recipient"], event.data["subject"]) == (
        "live",
        "john@corp.com",
        "Your call",
    )
    assert "john@corp.com" in str(event.data["title"])
