"""Whom a report is about: our recipient, a form that his own house gave his address, or somebody else.

Servers echo the address that we wrote to (Original-Recipient, RFC 3461 §4.2), whoever it is that failed; so only the
address that failed is asked about.
"""

import re
from enum import StrEnum

from homing.mail.spelling import from_utf8, from_xtext, split

_HOSTED = ".onmicrosoft.com"
_ENCAPSULATED = re.compile(r"IMCEA[A-Z0-9]{1,20}-", re.IGNORECASE)
_HEXED = re.compile(r"\+([0-9A-Fa-f]{2})")


class Relation(StrEnum):
    """How an address that failed stands to our recipient."""

    SAME = "same"
    """A spelling of his address."""
    REWRITTEN = "rewritten"
    """His mailbox, most likely, under another address: without its detail (RFC 5233), at a host of the domain, at the
    house's domain with Microsoft, or packed into an X.400 or Exchange name (IMCEA)."""
    OTHER = "other"
    """Somebody else: the target of a forward, an alias, a member of a list."""


def relation(recipient: str, written: str) -> Relation:
    """The relation of an address as a report writes it to our `recipient`."""
    local, domain = split(recipient)
    forms = {split(form) for form in (written, from_xtext(written))}
    if (local, domain) in forms:
        return Relation.SAME
    if any(_base(their) == _base(local) and _at_the_domain(domain, at) for their, at in forms):
        return Relation.REWRITTEN
    return Relation.REWRITTEN if _encapsulates(written, local, domain) else Relation.OTHER


def _base(local: str) -> str:
    """A local part without its detail."""
    return local[: local.find("+")] if local.find("+") > 0 else local


def _at_the_domain(domain: str, other: str) -> bool:
    """Whether `other` is the domain, a host below it, a name at Microsoft's, or a host's without any domain."""
    return "." not in other or other == domain or other.endswith((f".{domain}", _HOSTED))


def _encapsulates(written: str, local: str, domain: str) -> bool:
    their, at = split(from_utf8(written))
    if not _ENCAPSULATED.match(their):
        return False
    inside = _HEXED.sub(lambda hexed: chr(int(hexed[1], 16)), their[their.index("-") + 1 :])
    return f"{local}@{domain}" in inside or (inside.rpartition("cn=")[2] == local and _at_the_domain(domain, at))
