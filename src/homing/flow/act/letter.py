"""Letters to the human sender, and the common part of all letters of a case.

A letter and the end of its action are one transaction; its step ends when the letter's own delivery does.
"""

from dataclasses import dataclass, replace

from homing.flow.act.channel import Assignment, End, Ended, FactsOf, failed
from homing.flow.outgoing import Clock, Letter, Outgoing
from homing.loop import ids
from homing.loop.letters.letters import Text, failure_letter
from homing.loop.model import ActionState, CaseKind, EventType, NewEvent, Origin
from homing.mail.address import AddressError, parse_address
from homing.mail.compose import Mailbox
from homing.store.actions import Action
from homing.store.case_context import CaseContext
from homing.store.told_delays import Delay


@dataclass(frozen=True, slots=True)
class Post:
    """Makes the letters of cases."""

    outgoing: Outgoing
    clock: Clock

    def end_with(self, action: Action, name: str, address: str | None, text: Text, told: EventType) -> Ended:
        """The end of the action with a letter to that address; failed if the address is missing or invalid."""
        if address is None:
            return failed(action.kind, "no address is known to write to")
        try:
            to = Mailbox(name=name, address=parse_address(address))
        except AddressError as error:
            return failed(action.kind, f"{address!r}: {error}")
        letter = Letter(
            origin=Origin.LETTER,
            organization=action.organization,
            to=to,
            text=text,
            case=action.case_id,
            step=action.step,
        )
        acceptance = self.outgoing.letter(letter, self.clock())
        facts = {
            "channel": action.kind.value,
            "to": str(to.address),
            "letter": ids.show("message", acceptance.message.id),
        }
        event = NewEvent(type=told, data=facts)
        return Ended(state=ActionState.DONE, result=f"e-mail to {to.address}", events=(event,), letter=acceptance)


@dataclass(frozen=True, slots=True)
class ToHumanSender:
    post: Post
    facts_of: FactsOf

    async def __call__(self, assignment: Assignment) -> End:
        facts = self.facts_of(assignment.context)
        name, address = facts.human_sender_name, assignment.context.letter_to
        ended = self.post.end_with(assignment.action, name, address, failure_letter(facts), EventType.REROUTED)
        return replace(ended, delay=_delay(assignment.context)) if ended.letter else ended


def _delay(context: CaseContext) -> Delay | None:
    """The delay of which an address is told at most once for its receiver."""
    case, sent, address = context.case, context.sent, context.letter_to
    if case.kind is not CaseKind.DELAY or sent is None or address is None:
        return None
    return Delay(case=case.id, organization=case.organization, address=address, receiver=sent.receiver)
