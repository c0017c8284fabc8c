"""The hosts that take a domain's mail: its MX records, and what the hosts say (RFC 5321 §5.1, RFC 7505)."""

from collections.abc import Iterable
from ipaddress import ip_address

from homing.loop.doctor.facts import DoctorFacts, HostProbe
from homing.loop.doctor.finding import (
    Evidence,
    Offer,
    Opinion,
    Severity,
    addresses,
    alias,
    check,
    exchanges,
    fine,
    note,
    records,
    settled,
    unknown,
    warn,
    wrong,
)
from homing.loop.domains.dns_records import DnsRecord
from homing.mail.dns_question import Dialogue, RecordType


def _receiving(facts: DoctorFacts) -> Iterable[str]:
    return dict.fromkeys(name for name in (facts.domain, facts.return_domain) if name)


def _coming_to_us(facts: DoctorFacts) -> Iterable[str]:
    return [facts.return_domain] if facts.of_organization else _receiving(facts)


def _probed(facts: DoctorFacts) -> Iterable[str]:
    return facts.probes


@check(
    "MX01",
    Severity.ERROR,
    _coming_to_us,
    meaning="Bounces and replies find a way back: the return path and the domain in From have MX records that lead to "
    "hosts with addresses (RFC 5321 §5.1).",
    cure="Publish the MX record, and addresses for the host that it names.",
)
def can_receive(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    hosts = yield from exchanges(name)
    if not hosts:
        return wrong(f"{name} has no MX record.", *facts.to_publish(name, "MX"))
    if set(hosts) == {""}:
        return note(f"{name} takes no mail (null MX).")
    named = [host for host in hosts if host and not _literal(host, name)]
    dead = []
    for host in named:
        found = yield from addresses(host)
        if not found:
            dead.append(host)
    if not named:
        return wrong(f"No MX record of {name} names a host.", offered=_offer(facts, name))
    if not dead:
        return fine(f"Mail for {name} goes to {', '.join(named)}.")
    said = f"{', '.join(dead)}, where mail for {name} goes, has no address."
    return wrong(said) if len(dead) == len(named) else warn(said)


@check(
    "MX02",
    Severity.ERROR,
    _receiving,
    meaning="A domain that people reply to takes mail: its MX records name hosts, not aliases and not addresses, and a "
    "null MX stands at none of them (RFC 5321 §5.1, RFC 2181 §10.3), least of all beside others (RFC 7505 §3).",
    cure="Publish an MX record with the name of a host.",
)
def replies_arrive(facts: DoctorFacts, domain: str) -> Dialogue[Opinion]:
    hosts = yield from exchanges(domain)
    if hosts and set(hosts) == {""}:
        return wrong(f"{domain} takes no mail (null MX), so replies to it fail.", *facts.to_publish(domain, "MX"))
    faults = []
    if "" in hosts:
        faults.append(f"A null MX stands beside other MX records of {domain}; it must stand alone (RFC 7505).")
    faults += [
        f"The MX record of {domain} names the address {host}; it must name a host."
        for host in hosts
        if _literal(host, domain)
    ]
    aliases = []
    for host in hosts:
        target = (yield from alias(host)) if host and not _literal(host, domain) else ""
        if target:
            aliases.append(f"The MX record of {domain} names {host}, an alias of {target}; some senders refuse that.")
    if faults:
        return wrong(" ".join((*faults, *aliases)), offered=_offer(facts, domain))
    if aliases:
        return warn(" ".join(aliases), offered=_offer(facts, domain))
    return fine(f"The MX records of {domain} name hosts.")


@check(
    "MX03",
    Severity.ERROR,
    _probed,
    meaning="The mail host answers at port 25, offers STARTTLS, and takes mail from the null sender, as bounces are.",
    cure="Let the gateway listen at port 25 of this host, open the firewall, and give it a certificate.",
)
def host_answers(facts: DoctorFacts, host: str) -> Dialogue[Opinion]:
    probe = facts.probes[host]
    sender_refused = [text for address, text in probe.refused.items() if not address]
    if probe.silence:
        opinion = unknown(f"{host} [{probe.ip}] said nothing at port 25: {probe.silence}.")
    elif sender_refused:
        opinion = wrong(f"{host} refuses the null sender: {sender_refused[0]}")
    elif not probe.starttls:
        opinion = warn(f"{host} offers no STARTTLS, so bounces travel in the clear.")
    elif probe.tls_failure:
        opinion = warn(
            f"{host} offers STARTTLS, and it fails: {probe.tls_failure}. Bounces travel in the clear, or not."
        )
    else:
        opinion = fine(f"{host} answers, offers STARTTLS and takes mail from the null sender.")
    return (yield from settled(opinion.seen(_as_told(probe))))


@check(
    "RP01",
    Severity.WARNING,
    _probed,
    meaning="postmaster@ and abuse@ take mail at our mail hosts (RFC 5321 §4.5.1, RFC 2142).",
    cure="Let the host accept both addresses.",
)
def roles_answer(facts: DoctorFacts, host: str) -> Dialogue[Opinion]:
    probe = facts.probes[host]
    refused = [f"{address} ({text})" for address, text in probe.refused.items() if address]
    if probe.silence:
        opinion = unknown(f"{host} said nothing at port 25: {probe.silence}.")
    elif refused:
        opinion = wrong(f"{host} refuses {', '.join(refused)}.")
    else:
        opinion = fine(f"{host} takes mail for postmaster and abuse.")
    return (yield from settled(opinion.seen(_as_told(probe))))


CHECKS = (can_receive, replies_arrive, host_answers, roles_answer)


def _offer(facts: DoctorFacts, name: str) -> Dialogue[Offer]:
    """The MX records of a name without those that name no host, each host by its own name. They are offered together:
    they stand in place of all that are there, and one of them leads to an address at least."""
    kept: dict[str, str] = {}
    reached = False
    for record in sorted((yield from records(name, RecordType.MX)), key=_preference):
        host = record.partition(" ")[2].rstrip(".").lower()
        if not host or _literal(host, name):
            continue
        own_name = (yield from alias(host)) or host
        kept.setdefault(own_name, str(_preference(record)))
        reached = reached or bool((yield from addresses(own_name)))
    if not reached:
        words = "Name the host that takes the mail, by a name that has an address."
        known = facts.to_publish(name, "MX")
        return Offer(records=known, words="" if known else words)
    return Offer(
        records=tuple(
            DnsRecord(name=name, type="MX", value=f"{preference} {host}", why="the mail host by its own name")
            for host, preference in kept.items()
        )
    )


def _preference(record: str) -> int:
    return int(record.split(maxsplit=1)[0])


def _as_told(probe: HostProbe) -> Evidence:
    refusals = "; ".join(f"<{address}> {text}" for address, text in probe.refused.items())
    told = probe.silence or refusals or ("it takes mail, STARTTLS" if probe.starttls else "it takes mail")
    return Evidence.elsewhere(f"{probe.host} port 25", probe.ip, told)


def _literal(host: str, domain: str) -> str:
    """The address that stands in place of a host's name, with brackets or not, "" if there is none. A zone file puts
    the domain behind it where its last dot is missing."""
    text = host.removesuffix(f".{domain}").strip("[]").removeprefix("ipv6:")
    try:
        return str(ip_address(text))
    except ValueError:
        return ""
