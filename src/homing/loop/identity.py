"""Under whose name a delivery goes out: the strongest identity that is proved now, with the reasons.

`resolve` is pure. Facts are cached verdicts about DNS and about who proved what; nothing is looked up here. So far the
operator's shared domain is the one level that facts can bear out; the levels on an organization's own domain need
facts about its DNS, and where those are absent the answer is `shared`, never a guess.
"""

from dataclasses import dataclass

from homing.loop.model import Identity, Level
from homing.mail.address import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorIdentity:
    """The operator's own names. `return_domain` is a child of `from_domain`, so that SPF stays aligned under
    RFC 9989's tree walk as well as under the public suffix list."""

    from_domain: str
    return_domain: str
    local_part: str = "message-service"

    @property
    def header_from(self) -> str:
        return f"{self.local_part}@{self.from_domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedFrom:
    """On whose behalf: the person's name, and the address that replies shall go to."""

    name: str
    reply_to: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is proved now. `proved`: folded addresses of the organization's that their owners have proved."""

    operator: OperatorIdentity
    proved: frozenset[str] = frozenset()


REPLY_TO_UNPROVED = "reply-to-unproved"


def resolve(organization: str, requested_from: RequestedFrom, recipient_domain: str, facts: Facts) -> Identity:
    """The identity of one delivery of `organization` (its name) to `recipient_domain`.

    Level `refuse` means that nothing may be sent; `reasons` are stable words, decisive one first.
    """
    level, reasons = Level.SHARED, ("no-own-domain-proved",)
    if requested_from.reply_to.folded not in facts.proved:
        level, reasons = Level.REFUSE, (REPLY_TO_UNPROVED,)
    operator = facts.operator
    return Identity(
        level=level,
        header_from=operator.header_from,
        display_name=requested_from.name or organization,
        reply_to=str(requested_from.reply_to),
        return_domain=operator.return_domain,
        sending_domain=operator.from_domain,
        reasons=(*reasons, f"recipient-domain={recipient_domain}"),
    )


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
