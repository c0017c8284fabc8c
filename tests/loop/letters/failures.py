"""Failures to write about: one of each kind that the golden texts show."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from homing.loop.letters.letters import CaseFacts, FailureFacts, StepFacts
from homing.loop.model import State, StepKind, StepState, Verdict

SENT = datetime(2026, 3, 2, 14, 5, tzinfo=UTC)
LINK = (
    "https://post.operator.example/correct/"
    "ka2dmnbvfqz4ohj3tyx5glw7rscpeiu2adkq7mzx4nbvhjf3tyog5lwrscpeiuka2dmnbvfqz4ohj3tyx5glw7rs"
)


def verdict(
    failure_class: str, *, kind: str = "soft", reply: str = "", rule: str = "", about_us: bool = False
) -> Verdict:
    """`reply` is "550 5.1.1 text", as a server says it."""
    reply_code, enhanced_status_code, text = reply.split(" ", 2) if reply else ("", "", "")
    return Verdict(
        failure_class=failure_class,
        kind=kind,
        rule=rule or f"text.{failure_class}",
        about_us=about_us,
        reply_code=int(reply_code) if reply_code else None,
        enhanced_status_code=enhanced_status_code,
        text=text,
        remote_mta="mx1.example.com" if reply else "",
    )


UNKNOWN_PERSON = FailureFacts(
    message_subject="Our call of Monday",
    recipient="jon.doe@example.com",
    human_sender_name="Janet Miller",
    human_sender_address="janet@crm-customer.example",
    organization_name="Bright Relations",
    sent_at=SENT,
    failed_at=SENT + timedelta(seconds=2),
    failure=State.BOUNCED,
    late=False,
    possibly_delivered=False,
    verdict=verdict(
        "invalid_recipient",
        kind="hard",
        reply="550 5.1.1 <jon.doe@example.com>: Recipient address rejected:\nUser unknown in virtual mailbox table",
    ),
    suggestion=None,
    correct_link=LINK,
    attempts=1,
)
_days = SENT + timedelta(days=5)

FAILURES = {
    "unknown_person": UNKNOWN_PERSON,
    "no_such_domain": replace(
        UNKNOWN_PERSON,
        recipient="john.doe@doe-and-daughters.example",
        verdict=verdict("invalid_domain", kind="hard", rule="route.no_such_domain"),
        attempts=0,
    ),
    "typo": replace(
        UNKNOWN_PERSON,
        recipient="john.doe@gmial.com",
        verdict=verdict("invalid_domain", kind="hard", rule="route.null_mx"),
        suggestion="gmail.com",
        attempts=0,
    ),
    "mailbox_full": replace(
        UNKNOWN_PERSON,
        failure=State.EXPIRED,
        failed_at=_days,
        attempts=31,
        verdict=verdict("mailbox_full", reply="452 4.2.2 The email account that you tried to reach is over quota."),
    ),
    "inactive": replace(
        UNKNOWN_PERSON, verdict=verdict("inactive_mailbox", kind="hard", reply="550 5.2.1 This mailbox is disabled")
    ),
    "smtputf8": replace(
        UNKNOWN_PERSON, recipient="jörg@example.com", verdict=verdict("policy", rule="smtputf8-not-offered")
    ),
    "forwarding": replace(
        UNKNOWN_PERSON,
        failure=None,
        late=True,
        failed_at=SENT + timedelta(minutes=3),
        verdict=verdict(
            "invalid_recipient", kind="hard", reply="550 5.1.1 <gone@elsewhere.example>: Recipient address rejected"
        ),
    ),
    "too_big": replace(
        UNKNOWN_PERSON, verdict=verdict("message_too_big", reply="552 5.3.4 Message size exceeds fixed limit")
    ),
    "content": replace(
        UNKNOWN_PERSON,
        verdict=verdict("content", reply="554 5.7.1 Message contains spam or virus, see http://help.example/"),
    ),
    "about_us": replace(
        UNKNOWN_PERSON,
        verdict=verdict(
            "reputation", about_us=True, reply="554 5.7.1 Service unavailable; Client host [192.0.2.25] blocked"
        ),
    ),
    "policy": replace(
        UNKNOWN_PERSON, verdict=verdict("policy", reply="550 5.7.1 Only members may write to this group")
    ),
    "expired": replace(
        UNKNOWN_PERSON, failure=State.EXPIRED, failed_at=_days, attempts=31, verdict=verdict("unreachable")
    ),
    "in_doubt": replace(
        UNKNOWN_PERSON,
        failure=State.EXPIRED,
        failed_at=_days,
        attempts=31,
        possibly_delivered=True,
        verdict=verdict("unreachable"),
    ),
    "possibly_delivered": replace(UNKNOWN_PERSON, possibly_delivered=True, attempts=2),
    "suppressed": replace(
        UNKNOWN_PERSON,
        failure=State.SUPPRESSED,
        attempts=0,
        failed_at=SENT,
        verdict=replace(verdict("inactive_mailbox", kind="hard", rule="suppression"), matched="hard"),
    ),
    "suppressed_mailbox_full": replace(
        UNKNOWN_PERSON,
        failure=State.SUPPRESSED,
        attempts=0,
        failed_at=SENT,
        verdict=replace(verdict("inactive_mailbox", kind="hard", rule="suppression"), matched="mailbox_full"),
    ),
    "suppressed_complaint": replace(
        UNKNOWN_PERSON,
        failure=State.SUPPRESSED,
        attempts=0,
        failed_at=SENT,
        verdict=replace(verdict("inactive_mailbox", kind="hard", rule="suppression"), matched="complaint"),
    ),
    "failed": replace(
        UNKNOWN_PERSON, failure=State.FAILED, attempts=0, verdict=verdict("system", rule="silent-deaths")
    ),
    "undetermined": replace(
        UNKNOWN_PERSON,
        verdict=verdict("undetermined", reply="550 5.0.0 [192.0.2.25] Request denied (K7), see http://e.example/k7"),
    ),
    "delayed": replace(
        UNKNOWN_PERSON,
        failure=State.DEFERRED,
        failed_at=SENT + timedelta(hours=4),
        attempts=6,
        correct_link=None,
        tried_until=_days,
        verdict=verdict("policy", reply="450 4.2.0 <jon.doe@example.com>: Greylisted, see http://grey.example/ka2"),
    ),
    "delayed_unreachable": replace(
        UNKNOWN_PERSON,
        recipient="john.doe@gmial.com",
        suggestion="gmail.com",
        failure=State.DEFERRED,
        failed_at=SENT + timedelta(hours=4),
        attempts=6,
        correct_link=None,
        tried_until=_days,
        possibly_delivered=True,
        verdict=verdict("unreachable", rule="no-answer-at-connect"),
    ),
    "late": replace(UNKNOWN_PERSON, late=True, failed_at=SENT + timedelta(hours=7)),
    "resent": replace(UNKNOWN_PERSON, recipient="jon@example.com", resent_from="jon.doe@example.com"),
}

CASE = CaseFacts(
    case="cas_0190c3b65a7c7d0e8f1a2b3c4d5e6f70",
    policy="default",
    steps=(
        StepFacts(kind=StepKind.LIVE, state=StepState.DONE, ended_at=SENT + timedelta(seconds=3)),
        StepFacts(
            kind=StepKind.LETTER,
            state=StepState.UNHEARD,
            target="janet@crm-customer.example",
            ended_at=SENT + timedelta(minutes=2),
            detail="answered by an out-of-office message",
        ),
        StepFacts(kind=StepKind.SMS, state=StepState.SKIPPED, detail="no telephone number"),
    ),
    page="https://post.operator.example/cases/cas_0190c3b65a7c7d0e8f1a2b3c4d5e6f70",
)
