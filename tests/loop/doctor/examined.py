"""An operator whose DNS is as it should be, and ways to spoil it."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from homing.loop.doctor.checks import CHECKS
from homing.loop.doctor.facts import DoctorFacts, Fetched, HostProbe, PublishedAt
from homing.loop.doctor.finding import Finding, examine
from homing.loop.domains.dns_records import records_to_publish
from homing.loop.domains.identity import OperatorIdentity
from homing.mail.dkim import SigningKey, sign
from homing.mail.dns_question import Found
from tests.mail.answering import Zones, run

FROM, RETURN, HELO, ORGANIZATION = "post.acme-mail.com", "b.post.acme-mail.com", "mx.acme-mail.com", "acme-mail.com"
IP, IP6 = "8.8.4.4", "2001:4860:4860::8844"
POINTER = "4.4.8.8.in-addr.arpa"
POINTER6 = "4.4.8.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.8.4.0.6.8.4.1.0.0.2.ip6.arpa"
KEY = f"h1._domainkey.{FROM}"
OLD_KEY = f"h0._domainkey.{FROM}"
TENANT_KEY = f"acme1._domainkey.{FROM}"
SOA = "ns.acme-mail.com. hostmaster.acme-mail.com. 2026030201 3600 600 86400 60"
POLICY = f"version: STSv1\r\nmode: enforce\r\nmx: {HELO}\r\nmax_age: 604800\r\n"

Records = list[tuple[str, str]]


@cache
def key() -> SigningKey:
    return SigningKey.generate(FROM, "h1")


@cache
def specimen() -> bytes:
    raw = (
        f"From: Joe <message-service@{FROM}>\r\nTo: john@corp.com\r\nSubject: Hello\r\n"
        f"CFBL-Address: fbl@{FROM}; report=arf\r\n"
        f"Date: Mon, 02 Mar 2026 09:00:00 +0000\r\nMessage-ID: <1.2@{RETURN}>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nHello.\r\n"
    ).encode()
    return sign(raw, key(), 1_772_442_000, 1_773_046_800) + raw


def facts(**changes: Any) -> DoctorFacts:
    identity = OperatorIdentity(from_domain=FROM, return_domain=RETURN)
    well = DoctorFacts(
        domain=FROM,
        return_domain=RETURN,
        hostname=HELO,
        egress=(IP, IP6),
        keys=(
            PublishedAt(domain=FROM, selector="h1", record=key().dns_record(), proof=specimen()),
            PublishedAt(domain=FROM, selector="acme1", alias="k1.t1.dkim.acme-mail.com"),
            PublishedAt(domain=FROM, selector="h0", retired=True),
        ),
        reports_to=f"dmarc@{FROM}",
        organization=ORGANIZATION,
        publish=records_to_publish(ORGANIZATION, identity, HELO, [(KEY, key().dns_record())]),
        blocklists=("zen.list.org", "other.list.org"),
        probes={HELO: HostProbe(host=HELO, ip=IP, starttls=True)},
        policies={FROM: Fetched(content=POLICY.encode()), RETURN: Fetched(content=POLICY.encode())},
        by_server={KEY: {server: Found(records=(key().dns_record(),), server=server) for server in ("9.9.9.9", IP)}},
        starts={FROM: {server: Found(records=(SOA,), server=server) for server in (IP, IP6)}},
        replies_to=("corp.com",),
        now=datetime(2026, 3, 2, tzinfo=UTC),
        specimen=specimen(),
        suffix_of=lambda name: name.rpartition(".")[2],
    )
    return replace(well, **changes)


def zones() -> dict[str, Records]:
    spf, mx = f"v=spf1 a:{HELO} -all", ("MX", f"10 {HELO}.")
    tls = [("TXT", f"v=TLSRPTv1; rua=mailto:dmarc@{FROM}")]
    strict = [("TXT", "v=STSv1; id=20260302")]
    return {
        FROM: [("TXT", spf), mx],
        RETURN: [("TXT", spf), mx],
        HELO: [("A", IP), ("AAAA", IP6), ("TXT", "v=spf1 a -all")],
        KEY: [("TXT", key().dns_record())],
        TENANT_KEY: [("CNAME", "k1.t1.dkim.acme-mail.com.")],
        "k1.t1.dkim.acme-mail.com": [("TXT", key().dns_record())],
        f"_dmarc.{FROM}": [("TXT", f"v=DMARC1; p=reject; np=reject; adkim=s; rua=mailto:dmarc@{FROM}")],
        f"_dmarc.{ORGANIZATION}": [("TXT", f"v=DMARC1; p=none; rua=mailto:dmarc@{FROM}")],
        f"_mta-sts.{FROM}": strict,
        f"_mta-sts.{RETURN}": strict,
        f"_smtp._tls.{FROM}": tls,
        f"_smtp._tls.{RETURN}": tls,
        POINTER: [("PTR", f"{HELO}.")],
        POINTER6: [("PTR", f"{HELO}.")],
        "net": [],
    }


def findings(examined: DoctorFacts, published: dict[str, Records]) -> dict[tuple[str, str], Finding]:
    """By check and what it is about."""
    return {
        (one.id, about): run(examine(one, examined, about), Zones(published))
        for one in CHECKS
        for about in one.about(examined)
    }


def of(identifier: str, examined: DoctorFacts, published: dict[str, Records]) -> list[Finding]:
    """What one check finds, whatever it is about."""
    (one,) = [check for check in CHECKS if check.id == identifier]
    return [run(examine(one, examined, about), Zones(published)) for about in one.about(examined)]
