"""Answers: what a program or a person writes when a message arrives, and how they are told from notices of failure.

Absences and receipts (RFC 3834), challenges, replies. A header says what they are, or words do; of words alone one sign
is too little, because people write the same.
"""

import re
from dataclasses import replace
from itertools import islice

from homing.loop.evidence import ReportAction, What
from homing.loop.reading.classify import plain_verdict
from homing.loop.reading.prose import PROSE_CHARACTERS, RECIPIENTS
from homing.loop.reading.returned_mail import LINE, Reading, RecipientReport, Seen
from homing.loop.reading.wording import addresses_in
from homing.mail.mime import Headers
from homing.mail.text import clean

_SHORT = 1200
"""Characters. A note of absence is no longer than that."""

_LITTLE = 400
"""Characters. If it does not say that it is one, it is shorter."""


SENDERS = frozenset({"bounce.from-daemon", "bounce.from-postmaster"})
"""Signatures that tell only who wrote, and a postmaster writes other mail too."""


def demands_proof(seen: Seen) -> str:
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
    answers = seen.null_sender or in_thread(seen.mail.headers) or seen.signature("bulk") or seen.signature("bounce")
    return seen.signature("demand") if answers and where and speaks_of_mail(seen) else ""


_CHALLENGE_WORDS = frozenset(
    {"challenge.text", "challenge.languages", "challenge.subject", "challenge.subject-languages"}
)
_A_REPLY = re.compile(r"\b[45]\d\d[ -][45]\.\d{1,3}\.\d{1,3}\b")
_WHERE = re.compile(r"https?://|[+-](?:confirm|verify)[+-]", re.IGNORECASE)
"""Where a confirmation goes: a page, or an address that counts what it gets."""


def speaks_of_mail(seen: Seen) -> bool:
    """Whether it is mail that was not delivered: parcels, payments and goods come back too."""
    return _MAIL.search(seen.prose) is not None


_MAIL = re.compile(
    r"\b(?:e-?)?mails?\b|message|nachricht|mensa[gj]e|correo|messag|courri|bericht|meddelande|besked|melding|viesti|wiadomo"
    r"|zpráv|sprav|üzenet|mesaj|ileti|сообщен|письм|повідомл|メール|メッセージ|邮件|郵件|信件|메일|smtp|rcpt|posting|virus"
)


def is_other_mail(seen: Seen, told: int) -> bool:
    """Whether it belongs to a conversation or goes to many. A notice forwarded by a list shows at least two signs."""
    if seen.signature("human") or seen.signature("forward"):
        return True
    return told < 2 and (bool(seen.signature("other")) or in_thread(seen.mail.headers))


def in_thread(headers: Headers) -> bool:
    return "In-Reply-To" in headers or "References" in headers


def held(seen: Seen) -> Reading | None:
    """A list holds the message until its owner has looked: an answer, though it comes from a list."""
    rule = seen.signature("held")
    return _automatic(What.AUTO_REPLY, "auto_reply", rule, seen) if rule else None


def no_answer(seen: Seen) -> Reading | None:
    rule = seen.signature("other")
    return Reading(what=What.UNKNOWN, rule=rule) if rule else None


def challenge(seen: Seen) -> Reading | None:
    if seen.signature("forward"):
        return None
    rule = seen.signature("challenge") or demands_proof(seen)
    if not rule:
        return None
    reading = _automatic(What.CHALLENGE, "challenge_response", rule, seen)
    return reading._replace(reports=(replace(reading.reports[0], final_recipient=_challenger(seen)),))


_CONFIRM = re.compile(r"[+-]confirm[+-]\d+\.\d+\.[0-9a-f]+@")
"""What TMDA adds to its user's address, so that an answer is counted."""


def _challenger(seen: Seen) -> str:
    """Whose mail is guarded: a service that writes from its own address names its customer, of the same domain."""
    from_address, prose = _CONFIRM.sub("@", seen.from_address), seen.mail.prose[:PROSE_CHARACTERS]
    at = from_address[from_address.rfind("@") :].lower()
    named = [_CONFIRM.sub("@", prose[start:end]) for start, end in islice(addresses_in(prose), RECIPIENTS)]
    neighbours = [each for each in named if at and each.lower().endswith(at)]
    return clean(from_address if from_address in named or not neighbours else neighbours[0], LINE)


def plain_answer(seen: Seen) -> Reading | None:
    """An automatic answer that says so, though it passed through a list that added its List-Id."""
    if set(seen.signatures("other")) - {"none.list"} or seen.signature("forward"):
        return None
    rule = next((each for each in seen.signatures("auto_reply") if each in _STRONG_ANSWERS), "")
    return _automatic(What.AUTO_REPLY, "auto_reply", rule, seen) if rule and seen.signature("other") else None


_STRONG_ANSWERS = frozenset({"auto-reply.subject", "auto-reply.x-autoreply", "auto-reply.x-autorespond"})
"""Signatures that no member of a list bears."""


def auto_reply(seen: Seen) -> Reading | None:
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
        rule = rule or (seen.signature("received") if in_thread(headers) else "")
    rule = rule or _by_two_signs(seen)
    return _automatic(What.AUTO_REPLY, "auto_reply", _receipt(seen) or rule, seen) if rule else None


RECEIPTS = frozenset({"auto-reply.request-received", "auto-reply.received", "auto-reply.registered"})
"""Rules by which an automatic answer is a desk's receipt: it has the message, and somebody will see to it."""


def _receipt(seen: Seen) -> str:
    """The rule by which an automatic answer is a receipt, "" if it is none, or says that somebody is away."""
    if any(seen.signature(what) for what in ("absence", "away", "closed", "unread")):
        return ""
    confirmed = next((rule for rule in seen.signatures("auto_reply") if rule in RECEIPTS), "")
    return confirmed or (seen.signature("received") or seen.signature("registered") if seen.signature("desk") else "")


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
    if not SENDERS.isdisjoint(seen.signatures("bounce")):
        return False
    return not seen.signature("notification") or bool(seen.signature("human")) or in_thread(seen.mail.headers)


def _unattended(seen: Seen) -> bool:
    """Whether no person needs to have written it. The mail programs of people say what a reply answers (RFC 5322
    §3.6.4) and quote it; a program that only puts "Re:" before the subject does neither."""
    if seen.signature("other") or seen.signature("forward"):
        return False
    replies, threads = bool(seen.signature("human")), in_thread(seen.mail.headers)
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


def human_reply(seen: Seen) -> Reading | None:
    if seen.signature("bulk") or not seen.from_address:
        return None
    rule = "human.thread" if in_thread(seen.mail.headers) else seen.signature("human") or seen.signature("forward")
    return Reading(what=What.HUMAN_REPLY, rule=rule) if rule else None
