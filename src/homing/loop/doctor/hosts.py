"""What mail needs besides SPF, DKIM and DMARC: names of addresses, servers, aliases, blocklists."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from homing.loop.doctor.dkim_cures import as_meant
from homing.loop.doctor.facts import DoctorFacts
from homing.loop.doctor.finding import (
    Evidence,
    Opinion,
    Severity,
    addresses,
    alias,
    check,
    fine,
    records,
    reply,
    settled,
    unknown,
    warn,
    wrong,
)
from homing.loop.domains.dns_records import DnsRecord
from homing.mail.dns_question import (
    Answer,
    Ask,
    Dialogue,
    Found,
    LookupFailed,
    LookupFault,
    NoSuchName,
    RecordType,
    well_formed,
)

_LONGEST_CHAIN = 3
_REFUSES_RESOLVERS = "127.255.255."
"""What blocklists answer to resolvers that they do not serve."""


def _egress(facts: DoctorFacts) -> Iterable[str]:
    return () if facts.of_organization else facts.egress


def _public_egress(facts: DoctorFacts) -> Iterable[str]:
    return [ip for ip in _egress(facts) if ip_address(ip).is_global]


def _hello(facts: DoctorFacts) -> Iterable[str]:
    return _egress(facts) if facts.hostname else ()


def _receiving(facts: DoctorFacts) -> Iterable[str]:
    return dict.fromkeys(name for name in (facts.domain, facts.return_domain) if name)


def _aliases(facts: DoctorFacts) -> Iterable[str]:
    names = (
        facts.domain,
        facts.return_domain,
        f"_dmarc.{facts.domain}",
        *(key.name for key in facts.keys if not key.spare),
    )
    return dict.fromkeys(name for name in names if name)


def _with_servers(facts: DoctorFacts) -> Iterable[str]:
    return [*facts.by_server, *facts.starts]


@check(
    "PTR01",
    Severity.ERROR,
    _egress,
    meaning="Every address that mail leaves from has a name, and that name has the address: large receivers refuse "
    "mail from others (RFC 1912 §2.1).",
    cure="Have the owner of the address, your provider most likely, publish its PTR record.",
)
def named_both_ways(facts: DoctorFacts, ip: str) -> Dialogue[Opinion]:
    names = yield from _names_of(ip)
    wanted = () if not facts.hostname else (_pointer(ip, facts.hostname),)
    if not names:
        return wrong(f"{ip} has no name.", *wanted)
    for name in names:
        back = yield from addresses(name)
        if ip_address(ip) in map(ip_address, back):
            return fine(f"{ip} is {name}, and {name} is {ip}.")
    kind = "AAAA" if ":" in ip else "A"
    mended = DnsRecord(name=names[0], type=kind, value=ip, why=f"the name of {ip} leads back to it")
    return wrong(f"{ip} is {names[0]}, which has not this address.", mended)


@check(
    "PTR02",
    Severity.WARNING,
    _hello,
    meaning="The name that we give in EHLO is that of the address, and has it: some receivers count a difference "
    "against the mail.",
    cure="Let the address's PTR record, its A record and the setting hostname say the same name.",
)
def named_as_we_say(facts: DoctorFacts, ip: str) -> Dialogue[Opinion]:
    back = yield from addresses(facts.hostname)
    if ip_address(ip) not in map(ip_address, back):
        kind = "AAAA" if ":" in ip else "A"
        mended = DnsRecord(name=facts.hostname, type=kind, value=ip, why="the name in EHLO")
        return wrong(f"{facts.hostname}, our name in EHLO, has not the address {ip}.", mended)
    names = yield from _names_of(ip)
    if facts.hostname not in names:
        called = names[0] if names else "nameless"
        return wrong(f"We say {facts.hostname} in EHLO, and {ip} is {called}.", _pointer(ip, facts.hostname))
    return fine(f"We say {facts.hostname} in EHLO, and so does the DNS.")


@check(
    "DNS01",
    Severity.ERROR,
    _with_servers,
    meaning="The zone's servers and the resolvers say the same, and all servers have the same state of the zone (the "
    "serial number of SOA): otherwise mail is judged now by one, now by another.",
    cure="Wait for as long as the old record may be kept (its TTL); then look after the server that lags behind.",
)
def servers_agree(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    said = facts.by_server.get(name, {})
    evidence = Evidence.everywhere(Ask(name, RecordType.TXT), said)
    told = {server: answer for server, answer in said.items() if not isinstance(answer, LookupFailed)}
    answers = {frozenset(answer.records) if isinstance(answer, Found) else frozenset() for answer in told.values()}
    servers = ", ".join(told)
    if name in facts.starts:
        opinion = _same_state(name, facts.starts[name])
    elif not told:
        opinion = unknown(f"Nobody answers about {name}.")
    elif len(answers) > 1:
        opinion = wrong(f"About {name} these do not say the same: {servers}.")
    else:
        opinion = fine(f"About {name} these say the same: {servers}.")
    return (yield from settled(opinion.seen(*evidence)))


@check(
    "DNS02",
    Severity.ERROR,
    _receiving,
    meaning="Where the zone is signed, its signatures are right: resolvers that check them withhold everything else, "
    "and for their users the name does not exist (RFC 4035).",
    cure="Sign the zone anew, or take its DS record out at the parent.",
)
def well_signed(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    if name in facts.bogus:
        seen = Evidence.elsewhere(f"{name} TXT", "resolver", "SERVFAIL, and an answer where nothing is checked (CD)")
        return wrong(f"The DNSSEC signatures of {name} are wrong, so resolvers withhold its records.").seen(seen)
    yield from records(name, RecordType.TXT)
    return fine(f"Resolvers give the records of {name}.")


@check(
    "DNS03",
    Severity.ERROR,
    _aliases,
    meaning="Aliases are short and lead somewhere: whoever registers the name at a loose end speaks for this one.",
    cure="Let the CNAME lead to a name that exists, or take it out.",
)
def aliases_lead_somewhere(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    chain = [name]
    while target := (yield from alias(chain[-1])):
        if target in chain or len(chain) > 2 * _LONGEST_CHAIN:
            said = f"{name} leads in a circle or to no end: {' → '.join((*chain, target))}."
            return wrong(said, *_in_its_place(facts, name))
        chain.append(target)
    if len(chain) == 1:
        return fine(f"{name} is no alias.")
    end = yield from reply(chain[-1], RecordType.TXT)
    if isinstance(end, NoSuchName):
        return wrong(f"{name} leads to {chain[-1]}, which does not exist.", *_in_its_place(facts, name))
    if len(chain) - 1 > _LONGEST_CHAIN:
        return warn(f"{name} leads over {len(chain) - 1} aliases; some receivers give up.")
    return fine(f"{name} leads to {chain[-1]}.")


@check(
    "DNS04",
    Severity.ERROR,
    _receiving,
    meaning="The name exists: receivers treat mail from names that do not as forged (np=, RFC 9989 §4.7).",
    cure="Publish its records.",
)
def exists(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    for kind in (RecordType.MX, RecordType.A):
        answer = yield from reply(name, kind)
        if isinstance(answer, NoSuchName):
            return wrong(f"{name} does not exist.", *facts.to_publish(name, "MX"), *facts.to_publish(name, "TXT"))
    return fine(f"{name} exists.")


@check(
    "DNS05",
    Severity.WARNING,
    _public_egress,
    meaning="No address that mail leaves from is on a blocklist that many receivers ask (RFC 5782).",
    cure="Find out why (the list's pages tell), stop it, and ask the list to take the address out.",
)
def not_listed(facts: DoctorFacts, ip: str) -> Dialogue[Opinion]:
    reverse = ip_address(ip).reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
    listed, silent = [], []
    for blocklist in facts.blocklists:
        answer = yield Ask(f"{reverse}.{blocklist}", RecordType.A)
        codes = answer.records if isinstance(answer, Found) else ()
        if isinstance(answer, LookupFailed) or any(code.startswith(_REFUSES_RESOLVERS) for code in codes):
            silent.append(blocklist)
        elif codes:
            listed.append(f"{blocklist} ({', '.join(codes)})")
    if listed:
        return wrong(f"{ip} is listed by {', '.join(listed)}.")
    if silent:
        return unknown(f"{', '.join(silent)} did not answer about {ip}; some do not serve public resolvers.")
    return fine(f"{ip} is on none of {', '.join(facts.blocklists)}.")


CHECKS = (
    named_both_ways,
    named_as_we_say,
    servers_agree,
    well_signed,
    aliases_lead_somewhere,
    exists,
    not_listed,
)


def _in_its_place(facts: DoctorFacts, name: str) -> tuple[DnsRecord, ...]:
    """The record that should stand at a name instead of an alias that leads nowhere, if one is known."""
    if any(key.name == name for key in facts.keys):
        return as_meant(facts, name)
    return facts.to_publish(name, "CNAME") or facts.to_publish(name, "TXT")


def _same_state(name: str, starts: Mapping[str, Answer[str]]) -> Opinion:
    """Serial numbers differ for a while after each change, and with some providers always: no error by itself."""
    seen = Evidence.everywhere(Ask(name, RecordType.SOA), starts)
    serials = {server: _serial(answer) for server, answer in starts.items() if isinstance(answer, Found)}
    lame = [server for server, answer in starts.items() if not isinstance(answer, Found | LookupFailed)]
    refusing = [
        server
        for server, answer in starts.items()
        if isinstance(answer, LookupFailed) and answer.why in (LookupFault.REFUSED, LookupFault.LAME)
    ]
    told = ", ".join(f"{server} ({serial})" for server, serial in serials.items())
    if lame or refusing:
        others = ", ".join((*lame, *refusing))
        return warn(f"NS records lead to {others}, which does not know the zone of {name}.").seen(*seen)
    if len(set(serials.values())) > 1:
        return warn(f"The servers of the zone of {name} have different states of it: {told}.").seen(*seen)
    if not starts:
        return unknown(f"Which servers the zone of {name} has could not be found out.")
    if not serials:
        return unknown(f"No server of the zone of {name} answers.").seen(*seen)
    return fine(f"The servers of the zone of {name} have the same state of it: {told}.").seen(*seen)


def _serial(answer: Found[str]) -> str:
    return answer.records[0].split()[2]


def _names_of(ip: str) -> Dialogue[tuple[str, ...]]:
    found = yield from records(ip_address(ip).reverse_pointer, RecordType.PTR)
    return tuple(name for record in found if well_formed(name := record.rstrip(".").lower()))


def _pointer(ip: str, name: str) -> DnsRecord:
    return DnsRecord(name=ip_address(ip).reverse_pointer, type="PTR", value=name, why=f"the name of {ip}")
