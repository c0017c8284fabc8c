"""API keys: `homing_live_` or `homing_test_` and 48 characters of `[a-z2-7]`, of which the last 8 are a checksum.

The checksum lets scanners for leaked secrets, and us, tell a key from anything that looks like one without asking
anybody. 200 random bits need no slow hash: only SHA-256 of the whole key is ever stored.
"""

import base64
import hashlib
from enum import StrEnum

SECRET_OCTETS = 25
_LIVE, _TEST = "homing_live_", "homing_test_"
_CHECK_OCTETS = 5


class Scope(StrEnum):
    """What a key may be used for. Each stands for itself; only `admin` includes all others. `attest`: to vouch for the
    addresses of people, which only the operator can give."""

    SEND = "send"
    READ = "read"
    MANAGE = "manage"
    ATTEST = "attest"
    ADMIN = "admin"


def mint_key(secret: bytes, *, live: bool = True) -> str:
    """The key made of the first 25 of at least as many random octets."""
    if len(secret) < SECRET_OCTETS:
        raise ValueError(f"a key needs {SECRET_OCTETS} random octets")
    prefix = _LIVE if live else _TEST
    body = secret[:SECRET_OCTETS]
    return prefix + base64.b32encode(body + _checksum(prefix, body)).decode().lower()


def is_key(text: str) -> bool:
    """Whether `text` has the form of a key, its checksum included."""
    prefix, digits = text[: len(_LIVE)], text[len(_LIVE) :]
    if prefix not in (_LIVE, _TEST) or len(digits) != 48 or digits != digits.lower():
        return False
    try:
        octets = base64.b32decode(digits.upper())
    except ValueError:
        return False
    return octets[SECRET_OCTETS:] == _checksum(prefix, octets[:SECRET_OCTETS])


def hash_key(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _checksum(prefix: str, body: bytes) -> bytes:
    return hashlib.sha256(prefix.encode() + body).digest()[:_CHECK_OCTETS]
