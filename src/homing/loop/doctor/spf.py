"""SPF of the return path, of the name in EHLO and of the visible From (RFC 7208)."""

from collections.abc import Iterable

from homing.loop.doctor.facts import DoctorFacts
from homing.loop.doctor.finding import (
    Opinion,
    Severity,
    alias,
    check,
    exchanges,
    fine,
    moot,
    records,
    unknown,
    warn,
    wrong,
)
from homing.loop.doctor.spf_cures import MECHANISMS, meant_as_spf, not_routed
from homing.loop.doctor.spf_offer import cname, names, offer
from homing.loop.doctor.spf_tree import Tree, empty_labels, ends, plain, reached, spf_texts
from homing.mail.dns_question import Dialogue, RecordType, with_silence
from homing.mail.spf import MOST_NAMES, MOST_TERMS, MOST_VOIDS
from homing.mail.spf import check as evaluate
from homing.mail.spf_record import Mechanism, SpfRecord, SpfResult, is_spf, read_spf

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
    texts = yield from spf_texts(name)
    if len(texts) == 1:
        return fine(f"{name} has one SPF record.")
    if texts:
        said = f"{name} has {len(texts)} SPF records, so receivers use none."
        return wrong(said, offered=offer(facts, name))
    beside = yield from records(name, RecordType.TXT)
    meant = [text for text in beside if meant_as_spf(text)]
    told = f": “{meant[0][:80]}” is meant as one and is none" if meant else ""
    return wrong(f"{name} has no SPF record{told}.", offered=offer(facts, name))


@check(
    "SPF02",
    Severity.ERROR,
    names,
    meaning="The whole record is well formed; one fault anywhere makes all of it a permanent error (RFC 7208 §4.6).",
    cure="Correct the term that is named.",
)
def well_formed_record(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    texts = yield from spf_texts(name)
    if not texts:
        return moot(f"{name} has no SPF record to read.")
    faults = []
    for text in texts:
        read = read_spf(text)
        if isinstance(read, SpfRecord):
            faults += [f"“{term}”: A label of the name is empty or too long." for term in empty_labels(read)]
        else:
            faults += [f"“{fault.term}”: {fault.sentence}" for fault in read]
    if faults:
        return wrong(f"The record of {name} is malformed. {' '.join(faults)}", offered=offer(facts, name))
    return fine(f"The record of {name} is well formed.")


@check(
    "SPF03",
    Severity.ERROR,
    names,
    meaning="At most ten terms look something up, all includes counted, none of them in a circle, and no “mx” has more "
    "than ten hosts; more is a permanent error (RFC 7208 §4.6.4).",
    cure="Replace includes by the addresses behind them, and leave out what no longer sends.",
)
def few_terms(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    tree = Tree()
    yield from tree.count(name)
    if tree.circle:
        said = f"The record of {name} leads in a circle: {' → '.join(tree.circle)}."
        return wrong(said, cure="Take the way back out of the record of one of them.", offered=offer(facts, name))
    if tree.crowded:
        told = ", ".join(f"“{term}”" for term in dict.fromkeys(tree.crowded))
        said = f"In the record of {name} these have more than {MOST_NAMES} mail hosts: {told}."
        return wrong(said, cure="Name the addresses in their stead.", offered=offer(facts, name))
    said = f"The record of {name} needs {tree.terms} look-ups of the {MOST_TERMS} that are allowed."
    if tree.terms > MOST_TERMS:
        return wrong(said, offered=offer(facts, name))
    if tree.terms >= _MANY_TERMS:
        return warn(said, cure="Leave room: one more include of a provider may need several.")
    return fine(said)


@check(
    "SPF04",
    Severity.ERROR,
    names,
    meaning="At most two look-ups lead nowhere; more is a permanent error (RFC 7208 §4.6.4).",
    cure="Take out the terms whose names do not exist any more.",
)
def few_voids(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    tree = Tree()
    yield from tree.count(name)
    if not tree.voids:
        return fine(f"Every name in the record of {name} leads somewhere.")
    said = f"In the record of {name} these lead nowhere: {', '.join(dict.fromkeys(tree.voids))}."
    if len(tree.voids) > MOST_VOIDS:
        return wrong(said, offered=offer(facts, name))
    return warn(said, offered=offer(facts, name))


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
        asked = evaluate(ip, f"doctor@{name}", facts.hostname or name)
        verdict, silent = yield from with_silence(asked)
        if silent and verdict.result is not SpfResult.PASS:
            return unknown(f"Whether SPF of {name} passes for {ip} could not be found out: {verdict.reason}.")
        if verdict.result is SpfResult.PERMERROR:
            at = f"“{verdict.term}”: " if verdict.term else ""
            said = f"SPF of {name} cannot be evaluated: {at}{verdict.reason.removesuffix('.')}."
            return wrong(said, cure="Correct what is named.", offered=offer(facts, name))
        if verdict.result is not SpfResult.PASS:
            refused.append(f"{verdict.result} for {ip}: {verdict.reason}")
    if not refused:
        return fine(f"SPF of {name} passes for {', '.join(facts.egress)}.")
    return wrong(f"SPF of {name} says {'; '.join(refused)}.", offered=offer(facts, name))


@check(
    "SPF06",
    Severity.ERROR,
    names,
    meaning="The record lets in our own hosts and not the whole world: no +all, no ?all, no ptr, no huge network.",
    cure="End the record with -all or ~all, and name the networks that really send.",
)
def narrow(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    texts = yield from spf_texts(name)
    read = [record for text in texts if isinstance(record := read_spf(text), SpfRecord)]
    terms = [mechanism for record in read for mechanism in record.mechanisms]
    everybody = [term.text for term in terms if term.name == "all" and term.qualifier is SpfResult.PASS]
    if everybody:
        said = f"“{everybody[0]}” in the record of {name} lets everybody send under it."
        return wrong(said, offered=offer(facts, name))
    loose = [term.text for term in terms if _is_loose(term)]
    if loose:
        said = f"In the record of {name} this is looser than it should be: {', '.join(loose)}."
        networks = [term.network for term in terms if _is_loose(term) and term.network is not None]
        return warn(said) if networks else warn(said, offered=offer(facts, name))
    if read and not any(term.name == "all" for term in terms) and read[0].redirect is None:
        said = f"The record of {name} ends without “all”, so whatever does not match is neutral."
        return warn(said, offered=offer(facts, name))
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
    texts = yield from spf_texts(name)
    read = [record for text in texts if isinstance(record := read_spf(text), SpfRecord)]
    named = [plain(term.target) for record in read for term in record.mechanisms if term.name == "include"]
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
    texts = yield from spf_texts(name)
    words = texts[0].lower().split() if texts else []
    if words == ["v=spf1", "-all"]:
        return wrong(f"{name} says that nobody sends under it.", offered=offer(facts, name))
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
    texts = yield from spf_texts(name)
    if not target:
        if texts and facts.hostname in hosts:
            return fine(f"{name} is no alias of {facts.return_alias}, and has MX and SPF records of its own.")
        return wrong(f"{name} is not yet a CNAME to {facts.return_alias}.", cname(name, facts.return_alias))
    missing = [what for what, there in (("MX", hosts), ("SPF", texts)) if not there]
    if missing:
        return wrong(f"{name} leads to {target}, which has no {' and no '.join(missing)} record.")
    return fine(f"{name} leads to {target}, which has MX and SPF records.")


@check(
    "SPF12",
    Severity.ERROR,
    names,
    meaning="Every include and redirect, at any depth, leads to exactly one well-formed SPF record: none, two or a "
    "malformed one is a permanent error for every address that no earlier term matches (RFC 7208 §5.2, §6.1).",
    cure="Mend the record that the term leads to, or take the term out.",
)
def no_dead_ends(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    tree = Tree()
    yield from tree.count(name)
    if tree.dead_ends:
        told = " ".join(dict.fromkeys(end.sentence for end in tree.dead_ends))
        return wrong(f"SPF of {name} is a permanent error. {told}", offered=offer(facts, name))
    return fine(f"What the record of {name} includes can be read.")


@check(
    "SPF13",
    Severity.WARNING,
    names,
    meaning="Every term can match: none stands behind “all” (RFC 7208 §5.1, §6.1), none has “=” for a colon, and no "
    "address is one that the Internet does not route (RFC 1918, RFC 6890).",
    cure="Put “all” at the end, and take out what can never match.",
)
def no_idle_terms(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    texts = yield from spf_texts(name)
    read = [record for text in texts if isinstance(record := read_spf(text), SpfRecord)]
    told = []
    for record in read:
        late = [term.text for term in record.mechanisms[len(reached(record)) :]]
        if record.redirect is not None and ends(record):
            late.append(record.redirect.text)
        told += [f"“{term}” is never reached: “all” decides before it." for term in late]
        overlooked = [term.text for term in record.others if term.name in MECHANISMS]
        told += [f"“{term}” is overlooked: a colon stands between a mechanism and its value." for term in overlooked]
        private = [term.text for term in record.mechanisms if not_routed(term, facts.egress)]
        told += [f"From “{term}” no mail comes over the Internet: the addresses are private." for term in private]
    if told:
        return wrong(f"In the record of {name}: {' '.join(told)}", offered=offer(facts, name))
    return fine(f"Every term in the record of {name} can match.")


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
    no_dead_ends,
    no_idle_terms,
)


def _is_loose(term: Mechanism) -> bool:
    if term.name == "ptr" or (term.name == "all" and term.qualifier is SpfResult.NEUTRAL):
        return True
    return term.network is not None and term.network.prefixlen <= _WIDEST[term.network.version]
