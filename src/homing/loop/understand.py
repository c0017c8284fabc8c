"""What came back? Reads any mail at all, says what it is, whom it is about, and why.

The token in the address that it came to says which delivery; this says the rest. The order matters: reports come before
automatic answers, because a third of all bounces call themselves auto-replied; a person comes last, because nobody else
is left. A mail that nothing here understands is `unknown`, which is an answer and not an error.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from homing.loop.classify import HARD, Rules, classify, fold, plain_verdict
from homing.loop.evidence import ReportAction, What
from homing.loop.model import Verdict
from homing.loop.plain import Named, first_address, read_plain, returned_recipients
from homing.mail.arf import COMPLAINTS, UNSUBSCRIBES, Feedback, find_feedback
from homing.mail.dsn import DeliveryStatus, RecipientStatus, find_dsn, find_in_text, read_recipient
from homing.mail.mime import Headers, Mail, read_headers, read_mail
from homing.mail.text import clean

TRACE_HEADER = "Homing-Trace"
_OPENING_CHARACTERS = 1500
_LINE = 500
_DIAGNOSTIC = 2000
_READ_IN_FULL = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientReport:
    """What the mail says of one recipient, under RFC 3464's names. An address may be "": the mail names nobody."""

    original_recipient: str = ""
    final_recipient: str = ""
    action: ReportAction
    status: str = ""
    diagnostic_code: str = ""
    remote_mta: str = ""
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """A mail that came back, understood. `rule` names what made us think that it is a `what`.

    A delivery report of success has `what` BOUNCE and reports whose action says delivered, relayed or expanded: it is a
    DSN, and each report's action decides. `headers` are the mail's own, for whoever decides about an answer.
    """

    what: What
    rule: str
    reports: tuple[RecipientReport, ...] = ()
    subject: str = ""
    from_address: str = ""
    auto_submitted: str = ""
    reporting_mta: str = ""
    original_envelope_id: str = ""
    returned_message_id: str = ""
    returned_trace: str = ""
    returned_recipients: tuple[str, ...] = ()
    headers: Headers = field(default_factory=Headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A mail with the views that every reader needs, made once."""

    mail: Mail
    rules: Rules
    from_address: str
    subject: str
    opening: str
    null_sender: bool
    words: int = _DIAGNOSTIC
    """How much is read of the words about one recipient: nothing but codes, when a report names very many."""

    def signatures(self, what: str) -> Iterator[str]:
        """The ids of the signatures of this kind that the mail bears."""
        for known in self.rules.signatures:
            if known.what == what and (value := self._value(known.field)) and known.matches(value):
                yield known.id

    def signature(self, what: str) -> str:
        """The first of them, "" if none."""
        return next(self.signatures(what), "")

    def _value(self, name: str) -> str:
        match name:
            case "subject":
                return self.subject
            case "text":
                return self.opening
            case "from-local":
                return (self.from_address or self.mail.headers.first("From")).partition("@")[0].strip(' "<').lower()
            case _:
                return self.mail.headers.first(name).lower()


def understand(raw: bytes, *, rules: Rules, null_sender: bool = False) -> Understood:
    """Read a mail that came back. Never raises. `null_sender`: it came with MAIL FROM:<>."""
    mail = read_mail(raw)
    subject = mail.headers.first("Subject")
    seen = _Seen(
        mail=mail,
        rules=rules,
        from_address=first_address(mail.headers.first("From")),
        subject=fold(subject[:_LINE]).strip(),
        opening=fold(mail.prose[:_OPENING_CHARACTERS]).strip(),
        null_sender=null_sender or mail.headers.first("Return-Path").replace(" ", "") == "<>",
    )
    found = next(found for reader in _READERS if (found := reader(seen)) is not None)
    returned = mail.returned or Headers()
    return replace(
        found,
        subject=clean(subject, _LINE),
        from_address=seen.from_address,
        auto_submitted=clean(mail.headers.first("Auto-Submitted"), _LINE).lower(),
        returned_message_id=clean(returned.first("Message-ID"), _LINE),
        returned_trace=clean(returned.first(TRACE_HEADER), _LINE),
        returned_recipients=returned_recipients(mail),
        headers=mail.headers,
    )


# -- reports ---------------------------------------------------------------------------------------------------------


def _delivery_status(seen: _Seen) -> Understood | None:
    status, rule = find_dsn(seen.mail), "dsn"
    if status is None and seen.signature("bounce"):
        status, rule = find_in_text(seen.mail.prose), "dsn-in-text"
    return _from_status(status, rule, seen) if status else None


def _from_status(status: DeliveryStatus, rule: str, seen: _Seen) -> Understood:
    named: dict[str, Named] | None = None
    reports: list[RecipientReport] = []
    for recipient in status.recipients:
        action = _action(recipient, seen)
        if action in {ReportAction.FAILED, ReportAction.DELAYED}:
            if named is None:
                named = {each.address.lower(): each for each in read_plain(seen.mail)}
            words = _DIAGNOSTIC if len(reports) < _READ_IN_FULL else 0
            verdict = _verdict(recipient, action, named, replace(seen, words=words))
        else:
            verdict = plain_verdict("delivered", f"dsn.{action}", recipient.status)
        reports.append(
            RecipientReport(
                original_recipient=clean(recipient.original_recipient, _LINE),
                final_recipient=clean(recipient.final_recipient, _LINE),
                action=action,
                status=recipient.status,
                diagnostic_code=clean(recipient.diagnostic_code, _DIAGNOSTIC),
                remote_mta=clean(recipient.remote_mta, _LINE),
                verdict=verdict,
            )
        )
    return Understood(
        what=_what(reports),
        rule=rule,
        reports=tuple(reports),
        reporting_mta=clean(status.reporting_mta, _LINE),
        original_envelope_id=clean(status.original_envelope_id, _LINE),
    )


def _what(reports: list[RecipientReport]) -> What:
    if reports and all(report.verdict.failure_class == "challenge_response" for report in reports):
        return What.CHALLENGE
    actions = {report.action for report in reports}
    return What.DELAY if ReportAction.DELAYED in actions and ReportAction.FAILED not in actions else What.BOUNCE


def _action(recipient: RecipientStatus, seen: _Seen) -> ReportAction:
    if recipient.action:
        return ReportAction(recipient.action)
    match recipient.status[:1]:
        case "2":
            return ReportAction.DELIVERED
        case "5":
            return ReportAction.FAILED
        case _:
            return _plain_action(seen)


def _plain_action(seen: _Seen) -> ReportAction:
    delayed = seen.signature("delay") and not seen.signature("final")
    return ReportAction.DELAYED if delayed else ReportAction.FAILED


def _verdict(recipient: RecipientStatus, action: ReportAction, named: dict[str, Named], seen: _Seen) -> Verdict:
    """From the diagnostic; where it is silent or says nothing, from the words about this recipient."""
    about = named.get(recipient.final_recipient.lower()) or named.get(recipient.original_recipient.lower())
    private = f"{recipient.diagnostic_type}; " if recipient.diagnostic_type.startswith("x-") else ""
    texts = [private + recipient.diagnostic_code, about.reason if about else "", seen.mail.prose]
    said = [text[: seen.words] for text in texts if text.strip()] or [""]
    return _first_verdict(said, action, recipient, seen.rules)


def _first_verdict(texts: list[str], action: ReportAction, recipient: RecipientStatus, rules: Rules) -> Verdict:
    verdicts = (
        classify(None, stage=None, status=recipient.status, text=text, remote_mta=recipient.remote_mta, rules=rules)
        for text in texts
    )
    first = next(verdicts)
    verdict = first if first.failure_class != "undetermined" else next((v for v in verdicts if _tells(v)), first)
    verdict = replace(verdict, text=clean(first.text, _DIAGNOSTIC), remote_mta=clean(verdict.remote_mta, _LINE))
    if action is ReportAction.DELAYED and verdict.failure_class in HARD:
        return replace(verdict, kind="soft")
    return verdict


def _tells(verdict: Verdict) -> bool:
    return verdict.failure_class != "undetermined"


def _feedback(seen: _Seen) -> Understood | None:
    feedback = find_feedback(seen.mail)
    if feedback is not None:
        return _from_feedback(feedback, seen)
    hotmail = (seen.mail.returned or Headers()).first("X-HmXmrOriginalRecipient")
    if hotmail:
        return _fed_back(What.COMPLAINT, "complaint", "feedback.jmrp", [read_recipient(hotmail)])
    return None


def _from_feedback(feedback: Feedback, seen: _Seen) -> Understood:
    rule = f"feedback.{feedback.feedback_type or 'untyped'}"[:80]
    recipients = [*feedback.original_rcpt_to] or [feedback.removal_recipient] * bool(feedback.removal_recipient)
    recipients = recipients or list(returned_recipients(seen.mail)[:1]) or [""]
    if feedback.feedback_type in UNSUBSCRIBES:
        return _fed_back(What.COMPLAINT, "unsubscribe", rule, recipients)
    if feedback.feedback_type in COMPLAINTS:
        return _fed_back(What.COMPLAINT, "complaint", rule, recipients)
    return _fed_back(What.REPORT, "not_a_report", rule, recipients)


def _fed_back(what: What, failure_class: str, rule: str, recipients: list[str]) -> Understood:
    reports = tuple(
        RecipientReport(
            original_recipient=clean(recipient, _LINE),
            action=ReportAction.NONE,
            verdict=plain_verdict(failure_class, rule),
        )
        for recipient in recipients[:100]
    )
    return Understood(what=what, rule=rule, reports=reports)


def _domain_report(seen: _Seen) -> Understood | None:
    rule = seen.signature("report")
    if not rule and seen.mail.params.get("report-type", "").lower() == "tlsrpt":
        rule = "report.tls"
    return Understood(what=What.REPORT, rule=rule) if rule else None


def _disposition(seen: _Seen) -> Understood | None:
    """A disposition notification (RFC 8098). Some servers bounce with one: "deleted", with the reason in words."""
    part = next((p for p in seen.mail.parts if p.content_type == "message/disposition-notification"), None)
    if part is None:
        return None
    fields = read_headers(part.text)
    recipient = RecipientStatus(final_recipient=read_recipient(fields.first("Final-Recipient")))
    verdict = _first_verdict([seen.mail.prose], ReportAction.FAILED, recipient, seen.rules)
    rejected = "reject" in seen.subject or "reject" in seen.opening or verdict.failure_class == "mailbox_full"
    if "deleted" not in fields.first("Disposition").lower() or not rejected:
        return Understood(what=What.UNKNOWN, rule="disposition")
    if not _tells(verdict):
        verdict = replace(verdict, failure_class="recipient_refused")
    report = RecipientReport(
        final_recipient=recipient.final_recipient, action=ReportAction.FAILED, verdict=verdict, status=""
    )
    return Understood(what=What.BOUNCE, rule="disposition.deleted", reports=(report,))


_SUFFICIENT = frozenset({"bounce.failed-recipients", "bounce.auto-submitted"})
_OFFICIAL = _SUFFICIENT | {"bounce.from-daemon"}
"""Signatures that only a mail system bears, as against words that anybody may write; the first two say "failed"."""


# -- words only ------------------------------------------------------------------------------------------------------


def _plain_bounce(seen: _Seen) -> Understood | None:
    """A notice of failure in words: it looks like one, and comes from where such notices come from, or says why."""
    signatures = tuple(seen.signatures("bounce"))
    if not signatures or (seen.signature("human") and not seen.null_sender):
        return None
    named = read_plain(seen.mail)
    action = _plain_action(seen)
    reports = [_plain_report(each, action, seen) for each in named]
    if len(signatures) < 2 and signatures[0] not in _SUFFICIENT and not any(_tells(r.verdict) for r in reports):
        return None
    quotes_a_reply = any(report.verdict.reply_code for report in reports)
    if seen.signature("auto_reply") and not quotes_a_reply and not _OFFICIAL.intersection(signatures):
        return None
    return Understood(what=_what(reports), rule=signatures[0], reports=tuple(reports))


def _plain_report(named: Named, action: ReportAction, seen: _Seen) -> RecipientReport:
    verdict = _first_verdict([named.reason, seen.mail.prose], action, RecipientStatus(), seen.rules)
    return RecipientReport(
        final_recipient=clean(named.address, _LINE),
        action=action,
        status=verdict.enhanced_status_code,
        diagnostic_code=verdict.text,
        verdict=verdict,
    )


def _no_answer(seen: _Seen) -> Understood | None:
    rule = seen.signature("other")
    return Understood(what=What.UNKNOWN, rule=rule) if rule else None


def _challenge(seen: _Seen) -> Understood | None:
    rule = seen.signature("challenge")
    return _automatic(What.CHALLENGE, "challenge_response", rule, seen) if rule else None


def _auto_reply(seen: _Seen) -> Understood | None:
    rule = seen.signature("auto_reply")
    headers = seen.mail.headers
    generated = headers.first("Auto-Submitted").lower().startswith("auto-generated")
    if not rule and generated and "X-Auto-Response-Suppress" in headers and "In-Reply-To" in headers:
        rule = "auto-reply.exchange"
    if not rule and seen.null_sender and seen.from_address:
        rule = "auto-reply.null-sender"
    return _automatic(What.AUTO_REPLY, "auto_reply", rule, seen) if rule else None


def _automatic(what: What, failure_class: str, rule: str, seen: _Seen) -> Understood:
    report = RecipientReport(
        final_recipient=clean(seen.from_address, _LINE),
        action=ReportAction.NONE,
        verdict=plain_verdict(failure_class, rule, seen.subject[:80]),
    )
    return Understood(what=what, rule=rule, reports=(report,))


def _human_reply(seen: _Seen) -> Understood | None:
    if seen.signature("bulk") or not seen.from_address:
        return None
    headers = seen.mail.headers
    rule = "human.thread" if "In-Reply-To" in headers or "References" in headers else seen.signature("human")
    return Understood(what=What.HUMAN_REPLY, rule=rule) if rule else None


def _unknown(_seen: _Seen) -> Understood:
    return Understood(what=What.UNKNOWN, rule="unknown")


_READERS: tuple[Callable[[_Seen], Understood | None], ...] = (
    _delivery_status,
    _feedback,
    _domain_report,
    _disposition,
    _plain_bounce,
    _no_answer,
    _challenge,
    _auto_reply,
    _human_reply,
    _unknown,
)
