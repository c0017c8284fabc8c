"""The DKIM records that are offered: our own as it was given, else what stands there without its faults."""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from homing.loop.doctor.facts import DoctorFacts
from homing.loop.doctor.finding import Offer, records, text_record
from homing.loop.domains.dns_records import DnsRecord
from homing.mail.dns_question import Dialogue, RecordType

_WHY = "the DKIM key (RFC 6376)"
LEAST_BITS = 1024
_UNPARTED = re.compile(r"[\s,]+(?=[vkhstnp]\s*=)")
"""Where a semicolon is missing."""
_KINDS = {"rsa": RSAPublicKey, "ed25519": Ed25519PublicKey}


def offer(facts: DoctorFacts, name: str) -> Dialogue[Offer]:
    """What to publish at the name of a key. A key of a stranger is offered again only if all that stands there is one
    and the same key, which can be read."""
    known = as_meant(facts, name)
    if known:
        return Offer(records=known)
    texts = yield from records(name, RecordType.TXT)
    mended = {text for text in map(without_faults, texts) if text}
    if len(mended) != 1 or set(texts) == mended:
        return Offer()
    return Offer(records=(text_record(name, mended.pop(), _WHY),))


def as_meant(facts: DoctorFacts, name: str) -> tuple[DnsRecord, ...]:
    """The record that should stand at the name of a key, where we know it."""
    key = facts.key(name)
    if key.alias:
        return (DnsRecord(name=name, type="CNAME", value=key.alias, why="the DKIM key, where we can change it"),)
    return (text_record(name, key.record, _WHY),) if key.record else ()


def without_faults(text: str) -> str:
    """The record with its key as it is, and without what keeps receivers from using it; "" if that is no key."""
    whole, parted = tags_of(text), tags_of(_UNPARTED.sub(";", text))
    return _mended(whole) or _mended(parted)


def _mended(tags: Mapping[str, str]) -> str:
    octets = "".join(character for character in tags.get("p", "") if character not in " \t\"'\\")
    found = {kind: public_key({"k": kind, "p": octets}) for kind in _KINDS}
    kind, key = next(((kind, key) for kind, key in found.items() if isinstance(key, _KINDS[kind])), ("", None))
    if key is None or (isinstance(key, RSAPublicKey) and key.key_size < LEAST_BITS):
        return ""
    kept = {
        tag: value for tag, value in tags.items() if tag not in ("v", "k", "t", "p") and not excludes_us(tag, value)
    }
    flags = ":".join(flag for flag in squeezed(tags.get("t", "")).split(":") if flag not in ("", "y"))
    mended = {"v": "DKIM1", "k": kind, **kept, **({"t": flags} if flags else {}), "p": octets}
    return "; ".join(f"{tag}={value}" for tag, value in mended.items())


def excludes_us(tag: str, value: str) -> bool:
    """Whether h= or s= forbids what we use the key for: SHA-256 and mail (RFC 6376 §3.6.1)."""
    allowed = {"h": {"sha256"}, "s": {"*", "email"}}.get(tag)
    return allowed is not None and not allowed & set(squeezed(value).lower().split(":"))


def public_key(tags: Mapping[str, str]) -> RSAPublicKey | Ed25519PublicKey | None:
    """The key in the tags of a record, None if it cannot be read."""
    try:
        octets = b64decode(squeezed(tags.get("p", "")), validate=True)
        if tags.get("k", "rsa") == "ed25519":
            return Ed25519PublicKey.from_public_bytes(octets)
        key = load_der_public_key(octets)
    except (Base64Error, ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, RSAPublicKey) else None


def faults_of(text: str) -> Sequence[str]:
    """All that makes a record no usable key, each for a person."""
    tags = tags_of(text)
    if "p" not in tags:
        return ["it has no p="]
    faults = {
        "v=DKIM1 must come first": "v" in tags and (tags["v"] != "DKIM1" or next(iter(tags)) != "v"),
        f"nobody knows keys of the kind k={tags.get('k', '')}": tags.get("k", "rsa") not in _KINDS,
        "p= is empty, which revokes the key": not tags["p"],
        "what stands in p= is not a key": bool(tags["p"]) and public_key({"k": "rsa", **tags}) is None,
    }
    return [fault for fault, holds in faults.items() if holds]


def tags_of(text: str) -> dict[str, str]:
    """Tags in order, as written; of a tag given twice, the first."""
    tags: dict[str, str] = {}
    for item in text.split(";"):
        name, equals, value = item.partition("=")
        if equals:
            tags.setdefault(name.strip(), value.strip())
    return tags


def squeezed(value: str) -> str:
    return "".join(value.split())
