"""What leaves is made whole: its content, and what is computed of it once for all recipients."""

import os
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from homing.flow.outgoing import Letter, Outgoing
from homing.loop.domains.identity import OperatorIdentity
from homing.loop.letters.letters import Text
from homing.loop.model import Origin, Role, State
from homing.loop.token import Purpose, TokenKey, TokenRefused, Tokens
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


def test_a_bounce_comes_home_until_thirty_days_after_the_deliverys_lifetime() -> None:
    """The token of the envelope sender says so, whatever became of the delivery."""
    created, expires = datetime(2026, 3, 1, 9, 30, tzinfo=UTC), datetime(2026, 3, 6, 9, 30, tzinfo=UTC)
    delivery = uuid4()
    local, _, domain = OUTGOING.envelope_sender(delivery, IDENTITY, created, expires).partition("@")
    token = local.removeprefix("b+")
    assert domain == IDENTITY.return_domain
    assert opens(Purpose.ENVELOPE, token, datetime(2026, 4, 5, 23, 59, tzinfo=UTC)) == delivery
    assert opens(Purpose.ENVELOPE, token, datetime(2026, 4, 6, 0, 0, tzinfo=UTC)) is None


def test_a_complaint_or_an_unsubscription_is_known_for_400_days() -> None:
    created = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    delivery = uuid4()
    front = OUTGOING.front(delivery, OUTGOING.marked(IDENTITY, bulk=True), created).decode()
    link = re.search(r"<http[^>]*/([a-z2-7]{48})>", front)
    assert link is not None
    for purpose, token in ((Purpose.TRACE, OUTGOING.trace(delivery, created)), (Purpose.UNSUBSCRIBE, link[1])):
        assert opens(purpose, token, datetime(2027, 4, 5, 23, 59, tzinfo=UTC)) == delivery
        assert opens(purpose, token, datetime(2027, 4, 6, 0, 0, tzinfo=UTC)) is None


def opens(purpose: Purpose, token: str, now: datetime) -> UUID | None:
    try:
        return OUTGOING.tokens.open(purpose, token, now=now)
    except TokenRefused:
        return None
