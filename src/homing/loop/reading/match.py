"""What a mail that came back says about one delivery of ours, and how much it may change.

The token in the address selects the delivery; what the mail says inside can only support that, weaken it, or turn out
to be about somebody else. It can never point at another delivery.
"""

from collections.abc import Collection
from email.utils import getaddresses

from homing.loop.domains.identity import is_freemail
from homing.loop.evidence import ReportAction, Reported, What
from homing.loop.model import Delivery, InboundId, Strength, Verdict
from homing.loop.reading.answers import RECEIPTS
from homing.loop.reading.relation import Relation, relation
from homing.loop.reading.returned_mail import from_behind
from homing.loop.reading.understand import RecipientReport, Understood
from homing.mail.address import domain_of
from homing.mail.authentication import Authentication
from homing.mail.dkim_verification import Result
from homing.mail.spf_record import SpfResult

_STRUCTURED = frozenset({"dsn"})
"""Rules of `understand` that stand for a machine-readable report (RFC 3464)."""

_OUT_OF_TIME = frozenset({"hint.expired", "code.4.7"})
"""Rules for what gives no other reason than that a queue has waited long enough (RFC 3463 §3.5, X.4.7)."""

_POSTMASTER = frozenset({"postmaster", "mailer-daemon"})

_GRAVITY = (
    ReportAction.FAILED,
    ReportAction.DELAYED,
    ReportAction.DELIVERED,
    ReportAction.RELAYED,
    ReportAction.EXPANDED,
    ReportAction.NONE,
)

_PASSED_ON = frozenset({ReportAction.EXPANDED, ReportAction.RELAYED})

NOTHING_SAID = Verdict(failure_class="undetermined", kind="none", rule="nothing-said")


def evidence_from(
    understood: Understood,
    delivery: Delivery,
    *,
    message_id: str,
    inbound: InboundId,
    by_envelope: bool,
    vouched: bool = False,
) -> Reported:
    """The evidence about `delivery`. `message_id` is its message's own, without angle brackets.

    `by_envelope`: it came to the delivery's live envelope sender; `vouched`: the returned original carries the
    delivery's own trace token, or a provider has signed that it says so (`is_feedback_of`).
    """
    report, related = _about(understood.reports, delivery.recipient)
    names_recipient = related in {Relation.SAME, Relation.REWRITTEN}
    what = understood.what
    quotes_another = _quotes_another(understood.returned_message_id, message_id)
    if what in {What.BOUNCE, What.DELAY} and quotes_another:
        what = What.UNKNOWN  # it speaks of a message that we did not send for this delivery
    return Reported(
        what=what,
        action=report.action if report else ReportAction.NONE,
        strength=_strength(understood, by_envelope=by_envelope, vouched=vouched and not quotes_another),
        names_recipient=names_recipient,
        names_other=related is Relation.OTHER,
        rewritten=related is Relation.REWRITTEN,
        receipt=what is What.AUTO_REPLY and understood.rule in RECEIPTS,
        out_of_time=report is not None and report.verdict.rule in _OUT_OF_TIME,
        verdict=from_behind(report.verdict) if report else NOTHING_SAID,
        inbound=inbound,
        final_recipient=(report.behind or report.final_recipient) if report else "",
        reporting_mta=understood.reporting_mta,
        at_envelope=by_envelope,
        proved=by_envelope,
    )


def is_feedback_of(domains: Collection[str], authentication: Authentication) -> bool:
    """Whether one of these domains, from which nothing but feedback comes, stands in From and has signed the mail by
    DKIM (RFC 9477 §3.5), as itself or as a domain above. A domain in which people have mailboxes must not be among
    them: each of those people could sign so."""
    author = "" if authentication.dmarc is None else authentication.dmarc.author_domain
    signers = (one.domain.lower() for one in authentication.dkim.signatures if one.result is Result.PASS)
    return author in domains and any(_at_or_below(author, signer) for signer in signers)


def is_from_postmaster_of(delivery: Delivery, understood: Understood, authentication: Authentication) -> bool:
    """Whether this is a report in the form of RFC 3464, written by a postmaster or mailer-daemon, for whom SPF or DKIM
    say that he is the recipient's own domain or its mail host. A provider's domain never counts, since people have
    mailboxes there: any of them could be among the recipients and write so."""
    authors = getaddresses(understood.headers.all("From"))
    local, _, author_domain = (authors[0][1] if len(authors) == 1 else "").lower().rpartition("@")
    if understood.rule not in _STRUCTURED or local.strip('"') not in _POSTMASTER:
        return False
    receiving = {domain_of(delivery.recipient), delivery.receiver or ""} - {""}
    authenticated = {one.domain.lower() for one in authentication.dkim.signatures if one.result is Result.PASS}
    if authentication.spf.result is SpfResult.PASS:
        authenticated.add(authentication.spf.domain.lower())
    theirs = [domain for domain in receiving if not is_freemail(domain) and _at_or_below(author_domain, domain)]
    return any(_at_or_below(domain, their) for domain in authenticated for their in theirs)


def _at_or_below(domain: str, other: str) -> bool:
    return f".{domain}".endswith(f".{other}")


def _about(reports: tuple[RecipientReport, ...], recipient: str) -> tuple[RecipientReport | None, Relation | None]:
    """The report that names our recipient as he is written to, else as his house writes him, else the gravest, and how
    it stands to him: one mail may speak of thousands. None: it names nobody."""
    related = [(_related(report, recipient), report) for report in reports]
    passed_on = any(how is Relation.OTHER and report.action is ReportAction.FAILED for how, report in related)
    if passed_on:  # "expanded" and "relayed" announce what is said of those behind him (RFC 3464 §2.3.3)
        related = [each for each in related if each[1].action not in _PASSED_ON]
    for wanted in (Relation.SAME, Relation.REWRITTEN, None, Relation.OTHER):
        found = [report for how, report in related if how is wanted]
        if found:
            return min(found, key=lambda report: _GRAVITY.index(report.action)), wanted
    return None, None


def _related(report: RecipientReport, recipient: str) -> Relation | None:
    """How the address that failed stands to our recipient; None if there is none. One that was expanded from his is
    another's, however it is written, and an original recipient beside something that is no address may be he."""
    if report.behind:
        return Relation.SAME if relation(recipient, report.behind) is Relation.SAME else Relation.OTHER
    if "@" in report.final_recipient or not report.original_recipient:
        return relation(recipient, report.final_recipient) if report.final_recipient else None
    related = relation(recipient, report.original_recipient)
    return Relation.REWRITTEN if report.final_recipient and related is Relation.SAME else related


def _strength(understood: Understood, *, by_envelope: bool, vouched: bool) -> Strength:
    if understood.what is What.COMPLAINT:
        return Strength.STRONG if vouched else Strength.WEAK
    return Strength.STRONG if by_envelope and understood.rule in _STRUCTURED else Strength.WEAK


def _quotes_another(returned: str, message_id: str) -> bool:
    quoted = returned.strip().strip("<>").lower()
    return bool(quoted) and quoted != message_id.lower()
