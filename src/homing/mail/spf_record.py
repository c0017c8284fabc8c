"""Reading an SPF record whole, before any of it is evaluated (RFC 7208 §4.6, §12).

Every fault is reported with its term. A single fault anywhere makes the record a permanent error for receivers, even in
a term that they would not have evaluated.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network

VERSION = "v=spf1"


class SpfResult(StrEnum):
    """RFC 7208 §2.6."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"  # noqa: S105 - a word of RFC 7208
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


_QUALIFIERS = {
    "+": SpfResult.PASS,
    "-": SpfResult.FAIL,
    "~": SpfResult.SOFTFAIL,
    "?": SpfResult.NEUTRAL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Macro:
    """A `%{…}` (RFC 7208 §7): its lower-case letter, the number of right-hand parts to keep (0: all), whether the parts
    are reversed first, where they are split, and whether the outcome is URL-escaped."""

    letter: str
    keep: int
    reverse: bool
    delimiters: str
    escape: bool


Pieces = tuple[str | Macro, ...]
"""Text with macros in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """A term that may match, and the result if it does. `target` None: the domain whose record it is.

    `network` is set for ip4 and ip6 only; the prefixes are those for addresses that are looked up. `text` is the term
    as it was written.
    """

    name: str
    qualifier: SpfResult
    text: str
    target: Pieces | None = None
    network: IPv4Network | IPv6Network | None = None
    prefix4: int = 32
    prefix6: int = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Modifier:
    name: str
    value: Pieces
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpfRecord:
    """A record without faults. `others` are modifiers that RFC 7208 does not know and tells us to ignore."""

    text: str
    mechanisms: tuple[Mechanism, ...]
    redirect: Modifier | None = None
    explanation: Modifier | None = None
    others: tuple[Modifier, ...] = ()


@dataclass(frozen=True, slots=True)
class SpfFault:
    """What is wrong with which term, for a person."""

    term: str
    sentence: str


def is_spf(text: str) -> bool:
    """Whether a TXT record is an SPF record at all, a faulty one perhaps (RFC 7208 §4.5)."""
    head = text[: len(VERSION) + 1].lower()
    return head in (VERSION, VERSION + " ")


def read_spf(text: str) -> SpfRecord | tuple[SpfFault, ...]:
    """The record, or all its faults in order. `text` is a TXT record, its strings joined."""
    if not is_spf(text):
        return (SpfFault(text[: len(VERSION) + 1], f'An SPF record begins with "{VERSION}" and a space.'),)
    terms: list[Mechanism | Modifier] = []
    faults: list[SpfFault] = []
    for written in text[len(VERSION) :].split(" "):
        try:
            if written:
                terms.append(_term(written))
        except _Faulty as fault:
            faults.append(SpfFault(written, str(fault)))
    for name in ("redirect", "exp"):
        again = [term for term in terms if isinstance(term, Modifier) and term.name == name][1:]
        faults += [SpfFault(term.text, f'"{name}=" may stand only once.') for term in again]
    if faults:
        return tuple(faults)
    modifiers = [term for term in terms if isinstance(term, Modifier)]
    named = {modifier.name: modifier for modifier in modifiers}
    return SpfRecord(
        text=text,
        mechanisms=tuple(term for term in terms if isinstance(term, Mechanism)),
        redirect=named.get("redirect"),
        explanation=named.get("exp"),
        others=tuple(modifier for modifier in modifiers if modifier.name not in ("redirect", "exp")),
    )


def read_explanation(text: str) -> Pieces | None:
    """The text that `exp=` leads to, None where it is malformed (RFC 7208 §6.2)."""
    try:
        return _pieces(text, letters=_LETTERS + _EXPLAINING, literal=_SPACED)
    except _Faulty:
        return None


class _Faulty(Exception):  # noqa: N818 - leaves this module as an SpfFault
    pass


_LETTERS = "slodiphv"
_EXPLAINING = "crt"
_VISIBLE = re.compile(r"[\x21-\x24\x26-\x7e]+")
_SPACED = re.compile(r"[\x20-\x24\x26-\x7e]+")
_EXPAND = re.compile(r"%\{([A-Za-z])(\d{0,3})([rR]?)([.,+/_=-]*)\}")
_ESCAPES = {"%%": "%", "%_": " ", "%-": "%20"}
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)
_MECHANISM = re.compile(r"([+?~-]?)([A-Za-z][A-Za-z0-9_.-]*)(.*)", re.DOTALL)
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_PREFIXES = re.compile(r"(?:/(\d+))?(?://(\d+))?$")
_IP4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_IP6 = re.compile(r"[0-9A-Fa-f:.]+")


def _term(text: str) -> Mechanism | Modifier:
    if not all("\x21" <= char <= "\x7e" for char in text):
        raise _Faulty("Only visible ASCII characters may stand in an SPF record.")
    modifier = _MODIFIER.fullmatch(text)
    if modifier:
        return _modifier(modifier[1].lower(), modifier[2], text)
    found = _MECHANISM.fullmatch(text)
    if found is None or found[2].lower() not in _READERS:
        raise _Faulty("This is neither a mechanism nor a modifier of SPF.")
    name = found[2].lower()
    return _READERS[name](name, _QUALIFIERS[found[1] or "+"], found[3], text)


def _modifier(name: str, value: str, text: str) -> Modifier:
    if name in ("redirect", "exp"):
        return Modifier(name=name, value=_domain_spec(value), text=text)
    return Modifier(name=name, value=_pieces(value, letters=_LETTERS + _EXPLAINING), text=text)


def _read_all(name: str, qualifier: SpfResult, rest: str, text: str) -> Mechanism:
    if rest:
        raise _Faulty('Nothing may follow "all".')
    return Mechanism(name=name, qualifier=qualifier, text=text)


def _read_target(name: str, qualifier: SpfResult, rest: str, text: str) -> Mechanism:
    """include and exists, which need a domain, and ptr, which may have one."""
    if not rest and name == "ptr":
        return Mechanism(name=name, qualifier=qualifier, text=text)
    if not rest.startswith(":"):
        raise _Faulty(f'"{name}" must be followed by a colon and a domain.')
    return Mechanism(name=name, qualifier=qualifier, text=text, target=_domain_spec(rest[1:]))


def _read_addresses(name: str, qualifier: SpfResult, rest: str, text: str) -> Mechanism:
    """a and mx: a domain that may be left out, then prefix lengths for IPv4 and IPv6."""
    prefixes = _PREFIXES.search(rest)
    assert prefixes is not None
    target = rest[: prefixes.start()]
    if target and not target.startswith(":"):
        raise _Faulty(f'"{name}" may be followed by a colon and a domain, and by "/" and a prefix length.')
    return Mechanism(
        name=name,
        qualifier=qualifier,
        text=text,
        target=_domain_spec(target[1:]) if target else None,
        prefix4=_prefix(prefixes[1], 32),
        prefix6=_prefix(prefixes[2], 128),
    )


def _read_network(name: str, qualifier: SpfResult, rest: str, text: str) -> Mechanism:
    """ip4 and ip6."""
    address, slash, prefix = rest.removeprefix(":").partition("/")
    most, form = (32, _IP4) if name == "ip4" else (128, _IP6)
    if not rest.startswith(":") or not form.fullmatch(address):
        raise _Faulty(f'"{name}:" must be followed by an address or a network.')
    try:
        network = ip_network((address, _prefix(prefix if slash else None, most)), strict=False)
    except ValueError:
        raise _Faulty(f'"{address[:80]}" is not an address.') from None
    if (network.version == 4) is not (name == "ip4"):
        raise _Faulty(f'"{address[:80]}" is not an address for "{name}".')
    return Mechanism(name=name, qualifier=qualifier, text=text, network=network)


_READERS: dict[str, Callable[[str, SpfResult, str, str], Mechanism]] = {
    "all": _read_all,
    "include": _read_target,
    "exists": _read_target,
    "ptr": _read_target,
    "a": _read_addresses,
    "mx": _read_addresses,
    "ip4": _read_network,
    "ip6": _read_network,
}


def _prefix(digits: str | None, most: int) -> int:
    if digits is None:
        return most
    if not re.fullmatch(r"0|[1-9]\d{0,2}", digits) or int(digits) > most:
        raise _Faulty(f"A prefix length is a number from 0 to {most}, without leading zeros.")
    return int(digits)


def _domain_spec(text: str) -> Pieces:
    """RFC 7208 §7.1: text with macros that ends in a macro or in a dot and a top label."""
    pieces = _pieces(text, letters=_LETTERS)
    if not pieces:
        raise _Faulty("A domain is missing.")
    if isinstance(pieces[-1], str) and not text.endswith(tuple(_ESCAPES)):
        _, dot, top = text.removesuffix(".").rpartition(".")
        if not dot or top.isdigit() or not _LABEL.fullmatch(top):
            raise _Faulty(f'"{text[:80]}" is not a full domain name.')
    return pieces


def _pieces(text: str, *, letters: str, literal: re.Pattern[str] = _VISIBLE) -> Pieces:
    pieces: list[str | Macro] = []
    position = 0
    while position < len(text):
        if plain := literal.match(text, position):
            pieces.append(plain[0])
            position = plain.end()
        elif (escape := text[position : position + 2]) in _ESCAPES:
            pieces.append(_ESCAPES[escape])
            position += 2
        elif (found := _EXPAND.match(text, position)) and found[1].lower() in letters:
            pieces.append(_macro(found))
            position = found.end()
        else:
            raise _Faulty('A "%" must begin one of the macros that may stand here.')
    return tuple(pieces)


def _macro(found: re.Match[str]) -> Macro:
    if found[2] and int(found[2]) == 0:
        raise _Faulty("A macro cannot keep 0 parts.")
    return Macro(
        letter=found[1].lower(),
        keep=int(found[2] or 0),
        reverse=bool(found[3]),
        delimiters=found[4] or ".",
        escape=found[1].isupper(),
    )
