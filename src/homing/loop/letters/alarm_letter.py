"""The e-mail about alarms to the operator: what is wrong, how often, in whose words, and what to do."""

from collections.abc import Sequence

from homing.loop.alarm import StandingAlarm
from homing.loop.letters.facts import moment
from homing.loop.letters.layout import Block, Heading, Link, Paragraph, Quote, Table, html, plain
from homing.loop.letters.letters import Text
from homing.loop.watch import CAUSE, CURES
from homing.mail.text import clean

MOST = 20
"""Most alarms in one e-mail; the page has them all."""

_ADVICE = {
    "auth": "Receivers cannot verify that the mail is ours. Check SPF, DKIM and DMARC with `homing doctor`.",
    "reputation": "Our address or name has a bad reputation. Most replies name the list and how to get off it.",
    "policy": "A receiver has a rule against our mail. Read the reply, or ask its postmaster.",
    "rate_limited": "We send too fast for a receiver. Homing slows down by itself; if it goes on for days, send less.",
    "content": "A receiver objects to the content of the messages. Look at who sends them, and what they say.",
    "killed-its-worker": "A message crashed the process at each attempt. It is left alone: keep it, and report it.",
    "no-signing-key": "No key can sign, and nothing goes out unsigned. Publish what `homing dkim zone` prints.",
    "key-not-published": "Receivers cannot verify our signatures. Publish what `homing dkim zone` prints.",
    "administrator-unproved": "Nobody hears of failures of this organization: its administrator has not confirmed his "
    "address. Have the e-mail sent again (`homing org administrator letter`), or attest the address "
    "(`homing org administrator prove`). Its cases are unheard: look at them meanwhile.",
    "disk-low": "The disk is nearly full, so nothing is accepted or sent. Make room: it goes on by itself.",
    "role-mail-refused": "Somebody writes much to postmaster and the like. See who (`homing inbound list`), or allow "
    "more (`role_mail_mib_per_day`).",
    "returned-mail-refused": "Somebody writes much to the return addresses of this organization. Small notices of "
    "failure still come in, and senders of large ones come again tomorrow. See who (`homing inbound list`), or allow "
    "more (`returned_mail_mib_per_day`).",
    "kept-unread": "A bug keeps a mail that came back from being read. It is kept: look at it, and report the bug.",
    **{f"{CAUSE}{fault}": f"Failures may be going unheard. {cure}" for fault, cure in CURES.items()},
}
_ELSE = "Read the reply below, and look at the attempts of the delivery."


def advice(cause: str) -> str:
    """What to do about a cause."""
    return _ADVICE.get(cause.partition(" ")[0], _ELSE)


def alarm_letter(alarms: Sequence[StandingAlarm], page: str) -> Text:
    """At most `MOST` of them in full. `page`: where they stand."""
    one = len(alarms) == 1
    subject = "Homing needs your attention: an alarm" if one else f"Homing needs your attention: {len(alarms)} alarms"
    blocks: list[Block] = [
        Paragraph("Hello,"),
        Paragraph(
            "Something is wrong with this gateway, not with a recipient. No address is suppressed because of it; "
            "messages wait or fail until it is fixed."
        ),
    ]
    for standing in alarms[:MOST]:
        blocks += _told(standing)
    if len(alarms) > MOST:
        blocks.append(Paragraph(f"And {len(alarms) - MOST} more."))
    blocks += [
        Paragraph("This page has all alarms; clear those that you have dealt with:"),
        Link(page, "See the alarms"),
        Paragraph("You get at most one e-mail a day about the same cause, and at most one an hour in all."),
    ]
    return Text(subject=subject, body=plain(tuple(blocks)), html=html(tuple(blocks), subject))


def _told(standing: StandingAlarm) -> tuple[Block, ...]:
    rows = (
        ("Since", moment(standing.first_at)),
        ("Last", moment(standing.last_at)),
        ("Times", str(standing.times)),
    )
    words = (Quote(standing.text, 4),) if clean(standing.text, 80) else ()
    return Heading(clean(standing.cause, 120)), Paragraph(advice(standing.cause)), Table(rows), *words
