"""Questions to the DNS, and the four ways in which they are answered (RFC 1035, RFC 2308).

Code that needs the DNS for a verdict is written sans I/O: a dialogue is a generator that yields an `Ask`, is sent an
`Answer`, and returns its verdict. "No such name", "the name has no such record" and "the look-up failed" lead to
different verdicts, so they are never merged.
"""

from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

_NAME_OCTETS = 253
_LABEL_OCTETS = 63


class LookupFault(StrEnum):
    """Why a look-up failed. `lame`: the server does not serve the zone and does not resolve it for us either."""

    SERVFAIL = "servfail"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    LAME = "lame"
    GARBLED = "garbled"
    UNREACHABLE = "unreachable"


RecordT = TypeVar("RecordT")
VerdictT = TypeVar("VerdictT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Generic[RecordT]):
    """`secure`: the resolver has checked the signatures and found them right (the AD bit, RFC 4035 §3.2.3)."""

    records: tuple[RecordT, ...]
    server: str
    secure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NoData:
    """The name exists, but has no record of this type (RFC 2308 §2.2)."""

    server: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSuchName:
    """NXDOMAIN. `authoritative`: the answer came from a server of the zone itself, not from a resolver."""

    server: str
    authoritative: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupFailed:
    """No answer that means anything: ask again later."""

    why: LookupFault
    server: str


Negative = NoData | NoSuchName | LookupFailed
Answer = Found[RecordT] | Negative


class RecordType(StrEnum):
    """Record types that are asked for, and the text in which a record of each is told."""

    A = "A"
    AAAA = "AAAA"
    CNAME = "CNAME"
    MX = "MX"  # "10 mx.example.com."
    NS = "NS"
    PTR = "PTR"
    SOA = "SOA"  # "ns.example.com. hostmaster.example.com. 2026030201 …"
    SPF = "SPF"  # RFC 7208 §3.1 withdrew it
    TLSA = "TLSA"  # "3 1 1 0123…"
    TXT = "TXT"  # its strings joined


@dataclass(frozen=True, slots=True)
class Ask:
    """One question; `name` is a well-formed domain name without its final dot."""

    name: str
    record_type: RecordType


Dialogue = Generator[Ask, Answer[str], VerdictT]


def with_silence(dialogue: Dialogue[VerdictT]) -> Dialogue[tuple[VerdictT, bool]]:
    """The verdict of a dialogue, and whether a look-up of it failed: RFCs let some verdicts stand nevertheless."""
    silent = False
    try:
        ask = next(dialogue)
        while True:
            answer = yield ask
            silent = silent or isinstance(answer, LookupFailed)
            ask = dialogue.send(answer)
    except StopIteration as end:
        return end.value, silent


def well_formed(name: str) -> bool:
    """Whether the DNS can be asked about this name at all: ASCII, no empty or overlong label (RFC 1035 §2.3.4)."""
    labels = name.split(".")
    return name.isascii() and len(name) <= _NAME_OCTETS and all(0 < len(label) <= _LABEL_OCTETS for label in labels)
