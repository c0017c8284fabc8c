"""TLS on the way to our mail hosts: MTA-STS, DANE and TLS reports (RFC 8461, RFC 7672, RFC 8460)."""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_der_x509_certificate

from homing.loop.doctor.facts import DoctorFacts, HostProbe
from homing.loop.doctor.finding import (
    Evidence,
    Opinion,
    Severity,
    check,
    exchanges,
    fine,
    note,
    records,
    reply,
    text_record,
    unknown,
    warn,
    wrong,
)
from homing.loop.doctor.mta_sts import matches, read_policy
from homing.loop.domains.dns_records import DnsRecord
from homing.mail.dns_question import Dialogue, Found, RecordType

_SIGNED_FOR_SURE = "com"
"""A name that is signed: a resolver that does not vouch for it checks no signatures."""
_OWN_CERTIFICATE = 3
_USAGES = {2, _OWN_CERTIFICATE}
_DIGESTS: dict[int, Callable[[bytes], bytes]] = {
    0: bytes,
    1: lambda octets: hashlib.sha256(octets).digest(),
    2: lambda octets: hashlib.sha512(octets).digest(),
}
_LENGTHS = {1: 32, 2: 64}


def _receiving(facts: DoctorFacts) -> Iterable[str]:
    return dict.fromkeys(name for name in (facts.domain, facts.return_domain) if name)


def _guarded_by_us(facts: DoctorFacts) -> Iterable[str]:
    return () if facts.of_organization else _receiving(facts)


def _coming_to_us(facts: DoctorFacts) -> Iterable[str]:
    return [facts.return_domain] if facts.of_organization else _receiving(facts)


@check(
    "TLS01",
    Severity.WARNING,
    _guarded_by_us,
    meaning="MTA-STS makes senders use TLS with a valid certificate: a TXT record at _mta-sts, and over HTTPS a policy "
    "that names every MX host (RFC 8461).",
    cure="Publish policy and record; begin with mode: testing, and go on to enforce when TLS reports are clean. Change "
    "the id whenever the policy changes.",
)
def strict_transport(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    texts = yield from records(f"_mta-sts.{name}", RecordType.TXT)
    announced = [text for text in texts if text.lower().replace(" ", "").startswith("v=stsv1;")]
    hosts = yield from exchanges(name)
    if not announced:
        return note(f"{name} announces no MTA-STS policy.", "Publish one, and mail to you cannot be read on its way.")
    if len(announced) > 1 or "id=" not in announced[0].replace(" ", ""):
        said = f"_mta-sts.{name} must have one record, with an id=."
        return wrong(said, text_record(f"_mta-sts.{name}", f"v=STSv1; id={_fresh_id(facts)}", "MTA-STS (RFC 8461)"))
    fetched = facts.policies.get(name)
    if fetched is None:
        return unknown(f"The MTA-STS policy of {name} was not fetched.")
    seen = Evidence.elsewhere(fetched.url, "HTTPS", fetched.failure or fetched.text)
    if fetched.failure:
        return wrong(f"The MTA-STS policy that {name} announces cannot be had: {fetched.failure}.").seen(seen)
    policy, faults = read_policy(fetched.text)
    if faults:
        return wrong(f"The MTA-STS policy of {name} is malformed: {' '.join(faults)}").seen(seen)
    uncovered = [host for host in hosts if host and not matches(policy.hosts, host)]
    if policy.mode != "none" and uncovered:
        said = f"The MTA-STS policy of {name} does not name {', '.join(uncovered)}, so mail does not go there."
        return wrong(said).seen(seen)
    if policy.mode != "enforce":
        return note(f"The MTA-STS policy of {name} has mode: {policy.mode}.", "Go on to mode: enforce.").seen(seen)
    return fine(f"The MTA-STS policy of {name} is in force and names every MX host.").seen(seen)


@check(
    "TLS02",
    Severity.ERROR,
    _coming_to_us,
    meaning="TLSA records of mail hosts, where there are any, stand in a signed zone, are of a kind that mail uses "
    "(DANE-TA(2) or DANE-EE(3)), and one of them fits the certificate that the host shows: else senders that check "
    "them send nothing (RFC 7672).",
    cure="Publish 3 1 1 with the SHA-256 of the host's public key, and only in a zone that is signed.",
)
def fitting_tlsa(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    hosts = yield from exchanges(name)
    doubts, seen = [], []
    for host in filter(None, hosts):
        answer = yield from reply(f"_25._tcp.{host}", RecordType.TLSA)
        if not isinstance(answer, Found):
            continue
        seen.append(host)
        pins = [_Pin.read(record) for record in answer.records]
        odd = next((pin.odd for pin in pins if pin.odd), "")
        if odd:
            return wrong(f"The TLSA record of {host} {odd}.", *_pinned(facts, host))
        if not any(pin.fits(facts.probes.get(host)) for pin in pins):
            said = f"No TLSA record of {host} fits the certificate that it shows, so senders that check send nothing."
            return wrong(said, *_pinned(facts, host)).seen(*_shown(facts, host))
        if not answer.secure:
            doubts.append((yield from _why_not_secure(host)))
    if doubts:
        return doubts[0]
    if not seen:
        return fine(f"The mail hosts of {name} have no TLSA records.")
    told = ", ".join(dict.fromkeys(seen))
    if any(facts.probes.get(host) and facts.probes[host].certificates for host in seen):
        return fine(f"The TLSA records of {told} fit the certificates shown.")
    return fine(f"The TLSA records of {told} are of a kind that mail uses; the certificates were not looked at.")


@check(
    "TLS03",
    Severity.WARNING,
    _guarded_by_us,
    meaning="Senders tell us when TLS to our mail hosts fails: a record at _smtp._tls (RFC 8460).",
    cure="Publish the record.",
)
def tls_reports(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    texts = yield from records(f"_smtp._tls.{name}", RecordType.TXT)
    named = [text for text in texts if _VERSION.match(text)]
    if len(named) == 1 and any(_is_uri(place) for place in _places(named[0])):
        return fine(f"TLS reports of {name} are asked for.")
    kept = dict.fromkeys(uri for text in texts for place in _places(text) if (uri := _as_uri(place)))
    wanted = f"v=TLSRPTv1; rua={','.join(kept) or f'mailto:tlsrpt@{facts.domain}'}"
    mended = text_record(f"_smtp._tls.{name}", wanted, "TLS reports (RFC 8460)")
    if len(named) > 1:
        return wrong(f"_smtp._tls.{name} has {len(named)} records, and senders read none of several.", mended)
    said = f"_smtp._tls.{name} has no record that could be used." if texts else f"{name} asks for no TLS reports."
    return wrong(said, mended)


_VERSION = re.compile(r"v\s*=\s*TLSRPTv1\s*;", re.IGNORECASE)
_RUA = re.compile(r"(?:^|;)\s*rua\s*=([^;]*)", re.IGNORECASE)
_URI = re.compile(r"mailto:[^\s@,;!]+@[^\s@,;!]+|https://[^\s,;]+", re.IGNORECASE)


def _places(text: str) -> list[str]:
    """Where a record wants reports, as it says it (RFC 8460 §3)."""
    found = _RUA.search(text)
    return [place.strip() for place in found[1].split(",")] if found else []


def _is_uri(place: str) -> bool:
    return _URI.fullmatch(place) is not None


def _as_uri(place: str) -> str:
    """A place that can be meant: a URI, or an address without its scheme; "" for anything else."""
    return next((each for each in (place, f"mailto:{place}") if _is_uri(each)), "")


CHECKS = (strict_transport, fitting_tlsa, tls_reports)


def _fresh_id(facts: DoctorFacts) -> str:
    return "1" if facts.now is None else f"{facts.now:%Y%m%d%H%M%S}"


# -- TLSA records (RFC 6698 §2.1) -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pin:
    """One TLSA record. `odd`: why no sender can use it."""

    usage: int = 0
    selector: int = 0
    matching: int = 0
    octets: bytes = b""
    odd: str = ""

    @classmethod
    def read(cls, record: str) -> "_Pin":
        usage, selector, matching, *rest = record.split()
        try:
            pin = cls(
                usage=int(usage), selector=int(selector), matching=int(matching), octets=bytes.fromhex("".join(rest))
            )
        except ValueError:
            return cls(odd="cannot be read")
        if pin.usage not in _USAGES:
            return cls(odd=f"is of usage {pin.usage}, which mail does not know")
        if pin.selector not in (0, 1) or pin.matching not in _DIGESTS:
            return cls(odd=f"has a selector or a matching type that nobody knows: {record[:5]}")
        if len(pin.octets) != _LENGTHS.get(pin.matching, len(pin.octets)):
            return cls(odd=f"has {len(pin.octets)} octets where its digest has {_LENGTHS[pin.matching]}")
        return pin

    def fits(self, probe: HostProbe | None) -> bool:
        """Whether one of the certificates matches. True, too, if there are none to compare, or if the authority's
        certificate was not shown."""
        if probe is None or not probe.certificates:
            return True
        if self.usage == _OWN_CERTIFICATE:
            return self._is_of(probe.certificates[0])
        return len(probe.certificates) == 1 or any(map(self._is_of, probe.certificates))

    def _is_of(self, certificate: bytes) -> bool:
        meant = certificate if self.selector == 0 else public_key_info(certificate)
        return _DIGESTS[self.matching](meant) == self.octets


def public_key_info(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate, both in DER."""
    key = load_der_x509_certificate(certificate).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _pinned(facts: DoctorFacts, host: str) -> Sequence[DnsRecord]:
    """The TLSA record of the certificate that the host shows."""
    probe = facts.probes.get(host)
    if probe is None or not probe.certificates:
        return ()
    digest = hashlib.sha256(public_key_info(probe.certificates[0])).hexdigest()
    why = "the public key of the mail host (RFC 7672)"
    return (DnsRecord(name=f"_25._tcp.{host}", type="TLSA", value=f"3 1 1 {digest}", why=why),)


def _shown(facts: DoctorFacts, host: str) -> Sequence[Evidence]:
    return [
        Evidence.elsewhere(f"{host} port 25, STARTTLS", facts.probes[host].ip, f"shows {record.value}")
        for record in _pinned(facts, host)
    ]


def _why_not_secure(host: str) -> Dialogue[Opinion]:
    known = yield from reply(_SIGNED_FOR_SURE, RecordType.SOA)
    if isinstance(known, Found) and known.secure:
        said = f"The TLSA records of {host} are not in a signed zone, so that senders overlook them."
        return warn(said, cure="Sign the zone of the mail host (DNSSEC), or take the records out.")
    return unknown(f"Our resolver checks no signatures, so it cannot tell whether those of {host} are right.")
