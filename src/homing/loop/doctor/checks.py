"""All checks, in the order in which they are told, and what they come to together."""

from collections.abc import Iterable, Iterator

from homing.loop.doctor import bimi, dkim, dmarc, hosts, message, spf, tls
from homing.loop.doctor.facts import DoctorFacts
from homing.loop.doctor.finding import Check, Finding, Outcome, examine
from homing.mail.dns_question import Dialogue

FAMILIES = {
    "SPF": spf.CHECKS,
    "DKIM": dkim.CHECKS,
    "DMARC": dmarc.CHECKS,
    "Names, hosts and servers": hosts.CHECKS,
    "TLS": tls.CHECKS,
    "The logo": bimi.CHECKS,
    "A message as it left": message.CHECKS,
}
CHECKS: tuple[Check, ...] = tuple(check for family in FAMILIES.values() for check in family)
_GRAVITY = (Outcome.OK, Outcome.INFO, Outcome.UNKNOWN, Outcome.WARNING, Outcome.BROKEN)


def examinations(facts: DoctorFacts) -> Iterator[Dialogue[Finding]]:
    """One dialogue for each check and each name that it is about, in order."""
    for check in CHECKS:
        for about in check.about(facts):
            yield examine(check, facts, about)


def worst(findings: Iterable[Finding]) -> Outcome:
    """The gravest outcome of all."""
    return max((finding.outcome for finding in findings), key=_GRAVITY.index, default=Outcome.OK)
