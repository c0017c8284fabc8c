"""Where DMARC records stand, and which one holds (RFC 9989 §4.10, RFC 7489 §6.6.3)."""

from homing.loop.doctor.facts import DoctorFacts
from homing.loop.doctor.finding import Unanswered, records
from homing.mail.dmarc import (
    Published,
    organizational_domain,
    organizational_domain_of_walk,
    tree_walk,
)
from homing.mail.dmarc_record import read_dmarc
from homing.mail.dns_question import Dialogue, RecordType


def records_at(domain: str) -> Dialogue[tuple[str, ...]]:
    """The DMARC records at `_dmarc` of a domain."""
    texts = yield from records(f"_dmarc.{domain}", RecordType.TXT)
    return tuple(sorted(text for text in texts if read_dmarc(text) is not None))


def malformed_at(domain: str) -> Dialogue[tuple[str, ...]]:
    """The texts at `_dmarc` that look like a DMARC record and are none."""
    texts = yield from records(f"_dmarc.{domain}", RecordType.TXT)
    return tuple(text for text in texts if "dmarc" in text.lower() and read_dmarc(text) is None)


def misplaced_at(domain: str) -> Dialogue[tuple[str, ...]]:
    """The DMARC records at the domain itself."""
    texts = yield from records(domain, RecordType.TXT)
    return tuple(sorted(text for text in texts if read_dmarc(text) is not None))


def meant_for(domain: str) -> Dialogue[tuple[str, ...]]:
    """The records of a domain, and what somebody meant as one; where there is nothing, what he put in a wrong place."""
    there, malformed = (yield from records_at(domain)), (yield from malformed_at(domain))
    return (*there, *malformed) or (yield from misplaced_at(domain))


def walk_from(domain: str) -> Dialogue[tuple[Published, ...]]:
    """The records on the way up; a look-up that fails ends the check."""
    yield from records_at(domain)
    walk = yield from tree_walk(domain)
    if walk is None:
        raise Unanswered(f"The DMARC records above {domain} could not all be looked up.")
    return walk


def organization_of(facts: DoctorFacts, domain: str) -> Dialogue[str]:
    """The organizational domain, as the caller knows it or by the tree walk."""
    if facts.suffix_of is not None:
        return organizational_domain(domain, facts.suffix_of)
    if facts.organization:
        return facts.organization
    walk = yield from walk_from(domain)
    return organizational_domain_of_walk(domain, walk)


def organization_of_other(facts: DoctorFacts, domain: str, own: str) -> Dialogue[str]:
    """That of another domain; `own` is ours."""
    if f".{domain}".endswith(f".{own}"):
        return own
    if facts.suffix_of is not None:
        return organizational_domain(domain, facts.suffix_of)
    walk = yield from walk_from(domain)
    return organizational_domain_of_walk(domain, walk)


def applied_to(facts: DoctorFacts, domain: str) -> Dialogue[Published | None]:
    """The record that receivers apply: that of the domain, else that of its organization."""
    organization = yield from organization_of(facts, domain)
    for name in dict.fromkeys((domain, organization)):
        texts = yield from records_at(name)
        record = read_dmarc(texts[0]) if len(texts) == 1 else None
        if record is not None:
            return Published(name, record)
    return None
