"""Carry out what was decided: letters, live events, text messages, webhooks, the Oops! answer.

Actions are outbox rows, written with the transition that caused them. Each ends in a recorded state of its own, and
tells its case whether it reached anybody.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import structlog

from homing.flow import metrics
from homing.flow.ending import all_to_their_end, to_its_end
from homing.flow.outgoing import Clock, Letter, Outgoing
from homing.flow.sealed_secrets import SealedSecrets
from homing.flow.wakeup import WakeUp
from homing.loop import ids
from homing.loop.domains.domain_typos import suggest
from homing.loop.letters.facts import FailureFacts
from homing.loop.letters.letters import (
    CaseFacts,
    StepFacts,
    Text,
    administrator_letter,
    failure_letter,
    failure_sms,
    live_text,
    oops_answer,
)
from homing.loop.letters.sms import recipient_sms
from homing.loop.model import (
    ActionId,
    ActionKind,
    ActionState,
    CaseState,
    EventType,
    NewEvent,
    Origin,
    Reader,
    Step,
    StepState,
    WhenPossiblyDelivered,
)
from homing.loop.policy import REACHING
from homing.loop.token import Purpose, TokenRefused
from homing.mail.address import AddressError, domain_of, parse_address
from homing.mail.compose import Mailbox
from homing.mail.field_checks import check_message_id
from homing.net import webhook
from homing.net.fetch import Fetcher
from homing.net.sms import SmsAccepted, SmsRefused, SmsSender, SmsStatus
from homing.store import actions, failures
from homing.store.actions import Action, Finished
from homing.store.database import Database
from homing.store.failures import Failure

LEASE = timedelta(seconds=120)
CORRECTION_LIFETIME = timedelta(days=30)
CALLBACK_LIFETIME = timedelta(days=3)
_LOOK_EVERY = 0.5
_AT_ONCE = 50
_CALLS = frozenset({ActionKind.SMS, ActionKind.WEBHOOK})
MOST_TRIES = len(webhook.RETRIES) + 5
"""An action that was claimed so often and has no end still breaks its worker each time."""
_SMS_RETRIES = (timedelta(seconds=30), timedelta(minutes=5))

_log = structlog.get_logger()


@dataclass(slots=True)
class _Lane:
    """Actions of these kinds, `_AT_ONCE` at a time: calls take as long as other people's servers like, and nothing but
    calls waits for them."""

    kinds: frozenset[ActionKind]
    running: set[asyncio.Task[None]] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class Actor:
    """Works off the outbox. `administrator` is the operator's, for organizations that name none of their own; `sms`
    is None where no provider is set up."""

    database: Database
    outgoing: Outgoing
    fetcher: Fetcher
    sealed_secrets: SealedSecrets
    sms: SmsSender | None
    clock: Clock
    administrator: str | None
    public_url: str
    actions: WakeUp
    work: WakeUp
    news: WakeUp

    async def run(self) -> None:
        """Until canceled: then what was begun is ended, so that no text message is left in doubt."""
        lanes = (_Lane(_CALLS), _Lane(frozenset(ActionKind) - _CALLS))
        try:
            while True:
                if not await self._claimed_some(lanes):
                    await self.actions.wait(_LOOK_EVERY)
        finally:
            await all_to_their_end([task for lane in lanes for task in lane.running])

    async def _claimed_some(self, lanes: Sequence["_Lane"]) -> bool:
        try:
            return await to_its_end(self._claim(lanes))
        except Exception:  # noqa: BLE001 - whatever it is, the worker lives on
            _log.exception("cannot claim actions")
            return False

    async def _claim(self, lanes: Sequence["_Lane"]) -> bool:
        """Begin as much as there is room for; whether there may be more at once."""
        more = False
        for lane in lanes:
            room = _AT_ONCE - len(lane.running)
            if not room:
                continue
            claimed = await self.database.write(actions.claim, self.clock(), room, LEASE, lane.kinds)
            for action in claimed:
                task = asyncio.create_task(self._act(action))
                lane.running.add(task)
                task.add_done_callback(lane.running.discard)
            more = more or len(claimed) == room
        return more

    async def _act(self, action: Action) -> None:
        """One action. A bug costs this try and no more: its lease runs out, and it is due again, a few times."""
        try:
            if action.tries > MOST_TRIES:
                await self._failed(action, f"it broke {MOST_TRIES} times")
            else:
                await self._carry_out(action)
        except Exception:  # noqa: BLE001 - the one catch of this worker
            _log.exception("action broke", action=ids.show("action", action.id))
        finally:
            self.news.wake()

    async def _carry_out(self, action: Action) -> None:
        if action.kind is ActionKind.OOPS:
            await self._oops(action)
            return
        assert action.case_id is not None
        assert action.step is not None
        failure = await self.database.read(failures.load, action.case_id)
        if failure is None or failure.case.state is CaseState.RESOLVED:
            await self._end(action, ActionState.SKIPPED, "the case is resolved", StepState.SKIPPED)
            return
        step = failure.case.policy.steps[action.step]
        if step.when_possibly_delivered is WhenPossiblyDelivered.ACT:  # as if it had surely failed
            failure = replace(failure, case=replace(failure.case, possibly_delivered=False))
        if await self._over_budget(action, step):
            await self._failed(action, "over budget for today")
            return
        match action.kind:
            case ActionKind.LIVE:
                await self._live(action, failure)
            case ActionKind.LOG:
                await self._log(action, failure)
            case ActionKind.LETTER:
                await self._letter(action, failure)
            case ActionKind.ADMINISTRATOR:
                await self._tell_administrator(action, failure)
            case ActionKind.SMS:
                await self._text(action, failure, step.reader)
            case ActionKind.WEBHOOK:
                await self._call_webhook(action, failure)

    # -- what needs nobody else ---------------------------------------------------------------------------------------

    async def _live(self, action: Action, failure: Failure) -> None:
        text = live_text(self._facts(failure))
        event = NewEvent(
            type=EventType.NOTIFIED,
            data={
                "channel": "live",
                "title": text.title,
                "sentence": text.sentence,
                "suggestion": text.suggestion,
                "recipient": failure.recipient,
                "subject": failure.message_subject,
            },
        )
        await self._end(action, ActionState.DONE, "in the live stream", StepState.DONE, event)

    async def _log(self, action: Action, failure: Failure) -> None:
        _log.warning(
            "delivery failed",
            delivery=ids.show("delivery", failure.case.delivery),
            recipient=failure.recipient,
            failure=failure.case.failure.value,
            rule=failure.case.verdict.rule,
        )
        event = NewEvent(type=EventType.NOTIFIED, data={"channel": "log"})
        await self._end(action, ActionState.DONE, "in the log", StepState.DONE, event)

    # -- letters ------------------------------------------------------------------------------------------------------

    async def _letter(self, action: Action, failure: Failure) -> None:
        text = failure_letter(self._facts(failure))
        await self._send_letter(action, failure.human_sender_name, failure.letter_to, text, EventType.REROUTED)

    async def _tell_administrator(self, action: Action, failure: Failure) -> None:
        address = failure.organization.administrator or self.administrator
        text = administrator_letter(self._facts(failure), self._case_facts(failure))
        await self._send_letter(action, "", address, text, EventType.NOTIFIED)

    async def _send_letter(self, action: Action, name: str, address: str | None, text: Text, told: EventType) -> None:
        """The letter and the end of the action are one transaction; the step ends when the letter's delivery does."""
        if address is None:
            await self._failed(action, "no address is known to write to")
            return
        try:
            to = Mailbox(name=name, address=parse_address(address))
        except AddressError as error:
            await self._failed(action, f"{address!r}: {error}")
            return
        now = self.clock()
        letter = Letter(
            origin=Origin.LETTER,
            organization=action.organization,
            to=to,
            text=text,
            case=action.case_id,
            step=action.step,
        )
        acceptance = self.outgoing.letter(letter, now)
        facts = {
            "channel": action.kind.value,
            "to": str(to.address),
            "letter": ids.show("message", acceptance.message.id),
        }
        event = NewEvent(type=told, data=facts)
        done = self._finished(action, ActionState.DONE, f"letter to {to.address}", events=(event,))
        await self.database.write(actions.send_letter, done, acceptance)
        self.work.wake()

    async def _oops(self, action: Action) -> None:
        text = oops_answer(action.data["name"], action.data["address"], action.data["subject"])
        try:
            to = Mailbox(name="", address=parse_address(action.data["to"]))
        except AddressError as error:
            await self._failed(action, str(error))
            return
        answered = action.data.get("in_reply_to", "")
        letter = Letter(
            origin=Origin.OOPS,
            organization=action.organization,
            to=to,
            text=text,
            in_reply_to=None if check_message_id(answered) else answered,  # some mailers write ids of no known form
        )
        done = self._finished(action, ActionState.DONE, f"answered {to.address}")
        await self.database.write(actions.send_letter, done, self.outgoing.letter(letter, self.clock()))
        self.work.wake()

    # -- text messages ------------------------------------------------------------------------------------------------

    async def _text(self, action: Action, failure: Failure, reader: Reader) -> None:
        facts = self._facts(failure)
        if reader is Reader.RECIPIENT:
            number, text = failure.recipient_phone, recipient_sms(facts)
        else:
            number, text = failure.human_sender_phone or failure.organization.sms_fallback, failure_sms(facts)
        if self.sms is None or number is None:
            why = "no SMS provider is set up" if self.sms is None else "no telephone number is known"
            await self._failed(action, why)
            return
        if not await self.database.write(actions.mark_started, action.id, action.epoch, self.clock()):
            return
        reference = ids.show("action", action.id)
        answer = await self.sms.send(number, text, reference, self._callback(action))
        match answer:
            case SmsAccepted(provider_id=provider_id):
                event = NewEvent(
                    type=EventType.FALLBACK_SENT, data={"channel": "sms", "reader": reader.value, "to": number}
                )
                result = f"text message to {number}"
                done = self._finished(action, ActionState.DONE, result, events=(event,), step=StepState.HEARD)
                await self.database.write(actions.finish, replace(done, provider_id=provider_id))
            case SmsRefused(permanent=False, code=code, text=said) if action.tries <= len(_SMS_RETRIES):
                await self._again(action, _SMS_RETRIES[action.tries - 1], f"{code}: {said}")
            case SmsRefused(code=code, text=said):
                await self._failed(action, f"{code}: {said}")
            case _:
                await self._failed(action, f"the provider may have sent it: {answer.why}", ActionState.IN_DOUBT)

    def _callback(self, action: Action) -> str:
        now = self.clock()
        last_day = (now + CALLBACK_LIFETIME).date()
        token = self.outgoing.tokens.mint(Purpose.SMS_STATUS, action.id, made=now, last_day=last_day)
        return f"{self.public_url}/v1/sms/status/{token}"

    async def sms_status(self, token: str, body: bytes) -> bool:
        """What the provider says later of a text message; whether it is one of ours. A failure moves its case on, even
        one that outruns the provider's own answer to us."""
        callback = self.sms.parse_status_callback(body) if self.sms else None
        try:
            subject = self.outgoing.tokens.open(Purpose.SMS_STATUS, token, now=self.clock())
        except TokenRefused:
            return False
        action = await self.database.read(actions.by_id, ActionId(subject))
        if callback is None or action is None:
            return False
        if callback.status is SmsStatus.FAILED and action.state in {ActionState.RUNNING, ActionState.DONE}:
            why = f"the provider could not deliver it: {callback.said}"
            event = NewEvent(type=EventType.ACTION_FAILED, data={"channel": action.kind.value, "why": why})
            failed = self._finished(action, ActionState.FAILED, why, events=(event,), step=StepState.UNHEARD)
            await self.database.write(actions.finish, replace(failed, epoch=None))
            self.actions.wake()
        return True

    # -- webhooks -----------------------------------------------------------------------------------------------------

    async def _call_webhook(self, action: Action, failure: Failure) -> None:
        organization = failure.organization
        if organization.webhook_url is None or organization.sealed_webhook_secret is None:
            await self._failed(action, "the organization has no webhook")
            return
        now = self.clock()
        secret = self.sealed_secrets.open_webhook_secret(organization.sealed_webhook_secret, organization.id)
        endpoint = webhook.Endpoint(url=organization.webhook_url, secrets=(secret,))
        answer = await webhook.post(
            self.fetcher,
            endpoint,
            json.dumps(_webhook_event(failure)),
            event_id=ids.show("action", action.id),
            timestamp=now,
        )
        match answer:
            case webhook.Delivered(status=status):
                event = NewEvent(type=EventType.NOTIFIED, data={"channel": "webhook"})
                await self._end(action, ActionState.DONE, f"the webhook answered {status}", StepState.HEARD, event)
            case webhook.Refused(gone=False, status=status) if action.tries <= len(webhook.RETRIES):
                await self._again(action, webhook.RETRIES[action.tries - 1], f"the webhook answered {status}")
            case webhook.Unreachable(why=why) if action.tries <= len(webhook.RETRIES):
                await self._again(action, webhook.RETRIES[action.tries - 1], why)
            case webhook.Refused(status=status):
                await self._failed(action, f"the webhook answered {status}")
            case webhook.Unreachable(why=why):
                await self._failed(action, why)

    # -- ends ---------------------------------------------------------------------------------------------------------

    async def _over_budget(self, action: Action, step: Step) -> bool:
        if step.budget_organization is None and step.budget_recipient is None:
            return False
        spent = await self.database.read(actions.spent, action, self.clock() - timedelta(days=1))
        return (step.budget_organization is not None and spent.organization > step.budget_organization) or (
            step.budget_recipient is not None and spent.recipient > step.budget_recipient
        )

    async def _end(self, action: Action, state: ActionState, result: str, step: StepState, *events: NewEvent) -> None:
        await self.database.write(actions.finish, self._finished(action, state, result, events=events, step=step))
        self.actions.wake()

    async def _failed(self, action: Action, why: str, state: ActionState = ActionState.FAILED) -> None:
        event = NewEvent(type=EventType.ACTION_FAILED, data={"channel": action.kind.value, "why": why})
        await self._end(action, state, why, StepState.UNHEARD, event)

    async def _again(self, action: Action, wait: timedelta, why: str) -> None:
        await self.database.write(actions.retry_at, action.id, action.epoch, self.clock() + wait, why)

    def _finished(
        self,
        action: Action,
        state: ActionState,
        result: str,
        *,
        events: tuple[NewEvent, ...] = (),
        step: StepState | None = None,
    ) -> Finished:
        """`step` None: the letter's own delivery tells later how the step ended."""
        metrics.ACTIONS.labels(action.kind, state).inc()
        return Finished(
            action=action.id,
            epoch=action.epoch,
            state=state,
            result=result,
            now=self.clock(),
            events=events,
            step=step,
        )

    # -- facts --------------------------------------------------------------------------------------------------------

    def _facts(self, failure: Failure) -> FailureFacts:
        case = failure.case
        last_day = (case.opened_at + CORRECTION_LIFETIME).date()
        token = self.outgoing.tokens.mint(Purpose.CORRECTION, case.delivery, made=case.opened_at, last_day=last_day)
        return FailureFacts(
            message_subject=failure.message_subject,
            recipient=failure.recipient,
            human_sender_name=failure.human_sender_name,
            human_sender_address=failure.human_sender_address,
            organization_name=failure.organization.display_name,
            sent_at=failure.sent_at,
            failed_at=case.opened_at,
            failure=case.failure,
            late=case.late,
            possibly_delivered=case.possibly_delivered,
            verdict=case.verdict,
            suggestion=suggest(domain_of(failure.recipient)),
            correct_link=f"{self.public_url}/correct/{token}",
            attempts=failure.attempts,
            resent_from=failure.resent_from,
        )

    def _case_facts(self, failure: Failure) -> CaseFacts:
        results = {told.step: told for told in failure.actions}
        steps = tuple(
            StepFacts(
                kind=step.kind,
                state=state,
                ended_at=results[index].ended_at if index in results else None,
                detail=results[index].result if index in results else "",
            )
            for index, (step, state) in enumerate(zip(failure.case.policy.steps, failure.case.steps, strict=True))
            if state is not StepState.RUNNING or step.kind not in REACHING
        )
        shown = ids.show("case", failure.case.id)
        return CaseFacts(case=shown, policy=failure.case.policy.name, steps=steps)


def _webhook_event(failure: Failure) -> dict[str, object]:
    """The failure as a webhook's body: `{type, timestamp, data}`."""
    case = failure.case
    return {
        "type": f"delivery.{case.failure.value}",
        "timestamp": case.opened_at.isoformat(),
        "data": {
            "delivery": ids.show("delivery", case.delivery),
            "case": ids.show("case", case.id),
            "recipient": failure.recipient,
            "subject": failure.message_subject,
            "human_sender": {"name": failure.human_sender_name, "address": failure.human_sender_address},
            "late": case.late,
            "possibly_delivered": case.possibly_delivered,
            "failure_class": case.verdict.failure_class,
            "kind": case.verdict.kind,
            "rule": case.verdict.rule,
            "matched": case.verdict.matched,
            "reply_code": case.verdict.reply_code,
            "enhanced_status_code": case.verdict.enhanced_status_code,
            "text": case.verdict.text,
        },
    }
