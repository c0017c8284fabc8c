"""DMARC of the visible From, by the tree walk and by the public suffix list (RFC 9989, RFC 7489)."""

from collections.abc import Iterable

from homing.loop.doctor.dmarc_cures import as_meant, cut_in_two, offer, too_strict, weaker_below
from homing.loop.doctor.dmarc_lookup import (
    applied_to,
    malformed_at,
    misplaced_at,
    organization_of,
    organization_of_other,
    records_at,
    walk_from,
)
from homing.loop.doctor.facts import DoctorFacts
from homing.loop.doctor.finding import (
    Opinion,
    Severity,
    alias,
    check,
    fine,
    moot,
    note,
    records,
    text_record,
    unknown,
    warn,
    wrong,
)
from homing.mail.address import domain_of
from homing.mail.dmarc import (
    DmarcResult,
    MethodVerdict,
    Published,
    Vouched,
    evaluate,
)
from homing.mail.dmarc_record import read_dmarc
from homing.mail.dns_question import Dialogue, RecordType

_PROBE = "homing-doctor-asks-for-nothing"
"""A name that nobody publishes: an answer for it comes from a wildcard."""


def _author(facts: DoctorFacts) -> Iterable[str]:
    return [facts.domain]


def _sending(facts: DoctorFacts) -> Iterable[str]:
    return [facts.domain] if facts.return_domain else []


@check(
    "DM01",
    Severity.ERROR,
    _author,
    meaning="Exactly one DMARC record stands at _dmarc of the domain in From, or is found above it; several count as "
    "none (RFC 9989 §4.10).",
    cure="Publish one TXT record at _dmarc.",
)
def one_record(facts: DoctorFacts, domain: str) -> Dialogue[Opinion]:
    texts = yield from records_at(domain)
    if len(texts) > 1:
        return wrong(
            f"_dmarc.{domain} has {len(texts)} DMARC records, so receivers use none.", offered=offer(facts, domain)
        )
    if texts:
        return fine(f"_dmarc.{domain} has one DMARC record.")
    applied = yield from applied_to(facts, domain)
    if applied is None:
        said = f"There is no DMARC record at _dmarc.{domain} or above it."
        return wrong(said, offered=offer(facts, domain))
    return note(f"The DMARC record of {applied.domain} holds for {domain}, too.")


@check(
    "DM02",
    Severity.ERROR,
    _author,
    meaning="The record begins with v=DMARC1, in capitals as here; else it is none (RFC 9989 §4.7).",
    cure="Let the record begin with v=DMARC1; and nothing before it.",
)
def version_first(facts: DoctorFacts, domain: str) -> Dialogue[Opinion]:
    meant = yield from malformed_at(domain)
    if not meant:
        return fine(f"Nothing at _dmarc.{domain} only looks like a DMARC record.")
    said = f"This at _dmarc.{domain} is meant as a DMARC record and is none: “{meant[0][:80]}”."
    return wrong(said, cure="Begin it with v=DMARC1; put a semicolon between tags.", offered=offer(facts, domain))


@check(
    "DM03",
    Severity.ERROR,
    _author,
    meaning="Every tag that receivers know has a value that they understand, p= above all; without p= the record is "
    "p=none at best (RFC 9989 §4.10.1). Readers of RFC 7489 (§6.3) want it next to v=.",
    cure="Correct the tag that is named.",
)
def policy(facts: DoctorFacts, domain: str) -> Dialogue[Opinion]:
    applied = yield from applied_to(facts, domain)
    if applied is None:
        return moot(f"There is no DMARC record for {domain} to read.")
    told = " ".join(f"{fault.tag}: {fault.sentence}" for fault in applied.record.faults)
    if applied.record.policy is None:
        said = f"Receivers cannot use the DMARC record for {domain}. {told}"
        return wrong(said, offered=offer(facts, applied.domain))
    if told:
        return warn(f"The DMARC record for {domain} has faults. {told}", offered=offer(facts, applied.domain))
    if list(applied.record.tags)[1] != "p":
        said = (
            f"p= does not stand next to v=DMARC1 in the record of {applied.domain}: readers of RFC 7489 want it there."
        )
        return note(said, "Put p= in the second place.", offered=offer(facts, applied.domain, notes=True))
    return fine(f"The DMARC record for {domain} asks for p={applied.record.policy}.")


@check(
    "DM04",
    Severity.WARNING,
    _author,
    meaning="Aggregate reports are asked for (rua=), and come to us too: without them nobody sees what receivers make "
    "of the mail.",
    cure="Add our address to rua=, after a comma if there is one already.",
)
def reports_come(facts: DoctorFacts, domain: str) -> Dialogue[Opinion]:
    applied = yield from applied_to(facts, domain)
    if applied is None:
        return moot(f"There is no DMARC record for {domain} that could ask for reports.")
    rua = applied.record.rua
    if facts.reports_to and facts.reports_to.lower() not in [address.lower() for address in rua]:
        said = f"Reports go to {', '.join(rua)}, and not to us." if rua else "Nobody gets aggregate reports."
        return wrong(said, offered=offer(facts, applied.domain))
    if not rua:
        said = f"The DMARC record of {applied.domain} asks for no aggregate reports."
        return wrong(said, cure="Name an address that reads them in rua=.", offered=offer(facts, applied.domain))
    return fine(f"Aggregate reports go to {', '.join(rua)}.")


@check(
    "DM05",
    Severity.ERROR,
    _author,
    meaning="Where reports go to another organization, that one says that it wants them: a TXT record v=DMARC1 at "
    "domain._report._dmarc.other (RFC 9990 §4).",
    cure="Have the other organization publish the record.",
)
def reports_are_wanted(facts: DoctorFacts, domain: str) -> Dialogue[Opinion]:
    applied = yield from applied_to(facts, domain)
    if applied is None:
        return moot(f"There is no DMARC record for {domain} that could ask for reports.")
    outside = yield from _outside(facts, applied)
    unwanted = []
    for other in outside:
        name = f"{applied.domain}._report._dmarc.{other}"
        texts = yield from records(name, RecordType.TXT)
        if not any(read_dmarc(text) is not None for text in texts):
            unwanted.append((other, text_record(name, "v=DMARC1", f"{other} wants the reports (RFC 9990)")))
    if unwanted:
        return wrong(
            f"Nobody sends the reports, for it is not said there that they are wanted: "
            f"{', '.join(other for other, _ in unwanted)}.",
            *(record for _, record in unwanted),
        )
    return fine("Reports go to our own organization." if not outside else f"{', '.join(outside)} wants the reports.")


@check(
    "DM06",
    Severity.ERROR,
    _author,
    meaning="A record stands at the organizational domain too: by the tree walk, the domains of siblings belong "
    "together only through it (RFC 9989 §4.10.2).",
    cure="Publish a record at the organizational domain as well; p=none changes nothing there.",
)
def record_above(facts: DoctorFacts, domain: str) -> Dialogue[Opinion]:
    organization = yield from organization_of(facts, domain)
    if organization == domain:
        return fine(f"{domain} is the organizational domain itself.")
    texts = yield from records_at(organization)
    if texts:
        return fine(f"_dmarc.{organization} has a record.")
    said = f"_dmarc.{organization} has no record."
    if facts.return_domain and not f".{facts.return_domain}".endswith(f".{domain}"):
        why = f"so {facts.return_domain} and {domain} do not align by the tree walk"
        return wrong(f"{said[:-1]}, {why}.", offered=offer(facts, organization))
    return warn(said, offered=offer(facts, organization))


@check(
    "DM07",
    Severity.ERROR,
    _sending,
    meaning="Mail that passes SPF and DKIM under our names is aligned by both, and by both methods in use: the tree "
    "walk and the public suffix list.",
    cure="Let the return path be a child of the domain in From, and d= be equal to it.",
)
def aligned(facts: DoctorFacts, domain: str) -> Dialogue[Opinion]:
    signing = tuple(dict.fromkeys(key.domain for key in facts.keys if not key.retired)) or (domain,)
    missing = []
    for what, vouched in (("SPF", Vouched(spf=facts.return_domain)), ("DKIM", Vouched(dkim=signing))):
        verdict = yield from evaluate(domain, vouched, facts.suffix_of)
        methods = {"the tree walk": verdict.tree_walk, "the public suffix list": verdict.suffix_list}
        if any(method and method.result is DmarcResult.TEMPERROR for method in methods.values()):
            return unknown(f"The DMARC records of {domain} could not be looked up.")
        missing += [f"{what} by {name}" for name, method in methods.items() if method and _misaligned(method)]
    if missing:
        return wrong(f"Not aligned with {domain}: {', '.join(missing)}.")
    return fine(f"{facts.return_domain} and d={', '.join(signing)} are aligned with {domain}.")


@check(
    "DM08",
    Severity.WARNING,
    _author,
    meaning="psd= does not cut the organization in two: it is for public suffixes, and psd=n makes a name an "
    "organizational domain of its own (RFC 9989 §4.7).",
    cure="Take psd= out of the record.",
)
def no_surprising_suffix(facts: DoctorFacts, domain: str) -> Dialogue[Opinion]:
    walk = yield from walk_from(domain)
    for published in walk:
        said = yield from cut_in_two(facts, published)
        if said:
            return wrong(said, offered=offer(facts, published.domain))
    return fine("No psd= cuts the organization in two.")


@check(
    "DM09",
    Severity.INFO,
    _author,
    meaning="The record has no tags that newer receivers overlook (pct, rf, ri), and t=y stands there on purpose only.",
    cure="Take the old tags out. In a roll-out pct=0 and t=y belong together: each kind of receiver reads one of them.",
)
def no_old_tags(facts: DoctorFacts, domain: str) -> Dialogue[Opinion]:
    applied = yield from applied_to(facts, domain)
    if applied is None:
        return moot(f"There is no DMARC record for {domain} to read.")
    record = applied.record
    old = [f"{tag}={record.tags[tag]}" for tag in ("pct", "rf", "ri") if tag in record.tags]
    if record.testing and record.percent == 0:
        return note("pct=0 and t=y lower the policy by one level for every receiver: a step of a roll-out.")
    if record.testing:
        said = "t=y lowers the policy by one level for receivers that know RFC 9989, and for no others."
        return wrong(said, cure="Take t=y out when the reports are clean.")
    if old:
        said = f"Receivers that know RFC 9989 overlook {', '.join(old)}."
        return wrong(said, offered=offer(facts, applied.domain, notes=True))
    return fine("The record has no tags that are out of use.")


@check(
    "DM10",
    Severity.WARNING,
    _author,
    meaning="Names below the domain are protected as well as the domain itself: sp= is not weaker than p=, and np= "
    "covers names that do not exist.",
    cure="Raise sp=, or leave it out; add np=reject, which no mail of yours can hurt.",
)
def names_below(facts: DoctorFacts, domain: str) -> Dialogue[Opinion]:
    applied = yield from applied_to(facts, domain)
    if applied is None or applied.record.policy is None:
        return moot(f"There is no DMARC policy for {domain}.")
    record = applied.record
    if weaker_below(record):
        said = f"sp={record.subdomains} is weaker than p={record.policy}: names below are easy to forge."
        return wrong(said, offered=offer(facts, applied.domain))
    if record.nonexistent is None:
        said = "np= is missing: names that do not exist are treated like those that do."
        return note(said, "Add np=reject.", offered=offer(facts, applied.domain, notes=True))
    return fine("Names below are protected as well.")


@check(
    "DM11",
    Severity.INFO,
    _author,
    meaning="Failure reports (ruf=) are not asked for: they may hold other people's mail, and few come (RFC 9991).",
    cure="Take ruf= and fo= out, unless somebody reads the reports.",
)
def no_failure_reports(facts: DoctorFacts, domain: str) -> Dialogue[Opinion]:
    applied = yield from applied_to(facts, domain)
    if applied is not None and applied.record.ruf:
        return wrong(f"Failure reports go to {', '.join(applied.record.ruf)}; they may hold contents of mail.")
    return fine("No failure reports are asked for.")


@check(
    "DM12",
    Severity.WARNING,
    _author,
    meaning="The record is no wildcard's and no alias's: the one answers for every name, the other for somebody else.",
    cure="Publish the record itself at _dmarc, and take DMARC out of the wildcard.",
)
def no_wildcard(facts: DoctorFacts, domain: str) -> Dialogue[Opinion]:
    target = yield from alias(f"_dmarc.{domain}")
    if target:
        return wrong(f"_dmarc.{domain} is an alias of {target}, whose owner decides.", offered=offer(facts, domain))
    texts = yield from records(f"{_PROBE}.{domain}", RecordType.TXT)
    if any(read_dmarc(text) is not None for text in texts):
        return wrong(f"*.{domain} is a wildcard with a DMARC record, which then answers for every name.")
    return fine(f"The record at _dmarc.{domain} is no wildcard's and no alias's.")


@check(
    "DM13",
    Severity.ERROR,
    _sending,
    meaning="Where the record asks for equal domains (adkim=s, aspf=s), ours are equal.",
    cure="Take adkim=s or aspf=s out, or sign with the domain in From itself.",
)
def strict_enough(facts: DoctorFacts, domain: str) -> Dialogue[Opinion]:
    applied = yield from applied_to(facts, domain)
    signing = [key.domain for key in facts.keys if not key.retired]
    if applied is None:
        return moot(f"There is no DMARC record for {domain} to read.")
    record = applied.record
    strict = too_strict(facts, record)
    if "adkim" in strict:
        said = f"adkim=s asks for d={domain}, and we sign with d={', '.join(signing)}."
        return wrong(said, offered=offer(facts, applied.domain))
    if "aspf" in strict:
        said = f"aspf=s asks for a return path at {domain} itself; ours is {facts.return_domain}."
        return warn(f"{said} Mail then passes by DKIM alone.", offered=offer(facts, applied.domain))
    return fine("The domains are as equal as the record asks.")


@check(
    "DM14",
    Severity.ERROR,
    _author,
    meaning="The record stands at _dmarc and not at the domain itself, where nobody looks for it.",
    cure="Move the record to _dmarc.",
)
def at_its_place(facts: DoctorFacts, domain: str) -> Dialogue[Opinion]:
    lost = yield from misplaced_at(domain)
    if not lost:
        return fine(f"No DMARC record stands at {domain} itself.")
    there = yield from records_at(domain)
    if there:
        return warn(f"A DMARC record stands at {domain} itself, where nobody reads it.", cure="Take it out.")
    return wrong(f"A DMARC record stands at {domain} itself.", offered=offer(facts, domain))


CHECKS = (
    one_record,
    version_first,
    policy,
    reports_come,
    reports_are_wanted,
    record_above,
    aligned,
    no_surprising_suffix,
    no_old_tags,
    names_below,
    no_failure_reports,
    no_wildcard,
    strict_enough,
    at_its_place,
)


def _outside(facts: DoctorFacts, applied: Published) -> Dialogue[tuple[str, ...]]:
    """The domains of other organizations that reports are meant to go to."""
    own = yield from organization_of(facts, applied.domain)
    record = as_meant(applied.record.text)
    others = []
    for address in (*record.rua, *record.ruf):
        domain = domain_of(address)
        theirs = yield from organization_of_other(facts, domain, own)
        if theirs != own:
            others.append(domain)
    return tuple(dict.fromkeys(others))


def _misaligned(method: MethodVerdict) -> bool:
    """A missing record is no misalignment: DM01 reports it."""
    return method.result is DmarcResult.FAIL
