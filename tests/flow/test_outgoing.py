"""What leaves is made whole: its content, and what is computed of it once for all recipients."""

import os
from datetime import timedelta

from homing.flow.outgoing import Letter, Outgoing
from homing.loop.domains.identity import OperatorIdentity
from homing.loop.letters.letters import Text
from homing.loop.model import Origin, Role, State
from homing.loop.token import TokenKey, Tokens
from homing.mail.address import parse_address
from homing.mail.compose import Mailbox
from homing.mail.dkim import body_hash
from homing.store.resends import Original
from tests.store.scenes import IDENTITY, NOW, fresh

OUTGOING = Outgoing(
    tokens=Tokens([TokenKey(id=1, secret=b"k" * 32, since=NOW - timedelta(days=1))]),
    operator=OperatorIdentity(from_domain="post.example", return_domain="b.post.example"),
    operator_name="Operator",
    lifetime=timedelta(days=5),
    dice=lambda: os.urandom(10),
    url="http://gateway.example",
)
JOHN = parse_address("john@corp.com")


def test_the_body_is_hashed_when_the_message_is_made_and_again_when_it_is_corrected() -> None:
    letter = Letter(
        origin=Origin.LETTER,
        organization=fresh(),
        to=Mailbox("John", JOHN),
        text=Text(subject="x", body="Hello\n", html=None),
    )
    made = OUTGOING.letter(letter, NOW)
    content = made.message.content
    front = OUTGOING.front(made.deliveries[0].id, IDENTITY, NOW)
    assert made.message.body_hash == body_hash(content) == body_hash(front + content)
    original = Original(
        delivery=made.deliveries[0].id,
        organization=made.message.organization,
        recipient=str(JOHN),
        role=Role.TO,
        phone=None,
        state=State.BOUNCED,
        origin=Origin.API,
        identity=IDENTITY,
        stream="default",
        human_sender=None,
        human_sender_name="Janet",
        human_sender_address="janet@example.com",
        application_user=None,
        subject="x",
        failure_policy="default",
        metadata={},
        content=content,
    )
    again = OUTGOING.resend(original, content, parse_address("joan@corp.com"), "key", NOW)
    assert again.message.content != content
    assert again.message.body_hash == body_hash(again.message.content) == made.message.body_hash
