"""The letters, pop-ups and text messages that we write ourselves. For most people they are all they see of us.

Each tells, above the fold and without codes: which message, to whom, when, why, what to do next, and whether it may
have arrived after all. Below the fold are the details for an administrator. Whether to write is decided elsewhere.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from homing.loop.letters.facts import FailureFacts, moment, tidy
from homing.loop.letters.layout import Block, Fold, Heading, Link, Paragraph, Points, Quote, Table, html, plain
from homing.loop.letters.phrases import Cause, cause
from homing.loop.letters.sms import failure_sms, recipient_sms
from homing.loop.letters.steps import ENDS, STEPS
from homing.loop.model import State, StepKind, StepState
from homing.mail.text import clean, quoted, shorten

__all__ = [
    "CaseFacts",
    "FailureFacts",
    "LiveText",
    "StepFacts",
    "Text",
    "administrator_letter",
    "administrator_proof_letter",
    "administrators_letter",
    "cause",
    "failure_letter",
    "failure_sms",
    "failures_letter",
    "live_text",
    "oops_answer",
    "proof_letter",
    "recipient_sms",
]

_NAMED = 100
"""Most recipients of whom a letter about several messages says no more than that."""
_DOUBT = (
    "On one attempt the connection broke off just after we had sent the whole message, so a copy may have arrived. "
    "Ask before you send it again; the person might get it twice."
)
_IN_THEIR_WORDS = frozenset({"undetermined", "delayed"})
_CODES = re.compile(r"\b[245]\d\d\b[ -]?|\[?\b\d{1,3}(?:\.\d{1,3}){2,3}\b\]?[ ]?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A mail to be composed: one line of subject, plain text of at most 72 columns, and the same as HTML or None."""

    subject: str
    body: str
    html: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveText:
    """For a pop-up. `suggestion` is the whole address that was probably meant, or None."""

    title: str
    sentence: str
    suggestion: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """A step of a failure policy and how it stands. `target`: an address, number or host; `detail`: how it ended."""

    kind: StepKind
    state: StepState
    target: str = ""
    ended_at: datetime | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFacts:
    """What an administrator is told of a case. `case` is its id as shown, `page` the address of its page, if any."""

    case: str
    policy: str
    steps: tuple[StepFacts, ...]
    page: str | None = None


def failure_letter(facts: FailureFacts) -> Text:
    """The letter to the human sender."""
    known = tidy(facts)
    why = cause(known)
    blocks: tuple[Block, ...] = (
        Paragraph(f"Hello {known.human_sender_name}," if known.human_sender_name else "Hello,"),
        Paragraph(f"{_opening(known)} {why.headline}"),
        _which(known),
        Heading("Why?"),
        Paragraph(why.explanation),
        *_history(known, why),
        *_maybe(known, why),
        Heading("What can you do?"),
        Paragraph(why.next_step),
        *_resend(known, why),
        *_others(known),
        Paragraph(_reason_for_writing(known)),
        *_technical(known),
    )
    return _text(_subject(known), blocks)


def failures_letter(facts: Sequence[FailureFacts], more: Sequence[str] = ()) -> Text:
    """The letter to a human sender about several messages of his: each with why, what to do and its own link. `more`:
    the recipients of others, which are only named."""
    several = [tidy(one) for one in facts]
    first, number = several[0], len(facts) + len(more)
    outcomes = {_outcome(known) for known in several}
    subject = f"{outcomes.pop() if len(outcomes) == 1 else 'Not delivered, or late'}: {number} of your messages"
    blocks: list[Block] = [
        Paragraph(f"Hello {first.human_sender_name}," if first.human_sender_name else "Hello,"),
        Paragraph(
            f"Within a few minutes we learned of {number} messages of yours that did not arrive, or not yet. This one "
            "e-mail tells you of all of them."
        ),
    ]
    for known in several:
        blocks += _one_of_several(known, cause(known))
    blocks += _others_named(more)
    sent_by = first.organization_name
    sent = f"{sent_by} sent the messages in your name" if sent_by else "the messages were sent in your name"
    blocks.append(Paragraph(f"You get this e-mail because {sent}."))
    for index, known in enumerate(several):
        fold, heading, *details = _technical(known)
        blocks += [fold, heading] if index == 0 else []
        blocks += [Paragraph(f"{_which_one(known)}:"), *details]
    return _text(subject, tuple(blocks))


def _one_of_several(known: FailureFacts, why: Cause) -> tuple[Block, ...]:
    doubt = (Paragraph(_DOUBT),) if _worth_a_warning(known, why) else ()
    return (
        Heading(_which_one(known)),
        Paragraph(f"{_opening(known)} {why.headline} {why.explanation}"),
        *_history(known, why),
        *doubt,
        Paragraph(why.next_step),
        *_resend(known, why),
    )


def administrator_letter(facts: FailureFacts, case: CaseFacts) -> Text:
    """The letter to an administrator: what failed, what has been done, who knows, and what is left to do."""
    known = tidy(facts)
    why = cause(known)
    person = known.human_sender_name or known.human_sender_address
    blocks: tuple[Block, ...] = (
        Paragraph("Hello,"),
        Paragraph(f"{_missed(person, known)} {_knows(person, case)}"),
        Table((("From", _name_and_address(known)), ("Organization", known.organization_name), *_which(known).rows)),
        Heading("What has been done?"),
        Points(tuple(_step(step) for step in case.steps) or ("Nothing before this e-mail.",)),
        Heading(f"What would {person} want to know?"),
        Paragraph(f"{why.headline} {why.explanation}"),
        *_history(known, why),
        *_maybe(known, why),
        Paragraph(why.next_step),
        *((Paragraph("The whole story, step by step:"), Link(case.page, "See the whole story")) if case.page else ()),
        Paragraph(f"You get this e-mail because the failure policy “{clean(case.policy, 64)}” names you."),
        *_technical(known, ("Case", clean(case.case, 64))),
    )
    return _text(f"For the administrator: {_subject(known)}", blocks)


def administrators_letter(told: Sequence[tuple[FailureFacts, CaseFacts]], more: Sequence[str] = ()) -> Text:
    """The letter to an administrator about several cases. `more`: the recipients of others, which are only named."""
    number = len(told) + len(more)
    blocks: list[Block] = [
        Paragraph("Hello,"),
        Paragraph(f"Within a few minutes {number} messages did not reach their recipients, or not yet."),
    ]
    details: list[Block] = [Fold(), Heading("Technical details for your administrator")]
    for facts, case in told:
        known = tidy(facts)
        person = known.human_sender_name or known.human_sender_address
        why = cause(known)
        blocks += [
            Heading(_which_one(known)),
            Paragraph(f"{_missed(person, known)} {_knows(person, case)}"),
            Table((("From", _name_and_address(known)), ("Organization", known.organization_name), *_which(known).rows)),
            Points(tuple(_step(step) for step in case.steps) or ("Nothing before this e-mail.",)),
            Paragraph(f"{why.headline} {why.next_step}"),
        ]
        details += [Paragraph(f"{_which_one(known)}:"), *_technical(known, ("Case", clean(case.case, 64)))[2:]]
    blocks += _others_named(more)
    policy = clean(told[0][1].policy, 64)
    blocks.append(Paragraph(f"You get this e-mail because the failure policy “{policy}” names you."))
    return _text(f"For the administrator: {number} messages that were not delivered, or are late", (*blocks, *details))


def _others_named(more: Sequence[str]) -> tuple[Block, ...]:
    if not more:
        return ()
    left = f", and {len(more) - _NAMED} others" if len(more) > _NAMED else ""
    named = ", ".join(clean(one, 254) for one in more[:_NAMED])
    return Heading(f"And {len(more)} more"), Paragraph(f"They went to {named}{left}.")


def live_text(facts: FailureFacts) -> LiveText:
    """The failure in a title and a few sentences, for a pop-up on the human sender's screen."""
    known = tidy(facts)
    why = cause(known)
    local = known.recipient.rpartition("@")[0]
    doubt = " It may have arrived all the same." if _worth_a_warning(known, why) else ""
    return LiveText(
        title=f"{_outcome(known)}: {clean(known.recipient, 80)}",
        sentence=f"“{shorten(known.message_subject, 60)}”: {why.headline}{doubt} {why.next_step}",
        suggestion=f"{local}@{known.suggestion}" if known.suggestion and local else None,
    )


def proof_letter(address: str, link: str, operator_name: str) -> Text:
    """The letter that proves an address. All its words are the operator's, so that no organization can send its own by
    it."""
    given = (
        "Somebody who sends messages through {operator} has given {address} as their own address: "
        "replies to the messages would come to you, and so would notices of messages that could not be delivered."
    )
    return _proof_letter(given, ("Was it you?", "Was it not you?"), address, link, operator_name)


def administrator_proof_letter(address: str, link: str, operator_name: str) -> Text:
    """The letter that proves the address of an organization's administrator. All its words are the operator's too."""
    given = (
        "An organization that sends messages through {operator} has given {address} as the address of its "
        "administrator: notices of messages that could not be delivered, and of which nobody else could be told, would "
        "come to you."
    )
    return _proof_letter(given, ("Is that so?", "Is it not so?"), address, link, operator_name)


def _proof_letter(given: str, questions: tuple[str, str], address: str, link: str, operator_name: str) -> Text:
    operator = clean(operator_name, 60)
    blocks: tuple[Block, ...] = (
        Paragraph("Hello,"),
        Paragraph(given.format(operator=operator, address=clean(address, 254))),
        Heading(questions[0]),
        Paragraph(
            "Then open this page and press the button on it. Opening the page alone changes nothing. "
            "The link works once, within 24 hours."
        ),
        Link(link, "Confirm this address"),
        Heading(questions[1]),
        Paragraph(
            "Then do nothing. Without your consent the address will not be used, and after 24 hours the link no "
            "longer works. You need not answer this e-mail."
        ),
    )
    return _text(f"{operator}: please confirm your e-mail address", blocks)


def oops_answer(name: str, address: str, subject: str) -> Text:
    """The answer to a mail that went to an address which nobody reads: where the right person is (`name`, `address`).

    `subject` is that of the mail answered; its subject line follows RFC 3834 §3.1.5. Links in it are taken out, since
    the answer goes to an address that a stranger chose.
    """
    person = clean(name, 60)
    right_address = clean(address, 254)
    about = quoted(subject, 80)
    naming = f"Your message “{about}”" if about else "Your message"
    blocks: tuple[Block, ...] = (
        Paragraph("Oops!"),
        Paragraph(f"{naming} went to an address that nobody reads. It has not been passed on, and it will be deleted."),
        Paragraph(f"Please write to {person or 'this address'} instead:"),
        Table((("Name", person), ("Address", right_address))),
        Paragraph(
            f"The easiest way is to send the same message again to {right_address}. We are sorry for the trouble. "
            "This answer was written by a program; you need not reply to it."
        ),
    )
    line = f"Auto: Oops! Nobody reads this address: {about}" if about else "Auto: Oops! Nobody reads this address"
    return Text(subject=line, body=plain(blocks), html=None)


def _text(subject: str, blocks: tuple[Block, ...]) -> Text:
    return Text(subject=subject, body=plain(blocks), html=html(blocks, subject))


def _subject(known: FailureFacts) -> str:
    return f"{_outcome(known)}: {_which_one(known)}"


def _which_one(known: FailureFacts) -> str:
    return f"“{shorten(known.message_subject, 60)}” to {shorten(known.recipient, 80)}"


def _outcome(known: FailureFacts) -> str:
    if known.failure is State.DEFERRED:
        return "Not yet delivered"
    if known.possibly_delivered:
        return "Perhaps not delivered"
    if known.failure is State.SUPPRESSED:
        return "Not sent"
    if known.failure is None:
        return "Not passed on"
    return "Came back" if known.late else "Not delivered"


def _opening(known: FailureFacts) -> str:
    if known.failure is State.DEFERRED:
        may = "may not have arrived yet" if known.possibly_delivered else "has not arrived yet"
        return f"Your message {may}; it is waiting."
    if known.possibly_delivered:
        return "Your message may not have arrived."
    if known.failure is State.SUPPRESSED:
        return "Your message was not sent."
    if known.failure is None:
        return "Your message may not have reached everybody."
    return "Your message came back." if known.late else "Your message was not delivered."


def _which(known: FailureFacts) -> Table:
    end, at = "Failed", known.failed_at
    match known.failure:
        case State.DEFERRED:
            end, at = "Tried until", known.tried_until or at
        case State.EXPIRED:
            end = "Given up"
        case State.SUPPRESSED:
            end = "Stopped"
        case None:
            end = "Reported"
        case _ if known.late:
            end = "Came back"
    return Table(
        (
            ("Message", known.message_subject),
            ("To", known.recipient),
            ("Sent", moment(known.sent_at)),
            (end, moment(at)),
        )
    )


def _history(known: FailureFacts, why: Cause) -> tuple[Block, ...]:
    """What went before, and the other side's own words where we can offer nothing better."""
    blocks: tuple[Block, ...] = ()
    if known.resent_from:
        blocks += (Paragraph(f"You sent it to this address after {known.resent_from} had failed."),)
    words = _gently(known.verdict.text)
    if why.key in _IN_THEIR_WORDS and clean(words, 80):
        blocks += (Paragraph(f"These are the words of {known.domain}, not ours:"), Quote(words, 4))
    return blocks


def _maybe(known: FailureFacts, why: Cause) -> tuple[Block, ...]:
    if not _worth_a_warning(known, why):
        return ()
    return (
        Heading("It may have arrived all the same"),
        Paragraph(_DOUBT),
    )


def _worth_a_warning(known: FailureFacts, why: Cause) -> bool:
    return known.possibly_delivered and why.key not in {"in_doubt", "failed_in_doubt"}


def _resend(known: FailureFacts, why: Cause) -> tuple[Block, ...]:
    if not (known.correct_link and why.resend):
        return ()
    label = "Correct the address and send again" if known.failure else "Send it to another address"
    return Paragraph(why.resend), Link(known.correct_link, label)


def _others(known: FailureFacts) -> tuple[Block, ...]:
    """One e-mail stands for all that wait."""
    if known.failure is not State.DEFERRED:
        return ()
    return (
        Paragraph(
            "Should other messages of yours wait for the same mail server meanwhile, we send you no further e-mail "
            "about that."
        ),
    )


def _reason_for_writing(known: FailureFacts) -> str:
    if known.organization_name:
        return f"You get this e-mail because {known.organization_name} sent the message in your name."
    return "You get this e-mail because the message was sent in your name."


def _technical(known: FailureFacts, *more: tuple[str, str]) -> tuple[Block, ...]:
    verdict = known.verdict
    reply = f"{verdict.reply_code or ''} {verdict.enhanced_status_code}".strip()
    rows = (
        ("State", _state(known)),
        ("May have arrived", "yes" if known.possibly_delivered else "no"),
        ("Class", f"{verdict.failure_class} ({verdict.kind})"),
        ("Rule", verdict.rule),
        ("Attempts", str(known.attempts)),
        ("Mail server", verdict.remote_mta),
        ("Reply", reply),
        *more,
    )
    words = (Paragraph("The other side's own words:"), Quote(verdict.text)) if clean(verdict.text, 80) else ()
    return Fold(), Heading("Technical details for your administrator"), Table(rows), *words


def _state(known: FailureFacts) -> str:
    if known.failure is None:
        return "accepted by the recipient's server; an address behind it failed"
    return f"{known.failure}, late" if known.late else str(known.failure)


def _gently(text: str) -> str:
    """A reply's words without the codes and addresses that would only frighten or mislead."""
    return _CODES.sub("", text[:600])


def _name_and_address(known: FailureFacts) -> str:
    return f"{known.human_sender_name} <{known.human_sender_address}>".strip()


def _missed(person: str, known: FailureFacts) -> str:
    if known.failure is None:
        return f"A message from {person} reached the recipient's server, but not an address to which it is passed on."
    verb = "may not have reached" if known.possibly_delivered else "did not reach"
    verb = "is late and has not reached" if known.failure is State.DEFERRED else verb
    return f"A message from {person} {verb} its recipient."


def _knows(person: str, case: CaseFacts) -> str:
    if any(step.state is StepState.HEARD for step in case.steps):
        return "A notice has been delivered, as you see below, so this is only for your information."
    return f"As far as we can tell, {person} does not know of it yet: please pass it on."


def _step(step: StepFacts) -> str:
    target = clean(step.target, 100)
    detail = quoted(step.detail, 120)
    parts = (
        STEPS[step.kind],
        f" to {target}" if target else "",
        f": {ENDS[step.state]}",
        f" ({detail})" if detail else "",
        f", {moment(step.ended_at)}" if step.ended_at else "",
    )
    return "".join(parts)
