"""What an operator must hear of: refusals that are about us, and what went wrong in our own house.

Thousands of refusals can have one cause, so an alarm names its cause, in words that stay the same: what was said, by
which rule it was understood, and by whom. It is told once, and again only when it goes on.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from homing.loop.model import Delivery, DeliveryId, OrganizationId, Verdict
from homing.mail.address import domain_of

TOLD_AGAIN_AFTER = timedelta(days=1)
"""Time after which an operator is told again of a cause that goes on."""

LETTERS_APART = timedelta(hours=1)
"""The shortest time between two letters, each of which tells of all that is new."""

FORGOTTEN_AFTER = timedelta(days=90)
CAUSE = 255
_TEXT = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """`cause` is the same for all that have it; `text` is what was said this time; `delivery` an example. `again`: it
    was known already."""

    cause: str
    text: str
    organization: OrganizationId | None = None
    delivery: DeliveryId | None = None
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingAlarm:
    """An alarm as it is remembered: since when, until when, how often, and when somebody was told."""

    cause: str
    text: str
    organization: OrganizationId | None
    delivery: DeliveryId | None
    first_at: datetime
    last_at: datetime
    times: int
    told_at: datetime | None


def about_us(delivery: Delivery, verdict: Verdict | None, receiver: str = "") -> Alarm | None:
    """The alarm for a verdict about us, else None. `receiver` said so, if not the one that the delivery went to."""
    if verdict is None or not verdict.about_us:
        return None
    by = receiver or delivery.receiver or domain_of(delivery.recipient)
    return _of(delivery, f"{verdict.failure_class} {verdict.rule} {by}", _words(verdict))


def killed_its_worker(delivery: Delivery, times: int) -> Alarm:
    """A message that ended the process so often that it is left alone."""
    return _of(delivery, "killed-its-worker", f"{times} attempts ended without any answer")


def alarm(cause: str, text: str, organization: OrganizationId | None = None) -> Alarm:
    """The alarm for a fault in our own house."""
    return Alarm(cause=cause[:CAUSE], text=text[:_TEXT], organization=organization)


def unproved_administrator(organization: OrganizationId, name: str, delivery: DeliveryId | None, why: str) -> Alarm:
    """Failures of an organization that its administrator would have heard of, had anybody proved his address."""
    cause = f"administrator-unproved {name}"
    return Alarm(cause=cause[:CAUSE], text=why[:_TEXT], organization=organization, delivery=delivery)


def due(standing: StandingAlarm, now: datetime) -> bool:
    """Whether somebody is to be told: it is new, or goes on long after it was told."""
    if standing.told_at is None:
        return True
    return standing.last_at > standing.told_at and now - standing.told_at >= TOLD_AGAIN_AFTER


def _of(delivery: Delivery, cause: str, text: str) -> Alarm:
    return Alarm(cause=cause[:CAUSE], text=text[:_TEXT], organization=delivery.organization, delivery=delivery.id)


def _words(verdict: Verdict) -> str:
    codes = (str(verdict.reply_code or ""), verdict.enhanced_status_code)
    return " ".join((*(code for code in codes if code and code not in verdict.text), verdict.text or verdict.matched))
