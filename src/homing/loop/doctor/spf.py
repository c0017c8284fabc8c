"""SPF of the return path, of the name in EHLO and of the visible From (RFC 7208)."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from homing.loop.doctor.facts import DoctorFacts
from homing.loop.doctor.finding import (
    Opinion,
    Severity,
    addresses,
    alias,
    check,
    exchanges,
    fine,
    moot,
    records,
    reply,
    unknown,
    warn,
    wrong,
)
from homing.loop.doctor.spf_cures import (
    cname,
    first,
    flattened,
    joined,
    repaired,
    tightened,
    wanted,
    with_addresses,
    without,
)
from homing.loop.domains.dns_records import DnsRecord
from homing.mail.dns_question import Dialogue, Found, RecordType, well_formed
from homing.mail.spf import MOST_TERMS, MOST_VOIDS
from homing.mail.spf import check as evaluate
from homing.mail.spf_record import Mechanism, Pieces, SpfRecord, SpfResult, is_spf, read_spf

_MANY_TERMS = 8
_LONG_RECORD = 450
_LONG_ANSWER = 1232
_WIDEST = {4: 8, 6: 16}
_SHARED = (
    "spf.protection.outlook.com",
    "_spf.google.com",
    "amazonses.com",
    "sendgrid.net",
    "mailgun.org",
    "spf.mandrillapp.com",
    "servers.mcsv.net",
    "_spf.salesforce.com",
    "mail.zendesk.com",
    "spf.mtasv.net",
    "sparkpostmail.com",
)


def names(facts: DoctorFacts) -> Iterable[str]:
    """The names whose SPF records receivers look at."""
    if facts.of_organization:
        return [facts.return_domain]
    return dict.fromkeys(name for name in (facts.return_domain, facts.hostname, facts.domain) if name)


def _return_path(facts: DoctorFacts) -> Iterable[str]:
    return [facts.return_domain] if facts.return_domain else []


def _only_in_from(facts: DoctorFacts) -> Iterable[str]:
    return [] if facts.return_domain in ("", facts.domain) else [facts.domain]


def _sent_from(facts: DoctorFacts) -> Iterable[str]:
    return names(facts) if facts.egress else []


@check(
    "SPF01",
    Severity.ERROR,
    names,
    meaning="Each name that receivers test has exactly one SPF record; two are a permanent error (RFC 7208 §4.5).",
    cure="Publish one TXT record that begins with v=spf1, and join several into one.",
)
def one_record(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    texts = yield from _spf_texts(name)
    match len(texts):
        case 0:
            return wrong(f"{name} has no SPF record.", *first(facts, name))
        case 1:
            return fine(f"{name} has one SPF record.")
        case many:
            return wrong(f"{name} has {many} SPF records, so receivers use none.", joined(name, texts))


@check(
    "SPF02",
    Severity.ERROR,
    names,
    meaning="The whole record is well formed; one fault anywhere makes all of it a permanent error (RFC 7208 §4.6).",
    cure="Correct the term that is named.",
)
def well_formed_record(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    texts = yield from _spf_texts(name)
    faults = [fault for text in texts if not isinstance(read := read_spf(text), SpfRecord) for fault in read]
    if not texts:
        return moot(f"{name} has no SPF record to read.")
    if faults:
        told = " ".join(f"“{fault.term}”: {fault.sentence}" for fault in faults)
        mended = repaired(facts, name, texts[0]) if len(texts) == 1 else ()
        return wrong(f"The record of {name} is malformed. {told}", *mended)
    return fine(f"The record of {name} is well formed.")


@check(
    "SPF03",
    Severity.ERROR,
    names,
    meaning="At most ten terms look something up, all includes counted; more is a permanent error (RFC 7208 §4.6.4).",
    cure="Replace includes by the addresses behind them, and leave out what no longer sends.",
)
def few_terms(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    tree = _Tree()
    yield from tree.count(name)
    if tree.circle:
        *_, last, first_again = tree.circle
        texts = yield from _spf_texts(last)
        said = f"The record of {name} leads in a circle: {' → '.join(tree.circle)}."
        back = {term for term in texts[0].split() if term.lower().endswith((f":{first_again}", f"={first_again}"))}
        return wrong(said, *without(last, texts[0], back), cure=f"Take the way back out of the record of {last}.")
    said = f"The record of {name} needs {tree.terms} look-ups of the {MOST_TERMS} that are allowed."
    if tree.terms > MOST_TERMS:
        return wrong(said, *(wanted(facts, name) or (yield from _flat(name, tree.terms - MOST_TERMS))))
    return (
        warn(said, cure="Leave room: one more include of a provider may need several.") if _many(tree) else fine(said)
    )


def _many(tree: "_Tree") -> bool:
    return tree.terms >= _MANY_TERMS


@check(
    "SPF04",
    Severity.ERROR,
    names,
    meaning="At most two look-ups lead nowhere; more is a permanent error (RFC 7208 §4.6.4).",
    cure="Take out the terms whose names do not exist any more.",
)
def few_voids(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    tree = _Tree()
    yield from tree.count(name)
    if not tree.voids:
        return fine(f"Every name in the record of {name} leads somewhere.")
    said = f"In the record of {name} these lead nowhere: {', '.join(tree.voids)}."
    texts = yield from _spf_texts(name)
    read = read_spf(texts[0]) if len(texts) == 1 else ()
    terms = read.mechanisms if isinstance(read, SpfRecord) else ()
    dead = {term.text for term in terms if (_plain(term.target) or name) in tree.voids}
    mended = wanted(facts, name) or (without(name, texts[0], dead) if dead else ())
    return wrong(said, *mended) if len(tree.voids) > MOST_VOIDS else warn(said, *mended)


@check(
    "SPF05",
    Severity.ERROR,
    _sent_from,
    meaning="SPF passes for every address that mail leaves from. It is evaluated as a receiver would, not searched.",
    cure="Add the address to the record, before its “all”.",
)
def passes(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    refused = []
    for ip in facts.egress:
        verdict = yield from evaluate(ip, f"doctor@{name}", facts.hostname or name)
        if verdict.result is SpfResult.TEMPERROR:
            return unknown(f"{verdict.reason}.")
        if verdict.result is SpfResult.PERMERROR:
            said = f"SPF of {name} cannot be evaluated: {verdict.reason.removesuffix('.')}."
            return wrong(said, cure="Correct the record; SPF01 to SPF04 say how.")
        if verdict.result is not SpfResult.PASS:
            refused.append((ip, f"{verdict.result} for {ip}: {verdict.reason}"))
    if not refused:
        return fine(f"SPF of {name} passes for {', '.join(facts.egress)}.")
    texts = yield from _spf_texts(name)
    mended = with_addresses(name, texts, [ip for ip, _ in refused]) or first(facts, name)
    return wrong(f"SPF of {name} says {'; '.join(said for _, said in refused)}.", *mended)


@check(
    "SPF06",
    Severity.ERROR,
    names,
    meaning="The record lets in our own hosts and not the whole world: no +all, no ?all, no ptr, no huge network.",
    cure="End the record with -all or ~all, and name the networks that really send.",
)
def narrow(_: DoctorFacts, name: str) -> Dialogue[Opinion]:
    texts = yield from _spf_texts(name)
    read = [record for text in texts if isinstance(record := read_spf(text), SpfRecord)]
    terms = [mechanism for record in read for mechanism in record.mechanisms]
    everybody = [term.text for term in terms if term.name == "all" and term.qualifier is SpfResult.PASS]
    if everybody:
        said = f"“{everybody[0]}” in the record of {name} lets everybody send under it."
        return wrong(said, *tightened(name, read[0]))
    loose = [term.text for term in terms if _is_loose(term)]
    if loose:
        mended = tightened(name, read[0]) if all(term.network is None for term in terms if _is_loose(term)) else ()
        return warn(f"In the record of {name} this is looser than it should be: {', '.join(loose)}.", *mended)
    if read and not any(term.name == "all" for term in terms) and read[0].redirect is None:
        said = f"The record of {name} ends without “all”, so whatever does not match is neutral."
        return warn(said, *tightened(name, read[0]))
    return fine(f"The record of {name} is narrow.")


@check(
    "SPF07",
    Severity.WARNING,
    names,
    meaning="The record and all TXT records beside it fit into one DNS datagram (RFC 7208 §3.4, RFC 9715).",
    cure="Shorten the record, or move other TXT records to names of their own.",
)
def short(_: DoctorFacts, name: str) -> Dialogue[Opinion]:
    texts = yield from records(name, RecordType.TXT)
    longest = max((len(text) for text in texts if is_spf(text)), default=0)
    answer = sum(len(text) + 12 + len(text) // 255 for text in texts) + len(name) + 18
    if longest > _LONG_RECORD or answer > _LONG_ANSWER:
        return wrong(f"The SPF record of {name} has {longest} octets, the whole answer about {answer}.")
    return fine(f"The TXT records of {name} fit into one datagram.")


@check(
    "SPF08",
    Severity.INFO,
    names,
    meaning="There is no record of the withdrawn DNS type SPF: nobody reads it (RFC 7208 §3.1).",
    cure="Take it out.",
)
def no_old_type(_: DoctorFacts, name: str) -> Dialogue[Opinion]:
    old = yield from records(name, RecordType.SPF)
    return wrong(f"{name} has a record of the withdrawn type SPF.") if old else fine(f"{name} has no type SPF record.")


@check(
    "SPF09",
    Severity.INFO,
    _only_in_from,
    meaning="The visible From does not let in a provider's shared hosts that send nothing under it.",
    cure="Take the include out, unless that provider really sends under this name.",
)
def no_shared_provider(_: DoctorFacts, name: str) -> Dialogue[Opinion]:
    texts = yield from _spf_texts(name)
    read = [record for text in texts if isinstance(record := read_spf(text), SpfRecord)]
    named = [_plain(term.target) for record in read for term in record.mechanisms if term.name == "include"]
    shared = [name for name in named if name.endswith(_SHARED)]
    if shared:
        return wrong(f"The record of {name} includes hosts that a provider's customers share: {', '.join(shared)}.")
    return fine(f"The record of {name} includes no provider's shared hosts.")


@check(
    "SPF10",
    Severity.INFO,
    _only_in_from,
    meaning="A visible From that is never in MAIL FROM ends in -all only if our hosts are in it: some receivers reject "
    "for SPF before they look at DMARC (RFC 9989 §7.1).",
    cure="Give the name in From the same SPF record as the return path.",
)
def no_bare_all(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    texts = yield from _spf_texts(name)
    words = texts[0].lower().split() if texts else []
    if words == ["v=spf1", "-all"]:
        return wrong(f"{name} says that nobody sends under it.", *first(facts, name))
    return fine(f"{name} does not say that nobody sends under it.")


@check(
    "SPF11",
    Severity.ERROR,
    _return_path,
    meaning="A return path that is a CNAME leads to an MX record and to an SPF record: bounces come back by one, and "
    "SPF passes by the other.",
    cure="Let the CNAME lead to the name that was given for it.",
)
def whole_return_path(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    target = yield from alias(name)
    if not target and not facts.return_alias:
        return fine(f"{name} is no alias.")
    if target and facts.return_alias and target != facts.return_alias:
        return wrong(f"{name} leads to {target}.", cname(name, facts.return_alias))
    hosts = yield from exchanges(name)
    texts = yield from _spf_texts(name)
    if not target:
        if texts and facts.hostname in hosts:
            return fine(f"{name} is no alias of {facts.return_alias}, and has MX and SPF records of its own.")
        return wrong(f"{name} is not yet a CNAME to {facts.return_alias}.", cname(name, facts.return_alias))
    missing = [what for what, there in (("MX", hosts), ("SPF", texts)) if not there]
    if missing:
        return wrong(f"{name} leads to {target}, which has no {' and no '.join(missing)} record.")
    return fine(f"{name} leads to {target}, which has MX and SPF records.")


CHECKS = (
    one_record,
    well_formed_record,
    few_terms,
    few_voids,
    passes,
    narrow,
    short,
    no_old_type,
    no_shared_provider,
    no_bare_all,
    whole_return_path,
)


# -- reading ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Tree:
    """All terms of a record and of those that it includes, even those never evaluated."""

    terms: int = 0
    voids: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    path: tuple[str, ...] = ()
    circle: tuple[str, ...] = ()

    def count(self, name: str) -> Dialogue[None]:
        if name in self.path:
            self.circle = (*self.path[self.path.index(name) :], name)
        if name in self.seen or self.terms > MOST_TERMS:
            return
        self.seen.add(name)
        self.path = (*self.path, name)
        yield from self._count_terms(name)
        self.path = self.path[:-1]

    def _count_terms(self, name: str) -> Dialogue[None]:
        texts = yield from _spf_texts(name)
        read = read_spf(texts[0]) if len(texts) == 1 else ()
        if not isinstance(read, SpfRecord):
            return
        for term in read.mechanisms:
            if term.name in ("include", "a", "mx", "exists", "ptr"):
                yield from self._look_up(term, _plain(term.target) or ("" if term.target else name))
        if read.redirect is not None:
            self.terms += 1
            yield from self._follow(_plain(read.redirect.value))

    def _look_up(self, term: Mechanism, target: str) -> Dialogue[None]:
        self.terms += 1
        if not well_formed(target) or term.name == "ptr":
            return
        if term.name == "include":
            yield from self._follow(target)
            return
        kinds = (RecordType.MX,) if term.name == "mx" else (RecordType.A, RecordType.AAAA)
        for kind in kinds:
            answer = yield from reply(target, kind)
            if isinstance(answer, Found):
                return
        self.voids.append(target)

    def _follow(self, target: str) -> Dialogue[None]:
        if not well_formed(target):
            return
        answer = yield from reply(target, RecordType.TXT)
        if not isinstance(answer, Found):
            self.voids.append(target)
        yield from self.count(target)


def _flat(name: str, too_many: int) -> Dialogue[tuple[DnsRecord, ...]]:
    """The record with the addresses of its own hosts in place of so many of their names; () where that is not enough:
    nobody but its owner knows which include is not needed."""
    texts = yield from _spf_texts(name)
    read = read_spf(texts[0]) if len(texts) == 1 else ()
    hosts = [term for term in read.mechanisms if _is_host(term)] if isinstance(read, SpfRecord) else []
    if len(hosts) < too_many:
        return ()
    addresses_of = {}
    for term in hosts[-too_many:]:
        addresses_of[term.text] = yield from addresses(_plain(term.target) or name)
    return flattened(name, texts[0], addresses_of)


def _is_host(term: Mechanism) -> bool:
    whole = (term.prefix4, term.prefix6) == (32, 128)
    return (
        term.name == "a" and term.qualifier is SpfResult.PASS and whole and bool(_plain(term.target) or not term.target)
    )


def _spf_texts(name: str) -> Dialogue[tuple[str, ...]]:
    texts = yield from records(name, RecordType.TXT)
    return tuple(sorted(text for text in texts if is_spf(text)))


def _plain(pieces: Pieces | None) -> str:
    """A name without macros; "" for one with them, which only a message can fill."""
    if pieces is None or not all(isinstance(piece, str) for piece in pieces):
        return ""
    return "".join(map(str, pieces)).rstrip(".").lower()


def _is_loose(term: Mechanism) -> bool:
    if term.name == "ptr" or (term.name == "all" and term.qualifier is SpfResult.NEUTRAL):
        return True
    return term.network is not None and term.network.prefixlen <= _WIDEST[term.network.version]
