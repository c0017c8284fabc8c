"""What came back? Reads any mail at all, says what it is, whom it is about, and why.

The token in the address that it came to says which delivery; this says the rest. The order matters: reports come before
automatic answers, because a third of all bounces call themselves auto-replied; a person comes last, because nobody else
is left. A mail that nothing here understands is `unknown`, which is an answer and not an error.
"""

from collections.abc import Callable
from dataclasses import replace

from homing.loop.classify import plain_verdict
from homing.loop.evidence import ReportAction, What
from homing.loop.formal import (
    delivery_status,
    disposition,
    domain_report,
    feedback_report,
    notification,
    plain_action,
    what_of,
)
from homing.loop.plain import Named, Notice, read_plain, returned_recipients
from homing.loop.rulebook import Rules, kind_of
from homing.loop.understood import LINE, RecipientReport, Said, Seen, Understood, judge, see, softened
from homing.mail.mime import Headers, read_mail
from homing.mail.text import clean

__all__ = ["TRACE_HEADER", "RecipientReport", "Understood", "understand"]

TRACE_HEADER = "Homing-Trace"


def understand(raw: bytes, *, rules: Rules, null_sender: bool = False) -> Understood:
    """Read a mail that came back. Never raises. `null_sender`: it came with MAIL FROM:<>."""
    mail = read_mail(raw)
    seen = see(mail, rules, null_sender=null_sender)
    found = next(found for reader in _READERS if (found := reader(seen)) is not None)
    returned = mail.returned or Headers()
    return replace(
        found,
        subject=clean(mail.headers.first("Subject"), LINE),
        from_address=seen.from_address,
        auto_submitted=clean(mail.headers.first("Auto-Submitted"), LINE).lower(),
        returned_message_id=found.returned_message_id or clean(returned.first("Message-ID"), LINE),
        returned_trace=clean(returned.first(TRACE_HEADER), LINE),
        returned_recipients=returned_recipients(mail),
        headers=mail.headers,
    )


# -- notices in words ------------------------------------------------------------------------------------------------

_SUFFICIENT = frozenset({"bounce.failed-recipients", "bounce.auto-submitted"})
"""Signatures that only a mail system bears and that say "failed"."""


def _plain_bounce(seen: Seen) -> Understood | None:
    """A notice of failure in words: it looks like one, and comes from where such notices come from, or says why."""
    signatures = tuple(seen.signatures("bounce"))
    official = _official(seen, signatures)
    if not official and (seen.signature("human") or _in_thread(seen.mail.headers) or _to_many(seen)):
        return None
    notice = read_plain(seen.mail, seen.rules)
    known = notice.form is not None and notice.form.family != "general" and bool(notice.named[0].address)
    if not signatures and not (known and official):
        return None
    action = _action(notice, seen)
    reports = [_plain_report(each, notice, action, seen) for each in notice.named]
    quotes_a_reply = any(report.verdict.reply_code for report in reports)
    telling = any(report.verdict.failure_class != "undetermined" for report in reports)
    telling = telling and (quotes_a_reply or _says(signatures))
    if len(signatures) + known < 2 and not _SUFFICIENT.intersection(signatures) and not telling:
        return None
    if not official and not known and not quotes_a_reply and seen.signature("auto_reply"):
        return None
    rule = notice.form.id if known and notice.form is not None else signatures[0]
    return Understood(what=what_of(reports), rule=rule, reports=tuple(reports))


def _official(seen: Seen, signatures: tuple[str, ...]) -> bool:
    """Whether it comes from a mail system, as against a person or a program that may write any words."""
    daemon = "bounce.from-daemon" in signatures or bool(_SUFFICIENT.intersection(signatures))
    reported = seen.mail.content_type == "multipart/report"
    return daemon or reported or (seen.null_sender and not seen.from_address)


def _says(signatures: tuple[str, ...]) -> bool:
    """More than who it is from: a postmaster writes other mail too."""
    return any(signature != "bounce.from-daemon" for signature in signatures)


def _in_thread(headers: Headers) -> bool:
    return "In-Reply-To" in headers or "References" in headers


def _to_many(seen: Seen) -> bool:
    return bool(seen.signature("other"))


def _action(notice: Notice, seen: Seen) -> ReportAction:
    if notice.form is not None and notice.form.action == "delayed" and not seen.signature("final"):
        return ReportAction.DELAYED
    return plain_action(seen)


def _plain_report(named: Named, notice: Notice, action: ReportAction, seen: Seen) -> RecipientReport:
    form = notice.form
    prose = (notice.words, seen.mail.prose) if len(notice.named) == 1 or not named.reason else ()
    verdict = judge(Said(words=(named.reason, named.context), prose=prose), action, seen.rules)
    if form is not None and verdict.failure_class == "undetermined" and form.failure_class != "undetermined":
        meant = replace(verdict, failure_class=form.failure_class, kind=kind_of(form.failure_class), rule=form.id)
        verdict = softened(meant, action)
    return RecipientReport(
        final_recipient=clean(named.address, LINE),
        action=action,
        status=verdict.enhanced_status_code,
        diagnostic_code=verdict.text,
        verdict=verdict,
    )


# -- answers ---------------------------------------------------------------------------------------------------------


def _no_answer(seen: Seen) -> Understood | None:
    rule = seen.signature("other")
    return Understood(what=What.UNKNOWN, rule=rule) if rule else None


def _challenge(seen: Seen) -> Understood | None:
    rule = seen.signature("challenge")
    return _automatic(What.CHALLENGE, "challenge_response", rule, seen) if rule else None


def _auto_reply(seen: Seen) -> Understood | None:
    rule = seen.signature("auto_reply")
    headers = seen.mail.headers
    generated = headers.first("Auto-Submitted").lower().startswith("auto-generated")
    if not rule and generated and "X-Auto-Response-Suppress" in headers and "In-Reply-To" in headers:
        rule = "auto-reply.exchange"
    if not rule and seen.null_sender and seen.from_address:
        rule = "auto-reply.null-sender"
    return _automatic(What.AUTO_REPLY, "auto_reply", rule, seen) if rule else None


def _automatic(what: What, failure_class: str, rule: str, seen: Seen) -> Understood:
    report = RecipientReport(
        final_recipient=clean(seen.from_address, LINE),
        action=ReportAction.NONE,
        verdict=plain_verdict(failure_class, rule, seen.subject[:80]),
    )
    return Understood(what=what, rule=rule, reports=(report,))


def _human_reply(seen: Seen) -> Understood | None:
    if seen.signature("bulk") or not seen.from_address:
        return None
    rule = "human.thread" if _in_thread(seen.mail.headers) else seen.signature("human")
    return Understood(what=What.HUMAN_REPLY, rule=rule) if rule else None


def _unknown(_seen: Seen) -> Understood:
    return Understood(what=What.UNKNOWN, rule="unknown")


_READERS: tuple[Callable[[Seen], Understood | None], ...] = (
    delivery_status,
    feedback_report,
    domain_report,
    disposition,
    notification,
    _plain_bounce,
    _no_answer,
    _challenge,
    _auto_reply,
    _human_reply,
    _unknown,
)
