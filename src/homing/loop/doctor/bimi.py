"""The logo beside a domain's mail (BIMI): record, picture and certificate, as mailbox providers require them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from xml.parsers.expat import ExpatError, ParserCreate

from cryptography.x509 import (
    Certificate,
    DNSName,
    ExtendedKeyUsage,
    ExtensionNotFound,
    ObjectIdentifier,
    SubjectAlternativeName,
    load_pem_x509_certificates,
)

from homing.loop.doctor.dmarc_lookup import applied_to, organization_of
from homing.loop.doctor.facts import DoctorFacts
from homing.loop.doctor.finding import (
    Evidence,
    Opinion,
    Severity,
    Unanswered,
    check,
    fine,
    note,
    records,
    wrong,
)
from homing.mail.dmarc_record import Policy
from homing.mail.dns_question import Dialogue, RecordType

_MOST_OCTETS = 32 * 1024
_SVG = "http://www.w3.org/2000/svg"
_FORBIDDEN = frozenset({"script", "image", "foreignObject", "animate", "animateMotion", "animateTransform", "set"})
_GZIP = b"\x1f\x8b"
_FOR_LOGOS = ObjectIdentifier("1.3.6.1.5.5.7.3.31")
"""The extended key usage id-kp-BrandIndicatorforMessageIdentification."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """A BIMI record: where it stands, and the URLs of picture (`l=`) and certificate (`a=`), "" where it has none."""

    domain: str
    picture: str
    certificate: str

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(url for url in (self.picture, self.certificate) if url.startswith("https://"))


def announced(facts: DoctorFacts) -> Dialogue[Announced | None]:
    """The record of the domain in From, else that of its organization."""
    organization = yield from organization_of(facts, facts.domain)
    for name in dict.fromkeys((facts.domain, organization)):
        for text in (yield from records(f"default._bimi.{name}", RecordType.TXT)):
            tags = {
                key.strip().lower(): value.strip() for key, _, value in (tag.partition("=") for tag in text.split(";"))
            }
            if tags.get("v", "").upper() == "BIMI1":
                return Announced(domain=name, picture=tags.get("l", ""), certificate=tags.get("a", ""))
    return None


def urls_of(facts: DoctorFacts) -> Dialogue[tuple[str, ...]]:
    """Where picture and certificate are to be had, as far as the DNS tells."""
    try:
        found = yield from announced(facts)
    except Unanswered:
        return ()
    return () if found is None else found.urls


def _author(facts: DoctorFacts) -> Iterable[str]:
    return [facts.domain]


@check(
    "BI01",
    Severity.INFO,
    _author,
    meaning="Where a logo is announced (BIMI), DMARC is enforced for the whole domain, the picture is SVG Tiny PS, and "
    "a certificate says whose it is: without these nobody shows it.",
    cure="Enforce DMARC first; then publish picture and certificate.",
)
def logo(facts: DoctorFacts, domain: str) -> Dialogue[Opinion]:
    found = yield from announced(facts)
    if found is None:
        return fine(f"{domain} announces no logo.")
    if not found.picture and not found.certificate:
        return fine(f"{domain} says that it has no logo.")
    applied = yield from applied_to(facts, domain)
    record = applied.record if applied else None
    policies = (record.policy, record.subdomains or record.policy) if record else (None,)
    if record is None or record.percent < 100 or any(policy in (None, Policy.NONE) for policy in policies):
        return wrong(f"{domain} announces a logo, and nobody shows it: DMARC is not enforced.")
    if not found.picture.startswith("https://"):
        return wrong(f"The BIMI record of {found.domain} names no logo: l= must be an https address.")
    seen = [
        Evidence.elsewhere(url, "HTTPS", facts.files[url].failure or f"{len(facts.files[url].content)} octets")
        for url in found.urls
        if url in facts.files
    ]
    faults = [*_picture_faults(facts, found), *_certificate_faults(facts, found)]
    if faults:
        return wrong(" ".join(faults), cure="Correct these faults: until then nobody shows the logo.").seen(*seen)
    if not found.certificate:
        said = f"The logo of {domain} has no certificate (a=): some mailboxes show it, Gmail and Apple do not."
        return note(said, "Have a mark certificate (VMC or CMC) made, and name it in a=.").seen(*seen)
    return fine(f"{domain} announces a logo, and DMARC is enforced.").seen(*seen)


CHECKS = (logo,)


def _picture_faults(facts: DoctorFacts, found: Announced) -> list[str]:
    fetched = facts.files.get(found.picture)
    if fetched is None:
        return []
    if fetched.failure:
        return [f"The logo cannot be had: {fetched.failure}."]
    return [f"The logo {fault}." for fault in picture_faults(fetched.content)]


def picture_faults(octets: bytes) -> list[str]:
    """What keeps a picture from being SVG Tiny Portable/Secure, as far as its outline tells; each continues "it"."""
    if octets.startswith(_GZIP):
        return ["is packed (gzip)"]
    faults = [f"has {len(octets)} octets; at most {_MOST_OCTETS} are taken"] if len(octets) > _MOST_OCTETS else []
    outline = _Outline()
    try:
        outline.read(octets)
    except (ExpatError, ValueError) as error:
        return [*faults, f"is not well-formed SVG ({error})"]
    return faults + outline.faults()


class _Outline:
    """The elements of an SVG file, without any outside of it: a document type is refused, so nothing expands."""

    def __init__(self) -> None:
        self._root: tuple[str, dict[str, str]] = ("", {})
        self._elements: set[str] = set()
        self._links: list[str] = []

    def read(self, octets: bytes) -> None:
        parser = ParserCreate(namespace_separator=" ")
        parser.StartElementHandler = self._element
        parser.StartDoctypeDeclHandler = self._document_type
        parser.Parse(octets, True)

    def faults(self) -> list[str]:
        name, attributes = self._root
        box = attributes.get("viewBox", "").replace(",", " ").split()
        forbidden = sorted(_FORBIDDEN & self._elements)
        found = {
            "is no SVG": name != f"{_SVG} svg",
            'needs version="1.2" and baseProfile="tiny-ps"': (attributes.get("version"), attributes.get("baseProfile"))
            != ("1.2", "tiny-ps"),
            "has no <title>": "title" not in self._elements,
            "must not have x= or y= at its root": bool({"x", "y"} & attributes.keys()),
            "is not square (viewBox)": len(box) == 4 and box[2] != box[3],
            f"holds what is not allowed: {', '.join(forbidden)}": bool(forbidden),
            "refers to something outside of it": any(not link.startswith("#") for link in self._links),
        }
        return [fault for fault, holds in found.items() if holds]

    def _element(self, name: str, attributes: dict[str, str]) -> None:
        if not self._root[0]:
            self._root = (name, attributes)
        self._elements.add(name.rpartition(" ")[2])
        self._links += [value for key, value in attributes.items() if key.rpartition(" ")[2] == "href"]

    def _document_type(self, *_: object) -> None:
        raise ValueError("it declares a document type")


def _certificate_faults(facts: DoctorFacts, found: Announced) -> list[str]:
    fetched = facts.files.get(found.certificate)
    if fetched is None:
        return []
    if fetched.failure:
        return [f"The logo's certificate cannot be had: {fetched.failure}."]
    return [
        f"The logo's certificate {fault}." for fault in certificate_faults(fetched.content, facts.domain, facts.now)
    ]


def certificate_faults(pem: bytes, domain: str, now: datetime | None) -> list[str]:
    """What is wrong with a mark certificate for a domain; each continues "it". Who vouches for it is not checked."""
    try:
        certificate = load_pem_x509_certificates(pem)[0]
        names = _names_in(certificate)
        usages = list(certificate.extensions.get_extension_for_class(ExtendedKeyUsage).value)
    except ExtensionNotFound:
        return ["is not one for logos"]
    except (ValueError, IndexError):
        return ["cannot be read"]
    found = {
        "is not one for logos": _FOR_LOGOS not in usages,
        f"is for {', '.join(names) or 'nobody'}": not any(_covers(name, domain) for name in names),
    }
    if now is not None:
        ended = f"ended on {certificate.not_valid_after_utc:%Y-%m-%d}"
        found[ended] = certificate.not_valid_after_utc < now
        found["does not hold yet"] = now < certificate.not_valid_before_utc
    return [fault for fault, holds in found.items() if holds]


def _names_in(certificate: Certificate) -> list[str]:
    alternatives = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    return [name.lower() for name in alternatives.get_values_for_type(DNSName)]


def _covers(name: str, domain: str) -> bool:
    """Whether the name is the domain, perhaps with a selector before it, or the organization above it."""
    bare = name.rpartition("._bimi.")[2]
    return f".{domain}".endswith(f".{bare}")
