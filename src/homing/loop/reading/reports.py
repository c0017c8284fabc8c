"""Reports that a machine can read: delivery status, feedback, disposition, Amazon's notifications, domain reports.

RFC 3464 and 6533, 5965 and 6591, 8098, 8460, 9990. Each reader answers None where the mail is not its own.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from homing.loop.evidence import ReportAction, What
from homing.loop.model import Verdict
from homing.loop.reading.classify import plain_verdict, stage_in
from homing.loop.reading.prose import Named, expansions, returned_recipients
from homing.loop.reading.relation import Relation, relation
from homing.loop.reading.returned_mail import (
    DIAGNOSTIC,
    FEW,
    LINE,
    MATCHED,
    Reading,
    RecipientReport,
    Said,
    Seen,
    from_behind,
    judge,
    softened,
)
from homing.mail.address import domain_of
from homing.mail.arf import COMPLAINTS, UNSUBSCRIBES, Feedback, find_feedback
from homing.mail.dsn import DeliveryStatus, RecipientStatus, find_dsn, find_in_text, read_recipient
from homing.mail.mime import Headers, read_headers
from homing.mail.sns import Notification, NotifiedRecipient, find_notification
from homing.mail.spelling import split
from homing.mail.text import clean

_READ_IN_FULL = 50
_STAGE_CHARACTERS = 4000
_MEANT = ("X-Actual-Recipient", "X-Original-Recipient")
_PROGRAM = "x-unix"
_TELLING_TYPES = frozenset({_PROGRAM, "x-boxbe-notice"})
"""Types of a Diagnostic-Code that say something: a program's exit code (sysexits.h), a challenge. Others are names."""
_AGENT_REJECTED = re.compile(r"was automatically rejected:\s*(\S.{0,400})", re.DOTALL)


def notification(seen: Seen) -> Reading | None:
    """What Amazon SES tells through SNS."""
    found = find_notification(seen.mail)
    if found is None:
        return None
    what, action = {
        "bounce": (What.BOUNCE, ReportAction.FAILED),
        "delay": (What.DELAY, ReportAction.DELAYED),
        "delivery": (What.BOUNCE, ReportAction.DELIVERED),
    }.get(found.kind, (What.COMPLAINT, ReportAction.NONE))
    return Reading(
        what=what,
        rule=f"sns.{found.kind}",
        reports=tuple(_notified(each, found, action, seen) for each in found.recipients),
        reporting_mta=clean(found.reporting_mta, LINE),
        returned_message_id=clean(found.message_id, LINE),
    )


def _notified(recipient: NotifiedRecipient, found: Notification, action: ReportAction, seen: Seen) -> RecipientReport:
    match found.kind:
        case "complaint" if found.type == "not-spam":
            verdict = plain_verdict("not_a_report", "sns.not-spam", found.type)
        case "complaint":
            rule = f"sns.complaint.{found.type or 'untyped'}"[:80]
            verdict = plain_verdict("complaint", rule, clean(found.type, MATCHED))
        case "delivery":
            verdict = plain_verdict("delivered", "sns.delivery", found.kind)
        case _:
            kinds = f"bounceType {found.type} bounceSubType {found.subtype}."
            closely = len(found.recipients) <= FEW
            said = Said(words=(recipient.diagnostic_code, kinds), status=recipient.status, closely=closely)
            verdict = judge(said, action, seen.rules)
    return RecipientReport(
        final_recipient=clean(recipient.address, LINE),
        action=action,
        status=clean(recipient.status, LINE),
        diagnostic_code=clean(recipient.diagnostic_code, DIAGNOSTIC),
        verdict=verdict,
    )


# -- delivery status (RFC 3464) --------------------------------------------------------------------------------------


def delivery_status(seen: Seen) -> Reading | None:
    """A delivery status notification; also one in the words of a mail that is known for a bounce by other signs."""
    status, rule = find_dsn(seen.mail), "dsn"
    if status is None and "ecipient" in seen.mail.prose and (seen.signature("bounce") or seen.null_sender):
        status, rule = find_in_text(seen.mail.prose), "dsn-in-text"
    return _from_status(status, rule, seen) if status else None


def _from_status(status: DeliveryStatus, rule: str, seen: Seen) -> Reading:
    reports: list[RecipientReport] = []
    behind = _Behind(seen)
    for each in status.recipients:
        recipient, action = each, _action(each, seen)
        if action in {ReportAction.FAILED, ReportAction.DELAYED}:
            alone = len(status.recipients) == 1
            recipient = _addressed(recipient, seen) if alone else recipient
            in_full = len(reports) < _READ_IN_FULL
            others = [one.final_recipient for one in status.recipients if one is not recipient] if in_full else []
            said = _said(recipient, seen, others=others, in_full=in_full)
            verdict = _where_it_arrived(judge(said, action, seen.rules), recipient, status.reporting_mta, seen)
        else:
            verdict = plain_verdict("delivered", f"dsn.{action}", recipient.status)
        reports.append(_report(recipient, action, verdict, behind.of(recipient)))
    return Reading(
        what=what_of(reports),
        rule=rule,
        reports=tuple(reports),
        reporting_mta=clean(status.reporting_mta, LINE),
        original_envelope_id=clean(status.original_envelope_id, LINE),
    )


class _Behind:
    """Which addresses stand behind the recipients of a report, by the words of the notice and Sendmail's own field."""

    def __init__(self, seen: Seen) -> None:
        self._failed: set[tuple[str, str]] = set()
        self._of_source: dict[tuple[str, str], list[str]] = {}
        prose = seen.mail.prose
        for failed, source in expansions(prose) if "expanded" in prose or "generated" in prose else ():
            if split(failed) != split(source):
                self._failed.add(split(failed))
                self._of_source.setdefault(split(source), []).append(failed)

    def of(self, recipient: RecipientStatus) -> str:
        """The address that failed for a recipient, if it is another than his; each is told once, as several may stand
        behind one."""
        final = recipient.final_recipient
        actual = read_recipient(recipient.fields.first("X-Actual-Recipient"))
        if actual and relation(final, actual) is Relation.OTHER:
            return actual
        if not self._failed:
            return ""
        if split(final) in self._failed:
            return final
        failed = self._of_source.get(split(final), [""])
        return failed.pop(0) if len(failed) > 1 else failed[0]


_BY = re.compile(r"\bby\s+([A-Za-z0-9.-]{1,255})")
_HOPS = 10


def _where_it_arrived(verdict: Verdict, recipient: RecipientStatus, reporting_mta: str, seen: Seen) -> Verdict:
    """The verdict; from behind the domain of a recipient, if one of its own hosts took the mail and now reports (the
    trace of the returned mail: RFC 5321 §4.4)."""
    domain = domain_of(recipient.final_recipient or recipient.original_recipient)
    if verdict.failure_class != "invalid_domain" or not domain:
        return verdict
    trace = seen.mail.returned.all("Received")[:_HOPS] if seen.mail.returned else ()
    hosts = [reporting_mta, *(found[1] for value in trace if (found := _BY.search(value)))]
    own = any(f".{host.lower().rstrip('.')}".endswith(f".{domain}") for host in hosts)
    return from_behind(verdict) if own else verdict


def _report(recipient: RecipientStatus, action: ReportAction, verdict: Verdict, behind: str) -> RecipientReport:
    return RecipientReport(
        original_recipient=clean(recipient.original_recipient, LINE),
        final_recipient=clean(recipient.final_recipient, LINE),
        action=action,
        status=recipient.status,
        diagnostic_code=clean(recipient.diagnostic_code, DIAGNOSTIC),
        remote_mta=clean(recipient.remote_mta, LINE),
        behind=clean(behind, LINE) if behind else "",
        verdict=verdict,
    )


def what_of(reports: list[RecipientReport]) -> What:
    """A bounce if anything failed, a delay if something is only late, a challenge if that is all that was asked."""
    if reports and all(report.verdict.failure_class == "challenge_response" for report in reports):
        return What.CHALLENGE
    actions = {report.action for report in reports}
    return What.DELAY if ReportAction.DELAYED in actions and ReportAction.FAILED not in actions else What.BOUNCE


def _action(recipient: RecipientStatus, seen: Seen) -> ReportAction:
    if recipient.action == ReportAction.DELAYED and _is_over(recipient, seen):
        return ReportAction.FAILED
    if recipient.action:
        return ReportAction(recipient.action)
    match recipient.status[:1]:
        case "2":
            return ReportAction.DELIVERED
        case "5":
            return ReportAction.FAILED
        case _:
            return plain_action(seen)


_OVER = re.compile(r"\b(?:envelope|message|mail) (?:has |is |was )?expired\b", re.IGNORECASE)


def has_expired(reason: str) -> bool:
    """Whether a server gave up, whatever it calls its notice: the last one of OpenSMTPD is labelled "delayed"."""
    return _OVER.search(reason) is not None


def _is_over(recipient: RecipientStatus, seen: Seen) -> bool:
    about = _about(recipient, seen.notice.named)
    if has_expired(recipient.diagnostic_code) or (about is not None and has_expired(about.reason)):
        return True
    return "delay.text" not in seen.signatures("delay") and any(
        _ENDED.search(sentence) and not _CONDITION.search(sentence) for sentence in _SENTENCES.split(seen.opening)
    )


_SENTENCES = re.compile(r"[.!?;]\s")
_ENDED = re.compile(
    r"no (?:further|more) (?:delivery )?(?:attempts?|tries)|"
    r"(?:was|been|is) (?:now )?(?:removed|deleted) from the (?:mail )?queue|"
    r"will not be (?:retried|tried again)|keine weiteren (?:zustell)?versuche|"
    r"aus der warteschlange (?:entfernt|geloscht)|"
    r"aucune (?:autre|nouvelle) tentative|(?:retire|supprime) de la file|no se (?:haran|realizaran) mas intentos|"
    r"(?:eliminado|retirado) de la cola|(?:nessun|non (?:verranno|saranno) effettuati) (?:altr|ulterior)\w+ tentativ|"
    r"rimosso dalla coda|nao (?:serao feitas|havera) (?:novas|mais) tentativas|removida da fila|"
    r"geen (?:verdere|nieuwe) pogingen|uit de wachtrij verwijderd|usunieta z kolejki|"
    r"nie bedzie (?:dalszych|kolejnych) prob|"
    r"inga (?:fler|ytterligare) forsok|ingen flere forsog|ingen flere forsok|dalsi pokusy nebudou|"
    r"попыток (?:больше )?не будет|удалено из очереди|попытки прекращены"
)
"""The end of all hope, in words: the message has left the queue."""
_CONDITION = re.compile(
    r"\b(?:if|unless|until|after|when|once|wenn|falls|nach|si|apres|se|caso|als|indien|jesli|om|hvis|если|когда)\b"
)
"""What a delay notice says of the day on which its server will give up."""


def plain_action(seen: Seen) -> ReportAction:
    """Failed or delayed, by the words; the text knows better than the subject, which may say failure of a delay."""
    final, delay = seen.signatures("final"), seen.signatures("delay")
    delayed = delay and (not final or (final == ("final.subject",) and "delay.text" in delay))
    return ReportAction.DELAYED if delayed else ReportAction.FAILED


def _about(recipient: RecipientStatus, named: tuple[Named, ...]) -> Named | None:
    known = {each.address.lower(): each for each in named}
    return known.get(recipient.final_recipient.lower()) or known.get(recipient.original_recipient.lower())


def _addressed(recipient: RecipientStatus, seen: Seen) -> RecipientStatus:
    """The recipient with its address, which other fields, the words or the original hold where the failed recipient is
    a file, a pipe or an X.400 name."""
    if "@" in recipient.final_recipient or "@" in recipient.original_recipient:
        return recipient
    meant = [read_recipient(value) for name in _MEANT for value in recipient.fields.all(name)]
    named = [each.address for each in seen.notice.named if "@" in each.address]
    found = [each for each in meant if "@" in each] or named or returned_recipients(seen.mail)
    return recipient._replace(original_recipient=found[0]) if len(found) == 1 else recipient


def _said(recipient: RecipientStatus, seen: Seen, *, others: Sequence[str], in_full: bool) -> Said:
    """The texts about one recipient among `others`; only the codes where a report names very many."""
    if not in_full:
        return Said(words=(), status=recipient.status, remote_mta=recipient.remote_mta)
    alone, among = not others, len(others) + 1
    return Said(
        words=_words(recipient, seen, alone=alone),
        prose=_prose(recipient, seen, others),
        status=recipient.status,
        remote_mta=recipient.remote_mta,
        stage=stage_in(recipient.diagnostic_code) or (stage_in(seen.mail.prose[:_STAGE_CHARACTERS]) if alone else None),
        closely=among <= FEW,
    )


def _words(recipient: RecipientStatus, seen: Seen, *, alone: bool) -> Iterator[str]:
    agent = _AGENT_REJECTED.search(seen.mail.prose) if alone else None
    if agent:
        yield agent[1]
    telling = recipient.diagnostic_type in _TELLING_TYPES
    yield f"{recipient.diagnostic_type}; {recipient.diagnostic_code}" if telling else recipient.diagnostic_code
    about = _about(recipient, seen.notice.named)
    if about and (recipient.diagnostic_type != _PROGRAM or _tells_of_room(about.reason)):
        yield about.reason
        yield about.context
    yield from _categories(recipient.fields)


def _tells_of_room(printed: str) -> bool:
    """Whether a program that took the mail printed that there is no room; what else it prints is no reply."""
    return any(word in printed.lower() for word in ("quota", "mailbox full", "mailbox is full"))


def _prose(recipient: RecipientStatus, seen: Seen, others: Sequence[str]) -> Iterator[str]:
    if recipient.diagnostic_type == _PROGRAM and not _tells_of_room(seen.mail.prose):
        return
    if not others:
        yield seen.notice.words
        yield seen.mail.prose
    elif not _about(recipient, seen.notice.named):
        yield _without_lines_of(others, seen.notice.words)
        yield _without_lines_of(others, seen.mail.prose)


def _without_lines_of(others: Sequence[str], text: str) -> str:
    """The text without the lines that name somebody else: what is said there is said of him."""
    named = [re.escape(address.lower()) for address in others[:FEW] if "@" in address]
    if not named:
        return text
    somebody = re.compile(rf"(?<![\w.+-])(?:{'|'.join(named)})(?![\w-])")
    return "\n".join(line for line in text.split("\n") if not somebody.search(line.lower()))


def _categories(fields: Headers) -> tuple[str, ...]:
    """What PowerMTA and X.400 gateways add of their own."""
    names = ("X-PowerMTA-BounceCategory", "X-Supplementary-Info", "X400-Supplementary-Info", "X-Actual-Reason")
    return tuple(f"{name}: {value}" for name in names for value in fields.all(name))


# -- feedback (RFC 5965, 6591) ---------------------------------------------------------------------------------------


def feedback_report(seen: Seen) -> Reading | None:
    """Complaints and other feedback. A receiver's report of failed authentication (RFC 6591) has the same form, but no
    recipient has complained, so it is a report and never a reason to suppress an address."""
    feedback = find_feedback(seen.mail)
    if feedback is not None:
        return _from_feedback(feedback, seen)._replace(original_mail_from=clean(feedback.original_mail_from, LINE))
    returned = seen.mail.returned or Headers()
    hotmail = returned.first("X-HmXmrOriginalRecipient")
    if hotmail:
        jmrp = ("feedback.jmrp", "x-hmxmroriginalrecipient")
        return _fed_back(What.COMPLAINT, "complaint", jmrp, [read_recipient(hotmail)])
    complaint = seen.signature("complaint")
    if complaint and seen.mail.returned is not None:
        return _fed_back(What.COMPLAINT, "complaint", (complaint, seen.matched(complaint)), _written_to(seen))
    unsubscribe = seen.signature("unsubscribe")
    if unsubscribe and len(seen.mail.prose) < LINE and seen.from_address:
        return _fed_back(What.COMPLAINT, "unsubscribe", (unsubscribe, seen.matched(unsubscribe)), [seen.from_address])
    return None


def _from_feedback(feedback: Feedback, seen: Seen) -> Reading:
    field = f"feedback-type: {feedback.feedback_type}" if feedback.feedback_type else "message/feedback-report"
    rule = (f"feedback.{feedback.feedback_type or 'untyped'}"[:80], clean(field, MATCHED))
    recipients = [*feedback.original_rcpt_to] or [feedback.removal_recipient] * bool(feedback.removal_recipient)
    recipients = recipients or _written_to(seen)
    if feedback.feedback_type in UNSUBSCRIBES:
        return _fed_back(What.COMPLAINT, "unsubscribe", rule, recipients)
    if feedback.feedback_type in COMPLAINTS:
        return _fed_back(What.COMPLAINT, "complaint", rule, recipients)
    if feedback.feedback_type == "not-spam":
        return _fed_back(What.REPORT, "not_a_report", rule, recipients)
    return _fed_back(What.REPORT, "complaint", rule, recipients)


def _written_to(seen: Seen) -> list[str]:
    return list(returned_recipients(seen.mail)[:1]) or [""]


def _fed_back(what: What, failure_class: str, known_by: tuple[str, str], recipients: list[str]) -> Reading:
    """`known_by`: the rule, and what it matched."""
    rule, matched = known_by
    reports = tuple(
        RecipientReport(
            original_recipient=clean(recipient, LINE),
            action=ReportAction.NONE,
            verdict=plain_verdict(failure_class, rule, matched),
        )
        for recipient in recipients[:100]
    )
    return Reading(what=what, rule=rule, matched=matched, reports=reports)


# -- the rest --------------------------------------------------------------------------------------------------------


def domain_report(seen: Seen) -> Reading | None:
    """DMARC aggregates and TLS reports (RFC 9990, 8460)."""
    rule = seen.signature("report")
    if not rule and seen.mail.params.get("report-type", "").lower() == "tlsrpt":
        rule = "report.tls"
    return Reading(what=What.REPORT, rule=rule) if rule else None


def disposition(seen: Seen) -> Reading | None:
    """A disposition notification (RFC 8098). Some servers bounce with one: "deleted", with the reason in words."""
    part = next((p for p in seen.mail.parts if p.content_type == "message/disposition-notification"), None)
    if part is None:
        return None
    fields = read_headers(part.text)
    recipient = read_recipient(fields.first("Final-Recipient"))
    original = clean(fields.first("Original-Message-ID"), LINE)
    agent = _AGENT_REJECTED.search(seen.mail.prose)
    said = Said(words=(agent[1] if agent else "",), prose=(seen.mail.prose,), closely=True)
    verdict = judge(said, ReportAction.FAILED, seen.rules)
    rejected = "reject" in seen.subject or "reject" in seen.opening or verdict.failure_class == "mailbox_full"
    if "deleted" not in fields.first("Disposition").lower() or not rejected:
        return Reading(what=What.UNKNOWN, rule="disposition", returned_message_id=original)
    if verdict.failure_class in {"undetermined", "policy"}:  # the recipient's own rule (Sieve, RFC 5429)
        verdict = softened(replace(verdict, failure_class="recipient_refused"), ReportAction.FAILED)
    report = RecipientReport(final_recipient=clean(recipient, LINE), action=ReportAction.FAILED, verdict=verdict)
    return Reading(what=What.BOUNCE, rule="disposition.deleted", reports=(report,), returned_message_id=original)
