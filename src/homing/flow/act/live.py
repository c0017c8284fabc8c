"""The live stream: an event with words for a pop-up. Nobody confirms that it was seen."""

from dataclasses import dataclass

from homing.flow.act.channel import Assignment, End, Ended, FactsOf
from homing.loop.letters.letters import live_text
from homing.loop.model import ActionState, EventType, NewEvent, StepState


@dataclass(frozen=True, slots=True)
class Live:
    facts_of: FactsOf

    async def __call__(self, assignment: Assignment) -> End:
        facts = self.facts_of(assignment.context)
        text = live_text(facts)
        event = NewEvent(
            type=EventType.NOTIFIED,
            data={
                "channel": "live",
                "title": text.title,
                "sentence": text.sentence,
                "suggestion": text.suggestion,
                "recipient": facts.recipient,
                "subject": facts.message_subject,
            },
        )
        return Ended(state=ActionState.DONE, result="in the live stream", step=StepState.DONE, events=(event,))
