"""To which addresses nothing more is sent, why, and for how long.

A wrong entry burns a good customer's address, a missing one costs one more refusal; so whatever is in doubt suppresses
nobody. Only a final refusal of the recipient counts, from the server itself at RCPT TO, where nothing but the recipient
has been said, or in a strong report. Refusals that are about us, about the message or about the moment never count.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from homing.loop.evidence import Answered, Reported
from homing.loop.model import DeliveryId, Origin, Strength, Verdict
from homing.mail.reply import Stage

GONE_DOMAIN_FOR = timedelta(days=30)
"""Domains come back: registrations lapse and are renewed. What the DNS itself says suppresses nobody, since it is asked
afresh for each message, at nobody's cost."""

FULL_TIMES = 5
FULL_SPAN = timedelta(days=14)
"""After so many failed messages in a row, over at least so long, a full mailbox is taken for abandoned."""

FULL_FOR = timedelta(days=30)
FULL_FORGOTTEN_AFTER = timedelta(days=60)
"""Time after which a full mailbox is forgotten, and the count begins anew."""

HEARSAY_TIMES = 2
HEARSAY_WITHIN = timedelta(days=30)
"""Weak hearsay is believed when so many messages to an address had hearsay within this time."""

LATE_FOR = timedelta(days=30)
LATE_WITHIN = timedelta(days=90)
"""A report that comes after the message was taken suppresses for so long: some servers that pass mail on report their
alias, and cannot be told apart from those whose mailbox is gone. With a strong report about a second message within
`LATE_WITHIN`, it is for good. Weak ones that are believed do no more than a single strong one."""

COMPLAINTS = frozenset({"complaint", "unsubscribe"})
"""Reasons for which sending again would be wrong, whoever asks for it."""

_FOR_GOOD = frozenset({"invalid_recipient", "inactive_mailbox"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppress:
    """The address goes on the suppression list of its organization and stream. `reason` is the class of the verdict;
    `expires_at` None: until somebody lifts it."""

    reason: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearsay:
    """A report that an address is dead: so strong, by the verdict of this `rule`. What it suppresses once another
    message had one that counts beside it: `beside`, `within` this time."""

    suppress: Suppress
    strength: Strength
    rule: str

    @property
    def within(self) -> timedelta:
        return _WITHIN[self.strength]

    @property
    def beside(self) -> frozenset[Strength]:
        return _BESIDE[self.strength]


_WITHIN: Mapping[Strength, timedelta] = {Strength.STRONG: LATE_WITHIN, Strength.WEAK: HEARSAY_WITHIN}
_BESIDE: Mapping[Strength, frozenset[Strength]] = {
    Strength.STRONG: frozenset({Strength.STRONG}),
    Strength.WEAK: frozenset(Strength),
}
"""Anybody may have written a weak report: it makes none for good of what a strong one suppresses for a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastHearsay:
    """Hearsay about an address as it is remembered, once for each delivery. `rule` None: it is not known."""

    delivery: DeliveryId
    said_at: datetime
    strength: Strength
    rule: str | None


def after_answer(said: Answered, now: datetime) -> Suppress | None:
    """A server refused for good. A 5yz reply with a status of class 4 contradicts itself and does not count."""
    final = said.reply.permanent and not said.verdict.enhanced_status_code.startswith("4")
    return _address_is_dead(said.verdict, now) if final and said.stage is Stage.RCPT_TO else None


def after_report(report: Reported, now: datetime) -> Suppress | None:
    """A report of failure came for this very delivery. One weak one suppresses nobody: anybody may have written it; nor
    does one whose address is another form of our recipient's."""
    if report.strength is Strength.WEAK or report.rewritten:
        return None
    dead = _address_is_dead(report.verdict, now)
    return None if dead is None else replace(dead, expires_at=now + LATE_FOR)


def hearsay(report: Reported, now: datetime) -> Hearsay | None:
    """What a report whose address is that of our recipient suppresses once another message had such a one
    (`after_hearsay`): for good if both are strong, else for a time. Weak reports count if they came to the delivery's
    own return address."""
    dead = None if report.rewritten else _address_is_dead(report.verdict, now)
    if dead is None:
        return None
    if report.strength is Strength.WEAK:
        if not (report.at_envelope and report.names_recipient):
            return None
        dead = replace(dead, expires_at=now + LATE_FOR)
    return Hearsay(suppress=dead, strength=report.strength, rule=report.verdict.rule)


def after_hearsay(hearsay: Hearsay, times: int) -> Suppress | None:
    """`times` messages, this one among them, had hearsay that counts (`hearsay.beside`, `hearsay.within`)."""
    return hearsay.suppress if times >= HEARSAY_TIMES else None


def rests_on(
    wrong: Collection[DeliveryId],
    past: Collection[PastHearsay],
    suppressed_at: datetime,
    rule: str | None,
    *,
    for_good: bool,
) -> bool:
    """Whether the suppression of an address, of that moment and by that rule, came of `past` hearsay and would not have
    without what was said, in error, about the `wrong` deliveries."""
    last = next((one for one in past if (one.said_at, one.rule) == (suppressed_at, rule)), None)
    if last is None or (last.strength is Strength.STRONG and not for_good):
        return False
    since = suppressed_at - _WITHIN[last.strength]
    counted = {
        one.delivery for one in past if since < one.said_at <= suppressed_at and one.strength in _BESIDE[last.strength]
    }
    right = counted.difference(wrong)
    return counted != right and (last.delivery in wrong or len(right) < HEARSAY_TIMES)


def after_complaint(report: Reported) -> Suppress | None:
    """Somebody wants no more. A weak complaint, which shows nothing that only we can have written, is noted only."""
    if report.strength is Strength.WEAK:
        return None
    return Suppress(reason="unsubscribe" if report.verdict.failure_class == "unsubscribe" else "complaint")


def after_wish(origin: Origin) -> Suppress | None:
    """The recipient left the stream."""
    return None if origin.ours else Suppress(reason="unsubscribe")


def after_full_mailbox(times: int, first_at: datetime, now: datetime) -> Suppress | None:
    """The `times`-th message in a row failed because the mailbox was full, the first of them at `first_at`."""
    if times < FULL_TIMES or now - first_at < FULL_SPAN:
        return None
    return Suppress(reason="mailbox_full", expires_at=now + FULL_FOR)


def _address_is_dead(verdict: Verdict, now: datetime) -> Suppress | None:
    if verdict.kind != "hard" or verdict.about_us:
        return None
    if verdict.failure_class == "invalid_domain":
        return Suppress(reason=verdict.failure_class, expires_at=now + GONE_DOMAIN_FOR)
    return Suppress(reason=verdict.failure_class) if verdict.failure_class in _FOR_GOOD else None
