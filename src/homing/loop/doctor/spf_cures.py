"""SPF records as they should be: the existing record, with the fewest changes that mend it."""

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import chain

from homing.loop.doctor.facts import DoctorFacts
from homing.loop.doctor.finding import text_record
from homing.loop.domains.dns_records import DnsRecord
from homing.mail.spf_record import VERSION, Mechanism, SpfRecord, SpfResult, is_spf, read_spf

_WHY = "SPF: who may send under this name (RFC 7208)"
_MISSPELT = (
    (re.compile(r"^([+?~-]?)ipv?4[:=]", re.IGNORECASE), r"\1ip4:"),
    (re.compile(r"^([+?~-]?)ipv?6[:=]", re.IGNORECASE), r"\1ip6:"),
    (re.compile(r"^([+?~-]?(?:a|mx|include|exists))[=;]", re.IGNORECASE), r"\1:"),
    (re.compile(r"^(redirect|exp):", re.IGNORECASE), r"\1="),
    (re.compile(r"^([+?~-]?all)[.,;:]+$", re.IGNORECASE), r"\1"),
    (re.compile(r"^[\u2010-\u2015]all$"), "-all"),
)
"""Common misspellings, and the terms meant."""


def wanted(facts: DoctorFacts, name: str) -> tuple[DnsRecord, ...]:
    """The record that should be there, where somebody has said which."""
    if facts.return_alias and name == facts.return_domain:
        return (cname(name, facts.return_alias),)
    return facts.to_publish(name, "TXT", VERSION)


def first(facts: DoctorFacts, name: str) -> tuple[DnsRecord, ...]:
    """A record where there is none: the one that should be there, else one of the addresses that mail leaves from."""
    known = wanted(facts, name)
    return known or (_record(name, (*map(_term, facts.egress), "-all")) if facts.egress else ())


def repaired(facts: DoctorFacts, name: str, text: str) -> tuple[DnsRecord, ...]:
    """The record with its malformed terms corrected, or left out if their meaning is unclear."""
    meant = map(_meant, _terms(text))
    return wanted(facts, name) or _readable(name, ("-all" if term in ("all", "+all") else term for term in meant))


def without(name: str, text: str, unwanted: Collection[str]) -> tuple[DnsRecord, ...]:
    """The record without some of its terms."""
    return _readable(name, (term for term in _terms(text) if term not in unwanted))


def flattened(name: str, text: str, addresses_of: Mapping[str, Iterable[str]]) -> tuple[DnsRecord, ...]:
    """The record with addresses in place of some of its terms."""
    terms = [map(_term, addresses_of[term]) if term in addresses_of else (term,) for term in _terms(text)]
    return _readable(name, dict.fromkeys(chain.from_iterable(terms)))


def tightened(name: str, record: SpfRecord) -> tuple[DnsRecord, ...]:
    """The record without `ptr`, and with an end that lets nobody else in."""
    loose = {term.text for term in record.mechanisms if term.name in ("ptr", "all")}
    ends = [term for term in record.mechanisms if term.name == "all"]
    kept = [term for term in _terms(record.text) if term not in loose]
    return _readable(name, kept if record.redirect and not ends else [*kept, _end(ends)])


def with_addresses(name: str, texts: tuple[str, ...], missing: Iterable[str]) -> tuple[DnsRecord, ...]:
    """The record as it is, with these addresses in front of its other terms; () where it cannot be used."""
    if len(texts) != 1 or not isinstance(read_spf(texts[0]), SpfRecord):
        return ()
    return _record(name, (*map(_term, missing), *_terms(texts[0])))


def joined(name: str, texts: tuple[str, ...]) -> DnsRecord:
    """One record of several: their terms, each once, the most cautious “all” at the end."""
    terms = list(dict.fromkeys(term for text in texts for term in _terms(text)))
    ends = [term for term in terms if term.lower().endswith("all")]
    end = next((end for end in ("~all", "-all") if end in ends), "-all")
    return _record(name, (*(term for term in terms if term not in ends), end))[0]


def cname(name: str, target: str) -> DnsRecord:
    return DnsRecord(name=name, type="CNAME", value=target, why="the return path: bounces come back, SPF passes")


def _record(name: str, terms: Iterable[str]) -> tuple[DnsRecord, ...]:
    return (text_record(name, " ".join((VERSION, *terms)), _WHY),)


def _readable(name: str, terms: Iterable[str]) -> tuple[DnsRecord, ...]:
    """A record of those terms that can be read."""
    kept = [term for term in terms if isinstance(read_spf(f"{VERSION} {term}"), SpfRecord)]
    return _record(name, kept) if is_spf(" ".join((VERSION, *kept))) else ()


def _terms(text: str) -> list[str]:
    return text.split()[1:]


def _meant(term: str) -> str:
    for pattern, right in _MISSPELT:
        term = pattern.sub(right, term)
    return term


def _end(ends: list[Mechanism]) -> str:
    """An end that permits no others, as strict as the record was."""
    return "-all" if any(end.qualifier in (SpfResult.FAIL, SpfResult.PASS) for end in ends) else "~all"


def _term(ip: str) -> str:
    return f"ip6:{ip}" if ":" in ip else f"ip4:{ip}"
