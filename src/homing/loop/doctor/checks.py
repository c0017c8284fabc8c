"""All checks, in the order in which they are told, and what they come to together."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from homing.loop.doctor import bimi, dkim, dmarc, hosts, mail_hosts, message, spf, tls
from homing.loop.doctor.facts import DoctorFacts
from homing.loop.doctor.finding import Check, Finding, Outcome, examine
from homing.loop.domains.dns_records import DnsRecord
from homing.mail.dns_question import Dialogue

FAMILIES = {
    "SPF": spf.CHECKS,
    "DKIM": dkim.CHECKS,
    "DMARC": dmarc.CHECKS,
    "Names and servers": hosts.CHECKS,
    "Mail hosts": mail_hosts.CHECKS,
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


def reconciled(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The same findings, so that no two offer different records of one kind for one name: where they would, all offer
    those of the gravest. Beside an alias nothing else is offered (RFC 1034 §3.6.2)."""
    chosen: dict[tuple[str, str, str], tuple[DnsRecord, ...]] = {}
    for finding in sorted(findings, key=lambda one: -_GRAVITY.index(one.outcome)):
        for kind in dict.fromkeys(map(_kind, finding.records)):
            chosen.setdefault(kind, tuple(record for record in finding.records if _kind(record) == kind))
    aliases = {name for name, record_type, _ in chosen if record_type == "CNAME"}
    return tuple(
        replace(
            finding,
            records=tuple(
                record
                for kind in dict.fromkeys(map(_kind, finding.records))
                if kind[1] == "CNAME" or kind[0] not in aliases
                for record in chosen[kind]
            ),
        )
        for finding in findings
    )


def _kind(record: DnsRecord) -> tuple[str, str, str]:
    """Records of one kind stand in each other's place: all of a type, or texts that begin alike (v=spf1)."""
    return record.name, record.type, record.value.partition("=")[2][:4] if record.type == "TXT" else ""
