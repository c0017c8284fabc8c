"""DKIM: sign what leaves, and verify it as a receiver would (RFC 6376, RFC 8301, RFC 8463).

Signatures are relaxed/relaxed, carry `t=` and `x=` and never `l=`. Every header that changes what a reader sees is
signed once more often than it is present, so that nobody can add another copy and replay the message with it.
Input is CRLF-ended wire form; the caller must send exactly the bytes that were signed.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key

from homing.mail.dns_question import Ask, Dialogue, Found, LookupFailed, RecordType, well_formed
from homing.mail.header import TRACE_HEADER

SIGNED_HEADERS = (
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Auto-Submitted",
    TRACE_HEADER,
    "CFBL-Address",
    "CFBL-Feedback-ID",
    "Feedback-ID",
)
RSA_BITS = 2048
_WEAKEST_RSA_BITS = 1024  # RFC 8301 §3.2
_MOST_SIGNATURES = 8  # verified in one message; more is an attack on our time
HEADER_OCTETS = 128 << 10  # limit for a stranger's header; a mail with a larger one counts as unsigned
_LINE = 76

_SIGNED = tuple(name.lower().encode() for name in SIGNED_HEADERS)
_PKCS1 = padding.PKCS1v15()
_SHA256 = hashes.SHA256()
_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")
_B_TAG = re.compile(rb"((?:^|;)[ \t\r\n]*b[ \t\r\n]*=)(?:[ \t\r\n]*[A-Za-z0-9+/=])*")
_SPACE = re.compile(r"[ \t\r\n]+")


class DkimError(ValueError):
    """A key that we cannot sign with."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and where its public half is published: `<selector>._domainkey.<domain>`."""

    domain: str
    selector: str
    private_key: RSAPrivateKey | Ed25519PrivateKey = field(repr=False)

    def __post_init__(self) -> None:
        if not _SELECTOR.fullmatch(self.selector) or not _SELECTOR.fullmatch(self.domain):
            raise DkimError("Selector and domain of a DKIM key are lower-case DNS names.")
        if isinstance(self.private_key, RSAPrivateKey) and self.private_key.key_size < _WEAKEST_RSA_BITS:
            raise DkimError(f"An RSA key of {self.private_key.key_size} bits is too weak to sign with.")

    @classmethod
    def load(cls, pem: bytes, domain: str, selector: str, *, own: bool = False) -> "SigningKey":
        """Parse an unencrypted PEM private key, RSA or Ed25519. `own`: it comes from our own sealed store, and the
        proof that its numbers are an RSA key (50 ms) is left out. Raises DkimError."""
        try:
            private_key = serialization.load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=own)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise DkimError(f"Not a private key in PEM form: {error}") from None
        if not isinstance(private_key, RSAPrivateKey | Ed25519PrivateKey):
            raise DkimError("DKIM knows RSA and Ed25519 keys only.")
        return cls(domain, selector, private_key)

    @classmethod
    def generate(cls, domain: str, selector: str) -> "SigningKey":
        """A new RSA-2048 key, the only kind that every receiver verifies."""
        return cls(domain, selector, generate_private_key(public_exponent=65537, key_size=RSA_BITS))

    @classmethod
    def generate_ed25519(cls, domain: str, selector: str) -> "SigningKey":
        """A new Ed25519 key (RFC 8463), for a second signature beside RSA's: large receivers do not verify it yet."""
        return cls(domain, selector, Ed25519PrivateKey.generate())

    @property
    def algorithm(self) -> str:
        return "rsa-sha256" if isinstance(self.private_key, RSAPrivateKey) else "ed25519-sha256"

    @property
    def dns_name(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"

    def dns_record(self) -> str:
        """The text of the TXT record to publish at `dns_name`, unsplit (RFC 6376 §3.6.1, RFC 8463 §4)."""
        public_key = self.private_key.public_key()
        if isinstance(public_key, RSAPublicKey):
            kind = "rsa"
            octets = public_key.public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        else:
            kind = "ed25519"
            octets = public_key.public_bytes_raw()
        return f"v=DKIM1; k={kind}; p={b64encode(octets).decode()}"

    def pem(self) -> bytes:
        """The private key as unencrypted PKCS #8, to be encrypted before it is stored."""
        return self.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def signature_of(self, signing_input: bytes) -> bytes:
        if isinstance(self.private_key, RSAPrivateKey):
            return self.private_key.sign(signing_input, _PKCS1, _SHA256)
        return self.private_key.sign(sha256(signing_input).digest())  # RFC 8463 §3


# --- signing ---------------------------------------------------------------------------------------------------------


def body_hash(raw: bytes) -> bytes:
    """SHA-256 of the relaxed body of a message. It does not depend on the header, so it is computed once for all
    recipients and all signatures."""
    return sha256(relaxed_body(raw.partition(b"\r\n\r\n")[2])).digest()


def sign(raw: bytes, key: SigningKey, signed_at: int, expires_at: int, digest: bytes | None = None) -> bytes:
    """The DKIM-Signature header to put in front of `raw`, CRLF-ended.

    Times are Unix seconds. `digest`: the `body_hash` of `raw`, where it is known already. Equal arguments give equal
    bytes, for RSA and Ed25519 alike.
    """
    end = raw.find(b"\r\n\r\n")
    head = raw if end < 0 else raw[:end]
    digest = body_hash(raw) if digest is None else digest
    fields = relaxed_headers(head)
    present = Counter(name for name, _ in fields)
    names = [name for name in _SIGNED for _ in range(present[name] + 1)]
    unsigned = (
        f"DKIM-Signature: v=1; a={key.algorithm}; c=relaxed/relaxed;\r\n"
        f"\td={key.domain}; s={key.selector}; t={signed_at}; x={expires_at};\r\n"
        f"\th={_folded_names(names)};\r\n"
        f"\tbh={b64encode(digest).decode()};\r\n"
        "\tb="
    ).encode()
    signature = b64encode(key.signature_of(octets_to_sign(names, fields, relaxed_headers(unsigned)[0][1])))
    return unsigned + _folded_base64(signature) + b"\r\n"


def relaxed_body(body: bytes) -> bytes:
    """RFC 6376 §3.4.4. Plain replacements: a regular expression over the body costs several times as much."""
    body = body.replace(b"\t", b" ")
    while b"  " in body:
        body = body.replace(b"  ", b" ")
    return _end_once(body.replace(b" \r\n", b"\r\n").removesuffix(b" "))


def relaxed_headers(head: bytes) -> list[tuple[bytes, bytes]]:
    """Each header of the block as (lower-case name, canonical line without its CRLF), in order (RFC 6376 §3.4.2)."""
    head = head.replace(b"\t", b" ").replace(b"\r\n ", b" ")
    while b"  " in head:
        head = head.replace(b"  ", b" ")
    fields = []
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        name = name.strip(b" ").lower()
        fields.append((name, name + b":" + value.strip(b" ")))
    return fields


def _end_once(body: bytes) -> bytes:
    """The body without its trailing empty lines, ended by one CRLF; an empty body stays empty."""
    end = len(body.rstrip(b"\r\n"))
    if body[end:] != b"\r\n" * ((len(body) - end) // 2):  # a bare CR or LF among them
        end = len(body)
        while end >= 2 and body[end - 2 : end] == b"\r\n":
            end -= 2
    return body[:end] + b"\r\n" if end else b""


def octets_to_sign(names: Sequence[bytes], fields: Sequence[tuple[bytes, bytes]], own: bytes) -> bytes:
    """The headers that h= names, each time the lowest one not yet taken, then the signature's own (RFC 6376 §5.4.2)."""
    left: dict[bytes, list[bytes]] = {name: [] for name in names}
    for name, line in fields:
        if name in left:
            left[name].append(line)
    lines = [left[name].pop() for name in names if left[name]]
    return b"\r\n".join((*lines, own))


def _folded_names(names: Sequence[bytes]) -> str:
    lines = [""]
    for name in names:
        if len(lines[-1]) + len(name) + 4 > _LINE:
            lines.append("")
        lines[-1] += name.decode() + ":"
    return "\r\n\t ".join(lines).removesuffix(":")


def _folded_base64(text: bytes) -> bytes:
    return b"\r\n\t ".join(text[start : start + 72] for start in range(0, len(text), 72))


# --- verifying -------------------------------------------------------------------------------------------------------


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


def verify(raw: bytes, lookup: Callable[[str], PublishedKey], now: int | None = None) -> Verification:
    """Verify each DKIM-Signature of a CRLF-ended message; any bytes are allowed, nothing is raised.

    `lookup` gives the key published at a name; `now` (Unix seconds), if given, is held against `x=`.
    Stricter than RFC 6376 in two points: SHA-1 and `l=` never pass.
    """
    head, _, body = raw.partition(b"\r\n\r\n")
    fields = _raw_headers(head)
    return Verification(tuple(_verify_one(position, fields, body, lookup, now) for position in _signatures(fields)))


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


def _verify_one(
    position: int,
    fields: Sequence[tuple[bytes, bytes]],
    body: bytes,
    lookup: Callable[[str], PublishedKey],
    now: int | None,
) -> Signature:
    tags: dict[str, str] = {}
    try:
        tags = _tags(fields[position][1].partition(b":")[2].decode("ascii", "replace"))
        _check_terms(tags, now)
        by_header, by_body = _canonicalisations(tags.get("c", "simple/simple"))
        _check_body(tags, relaxed_body(body) if by_body == "relaxed" else _end_once(body) or b"\r\n")
        signing_input = _received_input(position, fields, tags["h"], by_header)
        _check_signature(signing_input, tags, lookup(f"{tags['s']}._domainkey.{tags['d']}"))
    except _Broken as broken:
        return Signature(tags.get("d", ""), tags.get("s", ""), tags.get("a", ""), broken.result, broken.reason)
    return Signature(tags["d"], tags["s"], tags["a"], Result.PASS)


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


def _check_body(tags: dict[str, str], canonical_body: bytes) -> None:
    if sha256(canonical_body).digest() != _base64(tags, "bh"):
        raise _Broken("the body was changed", Result.FAIL)


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
            public_key.verify(signature, signing_input, _PKCS1, _SHA256)
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
    if not isinstance(public_key, RSAPublicKey) or public_key.key_size < _WEAKEST_RSA_BITS:
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
