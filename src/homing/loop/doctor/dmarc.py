"""DMARC of the visible From, by the tree walk and by the public suffix list (RFC 9989, RFC 7489)."""

from collections.abc import Iterable

from homing.loop.doctor.dmarc_cures import (
    begun_rightly,
    corrected,
    moved,
    wanted,
    watching,
    with_reports,
    with_tag,
    without,
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
from homing.loop.domains.dns_records import DnsRecord
from homing.mail.address import domain_of
from homing.mail.dmarc import (
    DmarcResult,
    MethodVerdict,
    Published,
    Vouched,
    evaluate,
    organizational_domain,
    organizational_domain_of_walk,
    tree_walk,
)
from homing.mail.dmarc_record import Policy, read_dmarc
from homing.mail.dns_question import Dialogue, RecordType

_STRENGTH = {Policy.NONE: 0, Policy.QUARANTINE: 1, Policy.REJECT: 2}
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
    texts = yield from _at(domain)
    if len(texts) > 1:
        return wrong(f"_dmarc.{domain} has {len(texts)} DMARC records, so receivers use none.", *wanted(facts, domain))
    if texts:
        return fine(f"_dmarc.{domain} has one DMARC record.")
    applied = yield from applied_to(facts, domain)
    if applied is None:
        meant = yield from _meant(domain)
        mended = (meant,) if meant else wanted(facts, domain)
        return wrong(f"There is no DMARC record at _dmarc.{domain} or above it.", *mended)
    return note(f"The DMARC record of {applied.domain} holds for {domain}, too.")


@check(
    "DM02",
    Severity.ERROR,
    _author,
    meaning="The record begins with v=DMARC1, in capitals as here; else it is none (RFC 9989 §4.7).",
    cure="Let the record begin with v=DMARC1; and nothing before it.",
)
def version_first(_: DoctorFacts, domain: str) -> Dialogue[Opinion]:
    meant = yield from _malformed(domain)
    if not meant:
        return fine(f"Nothing at _dmarc.{domain} only looks like a DMARC record.")
    said = f"This at _dmarc.{domain} is meant as a DMARC record and is none: “{meant[0][:80]}”."
    return wrong(said, begun_rightly(domain, meant[0]))


@check(
    "DM03",
    Severity.ERROR,
    _author,
    meaning="Every tag that receivers know has a value that they understand, p= above all; without p= the record is "
    "p=none at best (RFC 9989 §4.10.1).",
    cure="Correct the tag that is named.",
)
def policy(facts: DoctorFacts, domain: str) -> Dialogue[Opinion]:
    applied = yield from applied_to(facts, domain)
    if applied is None:
        return moot(f"There is no DMARC record for {domain} to read.")
    told = " ".join(f"{fault.tag}: {fault.sentence}" for fault in applied.record.faults)
    if applied.record.policy is None:
        return wrong(f"Receivers cannot use the DMARC record for {domain}. {told}", corrected(applied))
    if told:
        return warn(f"The DMARC record for {domain} has faults. {told}", corrected(applied))
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
        faulty = applied.record.faults and wanted(facts, applied.domain)
        return wrong(said, *(faulty or (with_reports(applied, facts.reports_to),)))
    if not rua:
        return wrong(f"The DMARC record of {applied.domain} asks for no aggregate reports.")
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
    texts = yield from _at(organization)
    if texts:
        return fine(f"_dmarc.{organization} has a record.")
    said = f"_dmarc.{organization} has no record."
    mended = facts.to_publish(f"_dmarc.{organization}", "TXT") or (watching(organization, facts.reports_to),)
    if facts.return_domain and not f".{facts.return_domain}".endswith(f".{domain}"):
        why = f"so {facts.return_domain} and {domain} do not align by the tree walk"
        return wrong(f"{said[:-1]}, {why}.", *mended)
    return warn(said, *mended)


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
    walk = yield from _walk(domain)
    for published in walk:
        mark = published.record.public_suffix
        if mark == "y" and published.domain == domain:
            return wrong(f"The record of {domain} says that it is a public suffix (psd=y).", without(published, "psd"))
        outside = facts.return_domain and not f".{facts.return_domain}".endswith(f".{published.domain}")
        if mark == "n" and outside:
            said = f"psd=n at {published.domain} makes {facts.return_domain} another organization's."
            return wrong(said, without(published, "psd"))
        listed = yield from organization_of(facts, domain)
        if mark == "n" and domain != published.domain != listed:
            said = f"psd=n makes {published.domain} the organization of {domain}; the public suffix list says {listed}."
            return wrong(
                said, without(published, "psd"), cure=f"Take psd= out, or publish a record at _dmarc.{domain}."
            )
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
        return wrong(said, without(applied, "t"))
    if old:
        return wrong(f"Receivers that know RFC 9989 overlook {', '.join(old)}.", without(applied, "pct", "rf", "ri"))
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
    assert record.policy is not None
    if record.subdomains is not None and _STRENGTH[record.subdomains] < _STRENGTH[record.policy]:
        said = f"sp={record.subdomains} is weaker than p={record.policy}: names below are easy to forge."
        return wrong(said, without(applied, "sp"))
    if record.nonexistent is None:
        said = "np= is missing: names that do not exist are treated like those that do."
        return note(said, "Add np=reject.", with_tag(applied, "np", "reject"))
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
        said = f"Failure reports go to {', '.join(applied.record.ruf)}; they may hold contents of mail."
        return wrong(said, without(applied, "ruf", "fo"))
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
        return wrong(f"_dmarc.{domain} is an alias of {target}, whose owner decides.", *wanted(facts, domain))
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
    if record.strict_dkim and signing and domain not in signing:
        said = f"adkim=s asks for d={domain}, and we sign with d={', '.join(signing)}."
        return wrong(said, without(applied, "adkim"))
    if record.strict_spf and facts.return_domain != domain:
        said = f"aspf=s asks for a return path at {domain} itself; ours is {facts.return_domain}."
        return warn(f"{said} Mail then passes by DKIM alone.", without(applied, "aspf"))
    return fine("The domains are as equal as the record asks.")


@check(
    "DM14",
    Severity.ERROR,
    _author,
    meaning="The record stands at _dmarc and not at the domain itself, where nobody looks for it.",
    cure="Move the record to _dmarc.",
)
def at_its_place(_: DoctorFacts, domain: str) -> Dialogue[Opinion]:
    lost = yield from _misplaced(domain)
    if not lost:
        return fine(f"No DMARC record stands at {domain} itself.")
    there = yield from _at(domain)
    if there:
        return warn(f"A DMARC record stands at {domain} itself, where nobody reads it.", cure="Take it out.")
    return wrong(f"A DMARC record stands at {domain} itself.", moved(domain, lost[0]))


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


# -- finding out ------------------------------------------------------------------------------------------------------


def _at(domain: str) -> Dialogue[tuple[str, ...]]:
    """The DMARC records at `_dmarc` of a domain."""
    texts = yield from records(f"_dmarc.{domain}", RecordType.TXT)
    return tuple(sorted(text for text in texts if read_dmarc(text) is not None))


def _malformed(domain: str) -> Dialogue[tuple[str, ...]]:
    """The texts at `_dmarc` that look like a DMARC record and are none."""
    texts = yield from records(f"_dmarc.{domain}", RecordType.TXT)
    return tuple(text for text in texts if "dmarc" in text.lower() and read_dmarc(text) is None)


def _misplaced(domain: str) -> Dialogue[tuple[str, ...]]:
    texts = yield from records(domain, RecordType.TXT)
    return tuple(text for text in texts if read_dmarc(text) is not None)


def _meant(domain: str) -> Dialogue[DnsRecord | None]:
    """Where there is no record, the one that somebody meant to publish."""
    malformed = yield from _malformed(domain)
    if malformed:
        return begun_rightly(domain, malformed[0])
    misplaced = yield from _misplaced(domain)
    return moved(domain, misplaced[0]) if misplaced else None


def _walk(domain: str) -> Dialogue[tuple[Published, ...]]:
    yield from _at(domain)  # a look-up that fails ends the check
    return (yield from tree_walk(domain)) or ()


def organization_of(facts: DoctorFacts, domain: str) -> Dialogue[str]:
    if facts.suffix_of is not None:
        return organizational_domain(domain, facts.suffix_of)
    if facts.organization:
        return facts.organization
    walk = yield from _walk(domain)
    return organizational_domain_of_walk(domain, walk)


def applied_to(facts: DoctorFacts, domain: str) -> Dialogue[Published | None]:
    """The record that receivers apply: that of the domain, else that of its organization."""
    organization = yield from organization_of(facts, domain)
    for name in dict.fromkeys((domain, organization)):
        texts = yield from _at(name)
        record = read_dmarc(texts[0]) if len(texts) == 1 else None
        if record is not None:
            return Published(name, record)
    return None


def _outside(facts: DoctorFacts, applied: Published) -> Dialogue[tuple[str, ...]]:
    """The domains of other organizations that reports go to."""
    own = yield from organization_of(facts, applied.domain)
    others = []
    for address in (*applied.record.rua, *applied.record.ruf):
        domain = domain_of(address)
        theirs = yield from _organization_of_other(facts, domain, own)
        if theirs != own:
            others.append(domain)
    return tuple(dict.fromkeys(others))


def _organization_of_other(facts: DoctorFacts, domain: str, own: str) -> Dialogue[str]:
    if f".{domain}".endswith(f".{own}"):
        return own
    if facts.suffix_of is not None:
        return organizational_domain(domain, facts.suffix_of)
    walk = yield from _walk(domain)
    return organizational_domain_of_walk(domain, walk)


def _misaligned(method: MethodVerdict) -> bool:
    """A missing record is no misalignment: DM01 reports it."""
    return method.result is DmarcResult.FAIL
