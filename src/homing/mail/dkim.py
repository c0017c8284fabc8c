"""DKIM: keys, and signatures of what leaves (RFC 6376, RFC 8301, RFC 8463).

Signatures are relaxed/relaxed, carry `t=` and `x=` and never `l=`. Every header that changes what a reader sees is
signed once more often than it is present, so that nobody can add another copy and replay the message with it.
Input is CRLF-ended wire form; the caller must send exactly the bytes that were signed.
"""

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key

from homing.mail.dkim_body import relaxed_body
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
WEAKEST_RSA_BITS = 1024  # RFC 8301 §3.2
_LINE = 76

_SIGNED = tuple(name.lower().encode() for name in SIGNED_HEADERS)
PKCS1 = padding.PKCS1v15()
SHA256 = hashes.SHA256()
_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")


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
        if isinstance(self.private_key, RSAPrivateKey) and self.private_key.key_size < WEAKEST_RSA_BITS:
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
            return self.private_key.sign(signing_input, PKCS1, SHA256)
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
