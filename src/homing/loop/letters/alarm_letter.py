"""The letter that tells an operator of alarms: the fault, how often it was met, the server's words, and the cure."""

from collections.abc import Sequence

from homing.loop.alarm import StandingAlarm
from homing.loop.letters.facts import moment
from homing.loop.letters.layout import Block, Heading, Link, Paragraph, Quote, Table, html, plain
from homing.loop.letters.letters import Text
from homing.mail.text import clean

MOST = 20
"""Alarms in one letter; the page has them all."""

_ADVICE = {
    "auth": "Receivers cannot make sure that the mail is ours. Ask `homing doctor` about SPF, DKIM and DMARC.",
    "reputation": "Our address or name is thought ill of. Read the words: most name the list and how to come off it.",
    "policy": "A receiver has a rule against us. Read the words, and write to its postmaster if they do not tell.",
    "rate_limited": "A receiver finds us too fast. Homing slows down by itself; if it goes on for days, send less.",
    "content": "A receiver does not like what the messages say. Look at who sends them, and what.",
    "killed-its-worker": "A message ended the process each time it was tried. It is left alone: keep it, report it.",
    "no-signing-key": "Nothing goes out unsigned. Publish what `homing dkim zone` prints.",
    "key-not-published": "Signatures fail. Publish what `homing dkim zone` prints.",
    "kept-unread": "A mail that came back broke its reader each time. It is kept: look at it, and report it.",
}
_ELSE = "Read the words below, and look at the attempts of the delivery."


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
            "Something goes wrong that is about this gateway, not about a recipient. No address is taken out of use "
            "for it; messages wait or fail until it is mended."
        ),
    ]
    for standing in alarms[:MOST]:
        blocks += _told(standing)
    if len(alarms) > MOST:
        blocks.append(Paragraph(f"And {len(alarms) - MOST} more."))
    blocks += [
        Paragraph("All alarms stand on this page; take those away that are dealt with:"),
        Link(page, "See the alarms"),
        Paragraph("Of the same cause you hear once a day at most, and of others once an hour."),
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
