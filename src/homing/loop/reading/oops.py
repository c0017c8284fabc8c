"""May this mail be answered by a machine? The rules of RFC 3834 for the one automatic answer that we ever give.

"Oops!" tells a person that he wrote to an address that nobody reads. Two machines that answer each other do so for
ever, and an answer to a forged sender is mail that nobody asked for. So every doubt is a refusal. Not decided here,
since it takes memory or keys: whether a Message-ID is ours, whether the envelope sender was a recipient of that
message, and whether he had an answer today already.
"""

import re
from collections.abc import Collection
from enum import StrEnum

from homing.mail.address import domain_of
from homing.mail.authentication import Authentication
from homing.mail.dkim_verification import Result
from homing.mail.dmarc import DmarcResult
from homing.mail.mime import Headers
from homing.mail.spf_record import SpfResult

RECEIVED = 30
"""More hops than this are a loop (RFC 3834 §2 leaves the number open; RFC 5321 §6.3 has 100 for refusing)."""

_MESSAGE_ID = re.compile(r"<([^<>\s@]{1,250}@[^<>\s@]{1,250})>")
_MESSAGE_IDS = 50
_LOCAL = 256
_MACHINE_LOCALS = re.compile(
    r"(?:mailer[-_.]?daemon|mail[-_.]?daemon|daemon|postmaster|root|abuse|nobody|null|bounces?"
    r"|listserv|majordomo|lists?|mdaemon|devnull|(?:do[-_.]?)?no(?:t)?[-_.]?reply|noreply|notifications?|alerts?"
    r"|auto(?:mated|responder|reply))(?:[-+._=].*)?"
    r"|owner-.*|.*-(?:owner|request|bounces?|admin|errors|daemon|return|relay|noreply|no-reply)(?:[-+=].*)?"
    r"|.*(?:no[-_.]?reply|mailer-daemon).*",
)
_AUTOMATIC_FIELDS = (
    "X-Autoreply",
    "X-Autorespond",
    "X-Autoresponder",
    "X-Autoresponse",
    "X-Auto-Reply",
    "X-Autoreply-From",
    "X-Mail-Autoreply",
    "X-MS-Exchange-Inbox-Rules-Loop",
    "X-Failed-Recipients",
    "X-Vacation",
)
_LIST_FIELDS = (
    "List-Id",
    "List-Unsubscribe",
    "List-Post",
    "List-Help",
    "List-Subscribe",
    "List-Owner",
    "List-Archive",
    "Mailing-List",
    "X-Mailing-List",
    "X-BeenThere",
)
_COMMENT = re.compile(r"\([^()]*\)")


class Refusal(StrEnum):
    """Why a mail is not answered."""

    NULL_SENDER = "null_sender"
    MACHINE_SENDER = "machine_sender"
    OUR_OWN = "our_own"
    AUTO_SUBMITTED = "auto_submitted"
    AUTOMATIC = "automatic"
    LIST = "list"
    BULK = "bulk"
    LOOP = "loop"
    REPORT = "report"
    NO_THREAD = "no_thread"


def may_answer(headers: Headers, envelope_sender: str | None, our_domains: Collection[str]) -> Refusal | None:
    """None if RFC 3834 lets a machine answer this mail, to its envelope sender and nobody else.

    `our_domains` are the domains that we send from or receive at (lower case); their subdomains are ours too.
    """
    from_address = _bare(headers.first("From"))
    if not envelope_sender or "@" not in envelope_sender:
        return Refusal.NULL_SENDER
    authors = [address for address in (envelope_sender, from_address, _bare(headers.first("Sender"))) if address]
    if any(_is_ours(address, our_domains) for address in authors):
        return Refusal.OUR_OWN
    if any(_MACHINE_LOCALS.fullmatch(address.rpartition("@")[0].strip('"').lower()[:_LOCAL]) for address in authors):
        return Refusal.MACHINE_SENDER
    return _refused_by_fields(headers, our_domains)


def is_forged(authentication: Authentication, envelope_sender: str) -> bool:
    """Whether the envelope sender is somebody else's: his domain denies the host (SPF) or asks that the author be
    denied (DMARC), and has not signed the mail. A domain that says nothing accuses nobody."""
    domain = domain_of(envelope_sender)
    signed = any(
        signature.result is Result.PASS and f".{domain}".endswith(f".{signature.domain.lower()}")
        for signature in authentication.dkim.signatures
    )
    if signed or authentication.spf.result is SpfResult.PASS:
        return False
    dmarc = authentication.dmarc
    denied = dmarc is not None and dmarc.agreed is DmarcResult.FAIL
    return denied or authentication.spf.result in {SpfResult.FAIL, SpfResult.SOFTFAIL}


def threads(headers: Headers) -> tuple[str, ...]:
    """The message ids that this mail answers, without brackets, In-Reply-To before References, newest first."""
    answered = _MESSAGE_ID.findall(" ".join(headers.all("In-Reply-To")))
    referred = _MESSAGE_ID.findall(" ".join(headers.all("References")))
    return tuple(dict.fromkeys([*answered, *reversed(referred)]))[:_MESSAGE_IDS]


def _refused_by_fields(headers: Headers, our_domains: Collection[str]) -> Refusal | None:
    if any(
        _COMMENT.sub("", value).partition(";")[0].strip().lower() != "no" for value in headers.all("Auto-Submitted")
    ):
        return Refusal.AUTO_SUBMITTED
    if any(name in headers for name in _AUTOMATIC_FIELDS) or "X-Auto-Response-Suppress" in headers:
        return Refusal.AUTOMATIC
    if any(name in headers for name in _LIST_FIELDS):
        return Refusal.LIST
    if "Precedence" in headers or "X-Precedence" in headers or "Feedback-ID" in headers:
        return Refusal.BULK
    if _loops(headers, our_domains):
        return Refusal.LOOP
    if "multipart/report" in headers.first("Content-Type").lower():
        return Refusal.REPORT
    return None if threads(headers) else Refusal.NO_THREAD


def _loops(headers: Headers, our_domains: Collection[str]) -> bool:
    delivered_to = (*headers.all("Delivered-To"), *headers.all("X-Delivered-To"))
    return (
        len(headers.all("Received")) > RECEIVED
        or "X-Loop" in headers
        or any(_is_ours(_bare(value), our_domains) for value in delivered_to)
    )


def _bare(value: str) -> str:
    """The address in a field, without display name."""
    bracketed = value.rpartition("<")[2].partition(">")[0] if "<" in value else value
    return bracketed.strip()


def _is_ours(address: str, our_domains: Collection[str]) -> bool:
    domain = domain_of(address).rstrip(".> ")
    return any(domain == ours or domain.endswith(f".{ours}") for ours in our_domains)
