"""States, events, steps and failures in plain words: what a page says first, above the technical details."""

from collections.abc import Mapping
from datetime import UTC, datetime

from homing.loop.domains.domain_typos import suggest
from homing.loop.evidence import What
from homing.loop.letters.facts import FailureFacts
from homing.loop.letters.phrases import Cause, cause
from homing.loop.letters.steps import STEPS as STEPS
from homing.loop.letters.steps import standing as standing
from homing.loop.lifecycle import TERMINAL
from homing.loop.model import FAILURES, Case, CaseKind, CaseState, EventType, State
from homing.loop.watch import LoopState
from homing.mail.address import domain_of
from homing.mail.text import clean
from homing.store.events import Event
from homing.store.organizations import Organization
from homing.store.views import DeliveryView, Message

STATE_SIGNS: Mapping[State, str] = {
    State.QUEUED: "…",
    State.SENDING: "→",
    State.DEFERRED: "↻",
    State.DELIVERED: "✓",
    State.BOUNCED: "✕",
    State.EXPIRED: "✕",
    State.SUPPRESSED: "⊘",
    State.CANCELED: "⊘",
    State.FAILED: "!",
}
"""Beside the word, never instead of it."""

STATE_MEANINGS: Mapping[State, str] = {
    State.QUEUED: "Accepted, and waiting for its turn.",
    State.SENDING: "We are talking to the recipient's mail server.",
    State.DEFERRED: "Not accepted yet. We will try again.",
    State.DELIVERED: "The recipient's mail server accepted it. That does not mean that anybody has read it.",
    State.BOUNCED: "The recipient's mail server refused it.",
    State.EXPIRED: "No mail server accepted it within its lifetime, so we stopped trying.",
    State.SUPPRESSED: "Not sent: the address is on the list of those to which nothing more is sent.",
    State.CANCELED: "Stopped on request before it went out.",
    State.FAILED: "A fault of our own stopped it. The operator has been alerted.",
}

CASE_KIND_MEANINGS: Mapping[CaseKind, str] = {
    CaseKind.FAILURE: "A delivery failed.",
    CaseKind.DELAY: "A delivery is late.",
    CaseKind.FORWARDING_FAILURE: "The recipient's mail server accepted it; behind this address it failed.",
    CaseKind.ALARM: "The operator must hear of it.",
    CaseKind.DIGEST: "Several of one kind, told together.",
}

CASE_MEANINGS: Mapping[CaseState, str] = {
    CaseState.OPEN: "Somebody is being notified.",
    CaseState.NOTIFIED: "Somebody has been notified.",
    CaseState.UNHEARD: "Nobody could be notified. Somebody must look at this.",
    CaseState.RESOLVED: "Dealt with.",
}

WHAT_MEANINGS: Mapping[What, str] = {
    What.BOUNCE: "A report that a message failed.",
    What.DELAY: "A report that a message is late.",
    What.COMPLAINT: "A report that somebody marked a message as unwanted.",
    What.AUTO_REPLY: "An automatic reply, out of office for example.",
    What.CHALLENGE: "A program asks the sender for a confirmation before it lets mail through.",
    What.HUMAN_REPLY: "A reply that a person wrote.",
    What.REPORT: "A report about mail in general, DMARC for example.",
    What.UNKNOWN: "It could not be classified.",
}

LOOP_SIGNS: Mapping[LoopState, str] = {
    LoopState.OK: "✓",
    LoopState.DOUBTFUL: "…",
    LoopState.BROKEN: "!",
    LoopState.UNKNOWN: "…",
    LoopState.OFF: "⊘",
}

LOOP_MEANINGS: Mapping[LoopState, str] = {
    LoopState.OK: "A notice of failure that was sent to our own return address was received and understood.",
    LoopState.DOUBTFUL: "The last notice to our own return address came to nothing. The next one decides.",
    LoopState.BROKEN: "Notices of failed messages do not find their way back.",
    LoopState.UNKNOWN: "No notice has been sent to our own return address yet.",
    LoopState.OFF: "Nobody tests it: loop_watch_minutes is 0 in the settings.",
}

_SUPPRESSED_FOR: Mapping[str, str] = {
    "invalid_recipient": "There is no such mailbox.",
    "inactive_mailbox": "The mailbox has been switched off.",
    "invalid_domain": "The domain does not exist, or accepts no mail.",
    "mailbox_full": "The mailbox has been full for weeks.",
    "complaint": "The recipient reported such mail as unwanted.",
    "unsubscribe": "The recipient has unsubscribed.",
    "manual": "Somebody put it on the list.",
}

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def when(moment: datetime) -> str:
    """A moment for a table: 2 Mar 2026, 09:00:07."""
    utc = moment.astimezone(UTC)
    return f"{utc.day} {_MONTHS[utc.month - 1]} {utc.year}, {utc:%H:%M:%S}"


def failure_facts(organization: Organization, message: Message, one: DeliveryView, now: datetime) -> FailureFacts:
    """The facts of a delivery that failed or is late, or of one behind which another address failed, as
    `loop.letters.phrases` wants them."""
    delivery = one.delivery
    behind = behind_which_it_failed(one)
    verdict = behind.verdict if behind else delivery.verdict
    assert verdict is not None
    return FailureFacts(
        message_subject=message.subject,
        recipient=delivery.recipient,
        human_sender_name=message.human_sender_name,
        human_sender_address=message.human_sender_address,
        organization_name=organization.display_name,
        sent_at=delivery.created_at,
        failed_at=one.case.opened_at if one.case else now,
        failure=None if behind else State.DEFERRED if is_late(one) else delivery.state,
        late=delivery.bounced_late,
        possibly_delivered=delivery.possibly_delivered,
        verdict=verdict,
        suggestion=None if behind else suggestion(one),
        correct_link=None,
        attempts=len({attempt.number for attempt in one.attempts if attempt.host}),
        tried_until=delivery.expires_at,
    )


def suggestion(one: DeliveryView) -> str | None:
    """The well-known domain that was perhaps meant, where the recipient's own takes no mail."""
    verdict = one.delivery.verdict
    if verdict is None or verdict.failure_class != "invalid_domain":
        return None
    return suggest(domain_of(one.delivery.recipient))


def behind_which_it_failed(one: DeliveryView) -> Case | None:
    """The case of a delivery that has not failed, though an address behind its recipient's has."""
    forwarding = one.case is not None and one.case.kind is CaseKind.FORWARDING_FAILURE
    return one.case if forwarding and one.delivery.state not in FAILURES else None


def is_late(one: DeliveryView) -> bool:
    """Whether a delivery waits and a case tells of it."""
    late = one.case is not None and one.case.kind is CaseKind.DELAY
    return late and one.delivery.state not in TERMINAL and one.delivery.verdict is not None


def why(organization: Organization, message: Message, one: DeliveryView, now: datetime) -> Cause | None:
    """Why a delivery failed or is late, or what is behind it; None when nothing of that is so, or nothing is known."""
    failed = one.delivery.state in FAILURES and one.delivery.verdict is not None
    to_tell = failed or is_late(one) or behind_which_it_failed(one)
    return cause(failure_facts(organization, message, one, now)) if to_tell else None


def suppressed_for(reason: str) -> str:
    """Why nothing more is sent to an address, in one sentence."""
    return _SUPPRESSED_FOR.get(reason, f"Reason: {clean(reason, 64)}.")


def sentence(event: Event, recipient: str) -> str:
    """What happened, in a sentence or two."""
    if event.type is EventType.OPENED_CASE and event.data.get("kind") == CaseKind.DELAY:
        return f"The message to {recipient} is late: a case was opened, so that somebody is told if it goes on."
    over = " The case of its delay is closed." if event.data.get("closed_case") else ""
    return f"{_sentence(event, recipient)}{over}"


def _sentence(event: Event, recipient: str) -> str:
    data = event.data
    host = clean(str(data.get("host") or "the mail server"), 100)
    match event.type:
        case EventType.QUEUED:
            return f"Accepted for {recipient}."
        case EventType.ATTEMPTED:
            return f"{_capital(host)} answered after the delivery had ended; nothing changed."
        case EventType.DELIVERED:
            return f"{_capital(host)} accepted the message to {recipient}."
        case EventType.DEFERRED if data.get("what"):
            return f"A report says that the message to {recipient} is delayed on its way."
        case EventType.DEFERRED if data.get("receiver"):
            receiver = clean(str(data["receiver"]), 100)
            return f"{receiver} limits how fast we may send, so the message to {recipient} waits."
        case EventType.DEFERRED:
            doubt = " It may have arrived all the same." if data.get("possibly_delivered") else ""
            return f"{_capital(host)} has not accepted the message to {recipient} yet; we will try again.{doubt}"
        case EventType.BOUNCED:
            return _bounced(event, recipient, host)
        case EventType.AUTORESPONDED:
            return f"An automatic reply came from {recipient}, out of office for example."
        case EventType.NOTIFIED | EventType.REROUTED | EventType.FALLBACK_SENT | EventType.ACTION_FAILED:
            return _of_action(event)
        case EventType.IDENTITY_CHANGED:
            header_from = clean(str(event.data.get("header_from") or ""), 254)
            return f"What is proved of a domain has changed: the message to {recipient} now leaves from {header_from}."
        case EventType.RESENT:
            return f"Sent again, to {clean(str(data.get('recipient', '')), 254)}."
        case _:
            return _PLAIN[event.type].format(recipient=recipient)


def _bounced(event: Event, recipient: str, host: str) -> str:
    if event.data.get("changes") == "nothing":
        return f"Another report says that the message to {recipient} failed; nothing changed."
    if event.data.get("late"):
        return f"A report came back: the message did not reach {recipient} after all."
    if event.data.get("stage") == "route":
        return f"Nobody receives mail at the domain of {recipient}."
    return f"{_capital(host)} refused the message to {recipient}."


_PLAIN: Mapping[EventType, str] = {
    EventType.EXPIRED: "No mail server accepted the message to {recipient} within its lifetime.",
    EventType.FAILED: "A fault of our own stopped the message to {recipient}.",
    EventType.SUPPRESSED: "Not sent: {recipient} is on the list of addresses to which nothing more is sent.",
    EventType.CANCELED: "The message to {recipient} was canceled.",
    EventType.COMPLAINED: "{recipient} reported the message as unwanted.",
    EventType.REPLIED: "{recipient} replied to an address that nobody reads.",
    EventType.OPENED_CASE: "A case was opened: somebody must be told what became of the message to {recipient}.",
    EventType.UNHEARD: "Nobody could be told what became of the message to {recipient}.",
    EventType.UNEXPLAINED_RETURN: "Something came back about the message to {recipient} that we do not understand.",
    EventType.FORWARDING_FAILED: "The mail server of {recipient} took it, but behind this address it failed.",
    EventType.SIGNED_ANEW: "The message to {recipient} was signed again with another key: the first one was revoked.",
    EventType.DOMAIN_CHANGED: "The DNS records of a sending domain have changed.",
}

_CHANNELS = {
    "live": "a message on the screen",
    "letter": "e-mail",
    "administrator": "e-mail to an administrator",
    "webhook": "a webhook call",
    "sms": "text message",
    "log": "the log",
}


def _of_action(event: Event) -> str:
    channel = str(event.data.get("channel", "letter"))
    to = clean(str(event.data.get("to") or ""), 254)
    if event.type is EventType.ACTION_FAILED:
        why = clean(str(event.data.get("why") or ""), 200)
        return f"Could not tell anybody by {_CHANNELS.get(channel, channel)}: {why}"
    match channel:
        case "live":
            return "The application was given a message for the screen. Nobody can say whether it was seen."
        case "log":
            return "An entry was made in the log."
        case "administrator":
            return "An administrator was told by e-mail" + (f" to {to}." if to else ".")
        case _:
            return f"Told by {_CHANNELS.get(channel, channel)}" + (f" to {to}." if to else ".")


def _capital(text: str) -> str:
    return f"T{text[1:]}" if text.startswith("the ") else text
