"""What an understood mail comes to: rows for a program, sentences for a person, and what Homing would do about it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypedDict
from uuid import UUID

from homing.loop.evidence import ReportAction, What
from homing.loop.letters.phrases import CAUSES, NOT_FAILURES
from homing.loop.model import (
    Delivery,
    DeliveryId,
    EventType,
    InboundId,
    MessageId,
    OrganizationId,
    Origin,
    State,
    StepKind,
    Strength,
)
from homing.loop.outcome import Outcome, conclude
from homing.loop.policy import BUILTIN_DEFAULT
from homing.loop.reading.match import evidence_from
from homing.loop.reading.returned_mail import from_behind, softened
from homing.loop.reading.understand import RecipientReport, Understood
from homing.mail.address import domain_of

Row = TypedDict("Row", {"address": str, "status": str, "reason": str, "class": str, "kind": str, "action": str})
"""What the mail says of one recipient. `address` "": it names nobody. `reason` is the id of the rule that decided.
`kind` is never hard where the notice says that another address stood behind this one: it failed, not this one."""

WHAT_IT_IS = {
    What.BOUNCE: "a report about the delivery of a message",
    What.DELAY: "a notice that a message is late; the other server is still trying",
    What.COMPLAINT: "a complaint: somebody does not want such mail",
    What.AUTO_REPLY: "an automatic answer",
    What.CHALLENGE: "a question that a person must answer before the message is let through",
    What.HUMAN_REPLY: "a reply that a person wrote",
    What.REPORT: "a report about a domain, not about a message",
    What.UNKNOWN: "nothing about the delivery of a message",
}
_NOBODY = UUID(int=0)
_STEPS = {
    StepKind.LIVE: "an event on the human sender's screen",
    StepKind.LETTER: "an e-mail to the human sender",
    StepKind.SMS: "a text message",
    StepKind.WEBHOOK: "a webhook",
    StepKind.ADMINISTRATOR: "an e-mail to an administrator",
    StepKind.LOG: "a line in the log",
}


def rows(understood: Understood) -> tuple[Row, ...]:
    """One row for each recipient that the mail reports on, in its order; none where it reports on no delivery."""
    return tuple(
        Row(
            {
                "address": report.address,
                "status": report.verdict.enhanced_status_code or report.status,
                "reason": report.verdict.rule,
                "class": report.verdict.failure_class,
                "kind": softened(report.verdict, report.action, report.behind).kind,
                "action": report.action.value,
            }
        )
        for report in understood.reports
        if report.verdict.failure_class != "not_a_report" or report.address
    )


def meaning(report: RecipientReport) -> str:
    """What the verdict means, in one sentence."""
    verdict = report.verdict
    if verdict.failure_class in NOT_FAILURES:
        return NOT_FAILURES[verdict.failure_class]
    about_us = verdict.failure_class in {"auth", "reputation"} or (
        verdict.about_us and verdict.failure_class != "rate_limited"
    )
    cause = CAUSES.get("about_us" if about_us else verdict.failure_class, CAUSES["undetermined"])
    recipient = report.address
    domain = domain_of(recipient)
    return cause.headline.format(recipient=recipient or "the recipient", domain=domain or "the recipient's domain")


def consequence(understood: Understood, report: RecipientReport | None, now: datetime) -> Outcome:
    """What Homing would conclude, had the mail come to the return address of a delivered message to this recipient,
    under the built-in failure policy. `report` None: it reports on nobody."""
    delivery = Delivery(
        id=DeliveryId(_NOBODY),
        organization=OrganizationId(_NOBODY),
        message=MessageId(_NOBODY),
        recipient=_written_to(report) if report else "",
        state=State.DELIVERED,
        origin=Origin.API,
        created_at=now,
        expires_at=now + timedelta(days=5),
    )
    evidence = evidence_from(
        replace(understood, reports=(report,) if report else ()),
        delivery,
        message_id=understood.returned_message_id.strip().strip("<>"),
        inbound=InboundId(_NOBODY),
        by_envelope=True,
        vouched=understood.what is What.COMPLAINT,
    )
    return conclude(delivery, evidence, BUILTIN_DEFAULT, now)


def _written_to(report: RecipientReport) -> str:
    """The address that we wrote to; where another stood behind it, the original recipient tells, or nobody knows."""
    if not report.behind or report.final_recipient != report.behind:
        return report.address
    return report.original_recipient


_WITHOUT_REPORTS = {
    What.HUMAN_REPLY: "Had it come to the From address, which nobody reads, its writer would be told whom to write to.",
    What.REPORT: "It is kept: it is about a domain, not about a message.",
    What.UNKNOWN: "It is kept, so that somebody can look at it.",
}


def sentences(outcome: Outcome, report: RecipientReport | None, what: What = What.UNKNOWN) -> tuple[str, ...]:
    """An outcome of `consequence`, told to a person: the state, who hears of it, the address, what is sent again.
    `what` the mail is, where it reports on nobody."""
    if report is None:
        return (_state(outcome), _WITHOUT_REPORTS.get(what, "The address stays in use."))
    return tuple(
        sentence
        for sentence in (
            _state(outcome),
            _told(outcome),
            _address(outcome, report),
            _again(outcome, report),
            "An alarm is raised for the operator: it is about us." if outcome.alarm else "",
        )
        if sentence
    )


def _state(outcome: Outcome) -> str:
    if outcome.delivery.state is State.BOUNCED:
        return "The delivery changes from delivered to bounced (late)."
    noted = ", ".join(event.type.value for event in outcome.events) or "nothing"
    return f"The delivery's state stays as it is; the timeline notes: {noted}."


def _told(outcome: Outcome) -> str:
    if outcome.case is None:
        return ""
    steps = [_STEPS[StepKind(action.kind.value)] for action in outcome.actions]
    return f"A case opens, with {' and '.join(steps)}."


def _address(outcome: Outcome, report: RecipientReport) -> str:
    if outcome.suppress and outcome.suppress.expires_at:
        return f"The address is suppressed for the organization's stream, for 30 days ({outcome.suppress.reason})."
    if outcome.suppress:
        return f"The address is suppressed for the organization's stream ({outcome.suppress.reason})."
    if report.verdict.kind == "hard" and from_behind(report.verdict) != report.verdict:
        return "The address stays in use: its domain has taken the message, so it exists, whatever the notice says."
    if report.verdict.kind == "hard" and outcome.case and outcome.case.strength is Strength.WEAK:
        if outcome.hearsay:
            return (
                "The address stays in use: words alone suppress it, for 30 days, once another message to it has had the"
                " same in 30 days."
            )
        return "The address stays in use: words alone, without a machine-readable report, suppress nobody."
    return "The address stays in use."


def _again(outcome: Outcome, report: RecipientReport) -> str:
    if report.action is ReportAction.DELAYED:
        return "Nothing is sent again: the other server is still trying."
    failed = any(event.type is EventType.BOUNCED for event in outcome.events)
    return "Nothing is sent again by itself; the human sender can correct the address and resend." if failed else ""
