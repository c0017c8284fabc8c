"""Bounces without a machine-readable part: whom do they name, and in which words?

Half of all bounces follow no standard, but nearly all follow one shape: some prose, a line that holds the failed
address, and the reason behind or below it. So this reads the shape, not each program; what it cannot find is left open,
since the envelope token already says whom it is about.
"""

import re
from dataclasses import dataclass

from homing.mail.mime import Mail

RECIPIENTS = 100
_LINES = 2000
_REASON_LINES = 20
_REASON_CHARACTERS = 2000

_ADDRESS = r"""(?:"[^"\n]{1,64}"|[^\s<>()\[\]:;,"'@\\|]{1,64})@[A-Za-z0-9][\w.-]{1,252}\w"""
_ANY_ADDRESS = re.compile(_ADDRESS)
_NAMING_LINE = re.compile(
    r"[ \t>*•-]{0,40}(?:\d{1,3}[.)][ \t]+)?"
    r"(?:(?:to|rcpt to|recipients?|recipient addresse?|address|addressee|e-?mail|user|failed recipients?|destinatario|"
    r"an|empfänger|destinataire|(?:undeliverable|delivery failed|undelivered)(?: to)?)"
    r"[ \t]{0,4}[:=][ \t]{0,8}|to[ \t]+)?"
    rf"""["'(<\[]{{0,3}}(?:smtp:|mailto:|rfc822;\s?)?({_ADDRESS})["')>\]]{{0,3}}(.*)""",
    re.IGNORECASE,
)
_ORIGINAL_BEGINS = re.compile(
    r"(?:received|return-path|message-id|dkim-signature|x-received|mime-version):\s", re.IGNORECASE
)
_REASON_MAY_FOLLOW = re.compile(
    r"\s*(?:$|[:.,;(\[<—–-]|on \d|\.\.\.|failed|unknown|user|was|is|has|could|not|does|\d{3}\b|smtp|delivery)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Named:
    """An address that the notice names ("" if it names nobody), and the words about it."""

    address: str
    reason: str


def read_plain(mail: Mail) -> tuple[Named, ...]:
    """Whom the notice names, each with its reason; one nameless entry if it names nobody."""
    ours = _not_recipients(mail)
    by_line = _named_by_line(mail.prose, ours)
    listed = [found for value in mail.headers.all("X-Failed-Recipients") for found in _ANY_ADDRESS.findall(value)]
    if listed:
        reasons = {named.address.lower(): named.reason for named in by_line}
        addresses = dict.fromkeys(listed[:RECIPIENTS])
        return tuple(Named(address, reasons.get(address.lower(), mail.prose)) for address in addresses)
    if by_line:
        return by_line
    mentioned = {found.lower(): found for found in _ANY_ADDRESS.findall(mail.prose) if found.lower() not in ours}
    if len(mentioned) == 1:
        return (Named(next(iter(mentioned.values())), mail.prose),)
    returned = returned_recipients(mail)
    return (Named(returned[0] if len(returned) == 1 else "", mail.prose),)


def returned_recipients(mail: Mail) -> tuple[str, ...]:
    """The addresses in To and Cc of the returned original."""
    if mail.returned is None:
        return ()
    fields = (*mail.returned.all("To"), *mail.returned.all("Cc"))
    return tuple(dict.fromkeys(found for value in fields for found in _ANY_ADDRESS.findall(value)))


def first_address(value: str) -> str:
    """The address of a From field: the one in angle brackets, else the first; "" if none."""
    bracketed = _ANY_ADDRESS.search(value, value.rfind("<")) if "<" in value else None
    found = bracketed or _ANY_ADDRESS.search(value)
    return found[0] if found else ""


def _not_recipients(mail: Mail) -> frozenset[str]:
    """Addresses that a notice also shows but that did not fail: its own sender and receiver, the original's sender."""
    values = [value for name in ("From", "To", "Reply-To", "Sender") for value in mail.headers.all(name)]
    if mail.returned is not None:
        values += [value for name in ("From", "Return-Path", "Sender", "Reply-To") for value in mail.returned.all(name)]
    return frozenset(found.lower() for value in values for found in _ANY_ADDRESS.findall(value))


def _named_by_line(prose: str, ours: frozenset[str]) -> tuple[Named, ...]:
    found: dict[str, str] = {}
    lines = prose.split("\n")[:_LINES]
    for number, line in enumerate(lines):
        if _ORIGINAL_BEGINS.match(line) or len(found) >= RECIPIENTS:
            break
        naming = _NAMING_LINE.match(line[:1000])
        if not naming or naming[1].lower() in ours or not _REASON_MAY_FOLLOW.match(naming[2]):
            continue
        found.setdefault(naming[1], _reason(naming[2], lines[number + 1 : number + 1 + _REASON_LINES]))
    return tuple(Named(address, reason) for address, reason in found.items())


def _reason(rest: str, below: list[str]) -> str:
    """What stands behind the address, and below it up to the next address or the end of its paragraph."""
    kept = [rest]
    for line in below:
        blank = not line.strip()
        if _NAMING_LINE.match(line[:1000]) or (blank and "".join(kept).strip(" :.\n")):
            break
        kept.append(line)
    return "\n".join(kept).strip(" :\n")[:_REASON_CHARACTERS]
