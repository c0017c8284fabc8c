"""The DMARC records that are offered: what stands there with the fewest changes that mend it, read before it is told.

One record for a name over the whole report: each check that finds a fault offers the one that is right by all of them.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import chain

from homing.loop.doctor.dmarc_lookup import applied_to, malformed_at, meant_for, organization_of, records_at
from homing.loop.doctor.facts import DoctorFacts
from homing.loop.doctor.finding import Offer, text_record
from homing.loop.domains.dns_records import DnsRecord
from homing.mail.dmarc import Published
from homing.mail.dmarc_record import DmarcRecord, Policy, read_dmarc
from homing.mail.dns_question import Dialogue

STRENGTH = {Policy.NONE: 0, Policy.QUARANTINE: 1, Policy.REJECT: 2}
_WHY = "DMARC (RFC 9989)"
_POLICIES = ("p", "sp", "np")
_BEGIN = re.compile(
    r"(?:^|(?<=[\s,]))(?:(p|sp|np)\s*[=:]|(v|adkim|aspf|rua|ruf|fo|pct|rf|ri|psd|t)\s*=)\s*", re.IGNORECASE
)
"""Where a tag begins, also without a semicolon before it."""
_TAG = re.compile(r"([A-Za-z][A-Za-z0-9]*)\s*=(.*)", re.DOTALL)


def offer(facts: DoctorFacts, at: str, *, notes: bool = False) -> Dialogue[Offer]:
    """What to publish at `_dmarc` of this name. `notes`: where nothing is at fault, mend what is only worth knowing."""
    texts = yield from meant_for(at)
    if not texts:
        return Offer(records=facts.to_publish(f"_dmarc.{at}", "TXT") or (watching(at, facts.reports_to),))
    tags = meant(texts)
    applied = yield from applied_to(facts, facts.domain)
    if at in (facts.domain, applied.domain if applied else ""):
        tags = _with_reports(tags, facts.reports_to)
        tags = _without(tags, *too_strict(facts, _read(tags)), *(("sp",) if weaker_below(_read(tags)) else ()))
    if (yield from cut_in_two(facts, Published(at, _read(tags)))):
        tags = _without(tags, "psd")
    stands, malformed = (yield from records_at(at)), (yield from malformed_at(at))
    if len(stands) == 1 and not malformed and _read_text(stands[0]).tags == {"v": "DMARC1", **tags}:
        if not notes:
            return Offer()
        tags = {**_without(tags, "rf", "ri"), "np": tags.get("np", "reject")}
    record = _read(tags)
    if record.faults or record.policy is None:
        return Offer(words="Write the record anew: what stands there cannot be understood.")
    return Offer(records=(text_record(f"_dmarc.{at}", record.text, _WHY),))


def watching(domain: str, reports_to: str) -> DnsRecord:
    reports = f"; rua=mailto:{reports_to}" if reports_to else ""
    return text_record(f"_dmarc.{domain}", f"v=DMARC1; p=none{reports}", "DMARC, first to watch (RFC 9989)")


# -- what is at fault -------------------------------------------------------------------------------------------------


def too_strict(facts: DoctorFacts, record: DmarcRecord) -> tuple[str, ...]:
    """Those of adkim and aspf that ask for equal domains where ours are not."""
    if not facts.return_domain:
        return ()
    signing = [key.domain for key in facts.keys if not key.retired]
    unequal = {
        "adkim": record.strict_dkim and bool(signing) and facts.domain not in signing,
        "aspf": record.strict_spf and facts.return_domain != facts.domain,
    }
    return tuple(tag for tag, holds in unequal.items() if holds)


def weaker_below(record: DmarcRecord) -> bool:
    """Whether names below the domain are protected less than itself."""
    if record.subdomains is None or record.policy is None:
        return False
    return STRENGTH[record.subdomains] < STRENGTH[record.policy]


def cut_in_two(facts: DoctorFacts, published: Published) -> Dialogue[str]:
    """What is wrong with the `psd=` of a record on the way up, "" if nothing (RFC 9989 §4.7)."""
    mark, domain = published.record.public_suffix, facts.domain
    if mark == "y" and published.domain == domain:
        return f"The record of {domain} says that it is a public suffix (psd=y)."
    if mark != "n":
        return ""
    if facts.return_domain and not f".{facts.return_domain}".endswith(f".{published.domain}"):
        return f"psd=n at {published.domain} makes {facts.return_domain} another organization's."
    listed = yield from organization_of(facts, domain)
    if domain != published.domain != listed:
        return f"psd=n makes {published.domain} the organization of {domain}; the public suffix list says {listed}."
    return ""


# -- what was meant ---------------------------------------------------------------------------------------------------


def meant(texts: Sequence[str]) -> Mapping[str, str]:
    """The valid tags of one record, or of several as one: the strictest policies, the reports of all, and equal domains
    only if all ask for them. `p` is the first: readers of RFC 7489 want it there."""
    ranked = sorted(map(_valid_tags, texts), key=lambda tags: -_strength(tags, "p"))
    first, *others = ranked
    tags = dict(first)
    for other in others:
        tags |= {name: value for name, value in other.items() if name not in (*tags, "pct", "t")}
    for name in _POLICIES:
        found = [one[name] for one in ranked if name in one]
        if found:
            tags[name] = max(found, key=lambda value: STRENGTH[Policy(value.lower())])
    for name in ("rua", "ruf"):
        found = list(dict.fromkeys(chain.from_iterable(one[name].split(",") for one in ranked if name in one)))
        if found:
            tags[name] = ",".join(found)
    relaxed = [name for name in ("adkim", "aspf") if any(one.get(name, "r").lower() != "s" for one in ranked)]
    return {"p": "none", **_without(tags, *(relaxed if others else ()))} | {"p": tags.get("p", "none")}


def as_meant(text: str) -> DmarcRecord:
    """The record that somebody wanted to write."""
    return _read(meant((text,)))


def _valid_tags(text: str) -> Mapping[str, str]:
    """The tags of one text as they were meant, semicolons put in where they are missing, without those that mean
    nothing; the first one counts if a tag is given twice, but for addresses."""
    tags: dict[str, str] = {}
    for name, written in _pieces(text):
        whole = _addresses(written) if name in ("rua", "ruf") else written.strip(" \t\"'.,;")
        value = next((one for one in (whole, *whole.split()[:1]) if _is_valid(name, one)), "")
        if name == "v" or not value:
            continue
        if name in ("rua", "ruf") and name in tags:
            value = _addresses(f"{tags[name]},{value}")
        elif name in tags:
            continue
        tags[name] = value
    return tags


def _pieces(text: str) -> list[tuple[str, str]]:
    """Names and values of tags. A piece that is no tag belongs to the addresses before it, or to nothing."""
    found: list[tuple[str, str]] = []
    for item in text.strip(" \t\"'").split(";"):
        marks = list(_BEGIN.finditer(item.strip()))
        starts = [*(mark.start() for mark in marks), len(item.strip())]
        before = item.strip()[: starts[0]]
        other = _TAG.fullmatch(before.strip())
        if other:
            found.append((other[1].lower(), other[2].strip()))
        elif found and found[-1][0] in ("rua", "ruf"):
            found[-1] = (found[-1][0], f"{found[-1][1]},{before}")
        for mark, end in zip(marks, starts[1:], strict=True):
            found.append(((mark[1] or mark[2]).lower(), item.strip()[mark.end() : end]))
    return found


def _addresses(value: str) -> str:
    """The addresses of a `rua=` or `ruf=` that reports can be sent to, "mailto:" put in where it is missing."""
    addresses = []
    for word in re.split(r"[,;\s]+", value):
        bare = re.sub(r"^mailto[:=]/*", "", word.strip("\"'<>"), flags=re.IGNORECASE).rstrip(".")
        if _is_valid("rua", f"mailto:{bare}"):
            addresses.append(f"mailto:{bare}")
    return ",".join(dict.fromkeys(addresses))


def _is_valid(name: str, value: str) -> bool:
    record = read_dmarc(f"v=DMARC1; {name}={value}" if name == "p" else f"v=DMARC1; p=none; {name}={value}")
    return record is not None and not record.faults


def _strength(tags: Mapping[str, str], name: str) -> int:
    return STRENGTH[Policy(tags.get(name, "none").lower())]


def _with_reports(tags: Mapping[str, str], reports_to: str) -> Mapping[str, str]:
    """The tags, and our address among those that get reports."""
    if not reports_to or reports_to.lower() in [address.lower() for address in _read(tags).rua]:
        return tags
    return {**tags, "rua": ",".join(filter(None, (tags.get("rua", ""), f"mailto:{reports_to}")))}


def _without(tags: Mapping[str, str], *unwanted: str) -> Mapping[str, str]:
    return {name: value for name, value in tags.items() if name not in unwanted}


def _read(tags: Mapping[str, str]) -> DmarcRecord:
    return _read_text("; ".join(("v=DMARC1", *(f"{name}={value}" for name, value in tags.items()))))


def _read_text(text: str) -> DmarcRecord:
    record = read_dmarc(text)
    assert record is not None
    return record
