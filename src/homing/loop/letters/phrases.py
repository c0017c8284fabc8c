"""The causes of failures, in words that the author of a message understands: one text per cause.

Readers of these texts need not know what SMTP is. No codes, no blame, one next step. The class comes from
`loop.reading.classify`; the state decides first, since "we never sent it" and "we gave up" need other words than
"refused". The same table gives the letters, the pop-up, the text message and docs/failures.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from homing.loop.letters.facts import FailureFacts, moment, span, tidy, times
from homing.loop.model import State, Verdict
from homing.mail.reply import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One kind of failure, told to a person: whole sentences but for `short`, which ends a text message.

    `resend` introduces the link to correct the address; "" where sending again would be wrong. In the table the texts
    hold fields in braces; `cause` fills them in.
    """

    key: str
    headline: str
    explanation: str
    next_step: str
    resend: str
    short: str


_CORRECT = "Here you can correct the address and send the same message again:"
_AGAIN = "Here you can send the same message again, also to another address:"
_ELSEWHERE = "If you know another address of this person, you can send the same message there:"
_WAIT = (
    "You need do nothing. We go on trying until {until}; if it does not arrive by then, we will tell you. Please do "
    "not send it again meanwhile: the person might get it twice. If it is urgent, reach them in another way."
)

_TABLE = (
    Cause(
        key="invalid_recipient",
        headline="There is no mailbox {recipient}.",
        explanation="The mail server of {domain} knows nobody by this address. "
        "Most often a letter before the @ sign is wrong, or the person has left.",
        next_step="Compare the address, letter by letter, with the one in an earlier e-mail from this person, "
        "or ask by telephone.",
        resend=_CORRECT,
        short="there is no such mailbox",
    ),
    Cause(
        key="invalid_domain",
        headline="Nobody receives mail at {domain}.",
        explanation="The part after the @ sign, {domain}, either does not exist or does not take mail at all. "
        "So there was no server to which we could pass your message.",
        next_step="Look for a typing mistake after the @ sign: a missing letter, two letters swapped, a wrong ending.",
        resend=_CORRECT,
        short="nobody receives mail at that domain",
    ),
    Cause(
        key="invalid_domain_typo",
        headline="Nobody receives mail at {domain}. Did you mean {suggestion}?",
        explanation="The part after the @ sign, {domain}, either does not exist or does not take mail at all. "
        "It differs by very little from {suggestion}, so perhaps it is a typing mistake.",
        next_step="If you meant {suggestion}, correct the address and send the message again. "
        "If you are not sure, ask the person first: we have not tried the other address.",
        resend=_CORRECT,
        short="nobody receives mail there. Did you mean {suggestion}?",
    ),
    Cause(
        key="mailbox_full",
        headline="The mailbox of {recipient} is full.",
        explanation="The address is right, but there is no room for new mail until its owner deletes some.",
        next_step="Let the person know in another way, by telephone for example, and send the message again later.",
        resend=_AGAIN,
        short="the mailbox is full",
    ),
    Cause(
        key="inactive_mailbox",
        headline="The mailbox of {recipient} has been switched off.",
        explanation="The address existed once, but {domain} no longer takes mail for it. "
        "The person may have left, or may not have used the mailbox for a long time.",
        next_step="Ask the person, or somebody at the same organization, for an address that is in use.",
        resend=_CORRECT,
        short="the mailbox has been switched off",
    ),
    Cause(
        key="recipient_refused",
        headline="The mailbox of {recipient} did not accept it.",
        explanation="The address seems to exist, but it accepts mail from certain senders only, or this person has a "
        "filter that refused the message.",
        next_step="Ask the person, by telephone for example, to allow mail from you, "
        "or for an address to which you may write.",
        resend=_ELSEWHERE,
        short="the mailbox did not accept it",
    ),
    Cause(
        key="message_too_big",
        headline="It is too big for {recipient}.",
        explanation="The mail server of {domain} takes messages up to a certain size only, and this one is larger, "
        "most likely because of its attachments.",
        next_step="Send it again with smaller or fewer attachments, or send a link to the files instead.",
        resend="",
        short="it is too big for that mailbox",
    ),
    Cause(
        key="content",
        headline="The mail server of {domain} refused it because of what is in it.",
        explanation="A filter there took it for unwanted or dangerous mail. Such filters are machines, and they err. "
        "What triggers them is usually a link, an attachment such as a program or a locked archive, or wording that "
        "reads like an advertisement.",
        next_step="Write it in other words, without unusual links and attachments, and send it again; "
        "or ask the person by telephone to expect it.",
        resend="",
        short="a filter took it for unwanted mail",
    ),
    Cause(
        key="about_us",
        headline="The mail server of {domain} refused to accept mail from our service. This is not your fault.",
        explanation="The address may well be right. The other side does not trust the mail service that sent your "
        "message. That is for us to put right, and we are looking into it.",
        next_step="If it is urgent, reach the person in another way. Otherwise send the message again in a day or two.",
        resend=_AGAIN,
        short="refused because of us, not because of you",
    ),
    Cause(
        key="policy",
        headline="A rule at {domain} does not allow it.",
        explanation="The address may be right, but whoever runs the mail of {domain} has decided not to accept "
        "messages like this one, for instance from outside, or to a closed group.",
        next_step="Ask the person whether somebody there can let your mail in, or for another address.",
        resend=_ELSEWHERE,
        short="a rule at the other side does not allow it",
    ),
    Cause(
        key="rate_limited",
        headline="The mail server of {domain} accepted no more mail from us.",
        explanation="Mail servers limit how much they accept from one place in a given time, and we had reached that "
        "limit. It says nothing about you or the address.",
        next_step="Send the message again in a few hours. If it is urgent, reach the person in another way.",
        resend=_AGAIN,
        short="the other side accepted no more mail from us",
    ),
    Cause(
        key="unreachable",
        headline="The mail server of {domain} could not be reached.",
        explanation="The domain exists, but its mail server did not answer, or your message could not be passed on "
        "from there. That is a fault on the other side or on the way, and it may be over by now.",
        next_step="Check whether the part after the @ sign is right. If it is, send the message again later, "
        "or reach the person in another way.",
        resend=_AGAIN,
        short="the mail server could not be reached",
    ),
    Cause(
        key="expired",
        headline="The mail server of {domain} did not accept it within {span}.",
        explanation="We tried {times}. Each time the server could not be reached or asked us to come back later. "
        "We have now stopped trying.",
        next_step="Check whether the part after the @ sign is right. If it is, reach the person in another way: "
        "their mail has been out of order for some time, and they may not know.",
        resend=_AGAIN,
        short="we tried for {span} and have stopped",
    ),
    Cause(
        key="in_doubt",
        headline="The mail server of {domain} never confirmed receipt.",
        explanation="We passed the whole message on, but the connection broke off before the other side confirmed "
        "that it had it. We tried {times} within {span} and have now stopped.",
        next_step="Ask the person whether the message is there. Send it again only if it is not.",
        resend=_AGAIN,
        short="the other side never confirmed it",
    ),
    Cause(
        key="system",
        headline="The mail system of {domain} has a fault.",
        explanation="It could not deal with your message because of trouble of its own. "
        "The address may well be right, and nothing seems to be wrong with the message.",
        next_step="Send the message again in a few hours. If it fails again, reach the person in another way.",
        resend=_AGAIN,
        short="the mail system at the other side has a fault",
    ),
    Cause(
        key="challenge_response",
        headline="The mailbox of {recipient} asks new senders to prove that they are human.",
        explanation="Your message is held back there until the sender has answered a question. "
        "We do not answer such questions for you.",
        next_step="Ask the person, by telephone for example, to allow mail from you, and send the message again.",
        resend=_AGAIN,
        short="the recipient must allow your mail first",
    ),
    Cause(
        key="undetermined",
        headline="The mail server of {domain} rejected it, and we cannot tell why.",
        explanation="The other side gave a reason that we do not understand. Rather than guess, we show it to you.",
        next_step="Check whether the address is right. If it is, reach the person in another way, or show the "
        "technical details to your administrator.",
        resend=_CORRECT,
        short="the reason is unclear",
    ),
    Cause(
        key="unexplained",
        headline="The mail server of {domain} rejected it and gave no reason.",
        explanation="The other side only let us know that it failed. Rather than guess, we leave it at that.",
        next_step="Check whether the address is right. If it is, reach the person in another way.",
        resend=_CORRECT,
        short="the other side gave no reason",
    ),
    Cause(
        key="suppressed",
        headline="Earlier mail to {recipient} failed permanently.",
        explanation="The address is on the list of addresses to which {organization} does not send: a message "
        "to it failed permanently, or was reported as unwanted. Sending to it anyway would only make mail "
        "servers distrust your other mail.",
        next_step="If the address is wrong, correct it. If you are sure that it is right, "
        "ask your administrator to take it off the list.",
        resend=_CORRECT,
        short="earlier mail to it failed, so we sent none",
    ),
    Cause(
        key="suppressed_mailbox_full",
        headline="The mailbox of {recipient} has been full for weeks.",
        explanation="Message after message to this address failed because the mailbox was full, so it seems that "
        "nobody reads it any more. For some weeks {organization} sends nothing to it; then it is tried again.",
        next_step="Reach the person in another way, and ask for an address that is in use. If the mailbox has been "
        "emptied, ask your administrator to take it off the list.",
        resend=_CORRECT,
        short="the mailbox has been full for weeks",
    ),
    Cause(
        key="suppressed_complaint",
        headline="The recipient, {recipient}, wants no more mail like this.",
        explanation="The recipient has reported an earlier message as unwanted, or has unsubscribed. "
        "We respect that, and {organization} has to respect it too.",
        next_step="Do not try to get around this by e-mail. If you need to reach the person, "
        "use another way, and ask whether they wish to hear from you again.",
        resend="",
        short="the recipient wants no more mail like this",
    ),
    Cause(
        key="smtputf8",
        headline="The mail server of {domain} cannot take an address in your message.",
        explanation="An address in your message has letters beyond a to z, and that server does not know how to handle "
        "such addresses yet. It is that of {recipient} or, if that has only plain letters, your own.",
        next_step="Ask the person for another address, or write from another one yourself.",
        resend=_ELSEWHERE,
        short="that mail server cannot take an address with such letters",
    ),
    Cause(
        key="forwarding_failed",
        headline="It reached the mail server of {domain}, which passes mail on; behind this address it failed.",
        explanation="{recipient} stands for another address, or for several, as with forwarding and mailing lists. One "
        "of them could not take your message. It may have reached others.",
        next_step="Ask the person in another way whether the message is there. Whoever looks after {recipient} will "
        "want to know that mail cannot be passed on from it.",
        resend=_ELSEWHERE,
        short="it arrived there, but behind this address it failed",
    ),
    Cause(
        key="delayed",
        headline="The mail server of {domain} has not accepted it yet.",
        explanation="It asked us to come back later, as mail servers do when they are busy or meet a sender for the "
        "first time. Most such delays pass by themselves.",
        next_step=_WAIT,
        resend="",
        short="the other side asks us to try again later",
    ),
    Cause(
        key="delayed_mailbox_full",
        headline="The mailbox of {recipient} is full.",
        explanation="The address is right, but there is no room for new mail until its owner deletes some.",
        next_step=_WAIT,
        resend="",
        short="the mailbox is full",
    ),
    Cause(
        key="delayed_unreachable",
        headline="The mail server of {domain} cannot be reached.",
        explanation="It does not answer, or the connection to it breaks off. That is a fault on the other side or on "
        "the way, and most such faults are mended within hours.",
        next_step=_WAIT,
        resend="",
        short="the mail server cannot be reached",
    ),
    Cause(
        key="delayed_about_us",
        headline="The mail server of {domain} takes only little mail from our service for now, or none. "
        "This is not your fault.",
        explanation="It limits what it takes from one place in a given time, or does not trust us yet. It says nothing "
        "about you or the address.",
        next_step=_WAIT,
        resend="",
        short="the other side takes little mail from us for now",
    ),
    Cause(
        key="delayed_by_us",
        headline="A fault in our own service keeps it from going out for now.",
        explanation="You did nothing wrong, nor did the recipient. Whoever runs this service has been alerted.",
        next_step=_WAIT,
        resend="",
        short="a fault in our own service; we are sorry",
    ),
    Cause(
        key="failed",
        headline="A fault in our own service kept it from going out.",
        explanation="We accepted your message and then failed to send it. You did nothing wrong, nor did the "
        "recipient. Whoever runs this service has been alerted.",
        next_step="Send the message again. If it is urgent, reach the person in another way.",
        resend=_AGAIN,
        short="a fault in our own service; we are sorry",
    ),
    Cause(
        key="failed_in_doubt",
        headline="A fault in our own service leaves it unclear whether it went out.",
        explanation="Our program stopped in the middle of sending, more than once, and never learned the outcome. You "
        "did nothing wrong, nor did the recipient. Whoever runs this service has been alerted.",
        next_step="Ask the person whether the message is there. Send it again only if it is not.",
        resend=_AGAIN,
        short="a fault in our own service; we are sorry",
    ),
)
CAUSES: Mapping[str, Cause] = MappingProxyType({one.key: one for one in _TABLE})
"""Every cause by its key. Most keys are classes of failure; `cause_key` uses the others."""

NOT_FAILURES: Mapping[str, str] = MappingProxyType(
    {
        "delivered": "The recipient's mail server accepted the message. That does not mean that anybody has read it.",
        "auto_reply": "A program answered for the recipient, out of office for example. The message arrived.",
        "complaint": "The recipient reported the message as unwanted. Later mail to the address is stopped.",
        "unsubscribe": "The recipient wants no more mail like this. Later mail to the address is stopped.",
        "not_a_report": "What came back is not about a delivery at all.",
    }
)
"""Classes that are no failure: what they mean."""

_ABOUT_US = frozenset({"auth", "reputation"})
_SMTPUTF8 = frozenset({"smtputf8-not-offered", "words.smtputf8", "code.6.7"})
"""Our own finding, and the rules by which a server says the same (RFC 6531 §3.5)."""
_UNWANTED = frozenset({"complaint", "unsubscribe"})
_SILENT = frozenset({"unreachable", "undetermined"})
_PERHAPS_ELSEWHERE = frozenset(
    {"invalid_recipient", "unreachable", "expired", "undetermined", "unexplained", "delayed_unreachable"}
)
CLASSES = frozenset(
    {
        *("invalid_recipient", "invalid_domain", "inactive_mailbox", "mailbox_full", "recipient_refused"),
        *("auth", "reputation", "policy", "rate_limited", "message_too_big", "content"),
        *("unreachable", "system", "undetermined", "challenge_response"),
    }
)
"""Classes that a failed delivery can have; `NOT_FAILURES` has the rest."""


def cause(facts: FailureFacts) -> Cause:
    """Why the delivery failed and what to do next, in whole plain sentences without codes. Total: never raises."""
    known = tidy(facts)
    chosen = CAUSES[cause_key(known)]
    fields = {
        "recipient": known.recipient,
        "domain": known.domain,
        "suggestion": known.suggestion or "",
        "organization": known.organization_name or "your organization",
        "span": span(known.failed_at - known.sent_at),
        "times": times(known.attempts),
        "until": moment(known.tried_until) if known.tried_until else "its time is over",
    }
    explanation = chosen.explanation
    if known.late and known.failure is not None:
        explanation = f"The message was accepted at first, but came back later. {explanation}"
    if known.failure is State.EXPIRED and chosen.key not in {"expired", "in_doubt"}:
        explanation = f"{explanation} We tried {{times}} within {{span}} and have now stopped."
    next_step = chosen.next_step
    if known.suggestion and chosen.key in _PERHAPS_ELSEWHERE:
        waits = " If so, send it there; if not, wait." if known.failure is State.DEFERRED else ""
        next_step = f"Did you mean {{suggestion}}?{waits} {next_step}"
    return Cause(
        key=chosen.key,
        headline=chosen.headline.format_map(fields),
        explanation=explanation.format_map(fields),
        next_step=next_step.format_map(fields),
        resend=chosen.resend if known.correct_link else "",
        short=chosen.short.format_map(fields),
    )


def _delayed(verdict: Verdict) -> str:
    if verdict.rule == f"no-answer-at-{Stage.ROUTE}":  # we never came so far as to ask anybody
        return "delayed_by_us"
    if verdict.about_us or verdict.failure_class in {*_ABOUT_US, "rate_limited"}:
        return "delayed_about_us"
    key = f"delayed_{verdict.failure_class}"
    return key if key in CAUSES else "delayed"


def cause_key(facts: FailureFacts) -> str:
    """The key in `CAUSES` for this failure: by state first, then by whether it is about us, then by class."""
    verdict = facts.verdict
    failure_class = verdict.failure_class
    match facts.failure:
        case None:
            return "forwarding_failed"
        case State.DEFERRED:
            return _delayed(verdict)
        case State.FAILED:
            return "failed_in_doubt" if facts.possibly_delivered else "failed"
        case State.SUPPRESSED:
            if _UNWANTED & {failure_class, verdict.matched}:
                return "suppressed_complaint"
            return "suppressed_mailbox_full" if verdict.matched == "mailbox_full" else "suppressed"
        case State.EXPIRED if failure_class in _SILENT or failure_class not in CLASSES:
            return "in_doubt" if facts.possibly_delivered else "expired"
    if verdict.rule in _SMTPUTF8:
        return "smtputf8"
    if failure_class != "rate_limited" and (verdict.about_us or failure_class in _ABOUT_US):
        return "about_us"
    if failure_class == "invalid_domain" and facts.suggestion:
        return "invalid_domain_typo"
    if failure_class in CLASSES and failure_class != "undetermined":
        return failure_class
    return "undetermined" if verdict.text else "unexplained"
