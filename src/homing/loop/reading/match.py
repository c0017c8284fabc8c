"""What a mail that came back says about one delivery of ours, and how much it may change.

The token in the address selects the delivery; what the mail says inside can only support that, weaken it, or turn out
to be about somebody else. It can never point at another delivery.
"""

from collections.abc import Collection

from homing.loop.evidence import ReportAction, Reported, What
from homing.loop.model import Delivery, InboundId, Strength, Verdict
from homing.loop.reading.understand import RecipientReport, Understood
from homing.mail.authentication import Authentication
from homing.mail.dkim import Result

_STRUCTURED = frozenset({"dsn"})
"""Rules of `understand` that stand for a machine-readable report (RFC 3464)."""

_GRAVITY = (
    ReportAction.FAILED,
    ReportAction.DELAYED,
    ReportAction.DELIVERED,
    ReportAction.RELAYED,
    ReportAction.EXPANDED,
    ReportAction.NONE,
)

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
    report = _about(understood.reports, delivery.recipient)
    named = [each for each in understood.reports if each.original_recipient or each.final_recipient]
    names_recipient = report is not None and _names(report, delivery.recipient)
    what = understood.what
    quotes_another = _quotes_another(understood.returned_message_id, message_id)
    if what in {What.BOUNCE, What.DELAY} and quotes_another:
        what = What.UNKNOWN  # it speaks of a message that we did not send for this delivery
    return Reported(
        what=what,
        action=report.action if report else ReportAction.NONE,
        strength=_strength(understood, by_envelope=by_envelope, vouched=vouched and not quotes_another),
        names_recipient=names_recipient,
        names_other=bool(named) and not names_recipient,
        verdict=report.verdict if report else NOTHING_SAID,
        inbound=inbound,
        final_recipient=report.final_recipient if report else "",
        reporting_mta=understood.reporting_mta,
        at_envelope=by_envelope,
    )


def is_feedback_of(domains: Collection[str], authentication: Authentication) -> bool:
    """Whether one of these domains, from which nothing but feedback comes, stands in From and has signed the mail by
    DKIM (RFC 9477 §3.5), as itself or as a domain above. A domain in which people have mailboxes must not be among
    them: each of those people could sign so."""
    author = "" if authentication.dmarc is None else authentication.dmarc.author_domain
    signers = (one.domain.lower() for one in authentication.dkim.signatures if one.result is Result.PASS)
    return author in domains and any(author == signer or author.endswith(f".{signer}") for signer in signers)


def _about(reports: tuple[RecipientReport, ...], recipient: str) -> RecipientReport | None:
    """The report that names our recipient, else the gravest: one mail may speak of thousands."""
    if not reports:
        return None
    ours = [report for report in reports if _names(report, recipient)]
    return min(ours or reports, key=lambda report: _GRAVITY.index(report.action))


def _names(report: RecipientReport, recipient: str) -> bool:
    wanted = recipient.lower()
    return wanted in {report.original_recipient.lower(), report.final_recipient.lower()}


def _strength(understood: Understood, *, by_envelope: bool, vouched: bool) -> Strength:
    if understood.what is What.COMPLAINT:
        return Strength.STRONG if vouched else Strength.WEAK
    return Strength.STRONG if by_envelope and understood.rule in _STRUCTURED else Strength.WEAK


def _quotes_another(returned: str, message_id: str) -> bool:
    quoted = returned.strip().strip("<>").lower()
    return bool(quoted) and quoted != message_id.lower()
