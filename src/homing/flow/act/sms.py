"""Text messages, and the provider's later reports on them (its status callbacks).

A repetition costs money and sleep, so the intent is committed before the call: an action that was begun and never ended
is in doubt, and is not repeated.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from homing.flow.act.channel import Again, Assignment, End, Ended, FactsOf, LeaseLost, failed, finished, over_budget
from homing.flow.alarms import raise_alarm
from homing.flow.outgoing import Clock
from homing.flow.wakeup import WakeUp
from homing.loop import ids, store_mark
from homing.loop.budget import Budget, OverBudget, budget_of
from homing.loop.letters.letters import failure_sms, recipient_sms
from homing.loop.model import ActionId, ActionState, EventType, NewEvent, Reader, StepState
from homing.loop.token import Purpose, TokenRefused, Tokens
from homing.net.sms import SmsAccepted, SmsRefused, SmsSender, SmsStatus
from homing.store import actions, budgets
from homing.store.actions import Action
from homing.store.database import Database

CALLBACK_LIFETIME = timedelta(days=3)
_RETRIES = (timedelta(seconds=30), timedelta(minutes=5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sms:
    """`provider` is None where none is set up; `due` is woken when a status callback moves a case on."""

    provider: SmsSender | None
    facts_of: FactsOf
    database: Database
    tokens: Tokens
    public_url: str
    clock: Clock
    due: WakeUp

    async def __call__(self, assignment: Assignment) -> End:
        action, context, reader = assignment.action, assignment.context, assignment.step.reader
        facts = self.facts_of(context)
        if reader is Reader.RECIPIENT:
            number, text = context.recipient_phone, recipient_sms(facts)
        else:
            fallback = context.organization.sms_fallback if context.organization else None
            number, text = context.human_sender_phone or fallback, failure_sms(facts)
        if self.provider is None:
            return failed(action.kind, "no SMS provider is set up")
        if number is None:
            return failed(action.kind, "no telephone number is known")
        begun = await self.database.write(_begun, action, number, budget_of(action.kind), self.clock())
        if isinstance(begun, OverBudget):
            return over_budget(action.kind, begun)
        if not begun:
            return LeaseLost()
        answer = await self.provider.send(number, text, ids.show("action", action.id), self._callback(action))
        match answer:
            case SmsAccepted(provider_id=provider_id):
                return _accepted(number, reader, provider_id)
            case SmsRefused(permanent=False, code=code, text=said) if action.tries <= len(_RETRIES):
                return Again(_RETRIES[action.tries - 1], f"{code}: {said}")
            case SmsRefused(code=code, text=said):
                return failed(action.kind, f"{code}: {said}")
            case _:
                return failed(action.kind, f"the provider may have sent it: {answer.why}", ActionState.IN_DOUBT)

    def _callback(self, action: Action) -> str:
        now = self.clock()
        last_day = (now + CALLBACK_LIFETIME).date()
        token = self.tokens.mint(Purpose.SMS_STATUS, action.id, made=now, last_day=last_day)
        return f"{self.public_url}/v1/sms/status/{token}"

    async def status(self, token: str, body: bytes) -> bool:
        """Take the provider's status callback; returns whether the text message is one of ours. A failure moves its
        case on, even if it arrives before the provider's answer to our own request."""
        callback = self.provider.parse_status_callback(body) if self.provider else None
        try:
            subject = self.tokens.open(Purpose.SMS_STATUS, token, now=self.clock())
        except TokenRefused:
            return False
        action = await self.database.read(actions.by_id, ActionId(subject))
        if action is None:
            said = f"the SMS provider tells of {ids.show('action', subject)}"
            await raise_alarm(self.database, store_mark.missing(said), self.clock())
        if callback is None or action is None:
            return False
        if callback.status is SmsStatus.FAILED and action.state in {ActionState.RUNNING, ActionState.DONE}:
            ended = failed(action.kind, f"the provider could not deliver it: {callback.said}")
            await self.database.write(actions.finish, replace(finished(action, ended, self.clock()), epoch=None))
            self.due.wake()
        return True


def _begun(conn: sa.Connection, action: Action, number: str, budget: Budget | None, now: datetime) -> OverBudget | bool:
    """The budgets and the intent, in one transaction. False: the lease is lost."""
    refused = budgets.take(conn, action, number, budget, now) if budget else None
    return refused or actions.mark_started(conn, action.id, action.epoch, now)


def _accepted(number: str, reader: Reader, provider_id: str) -> Ended:
    event = NewEvent(type=EventType.FALLBACK_SENT, data={"channel": "sms", "reader": reader.value, "to": number})
    return Ended(
        state=ActionState.DONE,
        result=f"text message to {number}",
        step=StepState.HEARD,
        events=(event,),
        provider_id=provider_id,
    )
