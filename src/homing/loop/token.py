"""Signed tokens: the envelope sender of each delivery, and the other things only we can have written.

30 octets, 48 characters of `[a-z2-7]` (hosts fold the case of local parts): key id (1), subject (16), last day of
validity (2, days since 1970), and 11 octets of HMAC-SHA256 over the purpose and all before. 88 bits of MAC stand
against guessing at RCPT time. The purpose is in the MAC and not in the text, so that a token of one purpose is
refused for another. A token is a pass, not a secret: the reader of a mail can see it in Return-Path.

Short-lived tokens, for the web, expire at a given second: 64 characters, 5 octets for that time and 18 of HMAC.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

_MAC_OCTETS = 11
TEXT_LENGTH = 48
_SHORT_MAC_OCTETS = 18
SHORT_TEXT_LENGTH = 64
_EPOCH = date(1970, 1, 1)
_LAST_DAY = 0xFFFF
_START = datetime(1970, 1, 1, tzinfo=UTC)


class Purpose(StrEnum):
    ENVELOPE = "envelope"
    TRACE = "trace"
    UNSUBSCRIBE = "unsubscribe"
    MESSAGE_ID = "message_id"
    CORRECTION = "correction"  # the link in a letter that lets its reader correct an address and send again
    SMS_STATUS = "sms_status"  # in the callback address for the status of a text message
    STREAM = "stream"  # one human sender's live stream


class Fault(StrEnum):
    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown_key"
    FORGED = "forged"
    EXPIRED = "expired"


class TokenRefused(Exception):  # noqa: N818 - a refusal, which the caller turns into its own words
    """Not a live token of this purpose. `fault` says why; the outside world is told the same in every case."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """One signing key. `since`: deliveries made from then on are signed with it; older ones keep their key, so that
    every attempt of a delivery carries the same token."""

    id: int
    secret: bytes = field(repr=False)
    since: datetime


class Tokens:
    """Mints and opens tokens under the live keys (two during a rotation)."""

    def __init__(self, keys: Iterable[TokenKey]) -> None:
        self._by_age = sorted(keys, key=lambda key: key.since)
        self._by_id = {key.id: key for key in self._by_age}
        if not self._by_age or len(self._by_id) != len(self._by_age):
            raise ValueError("token keys need distinct ids, and at least one")

    def mint(self, purpose: Purpose, subject: UUID, *, made: datetime, last_day: date | None = None) -> str:
        """A token for `subject`, valid through `last_day` (UTC; None: for ever). Equal arguments give equal tokens."""
        key = self._key_of(made)
        day = _LAST_DAY if last_day is None else min((last_day - _EPOCH).days, _LAST_DAY)
        head = bytes([key.id]) + subject.bytes + day.to_bytes(2)
        return base64.b32encode(head + _mac(key, purpose, head)).decode().lower()

    def open(self, purpose: Purpose, text: str, *, now: datetime) -> UUID:
        """The subject of a live token; raises TokenRefused for everything else. Letter case does not matter."""
        octets = _octets(text, TEXT_LENGTH)
        head, mac = octets[:-_MAC_OCTETS], octets[-_MAC_OCTETS:]
        key = self._key_with(head[0])
        if not hmac.compare_digest(mac, _mac(key, purpose, head)):
            raise TokenRefused(Fault.FORGED)
        day = int.from_bytes(head[17:19])
        if day != _LAST_DAY and (now.astimezone(UTC).date() - _EPOCH).days > day:
            raise TokenRefused(Fault.EXPIRED)
        return UUID(bytes=head[1:17])

    def mint_short(self, purpose: Purpose, subject: UUID, until: datetime) -> str:
        """A token for `subject` that lives until the second `until`, signed with the newest key."""
        key = self._by_age[-1]
        head = bytes([key.id]) + subject.bytes + _seconds(until).to_bytes(5)
        return base64.b32encode(head + _short_mac(key, purpose, head)).decode().lower()

    def open_short(self, purpose: Purpose, text: str, *, now: datetime) -> tuple[UUID, datetime]:
        """The subject and the end of a live short token; raises TokenRefused for everything else."""
        octets = _octets(text, SHORT_TEXT_LENGTH)
        head, mac = octets[:-_SHORT_MAC_OCTETS], octets[-_SHORT_MAC_OCTETS:]
        key = self._key_with(head[0])
        if not hmac.compare_digest(mac, _short_mac(key, purpose, head)):
            raise TokenRefused(Fault.FORGED)
        seconds = int.from_bytes(head[17:])
        if _seconds(now) >= seconds:
            raise TokenRefused(Fault.EXPIRED)
        return UUID(bytes=head[1:17]), _START + timedelta(seconds=seconds)

    def _key_with(self, identifier: int) -> TokenKey:
        key = self._by_id.get(identifier)
        if key is None:
            raise TokenRefused(Fault.UNKNOWN_KEY)
        return key

    def _key_of(self, made: datetime) -> TokenKey:
        usable = [key for key in self._by_age if key.since <= made]
        return usable[-1] if usable else self._by_age[0]


def _mac(key: TokenKey, purpose: Purpose, head: bytes) -> bytes:
    return hmac.digest(key.secret, purpose.value.encode() + b"\0" + head, hashlib.sha256)[:_MAC_OCTETS]


def _short_mac(key: TokenKey, purpose: Purpose, head: bytes) -> bytes:
    return hmac.digest(key.secret, purpose.value.encode() + b"\0until\0" + head, hashlib.sha256)[:_SHORT_MAC_OCTETS]


def _octets(text: str, length: int) -> bytes:
    folded = text.lower()
    if len(folded) != length or not folded.isascii():
        raise TokenRefused(Fault.MALFORMED)
    try:
        return base64.b32decode(folded.upper())
    except ValueError:
        raise TokenRefused(Fault.MALFORMED) from None


def _seconds(moment: datetime) -> int:
    return (moment - _START) // timedelta(seconds=1)
