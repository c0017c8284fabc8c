"""What came back? Reads any mail at all, says what it is, whom it is about, and why.

The token in the address that it came to says which delivery; this says the rest. The order matters: reports come before
automatic answers, because a third of all bounces call themselves auto-replied; a person comes last, because nobody else
is left. A mail that nothing here understands is `unknown`, which is an answer and not an error.
"""

from collections.abc import Callable
from dataclasses import replace

from homing.loop.evidence import ReportAction, What
from homing.loop.model import Verdict
from homing.loop.reading.answers import (
    SENDERS,
    auto_reply,
    challenge,
    demands_proof,
    held,
    human_reply,
    is_other_mail,
    no_answer,
    plain_answer,
    speaks_of_mail,
)
from homing.loop.reading.classify import stage_in
from homing.loop.reading.marks import marks_in, senders_in
from homing.loop.reading.ours import Ours, about_us
from homing.loop.reading.prose import Named, Notice, first_address, returned_recipients
from homing.loop.reading.reports import (
    delivery_status,
    disposition,
    domain_report,
    feedback_report,
    has_expired,
    notification,
    plain_action,
    what_of,
)
from homing.loop.reading.returned_mail import (
    FEW,
    LINE,
    Reading,
    RecipientReport,
    Said,
    Seen,
    Understood,
    judge,
    see,
    softened,
)
from homing.loop.reading.rulebook import Rules, kind_of
from homing.mail.address import domain_of
from homing.mail.dsn import find_dsn
from homing.mail.header import TRACE_HEADER
from homing.mail.mime import Headers, Mail, read_mail
from homing.mail.text import clean

__all__ = ["RecipientReport", "Understood", "understand"]

_OF_THE_CLIENT = frozenset({"words.helo", "words.reverse-dns"})
"""Rules about who connects."""


def understand(raw: bytes, *, rules: Rules, null_sender: bool = False) -> Understood:
    """Read a mail that came back. Never raises. `null_sender`: it came with MAIL FROM:<>."""
    mail = read_mail(raw)
    seen = see(mail, rules, null_sender=null_sender)
    if mail.enclosed is not None and _passed_on(seen):
        mail = mail.enclosed
        seen = see(mail, rules, null_sender=seen.null_sender)
    reading = next(reading for reader in _READERS if (reading := reader(seen)) is not None)
    returned = mail.returned or Headers()
    return Understood(
        what=reading.what,
        rule=reading.rule,
        matched=reading.matched or seen.matched(reading.rule),
        reports=_about_us(reading.reports, mail),
        subject=clean(mail.headers.first("Subject"), LINE),
        from_address=seen.from_address,
        auto_submitted=clean(mail.headers.first("Auto-Submitted"), LINE).lower(),
        reporting_mta=reading.reporting_mta,
        original_envelope_id=reading.original_envelope_id,
        returned_message_id=reading.returned_message_id or clean(returned.first("Message-ID"), LINE),
        returned_trace=clean(returned.first(TRACE_HEADER), LINE),
        returned_marks=marks_in(returned),
        returned_senders=senders_in(returned, reading.original_mail_from),
        returned_recipients=returned_recipients(mail),
        headers=mail.headers,
    )


def _passed_on(seen: Seen) -> bool:
    """Whether a mail system wrapped a report into a mail of its own; a person who forwards one asks what it means, and
    the report was written to that person, not to the address that the wrapper comes to."""
    if find_dsn(seen.mail) is not None or seen.signature("human") or seen.signature("forward"):
        return False
    to, enclosed = first_address(seen.mail.headers.first("To")), seen.mail.enclosed
    if to and enclosed is not None and first_address(enclosed.headers.first("To")).lower() == to.lower():
        return True
    return seen.null_sender or not SENDERS.isdisjoint(seen.signatures("bounce"))


def _about_us(reports: tuple[RecipientReport, ...], mail: Mail) -> tuple[RecipientReport, ...]:
    """The reports, with verdicts that rest on a name of ours as verdicts about us: the notice came to our envelope
    sender, and the original bears our domain in From. A name at HELO and a connecting host are those of the server that
    reports, since ours has got in."""
    if not any(report.verdict.text for report in reports):
        return reports
    ours = Ours(
        return_domain=_domain(mail.headers.first("To")),
        from_domain=_domain(mail.returned.first("From")) if mail.returned else "",
    )
    return tuple(_attributed(report, ours) for report in reports)


def _domain(field: str) -> str:
    """The domain of the last address of a field, which in these has only one."""
    return domain_of(field).strip('> "')


def _attributed(report: RecipientReport, ours: Ours) -> RecipientReport:
    verdict = report.verdict
    if verdict.rule in _OF_THE_CLIENT:
        verdict = replace(verdict, about_us=False)
    verdict = about_us(verdict, ours, report.address)
    return report if verdict is report.verdict else replace(report, verdict=verdict)


# -- notices in words ------------------------------------------------------------------------------------------------

_SUFFICIENT = frozenset({"bounce.failed-recipients", "bounce.auto-submitted"})
"""Signatures that only a mail system bears and that say "failed"."""

_NEAR_THE_TOP = 120
"""Characters. A person who asks what a notice means quotes it further down."""


def _plain_bounce(seen: Seen) -> Reading | None:
    """A notice of failure in words: it looks like one, and comes from where such notices come from, or says why."""
    signatures = tuple(seen.signatures("bounce"))
    notice = seen.notice
    known = _known(notice)
    official = _official(seen, signatures, known=known)
    known = known and (official or not SENDERS.isdisjoint(signatures) or notice.at < _NEAR_THE_TOP)
    told = sum(signature not in SENDERS for signature in signatures) + known
    if (
        _held_by_a_list(seen, signatures)
        or demands_proof(seen)
        or not (signatures or known or _from_nobody(seen))
        or (not official and is_other_mail(seen, told))
    ):
        return None
    action = _action(notice, seen)
    reports = _plain_reports(notice, action, seen)
    sufficient = official and (seen.null_sender or told > 0 or not _SUFFICIENT.isdisjoint(signatures))
    if not sufficient and not _convincing(
        signatures, reports, official=official, known=known, of_mail=speaks_of_mail(seen)
    ):
        return None
    if not official and not known and not _quotes_a_reply(reports) and seen.signature("auto_reply"):
        return None
    if not official and SENDERS.isdisjoint(signatures) and not seen.null_sender:
        reports = [_hearsay(report) for report in reports]
    rule = notice.form.id if known and notice.form is not None else next(iter(signatures), "bounce.from-nobody")
    return Reading(what=what_of(reports), rule=rule, reports=tuple(reports))


def _held_by_a_list(seen: Seen, signatures: tuple[str, ...]) -> bool:
    """Whether a list waits for its owner. A gateway quotes the subject of such a note when it cannot deliver it."""
    return bool(seen.signature("held")) and _FAILED.isdisjoint(signatures)


_FAILED = frozenset({"bounce.subject", "bounce.opening", "bounce.failed-recipients"})


def _from_nobody(seen: Seen) -> bool:
    """Whether neither the envelope nor the header names a sender, as only servers write (RFC 5321 §4.5.5)."""
    return seen.null_sender and not seen.from_address and bool(seen.mail.headers.first("From"))


def _official(seen: Seen, signatures: tuple[str, ...], *, known: bool) -> bool:
    """Whether it comes from a mail system, as against a person or a program that may write any words."""
    if "bounce.from-daemon" in signatures or not _SUFFICIENT.isdisjoint(signatures):
        return True
    if seen.mail.content_type == "multipart/report":
        return True
    postmaster = "bounce.from-postmaster" in signatures
    headed = not {"bounce.subject", "bounce.subject-reason"}.isdisjoint(signatures)
    if postmaster and (known or (headed and not seen.signature("human"))):
        return True
    return seen.null_sender and (
        not seen.from_address or known or (bool(signatures) and not seen.signature("auto_reply"))
    )


def _known(notice: Notice) -> bool:
    """Whether it has a form that one program writes, as against words that anybody may use, and names somebody."""
    return notice.form is not None and notice.form.family != "general" and bool(notice.named[0].address)


def _convincing(
    signatures: tuple[str, ...], reports: list[RecipientReport], *, official: bool, known: bool, of_mail: bool
) -> bool:
    """Whether the words suffice: a daemon that quotes a server, or anybody who names a recipient and a reason."""
    telling = any(report.verdict.failure_class != "undetermined" for report in reports)
    names_somebody = any(report.final_recipient for report in reports)
    if official:
        return telling and (names_somebody or _quotes_a_reply(reports))
    headed = ("bounce.subject" in signatures and of_mail) or not SENDERS.isdisjoint(signatures)
    worded = "bounce.opening" in signatures or known or _quotes_a_reply(reports)
    worded = worded or any(report.verdict.failure_class == "content" for report in reports)  # of scanners
    worded = worded or (telling and not SENDERS.isdisjoint(signatures))
    return names_somebody and ((headed and worded) or (known and telling))


def _hearsay(report: RecipientReport) -> RecipientReport:
    """What somebody who is no mail system says: a person may write that an address is dead, and shuts no mailbox."""
    hard = report.verdict.kind == "hard"
    return replace(report, verdict=replace(report.verdict, kind="soft")) if hard else report


def _quotes_a_reply(reports: list[RecipientReport]) -> bool:
    return any(report.verdict.reply_code for report in reports)


def _action(notice: Notice, seen: Seen) -> ReportAction:
    if notice.form is not None and notice.form.action == "delayed" and "final.text" not in seen.signatures("final"):
        over = all(has_expired(named.reason) for named in notice.named)
        return ReportAction.FAILED if over else ReportAction.DELAYED
    return plain_action(seen)


def _plain_reports(notice: Notice, action: ReportAction, seen: Seen) -> list[RecipientReport]:
    """The reports on the addresses of a notice; those with the same words share one verdict."""
    judged: dict[tuple[str, str], Verdict] = {}
    reports: list[RecipientReport] = []
    for named in notice.named:
        said = named.context, named.reason
        judged[said] = verdict = judged.get(said) or _plain_verdict(named, notice, action, seen)
        report = RecipientReport(
            final_recipient=clean(named.address, LINE),
            action=action,
            status=verdict.enhanced_status_code,
            diagnostic_code=verdict.text,
            verdict=verdict,
        )
        reports.append(report)
    return reports


def _plain_verdict(named: Named, notice: Notice, action: ReportAction, seen: Seen) -> Verdict:
    form = notice.form
    alone = len(notice.named) == 1 or not any(each.reason for each in notice.named)
    stage = stage_in(f"{named.context}\n{named.reason}")
    prose = (notice.words, seen.mail.prose) if alone else ()
    closely = len(notice.named) <= FEW
    said = Said(words=(named.context, named.reason), prose=prose, stage=stage, closely=closely)
    verdict = judge(said, action, seen.rules)
    if not alone and verdict.failure_class == "undetermined":
        shared = judge(Said(words=(_said_of_nobody(notice),), closely=closely), action, seen.rules)
        verdict = shared if shared.kind != "hard" else verdict  # it may be said of the others
    if form is not None and verdict.failure_class == "undetermined" and form.failure_class != "undetermined":
        meant = replace(verdict, failure_class=form.failure_class, kind=kind_of(form.failure_class), rule=form.id)
        verdict = softened(meant, action)
    return verdict


def _said_of_nobody(notice: Notice) -> str:
    """The words of a notice without the lines that it says of single recipients."""
    if notice.form is not None and notice.form.place != "line":
        return notice.words
    taken = {line.strip() for named in notice.named for line in named.reason.split("\n")}
    return "\n".join(line for line in notice.words.split("\n") if not any(each and each in line for each in taken))


def _unknown(_seen: Seen) -> Reading:
    return Reading(what=What.UNKNOWN, rule="unknown")


_READERS: tuple[Callable[[Seen], Reading | None], ...] = (
    delivery_status,
    feedback_report,
    domain_report,
    disposition,
    notification,
    _plain_bounce,
    held,
    plain_answer,
    no_answer,
    challenge,
    auto_reply,
    human_reply,
    _unknown,
)
