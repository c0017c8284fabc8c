"""The store's records as JSON: the code's words, ids with their prefix, times in RFC 3339."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from homing.loop import ids
from homing.loop.model import (
    ActionKind,
    ActionState,
    Case,
    CaseKind,
    CaseState,
    Delivery,
    EventType,
    Identity,
    Level,
    Origin,
    Role,
    State,
    StepKind,
    StepState,
    Verdict,
    anymail_event,
)
from homing.mail.reply import Stage
from homing.store.actions import Action
from homing.store.events import Event
from homing.store.views import Attempt, DeliveryView, Message, MessageLine, MessageView


class EventOut(BaseModel):
    """Something that happened. `anymail_event` is django-anymail's word for it."""

    id: str = Field(examples=["evt_0190c3a100007000800000000000a001"])
    type: EventType
    anymail_event: str
    at: datetime
    message: str | None
    delivery: str | None
    human_sender: str | None
    data: dict[str, Any]


class VerdictOut(BaseModel):
    """Why it failed, and how we know: class, kind, the rule that decided and what it matched."""

    failure_class: str = Field(examples=["invalid_recipient"])
    kind: str = Field(examples=["hard"])
    rule: str
    matched: str
    about_us: bool
    reply_code: int | None
    enhanced_status_code: str = Field(examples=["5.1.1"])
    text: str
    remote_mta: str


class AttemptOut(BaseModel):
    """What came of one host. `stage`: where the answer came; `text`: the answer, or why there was none. `number`: which
    attempt of the delivery it belongs to; hosts that were passed over stand before the one at which it ended.
    `receiver`: who runs this host, such as google.com; `egress_ip`: from which address of ours.
    `dialogue`: the commands (`>`) and replies (`<`), without the message; null where it ended with a plain 250."""

    id: str
    number: int
    started_at: datetime
    ended_at: datetime | None
    in_doubt: bool
    stage: Stage | None
    host: str
    ip: str
    egress_ip: str
    receiver: str
    tls: str
    reply_code: int | None
    enhanced_status_code: str
    text: str
    verdict: VerdictOut | None
    dialogue: str | None


class ActionOut(BaseModel):
    id: str
    kind: ActionKind
    step: int | None
    state: ActionState
    tries: int
    due_at: datetime
    ended_at: datetime | None
    result: str


class StepOut(BaseModel):
    kind: StepKind
    state: StepState


class CaseOut(BaseModel):
    """A failure that somebody must deal with, and how far its failure policy has come. `failure` null: the
    recipient's server took the message, and an address behind it failed (`kind` forwarding_failure), or the delivery is
    late (`kind` delay; it is resolved when the wait is over)."""

    id: str
    kind: CaseKind
    state: CaseState
    failure: State | None
    late: bool
    possibly_delivered: bool
    failure_policy: str
    steps: list[StepOut]
    actions: list[ActionOut]
    opened_at: datetime


class IdentityOut(BaseModel):
    """The identity under which the delivery goes out, and why."""

    level: Level
    header_from: str
    display_name: str
    reply_to: str | None
    return_domain: str
    sending_domain: str
    reply_route: str
    reasons: list[str]


class DeliverySummary(BaseModel):
    id: str = Field(examples=["dlv_0190c3a100007000800000000000d001"])
    recipient: str
    state: State


class DeliveryOut(DeliverySummary):
    """One message to one recipient. `bounced`: refused at once, or reported later."""

    message: str
    role: Role
    possibly_delivered: bool
    bounced: Literal["immediate", "late"] | None
    identity: IdentityOut
    attempts: list[AttemptOut]
    receiver: str | None
    next_attempt_at: datetime | None
    expires_at: datetime
    verdict: VerdictOut | None
    resent_from: str | None
    case: CaseOut | None
    created_at: datetime


class HumanSenderShown(BaseModel):
    id: str | None
    name: str
    address: str


class MessageHead(BaseModel):
    id: str = Field(examples=["msg_0190c3a100007000800000000000e001"])
    origin: Origin
    stream: str
    human_sender: HumanSenderShown
    application_user: str | None
    subject: str
    message_id: str
    failure_policy: str
    metadata: dict[str, Any]
    size: int
    created_at: datetime


class MessageSummary(MessageHead):
    deliveries: list[DeliverySummary]


class MessageOut(MessageHead):
    """A message with everything that is known of it; `timeline` in the order in which things happened."""

    deliveries: list[DeliveryOut]
    timeline: list[EventOut]


class MessagePage(BaseModel):
    """Newest first. `cursor` leads to the next page; null on the last. A page looks through 5,000 messages and lists
    2,000 deliveries at most: it may be short, or empty, and still not be the last."""

    messages: list[MessageSummary]
    cursor: str | None


class MessageAccepted(BaseModel):
    """What a message became. Every delivery is on durable storage."""

    id: str
    deliveries: list[DeliverySummary]


def event_out(event: Event) -> EventOut:
    return EventOut(
        id=ids.show("event", event.id),
        type=event.type,
        anymail_event=anymail_event(event.type, event.data),
        at=event.at,
        message=shown_id("message", event.message),
        delivery=shown_id("delivery", event.delivery),
        human_sender=shown_id("human_sender", event.human_sender),
        data=dict(event.data),
    )


def message_out(view: MessageView) -> MessageOut:
    return MessageOut(
        **_head(view.message),
        deliveries=[delivery_out(one) for one in view.deliveries],
        timeline=[event_out(event) for event in view.timeline],
    )


def message_summary(line: MessageLine) -> MessageSummary:
    return MessageSummary(**_head(line.message), deliveries=[_summary(one) for one in line.deliveries])


def delivery_out(view: DeliveryView) -> DeliveryOut:
    delivery = view.delivery
    bounced: Literal["immediate", "late"] = "late" if delivery.bounced_late else "immediate"
    return DeliveryOut(
        **_summary(delivery).model_dump(),
        message=ids.show("message", delivery.message),
        role=view.role,
        possibly_delivered=delivery.possibly_delivered,
        bounced=bounced if delivery.state is State.BOUNCED else None,
        identity=_identity(view.identity),
        attempts=[_attempt(one) for one in view.attempts],
        receiver=delivery.receiver,
        next_attempt_at=delivery.next_attempt_at,
        expires_at=delivery.expires_at,
        verdict=verdict_out(delivery.verdict),
        resent_from=shown_id("delivery", view.resent_from),
        case=_case(view.case, view.actions) if view.case else None,
        created_at=delivery.created_at,
    )


def _head(message: Message) -> dict[str, Any]:
    human_sender = HumanSenderShown(
        id=shown_id("human_sender", message.human_sender),
        name=message.human_sender_name,
        address=message.human_sender_address,
    )
    same = ("origin", "stream", "application_user", "subject", "message_id", "failure_policy", "size", "created_at")
    return {
        "id": ids.show("message", message.id),
        "human_sender": human_sender,
        "metadata": dict(message.metadata),
        **{name: getattr(message, name) for name in same},
    }


def _summary(delivery: Delivery) -> DeliverySummary:
    return DeliverySummary(id=ids.show("delivery", delivery.id), recipient=delivery.recipient, state=delivery.state)


def _identity(identity: Identity) -> IdentityOut:
    return IdentityOut(
        level=identity.level,
        header_from=identity.header_from,
        display_name=identity.display_name,
        reply_to=identity.reply_to,
        return_domain=identity.return_domain,
        sending_domain=identity.sending_domain,
        reply_route=identity.reply_route,
        reasons=list(identity.reasons),
    )


def _attempt(attempt: Attempt) -> AttemptOut:
    shown = {name: getattr(attempt, name) for name in AttemptOut.model_fields}
    return AttemptOut(**shown | {"id": ids.show("attempt", attempt.id), "verdict": verdict_out(attempt.verdict)})


def verdict_out(verdict: Verdict | None) -> VerdictOut | None:
    if verdict is None:
        return None
    return VerdictOut(**{name: getattr(verdict, name) for name in VerdictOut.model_fields})


def _case(case: Case, actions: tuple[Action, ...]) -> CaseOut:
    return CaseOut(
        id=ids.show("case", case.id),
        kind=case.kind,
        state=case.state,
        failure=case.failure,
        late=case.late,
        possibly_delivered=case.possibly_delivered,
        failure_policy=case.policy.name,
        steps=[StepOut(kind=step.kind, state=state) for step, state in zip(case.policy.steps, case.steps, strict=True)],
        actions=[_action(action) for action in actions],
        opened_at=case.opened_at,
    )


def _action(action: Action) -> ActionOut:
    same = ("kind", "step", "state", "tries", "due_at", "ended_at", "result")
    return ActionOut(id=ids.show("action", action.id), **{name: getattr(action, name) for name in same})


def shown_id(kind: str, identifier: UUID | None) -> str | None:
    return None if identifier is None else ids.show(kind, identifier)
