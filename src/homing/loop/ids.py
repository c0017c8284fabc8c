"""Identifiers: time-ordered (UUIDv7, RFC 9562 §5.7) inside, with a word in front outside: `msg_0190c3…`."""

import re
from datetime import UTC, datetime
from uuid import UUID

_DIGITS = re.compile("[0-9a-f]{32}")

PREFIXES = {
    "organization": "org",
    "api_key": "key",
    "human_sender": "snd",
    "message": "msg",
    "delivery": "dlv",
    "attempt": "att",
    "event": "evt",
    "inbound": "inb",
    "case": "cas",
    "action": "act",
    "suppression": "sup",
    "dkim_key": "dkm",
    "sending_domain": "dom",
}


def new_id(now: datetime, dice: bytes) -> UUID:
    """A fresh id; `dice` are ten random bytes. Ids of one process sort by creation to the millisecond."""
    milliseconds = int(now.timestamp() * 1000)
    number = (milliseconds << 80) | int.from_bytes(dice[:10])
    number = number & ~(0xF << 76) | (0x7 << 76)
    number = number & ~(0x3 << 62) | (0x2 << 62)
    return UUID(int=number)


def made_at(identifier: UUID) -> datetime:
    """The moment at which `new_id` made it, to the millisecond."""
    return datetime.fromtimestamp((identifier.int >> 80) / 1000, UTC)


def show(kind: str, identifier: UUID) -> str:
    return f"{PREFIXES[kind]}_{identifier.hex}"


def read(kind: str, text: str) -> UUID | None:
    """The id that `show` wrote, or None for anything else."""
    prefix, _, digits = text.partition("_")
    return UUID(hex=digits) if prefix == PREFIXES[kind] and _DIGITS.fullmatch(digits) else None
