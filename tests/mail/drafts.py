"""Drafts and finished messages for the tests of this room."""

import email
import email.policy
from datetime import UTC, datetime
from email.header import decode_header, make_header

from homing.mail.address import parse_address
from homing.mail.compose import Draft, Mailbox, check_composed, compose, front
from homing.mail.dkim import SigningKey

OURS = parse_address("message-service@post.example.com")
JOHN = Mailbox("John Smith", parse_address("john@example.org"))
JOE = parse_address("joe@example.net")
KEY = SigningKey.generate("post.example.com", "k1")


def draft(**changes):
    parts = {
        "subject": "Your invoice",
        "to": (JOHN,),
        "date": datetime(2026, 9, 1, 12, 0, tzinfo=UTC),
        "message_id": "m1@post.example.com",
        "text": "Dear John,\n\nhere it is.\n",
    }
    return Draft(**(parts | changes))


def wire(name="Joe Bloggs", reply_to=JOE, **changes):
    raw = front(OURS, name, reply_to, "abc234") + compose(draft(**changes))
    check_composed(raw)
    return raw


def read(raw):
    return email.message_from_bytes(raw, policy=email.policy.SMTPUTF8)


def names(raw):
    return [
        line.partition(b":")[0].decode()
        for line in raw.partition(b"\r\n\r\n")[0].split(b"\r\n")
        if line[:1] not in (b" ", b"\t")
    ]


def decoded(raw, name):
    return unfolded(email.message_from_bytes(raw)[name])


def unfolded(text):
    return str(make_header(decode_header(text.replace("\r\n", ""))))
