"""Each check: what is well, what is wrong with what grave a word, what mends it, and what nobody can tell."""

import hashlib
from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from homing.loop.doctor.checks import CHECKS, worst
from homing.loop.doctor.facts import Fetched, HostProbe, PublishedAt
from homing.loop.doctor.finding import Outcome, Severity, examine
from homing.mail.dkim import SigningKey
from homing.mail.dns_question import Answer, Ask, Found, LookupFailed, LookupFault, NoData
from tests.mail.answering import FAILS, SIGNED, Zones, run

from .certificates import certificate, key_of, mark_certificate
from .examined import (
    FROM,
    HELO,
    IP,
    KEY,
    OLD_KEY,
    ORGANIZATION,
    POINTER,
    POLICY,
    RETURN,
    SOA,
    TENANT_KEY,
    Records,
    facts,
    findings,
    key,
    of,
    specimen,
    zones,
)

TINY_KEY = (
    "v=DKIM1; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBANwMS/LLVhHk/3tLvkgivnu3B869VyCwTQz/YDQEjzpkchT"
    "rIoJU3EzpgTAZYXdhe5WxhnawH9SAT6MaFcuigHsCAwEAAQ=="
)
POLICY_AT = f"https://mta-sts.{FROM}/.well-known/mta-sts.txt"
PICTURE, MARK = "https://x.com/a.svg", "https://x.com/a.pem"
TINY = (
    b'<svg xmlns="http://www.w3.org/2000/svg" version="1.2" baseProfile="tiny-ps" viewBox="0 0 10 10">'
    b"<title>Acme</title></svg>"
)
GRAVITY = (Outcome.OK, Outcome.INFO, Outcome.UNKNOWN, Outcome.WARNING, Outcome.BROKEN)


def weak_key(bits: int, exponent: int = 65537) -> dict[str, Records]:
    private = generate_private_key(public_exponent=exponent, key_size=bits)
    return published(SigningKey(FROM, "h1", private).dns_record())


def key_of_bits(bits: int) -> dict[str, Records]:
    """A public key that has no private half: only its size counts."""
    public = RSAPublicNumbers(65537, (1 << bits - 1) + 1).public_key()
    octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return published(f"v=DKIM1; p={b64encode(octets).decode()}")


def dmarc(text: str, name: str = FROM) -> dict[str, Records]:
    return {f"_dmarc.{name}": [("TXT", text)]}


def spf(*texts: str, name: str = RETURN) -> dict[str, Records]:
    return {name: [*(("TXT", text) for text in texts), ("MX", f"10 {HELO}.")]}


def many_hosts(count: int) -> dict[str, Records]:
    """A domain with so many mail hosts."""
    hosts = [f"h{number}.many.net" for number in range(count)]
    found: dict[str, Records] = {host: [("A", f"8.0.0.{number}")] for number, host in enumerate(hosts)}
    return {"many.net": [("MX", f"10 {host}.") for host in hosts], **found}


def published(text: str) -> dict[str, Records]:
    return {KEY: [("TXT", text)]}


def without_body_end(raw: bytes) -> bytes:
    return raw.removesuffix(b"\r\n")


def with_l(raw: bytes) -> bytes:
    return raw.replace(b"c=relaxed/relaxed;", b"c=relaxed/relaxed; l=5;")


def pinned(kind: str, meant: bytes, *, signed: bool = False) -> dict[str, Records]:
    """A TLSA record of our host, perhaps vouched for by a resolver."""
    *_, matching = kind
    digest = {"0": meant.hex, "1": hashlib.sha256(meant).hexdigest, "2": hashlib.sha512(meant).hexdigest}[matching]()
    return {f"_25._tcp.{HELO}": [("TLSA", f"{kind} {digest}"), *([(SIGNED, SIGNED)] if signed else [])]}


def shows(*certificates: bytes) -> dict[str, Any]:
    return {"probes": {HELO: HostProbe(host=HELO, ip=IP, starttls=True, certificates=certificates)}}


def starts(*told: str | LookupFault) -> dict[str, Answer[str]]:
    """What servers say of a zone's SOA: serial numbers, or nothing."""
    return {
        f"ns{number}": LookupFailed(why=one, server="x")
        if isinstance(one, LookupFault)
        else Found(records=(SOA.replace("2026030201", one),), server="x")
        for number, one in enumerate(told, 1)
    }


def logo(picture: str, certificate: str = "", name: str = FROM) -> dict[str, Records]:
    return {f"default._bimi.{name}": [("TXT", f"v=BIMI1; l={picture}; a={certificate}")]}


Case = tuple[str, dict[str, Records | None], dict[str, Any], Outcome, str]
"""Check, what is published instead, other facts, the gravest outcome, words of its sentence."""

BROKEN, WARNING, INFO, OK, UNKNOWN = (
    Outcome.BROKEN,
    Outcome.WARNING,
    Outcome.INFO,
    Outcome.OK,
    Outcome.UNKNOWN,
)
BIG_SPF = "v=spf1 " + " ".join(f"a:n{number}.{RETURN}" for number in range(11)) + " -all"
SOME_SPF = f"v=spf1 a:{HELO} " + " ".join(f"a:{HELO}" for _ in range(8)) + " -all"
SENDERS = f"v=spf1 a:{HELO} include:gone1.net include:gone2.net include:gone3.net -all"

CASES: list[Case] = [
    ("SPF01", {RETURN: [("MX", f"10 {HELO}.")]}, {}, BROKEN, "has no SPF record"),
    ("SPF01", spf("v=spf1 -all", f"v=spf1 a:{HELO} ~all"), {}, BROKEN, "2 SPF records"),
    ("SPF02", spf("v=spf1 a:mx ipv4:1.2.3.4 -all"), {}, BROKEN, "ipv4:1.2.3.4"),
    ("SPF02", {RETURN: []}, {}, OK, "no SPF record to read"),
    ("SPF03", spf(BIG_SPF), {}, BROKEN, "11 look-ups"),
    ("SPF03", spf(SOME_SPF), {}, WARNING, "9 look-ups"),
    ("SPF04", spf(SENDERS), {}, BROKEN, "gone1.net, gone2.net, gone3.net"),
    ("SPF04", spf(f"v=spf1 a:{HELO} include:gone1.net -all"), {}, WARNING, "gone1.net"),
    ("SPF05", spf("v=spf1 ip4:192.0.2.1 -all"), {}, BROKEN, f"fail for {IP}"),
    ("SPF05", spf(f"v=spf1 ip4:{IP} ~all"), {}, BROKEN, "softfail for 2001:4860"),
    ("SPF05", spf(f"v=spf1 a:{HELO} -all", "v=spf1 -all"), {}, BROKEN, "cannot be evaluated"),
    ("SPF01", spf(f"v=spf1;a:{HELO} -all"), {}, BROKEN, "is meant as one and is none"),
    ("SPF02", spf(f"v=spf1 a:{HELO} a:-bad..name -all"), {}, BROKEN, "empty or too long"),
    ("SPF03", spf("v=spf1 mx:many.net -all") | many_hosts(11), {}, BROKEN, "more than 10 mail hosts: “mx:many.net”"),
    ("SPF03", spf("v=spf1 mx:many.net -all") | many_hosts(10), {}, OK, "1 look-ups"),
    ("SPF12", spf(f"v=spf1 a:{HELO} include:gone.net -all"), {}, BROKEN, "leads to gone.net, which has no SPF record"),
    ("SPF12", spf(f"v=spf1 a:{HELO} redirect=gone.net"), {}, BROKEN, "“redirect=gone.net”"),
    ("SPF12", spf(f"v=spf1 a:{HELO} -all redirect=gone.net"), {}, OK, ""),
    ("SPF12", spf(f"v=spf1 a:{HELO} -all include:gone.net"), {}, OK, ""),
    ("SPF12", spf(f"v=spf1 a:{HELO} include:a..net -all"), {}, BROKEN, "no name that can be looked up"),
    ("SPF12", spf(f"v=spf1 a:{HELO} include:%{{i}}.net -all"), {}, OK, ""),
    ("SPF13", spf(f"v=spf1 a:{HELO} -all ip4:8.8.8.8"), {}, WARNING, "“ip4:8.8.8.8” is never reached"),
    ("SPF13", spf(f"v=spf1 a:{HELO} -all redirect=gone.net"), {}, WARNING, "“redirect=gone.net” is never reached"),
    ("SPF13", spf(f"v=spf1 a:{HELO} ip4:192.168.1.0/24 -all"), {}, WARNING, "“ip4:192.168.1.0/24” no mail"),
    ("SPF13", spf(f"v=spf1 a:{HELO} ip4=8.8.8.8 -all"), {}, WARNING, "“ip4=8.8.8.8” is overlooked"),
    ("SPF13", spf(f"v=spf1 a:{HELO} x=8.8.8.8 -all"), {}, OK, ""),
    ("SPF13", spf(f"v=spf1 a:{HELO} ip6:fe80::1 -all"), {}, WARNING, "“ip6:fe80::1” no mail"),
    ("SPF13", spf(f"v=spf1 a:{HELO} ip4:172.32.0.0/16 ip4:100.128.0.1 -all"), {}, OK, ""),
    ("SPF13", spf(f"v=spf1 a:{HELO} ip4:10.0.0.1 -all"), {"egress": ("10.0.0.1",)}, OK, ""),
    ("SPF06", spf(f"v=spf1 a:{HELO} +all"), {}, BROKEN, "+all"),
    ("SPF06", spf(f"v=spf1 a:{HELO} ptr -all"), {}, WARNING, "ptr"),
    ("SPF06", spf("v=spf1 ip4:8.0.0.0/8 ?all"), {}, WARNING, "ip4:8.0.0.0/8, ?all"),
    ("SPF06", spf(f"v=spf1 a:{HELO}"), {}, WARNING, "ends without “all”"),
    ("SPF07", spf("v=spf1 " + "ip4:192.0.2.1 " * 40 + "-all"), {}, WARNING, "octets"),
    ("SPF08", {RETURN: [*zones()[RETURN], ("SPF", "v=spf1 -all")]}, {}, INFO, "withdrawn type"),
    ("SPF09", spf(f"v=spf1 a:{HELO} include:_spf.google.com -all", name=FROM), {}, INFO, "_spf.google.com"),
    ("SPF10", spf("v=spf1 -all", name=FROM), {}, INFO, "nobody sends"),
    ("SPF11", {RETURN: [("CNAME", "rp.acme-mail.com.")], "rp.acme-mail.com": [("A", IP)]}, {}, BROKEN, "no MX"),
    ("SPF11", {RETURN: [("A", IP)]}, {"return_alias": "rp.acme-mail.com"}, BROKEN, "not yet a CNAME"),
    (
        "SPF11",
        {RETURN: [("CNAME", "rp.other.com.")], "rp.other.com": [("A", IP)]},
        {"return_alias": "rp.acme-mail.com"},
        BROKEN,
        "leads to rp.other.com",
    ),
    (
        "SPF11",
        {RETURN: [("CNAME", "rp.acme-mail.com.")], "rp.acme-mail.com": zones()[RETURN]},
        {"return_alias": "rp.acme-mail.com"},
        OK,
        "has MX and SPF",
    ),
    ("DK01", {TENANT_KEY: [("CNAME", "k1.other.com.")]}, {}, BROKEN, "leads to k1.other.com"),
    ("DK01", {TENANT_KEY: None}, {}, BROKEN, "is no CNAME"),
    ("DK02", {KEY: None}, {}, BROKEN, "No key is published"),
    ("DK02", published("v=DKIM1; k=rsa"), {}, BROKEN, "no p="),
    ("DK02", published("k=rsa; v=DKIM1; p=" + key().dns_record().partition("p=")[2]), {}, BROKEN, "must come first"),
    ("DK02", published("v=DKIM1; k=dsa; p=AAAA"), {}, BROKEN, "k=dsa"),
    ("DK02", published("v=DKIM1; p="), {}, BROKEN, "revokes"),
    ("DK02", published("v=DKIM1; p=AAAA"), {}, BROKEN, "is not a key"),
    ("DK03", weak_key(1024), {}, WARNING, "only 1024 bits"),
    ("DK03", key_of_bits(2047), {}, WARNING, "only 2047 bits"),
    ("DK03", key_of_bits(1023), {}, BROKEN, "only 1023 bits"),
    ("DK03", weak_key(2048, 3), {}, WARNING, "the exponent 3"),
    ("DK03", published(TINY_KEY), {}, BROKEN, "only 512 bits"),
    ("DK03", published("v=DKIM1; k=ed25519; p=" + "A" * 43 + "="), {}, OK, "no RSA key"),
    ("DK02", published("v=DKIM1; k=ed25519; p=" + b64encode(bytes(32)).decode()), {}, OK, ""),
    ("DK02", published("v=DKIM1; k=ed25519; p=" + b64encode(bytes(31)).decode()), {}, BROKEN, "is not a key"),
    ("DK04", published("v=DKIM1; p=AAAA"), {}, BROKEN, "is not the one"),
    ("DK04", {KEY: None}, {}, BROKEN, "No key"),
    ("DK05", {KEY: [("TXT", key().dns_record()), ("TXT", "v=DKIM1; p=AAAA")]}, {}, BROKEN, "2 TXT records"),
    ("DK05", published(key().dns_record().replace("p=MIIB", 'p=MI" "IB')), {}, BROKEN, "quotation marks"),
    ("DK06", published(key().dns_record() + "; t=y:s"), {}, WARNING, "a test"),
    ("DK06", published(key().dns_record() + "; t=s"), {}, INFO, "t=s"),
    ("DK07", published(key().dns_record() + "; h=sha1"), {}, BROKEN, "not for SHA-256"),
    ("DK07", published(key().dns_record() + "; h=sha1 : sha256"), {}, OK, "may be used"),
    ("DK07", published(key().dns_record() + "; s=tlsrpt"), {}, BROKEN, "not for mail"),
    ("DK07", published(key().dns_record() + "; s=a; h=sha1"), {}, BROKEN, "for SHA-256: h=sha1, and not for mail: s=a"),
    (
        "DK02",
        published("k=dsa; v=DKIM1; p="),
        {},
        BROKEN,
        "come first, and nobody knows keys of the kind k=dsa, and p=",
    ),
    ("DK08", published("v=DKIM1; p=AAAA"), {}, BROKEN, "not verified"),
    ("DK08", {KEY: None}, {}, BROKEN, "no key is published"),
    (
        "DK08",
        {},
        {"by_server": {KEY: {"ns1": Found(records=(key().dns_record(),), server="x"), "ns2": NoData(server="y")}}},
        BROKEN,
        "not verified with what ns2 says",
    ),
    ("DK09", {OLD_KEY: [("TXT", key().dns_record())]}, {}, WARNING, "still published"),
    ("DK09", {OLD_KEY: [("TXT", "v=DKIM1; p=")]}, {}, OK, "revoked"),
    ("DK10", {}, {"times_to_live": {KEY: 86400.0}}, WARNING, "86400 seconds"),
    ("DK10", {}, {"times_to_live": {KEY: 3600.0}}, OK, "not keep"),
    ("DNS02", {}, {"bogus": frozenset({RETURN})}, BROKEN, "signatures"),
    ("DM01", {f"_dmarc.{FROM}": [("TXT", "v=DMARC1; p=none"), ("TXT", "v=DMARC1; p=reject")]}, {}, BROKEN, "2 DMARC"),
    ("DM01", {f"_dmarc.{FROM}": None, f"_dmarc.{ORGANIZATION}": None}, {}, BROKEN, "no DMARC record"),
    ("DM01", {f"_dmarc.{FROM}": None}, {}, INFO, f"of {ORGANIZATION} holds"),
    ("DM02", dmarc("v=dmarc1; p=none"), {}, BROKEN, "v=dmarc1"),
    ("DM02", dmarc("p=none; v=DMARC1"), {}, BROKEN, "is none"),
    ("DM03", dmarc("v=DMARC1; p=nothing"), {}, BROKEN, "p=nothing"),
    ("DM03", dmarc(f"v=DMARC1; rua=mailto:dmarc@{FROM}"), {}, WARNING, "p= is missing"),
    ("DM03", dmarc(f"v=DMARC1; rua=mailto:dmarc@{FROM}; p=none"), {}, INFO, "does not stand next to v=DMARC1"),
    ("DM03", {f"_dmarc.{FROM}": None, f"_dmarc.{ORGANIZATION}": None}, {}, OK, "no DMARC record"),
    ("DM04", dmarc("v=DMARC1; p=none"), {}, WARNING, "Nobody gets"),
    ("DM04", dmarc("v=DMARC1; p=none; rua=mailto:a@b.com"), {}, WARNING, "a@b.com, and not to us"),
    ("DM04", dmarc("v=DMARC1; p=none"), {"reports_to": ""}, WARNING, "no aggregate reports"),
    ("DM05", dmarc("v=DMARC1; p=none; rua=mailto:a@other.com"), {}, BROKEN, "other.com"),
    (
        "DM05",
        dmarc("v=DMARC1; p=none; rua=mailto:a@other.com") | {f"{FROM}._report._dmarc.other.com": [("TXT", "v=DMARC1")]},
        {},
        OK,
        "other.com wants",
    ),
    ("DM06", {f"_dmarc.{ORGANIZATION}": None}, {}, WARNING, f"_dmarc.{ORGANIZATION} has no record"),
    ("DM06", {f"_dmarc.{ORGANIZATION}": None}, {"return_domain": "b.acme-mail.com"}, BROKEN, "do not align"),
    (
        "DM07",
        {f"_dmarc.{ORGANIZATION}": None, "b.acme-mail.com": [("A", IP)]},
        {"return_domain": "b.acme-mail.com"},
        BROKEN,
        "SPF by the tree walk",
    ),
    ("DM07", {}, {"keys": (PublishedAt(domain="other.com", selector="a"),)}, BROKEN, "DKIM by the public suffix list"),
    ("DM08", dmarc("v=DMARC1; p=none; psd=y"), {}, WARNING, "public suffix"),
    ("DM08", dmarc("v=DMARC1; p=none; psd=n"), {"return_domain": "b.acme-mail.com"}, WARNING, "another organization"),
    ("DM08", dmarc("v=DMARC1; p=none; psd=n"), {}, OK, "No psd="),
    (
        "DM08",
        dmarc("v=DMARC1; p=none; psd=n"),
        {"domain": f"a.{FROM}", "return_domain": ""},
        WARNING,
        f"{FROM} the organization of a.{FROM}; the public suffix list says {ORGANIZATION}",
    ),
    ("DM09", dmarc("v=DMARC1; p=none; pct=50; ri=86400"), {}, INFO, "pct=50, ri=86400"),
    ("DM09", dmarc("v=DMARC1; p=reject; t=y"), {}, INFO, "t=y lowers"),
    ("DM09", dmarc("v=DMARC1; p=reject; pct=0; t=y"), {}, INFO, "roll-out"),
    ("DM10", dmarc("v=DMARC1; p=reject; sp=none"), {}, WARNING, "sp=none is weaker"),
    ("DM10", dmarc("v=DMARC1; p=quarantine; sp=none"), {}, WARNING, "sp=none is weaker"),
    ("DM10", dmarc("v=DMARC1; p=reject; sp=quarantine"), {}, WARNING, "sp=quarantine is weaker"),
    ("DM10", dmarc("v=DMARC1; p=none; sp=reject; np=reject"), {}, OK, "Names below are protected"),
    ("DM10", dmarc("v=DMARC1; p=reject"), {}, INFO, "np= is missing"),
    ("DM11", dmarc(f"v=DMARC1; p=none; ruf=mailto:f@{FROM}"), {}, INFO, f"f@{FROM}"),
    (
        "DM12",
        {f"_dmarc.{FROM}": [("CNAME", "dmarc.other.com.")], "dmarc.other.com": [("TXT", "v=DMARC1; p=none")]},
        {},
        WARNING,
        "an alias of dmarc.other.com",
    ),
    ("DM12", {f"homing-doctor-asks-for-nothing.{FROM}": [("TXT", "v=DMARC1; p=none")]}, {}, WARNING, "wildcard"),
    ("DM13", {}, {"keys": (PublishedAt(domain=ORGANIZATION, selector="a"),)}, BROKEN, "adkim=s"),
    ("DM13", dmarc("v=DMARC1; p=none; aspf=s"), {}, WARNING, "by DKIM alone"),
    ("DM14", {FROM: [*zones()[FROM], ("TXT", "v=DMARC1; p=none")]}, {}, WARNING, "nobody reads it"),
    (
        "DM14",
        {FROM: [*zones()[FROM], ("TXT", "v=DMARC1; p=none")], f"_dmarc.{FROM}": None},
        {},
        BROKEN,
        f"stands at {FROM} itself",
    ),
    ("PTR01", {POINTER: None}, {}, BROKEN, f"{IP} has no name"),
    ("PTR01", {POINTER: [("PTR", "host.net.")], "host.net": [("A", "8.8.8.8")]}, {}, BROKEN, "has not this address"),
    ("PTR02", {POINTER: [("PTR", "host.net.")]}, {}, WARNING, f"We say {HELO} in EHLO, and {IP} is host.net"),
    ("PTR02", {HELO: [("A", "8.8.8.8")]}, {}, WARNING, "has not the address"),
    ("MX01", {RETURN: [("A", IP)]}, {}, BROKEN, "no MX record"),
    ("MX01", {RETURN: [("MX", "10 dead.net.")]}, {}, BROKEN, "dead.net, where mail"),
    ("MX01", {RETURN: [("MX", "10 dead.net."), ("MX", f"5 {HELO}.")]}, {}, WARNING, "dead.net, where mail"),
    ("MX02", {FROM: [("MX", "0 .")]}, {}, BROKEN, "null MX"),
    ("MX02", {FROM: [("MX", "10 8.8.4.4.")]}, {}, BROKEN, "must name a host"),
    ("MX02", {FROM: [("MX", f"10 8.8.4.4.{FROM}.")]}, {}, BROKEN, "must name a host"),
    ("MX02", {FROM: [("MX", "10 [8.8.4.4].")]}, {}, BROKEN, "must name a host"),
    ("MX02", {FROM: [("MX", "0 ."), ("MX", f"10 {HELO}.")]}, {}, BROKEN, "must stand alone"),
    ("MX02", {RETURN: [("MX", "0 .")]}, {}, BROKEN, "null MX"),
    ("MX01", {FROM: [("MX", "0 ."), ("MX", f"10 {HELO}.")]}, {}, OK, f"goes to {HELO}."),
    ("MX01", {FROM: [("MX", "0 ."), ("MX", "10 8.8.4.4.")]}, {}, BROKEN, "No MX record of"),
    ("MX02", {FROM: [("MX", "10 www.net.")], "www.net": [("CNAME", f"{HELO}.")]}, {}, WARNING, "an alias"),
    ("MX03", {}, {"probes": {HELO: HostProbe(host=HELO, ip=IP, silence="timeout")}}, UNKNOWN, "said nothing"),
    ("MX03", {}, {"probes": {HELO: HostProbe(host=HELO, ip=IP)}}, WARNING, "no STARTTLS"),
    (
        "MX03",
        {},
        {"probes": {HELO: HostProbe(host=HELO, ip=IP, refused={"": "550 no"})}},
        BROKEN,
        "null sender: 550 no",
    ),
    ("RP01", {}, {"probes": {HELO: HostProbe(host=HELO, ip=IP, silence="closed")}}, UNKNOWN, "said nothing"),
    ("RP01", {}, {"probes": {HELO: HostProbe(host=HELO, ip=IP, refused={"abuse@x": "550"})}}, WARNING, "abuse@x"),
    ("TLS01", {f"_mta-sts.{FROM}": None}, {}, INFO, "announces no"),
    ("TLS01", {f"_mta-sts.{FROM}": [("TXT", "v=STSv1;")]}, {}, WARNING, "id="),
    ("TLS01", {}, {"policies": {}}, UNKNOWN, "not fetched"),
    ("TLS01", {}, {"policies": {FROM: Fetched(url=POLICY_AT, failure="404")}}, WARNING, "404"),
    ("TLS01", {}, {"policies": {FROM: Fetched(url=POLICY_AT, content=b"mode: hard")}}, WARNING, "max_age"),
    (
        "TLS01",
        {},
        {"policies": {FROM: Fetched(url=POLICY_AT, content=POLICY.replace(HELO, "mx").encode())}},
        WARNING,
        "does not name",
    ),
    (
        "TLS01",
        {},
        {
            "policies": dict.fromkeys(
                (FROM, RETURN), Fetched(url=POLICY_AT, content=POLICY.replace("enforce", "testing").encode())
            )
        },
        INFO,
        "mode: testing",
    ),
    ("TLS02", {f"_25._tcp.{HELO}": [("TLSA", "1 1 1 00")]}, {}, BROKEN, "usage 1"),
    ("TLS02", {f"_25._tcp.{HELO}": [("TLSA", "3 1 1 00")]}, {}, BROKEN, "has 1 octets where"),
    ("TLS02", {f"_25._tcp.{HELO}": [("TLSA", "3 1 2 00")]}, {}, BROKEN, "has 1 octets where its digest has 64"),
    ("TLS02", {f"_25._tcp.{HELO}": [("TLSA", "3 1 3 00")]}, {}, BROKEN, "nobody knows: 3 1 3"),
    ("TLS02", {f"_25._tcp.{HELO}": [("TLSA", "3 1 1 xyz")]}, {}, BROKEN, "cannot be read"),
    ("TLS02", pinned("3 1 1", b"another", signed=True), shows(certificate()), BROKEN, "fits the certificate"),
    ("TLS02", pinned("3 1 1", key_of(certificate()), signed=True), shows(certificate()), OK, "fit the certificates"),
    ("TLS02", pinned("3 0 0", certificate(), signed=True), shows(certificate()), OK, "fit the certificates"),
    ("TLS02", pinned("3 0 2", certificate(), signed=True), shows(certificate()), OK, "fit the certificates"),
    ("TLS02", pinned("2 0 1", b"authority", signed=True), shows(certificate(), b"authority"), OK, "fit"),
    ("TLS02", pinned("2 0 1", b"authority", signed=True), shows(certificate(), b"other"), BROKEN, "fits the"),
    ("TLS02", pinned("2 0 1", b"authority", signed=True), shows(certificate()), OK, "fit"),
    ("TLS02", pinned("3 1 1", b"any", signed=True), {}, OK, "were not looked at"),
    ("TLS02", pinned("3 1 1", key_of(certificate())), shows(certificate()), UNKNOWN, "checks no signatures"),
    (
        "TLS02",
        pinned("3 1 1", key_of(certificate())) | {"com": [("SOA", SOA), (SIGNED, SIGNED)]},
        shows(certificate()),
        WARNING,
        "not in a signed zone",
    ),
    ("TLS03", {f"_smtp._tls.{FROM}": None}, {}, WARNING, "asks for no TLS reports"),
    ("TLS03", {f"_smtp._tls.{FROM}": [("TXT", "v=TLSRPTv1")]}, {}, WARNING, "no record that could be used"),
    (
        "DNS01",
        {},
        {"by_server": {KEY: {"1.1.1.1": Found(records=("a",), server="x"), "2.2.2.2": NoData(server="y")}}},
        BROKEN,
        "do not say the same: 1.1.1.1, 2.2.2.2",
    ),
    (
        "DNS01",
        {},
        {"by_server": {KEY: {"1.1.1.1": LookupFailed(why=LookupFault.TIMEOUT, server="x")}}},
        UNKNOWN,
        "Nobody answers",
    ),
    ("DNS01", {}, {"starts": {FROM: starts("2026030201", "2026030200")}}, WARNING, "different states of it"),
    ("DNS01", {}, {"starts": {FROM: starts("1", LookupFault.REFUSED)}}, WARNING, "lead to ns2, which does not know"),
    ("DNS01", {}, {"starts": {FROM: starts("1", LookupFault.TIMEOUT)}, "by_server": {}}, OK, "ns1 (1)"),
    ("DNS01", {}, {"starts": {FROM: starts(LookupFault.TIMEOUT)}}, UNKNOWN, "No server"),
    ("DNS03", {TENANT_KEY: [("CNAME", "gone.net.")]}, {}, BROKEN, "does not exist"),
    ("DNS03", {TENANT_KEY: [("CNAME", f"{TENANT_KEY}.")]}, {}, BROKEN, "in a circle"),
    (
        "DNS03",
        {TENANT_KEY: [("CNAME", "c1.net.")]}
        | {f"c{n}.net": [("CNAME", f"c{n + 1}.net.")] for n in range(1, 4)}
        | {"c4.net": [("A", IP)]},
        {},
        WARNING,
        "over 4 aliases",
    ),
    (
        "DNS04",
        {FROM: None, RETURN: None} | {name: None for name in zones() if name.endswith(FROM)},
        {},
        BROKEN,
        "exist",
    ),
    ("DNS05", {"4.4.8.8.zen.list.org": [("A", "127.0.0.2")]}, {}, WARNING, "zen.list.org (127.0.0.2)"),
    ("DNS05", {"4.4.8.8.zen.list.org": [("A", "127.255.255.254")]}, {}, UNKNOWN, "did not answer"),
    ("BI01", logo(PICTURE), {}, INFO, "has no certificate"),
    ("BI01", logo("http://x.com/a.svg"), {}, INFO, "names no logo"),
    ("BI01", logo(""), {}, OK, "says that it has no logo"),
    ("BI01", {f"default._bimi.{FROM}": [("TXT", "v=spf1")]}, {}, OK, "announces no logo"),
    ("BI01", dmarc("v=DMARC1; p=none") | logo(PICTURE), {}, INFO, "not enforced"),
    ("BI01", dmarc("v=DMARC1; p=reject; sp=none") | logo(PICTURE), {}, INFO, "not enforced"),
    ("BI01", logo(PICTURE), {"files": {PICTURE: Fetched(failure="HTTP status 404")}}, INFO, "404"),
    ("BI01", logo(PICTURE), {"files": {PICTURE: Fetched(content=b"<svg/>")}}, INFO, "The logo is no SVG."),
    (
        "BI01",
        logo(PICTURE, MARK),
        {"files": {PICTURE: Fetched(content=TINY), MARK: Fetched(content=mark_certificate("other.com"))}},
        INFO,
        "is for other.com",
    ),
    (
        "BI01",
        logo(PICTURE, MARK),
        {"files": {PICTURE: Fetched(content=TINY), MARK: Fetched(failure="no connection")}},
        INFO,
        "certificate cannot be had",
    ),
    (
        "BI01",
        logo(PICTURE, MARK, name=ORGANIZATION),
        {"files": {PICTURE: Fetched(content=TINY), MARK: Fetched(content=mark_certificate(ORGANIZATION))}},
        OK,
        "is enforced",
    ),
    ("M01", {}, {"specimen": b"From: a@x.com\r\n" + specimen()}, BROKEN, "2 From"),
    ("M02", {}, {"domain": "other.com"}, BROKEN, "No signature of other.com"),
    ("M02", {}, {"specimen": specimen().replace(b"h=from:from:", b"h=from:")}, BROKEN, "add another From"),
    ("M02", {}, {"specimen": specimen().replace(b"content-type", b"x-type")}, BROKEN, "Content-Type"),
    ("M03", {}, {"specimen": with_l(specimen())}, BROKEN, "l="),
    ("M04", {}, {"specimen": b"List-Unsubscribe: <https://x.com>\r\n" + specimen()}, WARNING, "belong together"),
    (
        "M04",
        {},
        {
            "specimen": b"List-Unsubscribe: <https://x.com>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
            + specimen().replace(b"list-unsubscribe-post", b"x-post")
        },
        WARNING,
        "No signature covers",
    ),
    ("M05", {}, {"specimen": specimen().replace(b"Message-ID:", b"X-ID:")}, WARNING, "missing"),
    (
        "M05",
        {},
        {"specimen": specimen().replace(f"<1.2@{RETURN}".encode(), b"<1.2@evil.com")},
        WARNING,
        "no domain of ours",
    ),
    ("M06", {}, {"specimen": specimen() + b"a\nb\r\n"}, BROKEN, "bare CR or LF"),
    ("M06", {}, {"specimen": specimen() + b"a" * 999 + b"\r\n"}, BROKEN, "longer than 998"),
    ("M06", {}, {"specimen": specimen() + b"a" * 998 + b"\r\n"}, OK, "as they should be"),
    ("M06", {}, {"specimen": without_body_end(specimen())}, BROKEN, "no end"),
    ("M08", {}, {"specimen": specimen().replace(b"CFBL-Address", b"X-Address")}, INFO, "does not say where"),
    ("M08", {}, {"specimen": specimen().replace(b"cfbl-address", b"x")}, INFO, "covers cfbl-address"),
    ("M08", {}, {"specimen": b"Feedback-ID: a:b\r\n" + specimen().replace(b":feedback-id", b"")}, INFO, "feedback-id"),
    ("M08", {}, {"specimen": specimen().replace(b"fbl@post.acme-mail.com", b"a@b.com")}, INFO, "leads to b.com"),
    ("RT01", {}, {"replies_to": ("corp.com", "gmail.com")}, INFO, "Replies go to gmail.com"),
    ("RT01", {}, {"specimen": b"Reply-To: Janet <janet@GMX.de>\r\n" + specimen()}, INFO, "Replies go to gmx.de"),
    ("M07", {}, {"specimen": specimen().replace(b"x=1773046800", b"x=1")}, WARNING, "before it was made"),
    (
        "M07",
        {},
        {"specimen": specimen().replace(b"x=1773046800; ", b"").replace(b"x=1773046800;", b"")},
        WARNING,
        "say",
    ),
]


def spoilt(changes: dict[str, Records | None]) -> dict[str, Records]:
    return {name: records for name, records in (zones() | changes).items() if records is not None}


def test_nothing_is_wrong_with_what_is_well() -> None:
    bad = {which: one.sentence for which, one in findings(facts(), zones()).items() if one.outcome is not Outcome.OK}
    assert set(bad) <= {("DK06", KEY), ("DK06", TENANT_KEY)}, bad


@pytest.mark.parametrize("case", CASES, ids=[f"{case[0]}-{number}" for number, case in enumerate(CASES)])
def test_what_is_wrong(case: Case) -> None:
    identifier, changes, other, outcome, words = case
    found = of(identifier, facts(**other), spoilt(changes))
    gravest = max(found, key=lambda one: GRAVITY.index(one.outcome))
    assert (gravest.outcome, words in gravest.sentence) == (outcome, True), gravest
    if outcome in (BROKEN, WARNING):
        assert gravest.cure
    assert worst(found) is outcome


def test_every_check_has_a_case_that_is_wrong() -> None:
    covered = {case[0] for case in CASES if case[3] in (BROKEN, WARNING, INFO)}
    assert {check.id for check in CHECKS} <= covered


@pytest.mark.parametrize("fault", list(LookupFault))
def test_silence_is_never_a_fault(fault: LookupFault) -> None:
    for check in CHECKS:
        for about in check.about(facts()):
            dialogue = examine(check, facts(), about)
            asked = 0
            try:
                next(dialogue)
                while True:
                    asked += 1
                    dialogue.send(LookupFailed(why=fault, server="9.9.9.9"))
            except StopIteration as end:
                finding = end.value
            if asked:
                assert finding.outcome is Outcome.UNKNOWN, (check.id, finding)
                assert fault in finding.evidence[0].answer


@pytest.mark.parametrize("lost", [name for name in zones() if name != "net"])
def test_one_silent_name_never_makes_a_fault(lost: str) -> None:
    silent = zones() | {lost: [(FAILS, FAILS)]}
    outcomes = {which: one for which, one in findings(facts(), silent).items() if one.outcome is Outcome.BROKEN}
    assert outcomes == {}


def test_what_mends_it_mends_it() -> None:
    """The records that a finding gives make its check content, or nearly so."""
    mended = 0
    for identifier, changes, other, _, _ in CASES:
        if "by_server" in other:  # what each server says is not of this DNS
            continue
        examined, published_now = facts(**other), spoilt(changes)
        for finding in of(identifier, examined, published_now):
            if (
                finding.outcome not in (BROKEN, WARNING)
                or not finding.records
                or identifier in ("DM07", "SPF11", "DK10")
            ):
                continue
            better = dict(published_now)
            for record in finding.records:
                dotted = f"{record.value}." if record.type in ("CNAME", "MX", "PTR") else record.value
                kept = [] if record.type == "CNAME" else better.get(record.name, [])
                better[record.name] = [
                    *(one for one in kept if not _replaced(record.name, one, record.type, record.value)),
                    (record.type, dotted),
                ]
            again = [one for one in of(identifier, examined, better) if one.about == finding.about]
            assert GRAVITY.index(again[0].outcome) < GRAVITY.index(finding.outcome), (finding, again[0])
            mended += 1
    assert mended > 30


def _replaced(name: str, one: tuple[str, str], kind: str, value: str) -> bool:
    if one[0] == "CNAME" or (kind == "TXT" and "_domainkey" in name):
        return True
    if kind != "TXT":
        return one[0] == kind
    return one[0] == "TXT" and (one[1][:6].lower() == value[:6].lower() or "dmarc" in one[1].lower())


def test_evidence_says_who_was_asked_what() -> None:
    (finding, *_) = of("SPF01", facts(), zones())
    (one,) = finding.evidence
    assert (one.query, one.server, one.answer) == (f"{RETURN} TXT", "here", f"v=spf1 a:{HELO} -all")


def test_strangers_text_is_cleaned() -> None:
    (finding, *_) = of("SPF01", facts(), spoilt(spf("v=spf1 \x1b[31m\nred")))
    assert finding.evidence[0].answer == "v=spf1 red"


def test_severities_and_ids() -> None:
    assert len({check.id for check in CHECKS}) == len(CHECKS)
    assert {check.severity for check in CHECKS} == set(Severity)
    assert all(check.meaning.endswith(".") and check.cure.endswith(".") for check in CHECKS)


def test_a_stranger_is_examined_with_his_domain_alone() -> None:
    stranger = replace(facts(), return_domain="", hostname="", egress=(), keys=(), publish=(), specimen=b"")
    assert {about for _, about in findings(stranger, zones())} >= {FROM}


def test_a_question_is_asked_of_the_dns_alone() -> None:
    zone = Zones(zones())
    for check in CHECKS:
        for about in check.about(facts()):
            run(examine(check, facts(), about), zone)
    assert all(isinstance(ask, Ask) for ask in zone.asked)
