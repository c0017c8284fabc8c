"""Secrets at rest: AES-256-GCM under one key that is never in the database (NIST SP 800-38D).

What is sealed is tied to its place: it opens only with the words that it was sealed for, so that a row copied over
another one is of no use.
"""

from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_OCTETS = 32
NONCE_OCTETS = 12
_VERSION = b"\x01"
_FINGERPRINT_OCTETS = 4
_HEAD = len(_VERSION) + _FINGERPRINT_OCTETS


class SealBroken(Exception):  # noqa: N818 - it says what is the case
    """A secret does not open: another secret key, another place, or it was changed."""


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals under a key of 32 octets, and opens under it or under the one before, if there is one. Raises ValueError
    for keys of another length."""

    key: bytes = field(repr=False)
    before: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for key in self._keys:
            if len(key) != KEY_OCTETS:
                raise ValueError(f"a secret key has {KEY_OCTETS} octets, not {len(key)}")

    @property
    def _keys(self) -> tuple[bytes, ...]:
        return (self.key,) if self.before is None else (self.key, self.before)

    def seal(self, secret: bytes, place: tuple[str, ...], nonce: bytes) -> bytes:
        """`secret`, to be opened at `place` alone. `nonce`: 12 random octets, fresh each time."""
        if len(nonce) != NONCE_OCTETS:
            raise ValueError(f"a nonce has {NONCE_OCTETS} octets, not {len(nonce)}")
        return _VERSION + _fingerprint(self.key) + nonce + AESGCM(self.key).encrypt(nonce, secret, _words(place))

    def open(self, sealed: bytes, place: tuple[str, ...]) -> bytes:
        """What was sealed for `place`. Raises SealBroken."""
        if sealed[:1] != _VERSION or len(sealed) < _HEAD + NONCE_OCTETS:
            raise SealBroken("this was not sealed by us")
        key = next((one for one in self._keys if sealed[1:_HEAD] == _fingerprint(one)), None)
        if key is None:
            raise SealBroken("this was sealed with another secret key")
        nonce, rest = sealed[_HEAD : _HEAD + NONCE_OCTETS], sealed[_HEAD + NONCE_OCTETS :]
        try:
            return AESGCM(key).decrypt(nonce, rest, _words(place))
        except InvalidTag:
            raise SealBroken("this was sealed for another place, or was changed") from None

    def sealed_now(self, sealed: bytes) -> bool:
        """Whether it was sealed under the current key, not the previous one."""
        return sealed[:_HEAD] == _VERSION + _fingerprint(self.key)


def _fingerprint(key: bytes) -> bytes:
    return sha256(b"homing secret key" + key).digest()[:_FINGERPRINT_OCTETS]


def _words(place: tuple[str, ...]) -> bytes:
    """An encoding of the place that is unambiguous whatever its words hold."""
    return b"".join(len(word.encode()).to_bytes(4, "big") + word.encode() for word in place)
