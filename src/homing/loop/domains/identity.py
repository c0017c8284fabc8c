"""The identity of a delivery: the strongest one that is proved now, with the reasons.

`resolve` is pure. Facts are cached verdicts about DNS records and proofs; nothing is looked up here. From holds either
an address of a domain that its owner has delegated to us, or an address of the operator's, and never any other.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from homing.loop.domains.domain_typos import WELL_KNOWN
from homing.loop.domains.impersonation import Guard, claimed_words
from homing.loop.domains.known_names import KNOWN_NAMES
from homing.loop.domains.mailbox_providers import PROVIDERS
from homing.loop.model import Identity, Level
from homing.mail.address import Address, parse_address
from homing.mail.field_checks import check_display_name


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorIdentity:
    """The operator's own names. `return_domain` is a child of `from_domain`, so that SPF stays aligned under RFC 9989's
    tree walk as well as under the public suffix list. `name`: what people call the operator."""

    from_domain: str
    return_domain: str
    local_part: str = "message-service"
    name: str = ""

    @property
    def header_from(self) -> str:
        return f"{self.local_part}@{self.from_domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedFrom:
    """The human sender of a request: the person's name, the address for replies, and the address wanted in From if
    allowed (None: the one of `reply_to`)."""

    name: str
    reply_to: Address
    address: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainFact:
    """A proved fact about a domain of the organization: `level` is `custom-full` or `custom-dkim`, or `shared` if the
    domain is the organization's, but no key can sign for it now. `own_recipients`: its own mail server takes mail from
    it that comes from outside. `checked_at`: when the DNS was last asked."""

    level: Level
    return_domain: str
    own_recipients: bool = False
    checked_at: datetime | None = None

    @property
    def asked(self) -> tuple[str, ...]:
        return () if self.checked_at is None else (f"domain-checked={self.checked_at:%Y-%m-%dT%H:%M:%SZ}",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is proved now. `proved`: folded addresses of the organization's that their owners have proved; `domains`:
    its proved domains. `local_part`: the organization's own at the operator's shared domain, None where it has none.
    `guards`: guarded names of others, the operator and other organizations."""

    operator: OperatorIdentity
    proved: frozenset[str] = frozenset()
    domains: Mapping[str, DomainFact] = field(default_factory=dict)
    local_part: str | None = None
    guards: tuple[Guard, ...] = ()


REPLY_TO_UNPROVED = "reply-to-unproved"
NAME_DECEIVES = "display-name-deceives"
OWN_DOMAIN = "own-domain-proved"
OWN_RECIPIENTS = "own-recipients"
NO_OWN_DOMAIN = "no-own-domain-proved"
RETURN_PATH_UNPROVED = "return-path-unproved"
NEEDS_SMTPUTF8 = "from-needs-smtputf8"
FREEMAIL = "reply-to-freemail"

ACCEPTED_AS = "accepted-as"
"""Followed by the level that the delivery was accepted with, where it goes out with another one."""

_CUSTOM = frozenset({Level.CUSTOM_FULL, Level.CUSTOM_DKIM})
_STRONGEST_FIRST = list(Level)
_PUBLIC = PROVIDERS | frozenset(WELL_KNOWN)
_PUBLIC_EVERYWHERE = re.compile(
    r"(?:hotmail|outlook|live|msn|yahoo|ymail|rocketmail|gmx|aol|googlemail)\.(?:com?\.)?[a-z]{2,3}"
    r"|[a-z]+\.rr\.com"
)
"""Providers with a domain in every country, and one with a name for every town."""


def is_freemail(domain: str) -> bool:
    """Whether the domain belongs to a provider of mailboxes or Internet access, and so can never be an organization's
    own."""
    return domain in _PUBLIC or _PUBLIC_EVERYWHERE.fullmatch(domain) is not None


def resolve(organization: str, requested_from: RequestedFrom, recipient_domain: str, facts: Facts) -> Identity:
    """The identity of one delivery of `organization` (its name) to `recipient_domain`.

    Level `refuse` means that nothing may be sent; `reasons` are stable words, the decisive one first.
    """
    name = requested_from.name or organization
    refusal = _refusal(organization, name, requested_from, facts)
    if refusal is not None:
        return _ours(Level.REFUSE, name, requested_from, facts, refusal)
    return _strongest(name, requested_from, recipient_domain, facts)


def resolve_again(before: Identity, recipient_domain: str, facts: Facts, *, tried: bool) -> Identity:
    """The identity under which a delivery goes out now that was accepted, or last tried, as `before`.

    A lapsed proof lowers the level to what is proved now. A new proof raises it only before the first attempt (not
    `tried`); later the names stay, for each attempt sends the same octets. No accepted delivery is refused here:
    Reply-To stays trusted if it was. Returns `before` itself if nothing changes.
    """
    asked_for = before.requested_from or (before.header_from if before.level in _CUSTOM else None)
    if before.reply_to is None or asked_for is None:
        return before
    requested = RequestedFrom(
        name=before.display_name, reply_to=parse_address(before.reply_to), address=parse_address(asked_for)
    )
    fresh = _strongest(before.display_name, requested, recipient_domain, facts)
    weaker = _STRONGEST_FIRST.index(fresh.level) - _STRONGEST_FIRST.index(before.level)
    if weaker == 0 or (tried and weaker < 0):
        return before
    return replace(
        fresh,
        reasons=(*fresh.reasons, f"{ACCEPTED_AS}={before.level}"),
        feedback_to=before.feedback_to,
        unsubscribe_at=before.unsubscribe_at,
    )


def _strongest(name: str, requested_from: RequestedFrom, recipient_domain: str, facts: Facts) -> Identity:
    notes = (*_notes(requested_from), f"recipient-domain={recipient_domain}")
    wanted = requested_from.address or requested_from.reply_to
    fact = facts.domains.get(wanted.domain)
    why_not = _why_not_custom(wanted, fact, recipient_domain)
    if fact is not None and why_not is None:
        weaker = () if fact.level is Level.CUSTOM_FULL else (RETURN_PATH_UNPROVED,)
        return Identity(
            level=fact.level,
            header_from=str(wanted),
            display_name=name,
            reply_to=str(requested_from.reply_to),
            return_domain=fact.return_domain if fact.level is Level.CUSTOM_FULL else facts.operator.return_domain,
            sending_domain=wanted.domain,
            reasons=(OWN_DOMAIN, *weaker, *fact.asked, *notes),
            requested_from=str(wanted),
        )
    level = Level.SHARED if facts.local_part is None else Level.SHARED_TENANT
    return _ours(level, name, requested_from, facts, (why_not or NO_OWN_DOMAIN, *notes))


def own_identity(display_name: str, operator: OperatorIdentity, reply_to: str | None = None) -> Identity:
    """The identity of the mail that we write ourselves."""
    return Identity(
        level=Level.SHARED,
        header_from=operator.header_from,
        display_name=display_name,
        reply_to=reply_to,
        return_domain=operator.return_domain,
        sending_domain=operator.from_domain,
        reasons=("own-letter",),
    )


def _refusal(organization: str, name: str, requested_from: RequestedFrom, facts: Facts) -> tuple[str, ...] | None:
    """The reason, and behind a claim what is said of it; None: nothing speaks against the name and the Reply-To."""
    reply_to = requested_from.reply_to
    if reply_to.folded not in facts.proved and reply_to.domain not in facts.domains:
        return (REPLY_TO_UNPROVED,)
    if check_display_name(name):
        return (NAME_DECEIVES,)
    found = claimed_words(name, (KNOWN_NAMES, *facts.guards), own=organization, own_domains=facts.domains.keys())
    return None if found is None else (found.claim, found.told)


def _why_not_custom(wanted: Address, fact: DomainFact | None, recipient_domain: str) -> str | None:
    """Why the address may not stand in From of this delivery; None: it may."""
    if fact is None or fact.level not in _CUSTOM or is_freemail(wanted.domain):
        return NO_OWN_DOMAIN
    if wanted.needs_smtputf8:
        return NEEDS_SMTPUTF8
    if not fact.own_recipients and _one_organization(wanted.domain, recipient_domain):
        return OWN_RECIPIENTS
    return None


def _one_organization(domain: str, other: str) -> bool:
    """Whether one domain is the other, or below it: then the same people run the mail server, and many refuse mail of
    their own domain from outside."""
    return domain == other or domain.endswith(f".{other}") or other.endswith(f".{domain}")


def _notes(requested_from: RequestedFrom) -> tuple[str, ...]:
    return (FREEMAIL,) if is_freemail(requested_from.reply_to.domain) else ()


def _ours(level: Level, name: str, requested_from: RequestedFrom, facts: Facts, reasons: tuple[str, ...]) -> Identity:
    operator = facts.operator
    local_part = facts.local_part if level is Level.SHARED_TENANT else None
    return Identity(
        level=level,
        header_from=operator.header_from if local_part is None else f"{local_part}@{operator.from_domain}",
        display_name=name,
        reply_to=str(requested_from.reply_to),
        return_domain=operator.return_domain,
        sending_domain=operator.from_domain,
        reasons=reasons,
        requested_from=str(requested_from.address or requested_from.reply_to),
    )
