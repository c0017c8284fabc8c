"""The facts of one failed delivery, as a letter tells them: cleaned, bounded, times and numbers in words."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from homing.loop.model import State, Verdict
from homing.mail.address import domain_of
from homing.mail.text import clean, quoted

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureFacts:
    """The facts about one failed delivery. Texts may be hostile; every public function of this room cleans them first.

    `suggestion` is a well-known domain that the recipient's domain looks like. `correct_link` leads to the page where
    the human sender corrects the address and sends again. `resent_from` is the recipient that this delivery replaced.
    `failure` None: the recipient's server took the message, and an address behind his failed. `failure` DEFERRED: it
    has not failed, but waits, and is tried until `tried_until`; `failed_at` is when that was found to last.
    """

    message_subject: str
    recipient: str
    human_sender_name: str
    human_sender_address: str
    organization_name: str
    sent_at: datetime
    failed_at: datetime
    failure: State | None
    late: bool
    possibly_delivered: bool
    verdict: Verdict
    suggestion: str | None
    correct_link: str | None
    attempts: int
    resent_from: str | None = None
    tried_until: datetime | None = None

    @property
    def domain(self) -> str:
        return domain_of(self.recipient)


def tidy(facts: FailureFacts) -> FailureFacts:
    """The same facts with every text cleaned and bounded. The reply text keeps its lines: see `layout.Quote`."""
    verdict = replace(
        facts.verdict,
        failure_class=clean(facts.verdict.failure_class, 40),
        kind=clean(facts.verdict.kind, 20),
        rule=clean(facts.verdict.rule, 60),
        enhanced_status_code=clean(facts.verdict.enhanced_status_code, 12),
        remote_mta=quoted(facts.verdict.remote_mta, 100),
    )
    return replace(
        facts,
        message_subject=clean(facts.message_subject, 100) or "(no subject)",
        recipient=clean(facts.recipient, 254),
        human_sender_name=clean(facts.human_sender_name, 60),
        human_sender_address=clean(facts.human_sender_address, 254),
        organization_name=clean(facts.organization_name, 60),
        verdict=verdict,
        suggestion=clean(facts.suggestion, 254) if facts.suggestion else None,
        resent_from=clean(facts.resent_from, 254) if facts.resent_from else None,
    )


def moment(at: datetime) -> str:
    """A moment for people: "Monday, 3 March 2025, 14:05 UTC", in English whatever the locale."""
    utc = at.astimezone(UTC)
    return f"{_DAYS[utc.weekday()]}, {utc.day} {_MONTHS[utc.month - 1]} {utc.year}, {utc:%H:%M} UTC"


def span(duration: timedelta) -> str:
    """A duration for people: "20 minutes", "36 hours", "3 days"."""
    minutes = max(1, round(duration.total_seconds() / 60))
    for unit, size in (("days", 24 * 60), ("hours", 60)):
        if minutes >= 2 * size:
            return f"{round(minutes / size)} {unit}"
    return "1 minute" if minutes == 1 else f"{minutes} minutes"


def times(attempts: int) -> str:
    """The number of tries, as in "we tried …". Attempts that never met a server do not count, so it may be zero."""
    return {0: "again and again", 1: "once", 2: "twice"}.get(attempts, f"{attempts} times")
