"""Verify DKIM signatures as a receiver does, on mail of strangers (RFC 6376 §6, RFC 8301, RFC 8463).

The time is linear in the size of a mail and the memory constant, whatever it holds and however often it is signed: the
body is read once, and only if a signature over the header holds.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from itertools import chain

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from homing.mail.dkim import PKCS1, SHA256, WEAKEST_RSA_BITS, octets_to_sign, relaxed_headers
from homing.mail.dkim_body import BodyDigest
from homing.mail.dns_question import Ask, Dialogue, Found, LookupFailed, RecordType, well_formed

_MOST_SIGNATURES = 8  # verified in one message; more is an attack on our time
HEADER_OCTETS = 128 << 10
"""Limit for a stranger's header; a mail with a larger one counts as unsigned."""

_PIECE = 256 << 10

_B_TAG = re.compile(rb"((?:^|;)[ \t\r\n]*b[ \t\r\n]*=)(?:[ \t\r\n]*[A-Za-z0-9+/=])*")
_SPACE = re.compile(r"[ \t\r\n]+")


class Result(StrEnum):
    """RFC 8601 §2.7.1, as far as we tell them apart."""

    PASS = "pass"  # noqa: S105 - a word of RFC 8601
    FAIL = "fail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class Signature:
    """What became of one signature. `reason` is empty when it passed; domain and selector are as claimed."""

    domain: str
    selector: str
    algorithm: str
    result: Result
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """All signatures of a message, from the top down."""

    signatures: tuple[Signature, ...]

    @property
    def passed(self) -> bool:
        return any(signature.result is Result.PASS for signature in self.signatures)

    def passed_for(self, domain: str) -> bool:
        """Whether a signature of exactly this domain passed."""
        return any(signature.result is Result.PASS and signature.domain == domain for signature in self.signatures)


PublishedKey = str | LookupFailed | None
"""The joined text of a key's TXT record; None if there is none; LookupFailed if the DNS gave no usable answer."""


def keys_of(raw: bytes) -> Dialogue[dict[str, PublishedKey]]:
    """Asks for the keys that the signatures of a message name; `verify(raw, keys.get)` then needs nothing more."""
    fields = _raw_headers(raw.partition(b"\r\n\r\n")[0])
    keys: dict[str, PublishedKey] = {}
    for position in _signatures(fields):
        name = _key_name(fields[position][1])
        if name not in keys and well_formed(name):
            answer = yield Ask(name, RecordType.TXT)
            if isinstance(answer, Found | LookupFailed):
                keys[name] = answer.records[0] if isinstance(answer, Found) else answer
    return keys


def verify(
    raw: bytes, lookup: Callable[[str], PublishedKey], now: int | None = None, rest: Iterable[bytes] = ()
) -> Verification:
    """Verify each DKIM-Signature of a CRLF-ended message; any bytes are allowed, nothing is raised.

    `lookup` gives the key published at a name; `now` (Unix seconds), if given, is held against `x=`. `rest`: what
    follows `raw`, if that is only the beginning; it is read once at most.
    Stricter than RFC 6376 in two points: SHA-1 and `l=` never pass.
    """
    head, _, body = raw.partition(b"\r\n\r\n")
    fields = _raw_headers(head)
    found = [_verify_header(position, fields, lookup, now) for position in _signatures(fields)]
    wanted = {each.body for each in found if isinstance(each, _HeaderHolds)}
    digests = _body_digests(chain(_pieces(body), rest), wanted) if wanted else {}
    return Verification(tuple(each.with_body(digests) if isinstance(each, _HeaderHolds) else each for each in found))


def _signatures(fields: Sequence[tuple[bytes, bytes]]) -> list[int]:
    """Where they stand among the header fields; no more than we verify."""
    return [position for position, (name, _) in enumerate(fields) if name == b"dkim-signature"][:_MOST_SIGNATURES]


def _key_name(signature: bytes) -> str:
    """The DNS name of a signature's key; "" if the signature does not tell it."""
    try:
        tags = _tags(signature.partition(b":")[2].decode("ascii", "replace"))
        return f"{tags['s']}._domainkey.{tags['d']}"
    except (_Broken, KeyError):
        return ""


class _Broken(Exception):  # noqa: N818 - leaves this module as a Result
    def __init__(self, reason: str, result: Result = Result.PERMERROR) -> None:
        super().__init__(reason)
        self.reason = reason
        self.result = result


@dataclass(frozen=True, slots=True)
class _HeaderHolds:
    """A signature that holds over the header. `body`: the canonicalisation of the body, whose hash is to be compared
    yet."""

    tags: dict[str, str]
    body: str
    body_hash: bytes

    def with_body(self, digests: dict[str, bytes]) -> Signature:
        """The signature, when the hashes of the body are known."""
        tags, same = self.tags, digests[self.body] == self.body_hash
        if same:
            return Signature(tags["d"], tags["s"], tags["a"], Result.PASS)
        return Signature(tags["d"], tags["s"], tags["a"], Result.FAIL, "the body was changed")


def _verify_header(
    position: int, fields: Sequence[tuple[bytes, bytes]], lookup: Callable[[str], PublishedKey], now: int | None
) -> _HeaderHolds | Signature:
    tags: dict[str, str] = {}
    try:
        tags = _tags(fields[position][1].partition(b":")[2].decode("ascii", "replace"))
        _check_terms(tags, now)
        by_header, by_body = _canonicalisations(tags.get("c", "simple/simple"))
        body_hash = _base64(tags, "bh")
        signing_input = _received_input(position, fields, tags["h"], by_header)
        _check_signature(signing_input, tags, lookup(f"{tags['s']}._domainkey.{tags['d']}"))
    except _Broken as broken:
        return Signature(tags.get("d", ""), tags.get("s", ""), tags.get("a", ""), broken.result, broken.reason)
    return _HeaderHolds(tags, by_body, body_hash)


def _pieces(octets: bytes) -> Iterator[bytes]:
    return (octets[start : start + _PIECE] for start in range(0, len(octets), _PIECE))


def _body_digests(pieces: Iterable[bytes], wanted: Iterable[str]) -> dict[str, bytes]:
    """The SHA-256 of a body by canonicalisation, all in one pass."""
    digests = {by: BodyDigest(relaxed=by == "relaxed") for by in wanted}
    for piece in pieces:
        for digest in digests.values():
            digest.feed(piece)
    return {by: digest.finish() for by, digest in digests.items()}


def _check_terms(tags: dict[str, str], now: int | None) -> None:
    """The checks that need no cryptography (RFC 6376 §6.1.1)."""
    missing = [tag for tag in ("v", "a", "b", "bh", "d", "h", "s") if tag not in tags]
    if missing:
        raise _Broken(f"the tag {missing[0]}= is missing")
    if tags["v"] != "1" or tags["a"] not in ("rsa-sha256", "ed25519-sha256"):
        raise _Broken("version or algorithm not supported")
    if "l" in tags:
        raise _Broken("l= leaves a part of the body unsigned")
    if "from" not in tags["h"].lower().split(":"):
        raise _Broken("From is not signed")
    identity = tags.get("i", "@" + tags["d"]).rpartition("@")[2].lower()
    if identity != tags["d"].lower() and not identity.endswith("." + tags["d"].lower()):
        raise _Broken("i= is not in the domain of d=")
    signed_at, expires_at = _number(tags, "t"), _number(tags, "x")
    if signed_at is not None and expires_at is not None and expires_at < signed_at:
        raise _Broken("the signature expires before it was made")
    if now is not None and expires_at is not None and expires_at < now:
        raise _Broken("the signature has expired", Result.FAIL)


def _received_input(position: int, fields: Sequence[tuple[bytes, bytes]], named: str, by: str) -> bytes:
    """What the signer signed, if nothing was changed since."""
    names = named.lower().encode().split(b":")
    signed = set(names)
    canonical = [
        (name, _canonical_header(line, by))
        for place, (name, line) in enumerate(fields)
        if name in signed and place != position
    ]
    name, _, value = fields[position][1].partition(b":")
    own = _canonical_header(name + b":" + _B_TAG.sub(rb"\1", value, count=1), by)
    return octets_to_sign(names, canonical, own)


def _check_signature(signing_input: bytes, tags: dict[str, str], record: PublishedKey) -> None:
    public_key = _public_key(record, tags)
    signature = _base64(tags, "b")
    try:
        if isinstance(public_key, RSAPublicKey):
            public_key.verify(signature, signing_input, PKCS1, SHA256)
        else:
            public_key.verify(signature, sha256(signing_input).digest())
    except InvalidSignature:
        raise _Broken("a signed header was changed or added", Result.FAIL) from None


def _public_key(record: PublishedKey, tags: dict[str, str]) -> RSAPublicKey | Ed25519PublicKey:
    """The key of a TXT record, where it may be used for this signature (RFC 6376 §3.6.1)."""
    if record is None:
        raise _Broken("no key is published")
    if isinstance(record, LookupFailed):
        raise _Broken(f"the key could not be looked up: {record.why}", Result.TEMPERROR)
    published = _tags(record)
    kind = published.get("k", "rsa")
    if published.get("v", "DKIM1") != "DKIM1" or kind != tags["a"].partition("-")[0]:
        raise _Broken("the published key is of another kind")
    if "sha256" not in published.get("h", "sha256").split(":"):
        raise _Broken("the published key is not for SHA-256")
    if not {"*", "email"} & set(published.get("s", "*").split(":")):
        raise _Broken("the published key is not for mail")
    octets = _base64(published, "p")
    if not octets:
        raise _Broken("the key was revoked")
    try:
        if kind == "ed25519":
            return Ed25519PublicKey.from_public_bytes(octets)
        public_key = serialization.load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm):
        raise _Broken("the published key is malformed") from None
    if not isinstance(public_key, RSAPublicKey) or public_key.key_size < WEAKEST_RSA_BITS:
        raise _Broken("the published key is too weak")
    return public_key


def _tags(text: str) -> dict[str, str]:
    """A tag list (RFC 6376 §3.2), white space removed as all our tags allow; a tag given twice breaks it."""
    tags: dict[str, str] = {}
    for item in text.split(";"):
        name, equals, value = item.partition("=")
        name = name.strip(" \t\r\n")
        if not equals and not name:
            continue
        if not equals or name in tags:
            raise _Broken("the tag list is malformed")
        tags[name] = _SPACE.sub("", value)
    return tags


def _canonicalisations(text: str) -> tuple[str, str]:
    by_header, _, by_body = text.partition("/")
    chosen = (by_header, by_body or "simple")
    if not set(chosen) <= {"simple", "relaxed"}:
        raise _Broken("canonicalisation not supported")
    return chosen


def _number(tags: dict[str, str], tag: str) -> int | None:
    text = tags.get(tag)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise _Broken(f"the tag {tag}= is malformed")
    return int(text)


def _base64(tags: dict[str, str], tag: str) -> bytes:
    try:
        return b64decode(tags.get(tag, ""), validate=True)
    except (Base64Error, ValueError):
        raise _Broken(f"the tag {tag}= is malformed") from None


def _canonical_header(line: bytes, by: str) -> bytes:
    return relaxed_headers(line)[0][1] if by == "relaxed" else line


def _raw_headers(head: bytes) -> list[tuple[bytes, bytes]]:
    """Each header as (lower-case name, its lines as they came, without the last CRLF); none where they are too many."""
    if len(head) > HEADER_OCTETS:
        return []
    fields: list[tuple[bytes, list[bytes]]] = []
    for line in head.split(b"\r\n"):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1][1].append(line)
        else:
            fields.append((line.partition(b":")[0].strip(b" \t").lower(), [line]))
    return [(name, b"\r\n".join(lines)) for name, lines in fields]
