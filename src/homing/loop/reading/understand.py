"""What came back? Reads any mail at all, says what it is, whom it is about, and why.

The token in the address that it came to says which delivery; this says the rest. The order matters: reports come before
automatic answers, because a third of all bounces call themselves auto-replied; a person comes last, because nobody else
is left. A mail that nothing here understands is `unknown`, which is an answer and not an error.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import islice

from homing.loop.evidence import ReportAction, What
from homing.loop.model import Verdict
from homing.loop.reading.classify import plain_verdict, stage_in
from homing.loop.reading.marks import marks_in, senders_in
from homing.loop.reading.ours import Ours, about_us
from homing.loop.reading.prose import PROSE_CHARACTERS, RECIPIENTS, Named, Notice, first_address, returned_recipients
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
from homing.loop.reading.wording import addresses_in
from homing.mail.address import domain_of
from homing.mail.dsn import find_dsn
from homing.mail.header import TRACE_HEADER
from homing.mail.mime import Headers, Mail, read_mail
from homing.mail.text import clean

__all__ = ["RecipientReport", "Understood", "understand"]

_OF_THE_CLIENT = frozenset({"words.helo", "words.reverse-dns"})
"""Rules about who connects."""

_SHORT = 1200
"""Characters. A note of absence is no longer than that."""

_LITTLE = 400
"""Characters. If it does not say that it is one, it is shorter."""


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
    return seen.null_sender or not _SENDERS.isdisjoint(seen.signatures("bounce"))


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

_SENDERS = frozenset({"bounce.from-daemon", "bounce.from-postmaster"})
"""Signatures that tell only who wrote, and a postmaster writes other mail too."""

_NEAR_THE_TOP = 120
"""Characters. A person who asks what a notice means quotes it further down."""


def _plain_bounce(seen: Seen) -> Reading | None:
    """A notice of failure in words: it looks like one, and comes from where such notices come from, or says why."""
    signatures = tuple(seen.signatures("bounce"))
    notice = seen.notice
    known = _known(notice)
    official = _official(seen, signatures, known=known)
    known = known and (official or not _SENDERS.isdisjoint(signatures) or notice.at < _NEAR_THE_TOP)
    told = sum(signature not in _SENDERS for signature in signatures) + known
    if (
        _held_by_a_list(seen, signatures)
        or _demands_proof(seen)
        or not (signatures or known or _from_nobody(seen))
        or (not official and _is_other_mail(seen, told))
    ):
        return None
    action = _action(notice, seen)
    reports = _plain_reports(notice, action, seen)
    sufficient = official and (seen.null_sender or told > 0 or not _SUFFICIENT.isdisjoint(signatures))
    if not sufficient and not _convincing(
        signatures, reports, official=official, known=known, of_mail=_speaks_of_mail(seen)
    ):
        return None
    if not official and not known and not _quotes_a_reply(reports) and seen.signature("auto_reply"):
        return None
    if not official and _SENDERS.isdisjoint(signatures) and not seen.null_sender:
        reports = [_hearsay(report) for report in reports]
    rule = notice.form.id if known and notice.form is not None else next(iter(signatures), "bounce.from-nobody")
    return Reading(what=what_of(reports), rule=rule, reports=tuple(reports))


def _held_by_a_list(seen: Seen, signatures: tuple[str, ...]) -> bool:
    """Whether a list waits for its owner. A gateway quotes the subject of such a note when it cannot deliver it."""
    return bool(seen.signature("held")) and _FAILED.isdisjoint(signatures)


def _demands_proof(seen: Seen) -> str:
    """The signature by which the sender is to confirm before the message is delivered, "" if there is none. That is no
    failure, whatever its words: a program that guards a mailbox says so in its header, or the words ask for it and show
    where. None quotes a reply."""
    challenges = seen.signatures("challenge")
    if not (challenges or seen.signature("demand")) or seen.signature("forward"):
        return ""
    prose = seen.mail.prose[:PROSE_CHARACTERS]
    if _A_REPLY.search(prose):
        return ""
    where = _WHERE.search(f"{seen.mail.headers.first('Reply-To')}\n{prose}")
    if set(challenges) - _CHALLENGE_WORDS or (challenges and where):
        return challenges[0]
    answers = seen.null_sender or _in_thread(seen.mail.headers) or seen.signature("bulk") or seen.signature("bounce")
    return seen.signature("demand") if answers and where and _speaks_of_mail(seen) else ""


_CHALLENGE_WORDS = frozenset(
    {"challenge.text", "challenge.languages", "challenge.subject", "challenge.subject-languages"}
)
_A_REPLY = re.compile(r"\b[45]\d\d[ -][45]\.\d{1,3}\.\d{1,3}\b")
_WHERE = re.compile(r"https?://|[+-](?:confirm|verify)[+-]", re.IGNORECASE)
"""Where a confirmation goes: a page, or an address that counts what it gets."""

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
    headed = ("bounce.subject" in signatures and of_mail) or not _SENDERS.isdisjoint(signatures)
    worded = "bounce.opening" in signatures or known or _quotes_a_reply(reports)
    worded = worded or any(report.verdict.failure_class == "content" for report in reports)  # of scanners
    worded = worded or (telling and not _SENDERS.isdisjoint(signatures))
    return names_somebody and ((headed and worded) or (known and telling))


def _speaks_of_mail(seen: Seen) -> bool:
    """Whether it is mail that was not delivered: parcels, payments and goods come back too."""
    return _MAIL.search(seen.prose) is not None


_MAIL = re.compile(
    r"\b(?:e-?)?mails?\b|message|nachricht|mensa[gj]e|correo|messag|courri|bericht|meddelande|besked|melding|viesti|wiadomo"
    r"|zpráv|sprav|üzenet|mesaj|ileti|сообщен|письм|повідомл|メール|メッセージ|邮件|郵件|信件|메일|smtp|rcpt|posting|virus"
)


def _hearsay(report: RecipientReport) -> RecipientReport:
    """What somebody who is no mail system says: a person may write that an address is dead, and shuts no mailbox."""
    hard = report.verdict.kind == "hard"
    return replace(report, verdict=replace(report.verdict, kind="soft")) if hard else report


def _quotes_a_reply(reports: list[RecipientReport]) -> bool:
    return any(report.verdict.reply_code for report in reports)


def _is_other_mail(seen: Seen, told: int) -> bool:
    """Whether it belongs to a conversation or goes to many. A notice forwarded by a list shows at least two signs."""
    if seen.signature("human") or seen.signature("forward"):
        return True
    return told < 2 and (bool(seen.signature("other")) or _in_thread(seen.mail.headers))


def _in_thread(headers: Headers) -> bool:
    return "In-Reply-To" in headers or "References" in headers


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


# -- answers ---------------------------------------------------------------------------------------------------------


def _held(seen: Seen) -> Reading | None:
    """A list holds the message until its owner has looked: an answer, though it comes from a list."""
    rule = seen.signature("held")
    return _automatic(What.AUTO_REPLY, "auto_reply", rule, seen) if rule else None


def _no_answer(seen: Seen) -> Reading | None:
    rule = seen.signature("other")
    return Reading(what=What.UNKNOWN, rule=rule) if rule else None


def _challenge(seen: Seen) -> Reading | None:
    if seen.signature("forward"):
        return None
    rule = seen.signature("challenge") or _demands_proof(seen)
    if not rule:
        return None
    reading = _automatic(What.CHALLENGE, "challenge_response", rule, seen)
    return replace(reading, reports=(replace(reading.reports[0], final_recipient=_challenger(seen)),))


_CONFIRM = re.compile(r"[+-]confirm[+-]\d+\.\d+\.[0-9a-f]+@")
"""What TMDA adds to its user's address, so that an answer is counted."""


def _challenger(seen: Seen) -> str:
    """Whose mail is guarded: a service that writes from its own address names its customer, of the same domain."""
    from_address, prose = _CONFIRM.sub("@", seen.from_address), seen.mail.prose[:PROSE_CHARACTERS]
    at = from_address[from_address.rfind("@") :].lower()
    named = [_CONFIRM.sub("@", prose[start:end]) for start, end in islice(addresses_in(prose), RECIPIENTS)]
    neighbours = [each for each in named if at and each.lower().endswith(at)]
    return clean(from_address if from_address in named or not neighbours else neighbours[0], LINE)


def _plain_answer(seen: Seen) -> Reading | None:
    """An automatic answer that says so, though it passed through a list that added its List-Id."""
    if set(seen.signatures("other")) - {"none.list"} or seen.signature("forward"):
        return None
    rule = next((each for each in seen.signatures("auto_reply") if each in _STRONG_ANSWERS), "")
    return _automatic(What.AUTO_REPLY, "auto_reply", rule, seen) if rule and seen.signature("other") else None


_STRONG_ANSWERS = frozenset({"auto-reply.subject", "auto-reply.x-autoreply", "auto-reply.x-autorespond"})
"""Signatures that no member of a list bears."""


def _auto_reply(seen: Seen) -> Reading | None:
    if seen.signature("forward"):
        return None
    rule = seen.signature("auto_reply")
    headers = seen.mail.headers
    generated = headers.first("Auto-Submitted").lower().startswith("auto-generated")
    if not rule and generated and "X-Auto-Response-Suppress" in headers and "In-Reply-To" in headers:
        return _automatic(What.AUTO_REPLY, "auto_reply", "auto-reply.exchange", seen, "x-auto-response-suppress")
    if not rule and seen.null_sender and seen.from_address and _is_answer(seen):
        return _automatic(What.AUTO_REPLY, "auto_reply", "auto-reply.null-sender", seen, "MAIL FROM:<>")
    if not rule and len(seen.mail.prose) < _SHORT and _unattended(seen):
        rule = seen.signature("absence") or (seen.signature("away") if _says_little(seen.mail.prose) else "")
        rule = rule or (seen.signature("received") if _in_thread(headers) else "")
    rule = rule or _by_two_signs(seen)
    return _automatic(What.AUTO_REPLY, "auto_reply", rule, seen) if rule else None


def _by_two_signs(seen: Seen) -> str:
    """The words by which a mail without any header of automatic mail is one, though it stands in a thread: a desk of
    tickets confirms that it got a request, or somebody is away and says who helps meanwhile or that nothing is read."""
    if seen.signature("other") or seen.signature("forward") or len(seen.mail.prose) > _LONGEST:
        return ""
    if seen.signature("desk"):
        return seen.signature("received") or seen.signature("registered")
    headers, prose = seen.mail.headers, seen.mail.prose
    if len(prose) > _NOTE or "?" in prose or _QUOTES.search(prose) or _WRITTEN_WITH.intersection(headers.names()):
        return ""
    if not seen.signature("unread"):
        return ""
    absent = seen.signature("absence") or seen.signature("away")
    return absent or (seen.signature("closed") if _DAY.search(prose) else "")


_DAY = re.compile(r"\b[0-3]?\d(?:[./-] ?\d|\. |er |th |st |nd |rd |º | [^\W\d]{3}|[月日월일])")
"""A day of a month, as people write it."""


_LONGEST = 6000
"""Characters. A desk quotes the request that it confirms."""

_NOTE = 600
"""Characters. A note of absence that stands in a thread."""

_WRITTEN_WITH = frozenset({"user-agent", "x-mailer"})
"""Fields in which the mail programs of people name themselves."""


def _is_answer(seen: Seen) -> bool:
    """Whether a mail with the null sender answers another one, and neither reports a failure nor announces news."""
    if not _SENDERS.isdisjoint(seen.signatures("bounce")):
        return False
    return not seen.signature("notification") or bool(seen.signature("human")) or _in_thread(seen.mail.headers)


def _unattended(seen: Seen) -> bool:
    """Whether no person needs to have written it. The mail programs of people say what a reply answers (RFC 5322
    §3.6.4) and quote it; a program that only puts "Re:" before the subject does neither."""
    if seen.signature("other") or seen.signature("forward"):
        return False
    replies, threads = bool(seen.signature("human")), _in_thread(seen.mail.headers)
    if not replies and not threads:
        return not seen.signature("bulk")
    if _QUOTES.search(seen.mail.prose):
        return False
    return bool(seen.signature("robot")) or not (replies and threads)


def _says_little(prose: str) -> bool:
    """Whether it is as short as a note of absence, and asks nothing: people say such things in passing."""
    return len(prose) < _LITTLE and "?" not in prose


_QUOTES = re.compile(
    r"^(?:>|-{2,} ?(?:original|ursprüngliche|forwarded)|from: |von: |de : )", re.IGNORECASE | re.MULTILINE
)
"""What a person's reply has below it."""


def _automatic(what: What, failure_class: str, rule: str, seen: Seen, matched: str = "") -> Reading:
    matched = matched or seen.matched(rule)
    report = RecipientReport(
        final_recipient=clean(seen.from_address, LINE),
        action=ReportAction.NONE,
        verdict=plain_verdict(failure_class, rule, matched),
    )
    return Reading(what=what, rule=rule, matched=matched, reports=(report,))


def _human_reply(seen: Seen) -> Reading | None:
    if seen.signature("bulk") or not seen.from_address:
        return None
    rule = "human.thread" if _in_thread(seen.mail.headers) else seen.signature("human") or seen.signature("forward")
    return Reading(what=What.HUMAN_REPLY, rule=rule) if rule else None


def _unknown(_seen: Seen) -> Reading:
    return Reading(what=What.UNKNOWN, rule="unknown")


_READERS: tuple[Callable[[Seen], Reading | None], ...] = (
    delivery_status,
    feedback_report,
    domain_report,
    disposition,
    notification,
    _plain_bounce,
    _held,
    _plain_answer,
    _no_answer,
    _challenge,
    _auto_reply,
    _human_reply,
    _unknown,
)
