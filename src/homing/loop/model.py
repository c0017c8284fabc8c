"""The nouns of the closed loop. Frozen values; nothing here decides or does anything.

A *message* goes to several recipients; each (message, recipient) is a *delivery*; each SMTP try of a
delivery is an *attempt*. What the world says of a delivery is *evidence* (see `loop.evidence`).
A failure that somebody must deal with is a *case*; what we do about it are *actions*.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType
from uuid import UUID

OrganizationId = NewType("OrganizationId", UUID)
HumanSenderId = NewType("HumanSenderId", UUID)
MessageId = NewType("MessageId", UUID)
DeliveryId = NewType("DeliveryId", UUID)
AttemptId = NewType("AttemptId", UUID)
EventId = NewType("EventId", UUID)
InboundId = NewType("InboundId", UUID)
CaseId = NewType("CaseId", UUID)

OPERATOR = OrganizationId(UUID(int=0))
"""Stands in a case, its actions, letters and events for the operator himself. No organization has this id."""
ActionId = NewType("ActionId", UUID)


class State(StrEnum):
    """What became of a delivery, as far as we know now. `loop.lifecycle` has the table of changes."""

    QUEUED = "queued"
    SENDING = "sending"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    CANCELED = "canceled"
    SUPPRESSED = "suppressed"
    FAILED = "failed"


FAILURES = frozenset({State.BOUNCED, State.EXPIRED, State.SUPPRESSED, State.FAILED})
"""States that open a case."""


class EventType(StrEnum):
    """What happened. Append-only; the words are the API's and the dashboard's too."""

    QUEUED = "queued"
    ATTEMPTED = "attempted"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    CANCELED = "canceled"
    COMPLAINED = "complained"
    AUTORESPONDED = "autoresponded"
    REPLIED = "replied"
    OPENED_CASE = "opened_case"
    REROUTED = "rerouted"
    FALLBACK_SENT = "fallback_sent"
    NOTIFIED = "notified"
    ACTION_FAILED = "action_failed"
    UNHEARD = "unheard"
    RESENT = "resent"
    UNEXPLAINED_RETURN = "unexplained_return"
    FORWARDING_FAILED = "forwarding_failed"
    SIGNED_ANEW = "signed_anew"
    DOMAIN_CHANGED = "domain_changed"
    IDENTITY_CHANGED = "identity_changed"


ANYMAIL_EVENT: Mapping[EventType, str] = {
    EventType.QUEUED: "queued",
    EventType.DEFERRED: "deferred",
    EventType.DELIVERED: "delivered",
    EventType.BOUNCED: "bounced",
    EventType.EXPIRED: "bounced",
    EventType.FAILED: "failed",
    EventType.SUPPRESSED: "rejected",
    EventType.CANCELED: "rejected",
    EventType.COMPLAINED: "complained",
    EventType.AUTORESPONDED: "autoresponded",
    EventType.REPLIED: "inbound",
}
"""django-anymail's word for an event; events that it has no word for are "unknown"."""


def anymail_event(event_type: EventType, data: Mapping[str, object]) -> str:
    """Anymail's word for one event; leaving a stream is a mild complaint, for which it has a word of its own."""
    if event_type is EventType.COMPLAINED and data.get("suppress") == "unsubscribe":
        return "unsubscribed"
    return ANYMAIL_EVENT.get(event_type, "unknown")


class Origin(StrEnum):
    """Why a message exists. Only `api` and `acceptance` are an application's; the rest we write ourselves."""

    API = "api"
    SUBMISSION = "submission"
    LETTER = "letter"
    PROOF = "proof"
    OOPS = "oops"

    @property
    def ours(self) -> bool:
        return self in {Origin.LETTER, Origin.PROOF, Origin.OOPS}


class Role(StrEnum):
    TO = "to"
    CC = "cc"
    BCC = "bcc"


class Strength(StrEnum):
    """How much a piece of evidence may change."""

    STRONG = "strong"
    WEAK = "weak"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why something failed: the class (20 values) and kind (hard, soft, complaint, auto-reply, none), and how we know.

    `rule` is the id of the rule that decided, `matched` the text that it matched. `about_us` marks refusals of
    our identity, reputation or rate: never held against the address. `passes`: it is about the moment, whatever the
    reply code says.
    """

    failure_class: str
    kind: str
    rule: str
    matched: str = ""
    about_us: bool = False
    passes: bool = False
    reply_code: int | None = None
    enhanced_status_code: str = ""
    text: str = ""
    remote_mta: str = ""


class Level(StrEnum):
    """How strongly a message is identified with its organization, strongest first."""

    CUSTOM_FULL = "custom-full"
    CUSTOM_DKIM = "custom-dkim"
    SHARED_TENANT = "shared-tenant"
    SHARED = "shared"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Under which names a delivery goes out, and why. `sending_domain` is DKIM's d=, equal to header_from's domain.

    `feedback_to` is where providers may report complaints (RFC 9477), and `unsubscribe_at` the beginning of the URL at
    which the recipient can leave (RFC 8058); None: the message says nothing of it. They are kept with the delivery, so
    that every attempt sends the same bytes. `requested_from`: the address that would stand in From if it may; None:
    nobody asked for one.
    """

    level: Level
    header_from: str
    display_name: str
    reply_to: str | None
    return_domain: str
    sending_domain: str
    reply_route: str = "direct"
    reasons: tuple[str, ...] = ()
    feedback_to: str | None = None
    unsubscribe_at: str | None = None
    requested_from: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to one recipient, as `conclude` needs to know it."""

    id: DeliveryId
    organization: OrganizationId
    message: MessageId
    recipient: str
    state: State
    origin: Origin
    created_at: datetime
    expires_at: datetime
    epoch: int = 0
    attempts: int = 0
    silent_deaths: int = 0
    next_attempt_at: datetime | None = None
    possibly_delivered: bool = False
    bounced_late: bool = False
    reports: int = 0
    verdict: Verdict | None = None
    case: CaseId | None = None
    """The case that this delivery serves, when it is a letter."""
    step: int | None = None
    receiver: str | None = None
    """Who runs the host at which its last attempt ended (`loop.receivers`); None before there was one."""


class StepKind(StrEnum):
    LETTER = "letter"
    LIVE = "live"
    SMS = "sms"
    WEBHOOK = "webhook"
    ADMINISTRATOR = "administrator"
    LOG = "log"


class Reader(StrEnum):
    """Whom an SMS step tells: the person on whose behalf the message was sent, or its recipient."""

    HUMAN_SENDER = "human_sender"
    RECIPIENT = "recipient"


class WhenPossiblyDelivered(StrEnum):
    """What a step does when the message may have arrived after all."""

    ACT = "act"
    SAY_SO = "say_so"
    HOLD = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a failure policy.

    `kinds`: states, classes or kinds (bounced, expired, mailbox_full, hard, late, …) after which the step applies;
    empty means all. `only_if_unheard`: wait until every earlier step that could reach somebody has ended unheard.
    `delay` counts from the moment the step's turn comes. `budget_*`: how many actions of this kind a day, per
    organization and per recipient.
    """

    kind: StepKind
    kinds: frozenset[str] = frozenset()
    min_evidence: Strength = Strength.WEAK
    when_possibly_delivered: WhenPossiblyDelivered = WhenPossiblyDelivered.SAY_SO
    only_if_unheard: bool = False
    reader: Reader = Reader.HUMAN_SENDER
    delay: timedelta = timedelta()
    budget_organization: int | None = None
    budget_recipient: int | None = None


DELAY_TOLD_AFTER = timedelta(hours=4)
"""Most delays, those of greylisting above all, are over by then; and there is still time to reach somebody in another
way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailurePolicy:
    """Which steps follow a failure, in order.

    `delay_told_after`: how long after its acceptance a delivery may wait before somebody is told; None: nobody is.
    """

    name: str
    steps: tuple[Step, ...]
    delay_told_after: timedelta | None = DELAY_TOLD_AFTER


class StepState(StrEnum):
    """How a step of a case stands. `done` is the end of a step that nobody can confirm (live, log);
    `heard` and `unheard` are the ends of one that should reach a person or a program."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    HEARD = "heard"
    UNHEARD = "unheard"
    SKIPPED = "skipped"


class CaseState(StrEnum):
    OPEN = "open"
    NOTIFIED = "notified"
    UNHEARD = "unheard"
    RESOLVED = "resolved"


class CaseKind(StrEnum):
    """What opened a case."""

    FAILURE = "failure"
    DELAY = "delay"
    FORWARDING_FAILURE = "forwarding_failure"
    ALARM = "alarm"
    DIGEST = "digest"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCase:
    """Something that somebody must deal with, and how far its policy has come (one `StepState` per step).

    `subject` tells it from the others of its organization and kind (`loop.subject`). `delivery` None: it is about no
    single one. `failure` is None where no delivery has failed; `strength` and `verdict` where nothing was refused.
    """

    organization: OrganizationId
    kind: CaseKind
    subject: str
    policy: FailurePolicy
    opened_at: datetime
    delivery: DeliveryId | None = None
    failure: State | None = None
    late: bool = False
    possibly_delivered: bool = False
    strength: Strength | None = None
    verdict: Verdict | None = None
    steps: tuple[StepState, ...] = ()
    state: CaseState = CaseState.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Case(NewCase):
    """A case that was opened: the store has given it its id."""

    id: CaseId


class ActionKind(StrEnum):
    """Outbox rows: the steps of a policy, and the Oops! answer, which serves no case."""

    LETTER = "letter"
    LIVE = "live"
    SMS = "sms"
    WEBHOOK = "webhook"
    ADMINISTRATOR = "administrator"
    LOG = "log"
    OOPS = "oops"


class ActionState(StrEnum):
    DUE = "due"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAction:
    """An action to be written into the outbox, in the transaction of the transition that caused it. One with a step and
    no `case` belongs to the case that is opened with it."""

    kind: ActionKind
    due_at: datetime
    case: CaseId | None = None
    step: int | None = None
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event to be appended. `data` holds plain JSON values only: text, numbers, booleans, null."""

    type: EventType
    data: Mapping[str, str | int | bool | None] = field(default_factory=dict)
