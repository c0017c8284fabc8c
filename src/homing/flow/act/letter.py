"""Letters to the human sender, and the common part of all letters of a case.

A letter and the end of its action are one transaction; its step ends when the letter's own delivery does. What one
person must hear within minutes goes into one letter: see `store.gathered_letters`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from homing.flow.act.channel import Assignment, End, Ended, FactsOf, LeaseLost, Waiting, failed
from homing.flow.act.facts import in_view_of
from homing.flow.outgoing import Clock, Letter, Outgoing
from homing.loop import ids
from homing.loop.letters.letters import Text, failure_letter, failures_letter
from homing.loop.model import ActionKind, ActionState, CaseId, CaseKind, CaseState, EventType, NewEvent, Origin
from homing.mail.address import AddressError, parse_address
from homing.mail.compose import Mailbox
from homing.store import case_context, gathered_letters, told_delays
from homing.store.accepted_messages import AcceptedMessage
from homing.store.actions import Action, Finished
from homing.store.case_context import CaseContext
from homing.store.database import Database
from homing.store.gathered_letters import WINDOW, Gathered
from homing.store.told_delays import Delay

IN_FULL = 20
"""Most cases that one letter tells in full; of the others it names the recipients."""


@dataclass(frozen=True, slots=True)
class Post:
    """Makes the letters of cases."""

    outgoing: Outgoing
    clock: Clock

    def end_at(self, action: Action, to: Mailbox, text: Text, told: EventType) -> Ended:
        """The end of the action with a letter to that address."""
        letter = Letter(
            origin=Origin.LETTER,
            organization=action.organization,
            to=to,
            text=text,
            case=action.case_id,
            step=action.step,
        )
        acceptance = self.outgoing.letter(letter, self.clock())
        return Ended(
            state=ActionState.DONE,
            result=f"e-mail to {to.address}",
            events=(_written(action, to, acceptance, told),),
            letter=acceptance,
        )


def mailbox(kind: ActionKind, name: str, address: str | None) -> Mailbox | Ended:
    """To whom a letter goes; how the action failed, if the address is missing or invalid."""
    if address is None:
        return failed(kind, "no address is known to write to")
    try:
        return Mailbox(name=name, address=parse_address(address))
    except AddressError as error:
        return failed(kind, f"{address!r}: {error}")


def _written(action: Action, to: Mailbox, letter: AcceptedMessage, told: EventType) -> NewEvent:
    facts = {
        "channel": action.kind.value,
        "to": str(to.address),
        "letter": ids.show("message", letter.message.id),
    }
    return NewEvent(type=told, data=facts)


Texts = Callable[[Sequence[CaseContext], Sequence[str]], Text]
"""The letter about these cases, and in short about others, of which it has the recipients."""


@dataclass(frozen=True, slots=True)
class OneLetter:
    """Tells one person of a case, and of all that waits to be told to the same person, in one letter. `window`: how
    long after a letter the next one to the same person waits."""

    database: Database
    post: Post
    window: timedelta = WINDOW

    async def about(self, assignment: Assignment, to: Mailbox, texts: Texts, told: EventType) -> End:
        action, context = assignment.action, assignment.context
        delay = _delay(context)
        turn = await self._turn(action, str(to.address), delay)
        if turn is None:
            return LeaseLost()
        if isinstance(turn, datetime):
            return Waiting(turn)
        others = [other for one in turn[: IN_FULL - 1] if (other := await self._context(one)) is not None]
        more = [one.recipient or "" for one in turn[IN_FULL - 1 :]]
        ended = self.post.end_at(action, to, texts([context, *others], more), told)
        delays = {one.case.id: told_late for one in others if (told_late := _delay(one))}
        return replace(ended, delay=delay, gathered=self._gathered(ended, to, turn, told, delays))

    async def _turn(self, action: Action, to: str, delay: Delay | None) -> list[Action] | datetime | None:
        """A delay that has been told already waits for nothing: its action ends with that."""
        if delay and await self.database.read(told_delays.told_by, delay) not in {None, delay.case}:
            return []
        return await self.database.write(gathered_letters.turn, action, to, self.post.clock(), self.window)

    async def _context(self, action: Action) -> CaseContext | None:
        """None: somebody has dealt with the case meanwhile."""
        assert action.case_id is not None
        assert action.step is not None
        context = await self.database.read(case_context.load, action.case_id)
        if context is None or context.case.state is CaseState.RESOLVED:
            return None
        return in_view_of(context.case.policy.steps[action.step], context)

    def _gathered(
        self, ended: Ended, to: Mailbox, actions: Sequence[Action], told: EventType, delays: Mapping[CaseId, Delay]
    ) -> tuple[Gathered, ...]:
        assert ended.letter is not None
        return tuple(
            Gathered(
                finished=Finished(
                    action=action.id,
                    epoch=None,
                    state=ActionState.DONE,
                    result=ended.result,
                    now=self.post.clock(),
                    events=(_written(action, to, ended.letter, told),),
                ),
                case=action.case_id,
                step=action.step,
                delay=delays.get(action.case_id),
            )
            for action in actions
            if action.case_id is not None and action.step is not None
        )


@dataclass(frozen=True, slots=True)
class ToHumanSender:
    letters: OneLetter
    facts_of: FactsOf

    async def __call__(self, assignment: Assignment) -> End:
        facts = self.facts_of(assignment.context)
        to = mailbox(assignment.action.kind, facts.human_sender_name, assignment.context.letter_to)
        if isinstance(to, Ended):
            return to
        return await self.letters.about(assignment, to, self._texts, EventType.REROUTED)

    def _texts(self, cases: Sequence[CaseContext], more: Sequence[str]) -> Text:
        facts = [self.facts_of(case) for case in cases]
        return failure_letter(facts[0]) if len(facts) == 1 and not more else failures_letter(facts, more)


def _delay(context: CaseContext) -> Delay | None:
    """The delay of which an address is told at most once for its receiver."""
    case, sent, address = context.case, context.sent, context.letter_to
    if case.kind is not CaseKind.DELAY or sent is None or address is None:
        return None
    return Delay(case=case.id, organization=case.organization, address=address, receiver=sent.receiver)
