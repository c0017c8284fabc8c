import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.mail.reply import Reply
from homing.mail.smtp_server import (
    COMMAND_OCTETS,
    OVERRUN_OCTETS,
    AskMessage,
    AskRecipient,
    AskSender,
    BodyOctets,
    Event,
    SessionLimits,
    wire,
)
from tests.data import HOSTILE_INPUTS
from tests.mail.smtp_house import ENVELOPE, OK, House, codes

SMALL = SessionLimits(message_octets=1000, recipients=3, errors=5, fruitless_commands=8)
SEQUENCES = {case["name"]: case for case in json.loads((HOSTILE_INPUTS / "smtp" / "eod.json").read_text())}


def test_a_message_in_lock_step() -> None:
    house = House().open()
    assert codes(house.say(b"MAIL FROM:<a@a.example> SIZE=20 ENVID=x1\r\n")) == [250]
    assert codes(house.say(b"RCPT TO:<token@b.example>\r\n")) == [250]
    assert codes(house.say(b"RCPT TO:<other@b.example>\r\n")) == [550]
    assert codes(house.say(b"DATA\r\n")) == [354]
    assert codes(house.say(b"Subject: x\r\n\r\n..dot\r\n.\r\n")) == [250]
    [(message, body)] = house.messages
    assert body == b"Subject: x\r\n\r\n.dot\r\n"
    assert message == AskMessage(
        envelope_sender="a@a.example",
        recipients=("token@b.example",),
        smtputf8=False,
        envid="x1",
        size=len(body),
        flags=frozenset(),
    )


@given(st.integers(1, 30), st.integers(1, 4))
def test_pipelined_commands_are_answered_in_order_however_they_are_cut(step: int, messages: int) -> None:
    house = House().open()
    for _ in range(messages):
        assert codes(house.say(b"NOOP\r\nRSET\r\n" + ENVELOPE, step)) == [250, 250, 250, 250, 354]
        assert codes(house.say(b"Subject: x\r\n\r\nbody\r\n.\r\nNOOP\r\n", step)) == [250, 250]
    assert [body for _, body in house.messages] == [b"Subject: x\r\n\r\nbody\r\n"] * messages


def test_ehlo_offers_what_the_limits_say() -> None:
    house = House(SessionLimits(message_octets=77, offers=("PIPELINING", "DSN")), starttls=True)
    house.session.greet(Reply(220, "", "ready"))
    assert house.settle() == b"220 mx.b.example ESMTP ready\r\n"
    answer = house.say(b"EHLO c.example\r\n")
    assert answer.split(b"\r\n")[1:-1] == [b"250-SIZE 77", b"250-PIPELINING", b"250-DSN", b"250 STARTTLS"]
    assert codes(house.say(b"HELO c.example\r\n")) == [250]
    assert codes(house.say(b"MAIL FROM:<a@a.example> SIZE=1\r\n")) == [555]


def test_smtputf8_only_where_offered() -> None:
    house = House(SessionLimits(offers=())).open()
    assert codes(house.say("MAIL FROM:<josé@a.example> SMTPUTF8\r\n".encode())) == [555]


@pytest.mark.parametrize("cutting", ["one write", "byte by byte", "every offset"])
@pytest.mark.parametrize("refuse_bare", [False, True], ids=["mx", "submission"])
@pytest.mark.parametrize("name", SEQUENCES)
def test_no_sequence_but_the_right_one_ends_a_message(name: str, refuse_bare: bool, cutting: str) -> None:
    sequence, smuggled = bytes.fromhex(SEQUENCES[name]["hex"]), bytes.fromhex(SEQUENCES[name]["smuggled"])
    data = b"Subject: one\r\n\r\nbody" + sequence + smuggled
    step = 1 if cutting == "byte by byte" else 0
    splits = range(len(data)) if cutting == "every offset" else [0]
    bare = any(octet in sequence for octet in (b"\0",)) or any(
        sequence.count(end) != sequence.count(b"\r\n") for end in (b"\r", b"\n")
    )
    for split in splits:
        house = House(SessionLimits(refuse_bare=refuse_bare), handler=lambda _: OK).open()
        house.say(ENVELOPE)
        answers = b"".join(house.say(part, step) for part in (data[:split], data[split:]) if part)
        assert len(house.messages) == (0 if bare and refuse_bare else 1)
        assert codes(answers) == ([554] if bare and refuse_bare else [250])
        assert house.closed is (bare and refuse_bare)
        for message, body in house.messages:
            assert b"MAIL FROM:<smuggled@a.example>" in body
            assert bool(message.flags) is bare


def digit(house: House, data: bytes) -> str:
    """The first digit of what is said to `data`, or "close"."""
    answers = house.say(data)
    return "close" if house.closed and not answers else chr(answers[0]) if answers else ""


WISHED = json.loads((HOSTILE_INPUTS / "smtp" / "dialogs.json").read_text())
SPECIAL = [name for name, steps in WISHED.items() if any(step[0].startswith("~") for step in steps)]
TOKENS = {b"<TOKEN>": b"<token@b.example>", b"<TOKEN2>": b"<token@b.example>", b"<UPPER_TOKEN>": b"<TOKEN@B.EXAMPLE>",
          b"<FORGED_TOKEN>": b"<forged@b.example>", b"<EXPIRED_TOKEN>": b"<expired@b.example>",
          b"@OURDOMAIN": b"@b.example"}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in WISHED if name not in SPECIAL])
def test_dialogue(name: str) -> None:
    house = House()
    house.session.greet(Reply(220, "", ""))
    house.settle()
    for hexadecimal, wish in WISHED[name]:
        data = bytes.fromhex(hexadecimal)
        for placeholder, value in TOKENS.items():
            data = data.replace(placeholder, value)
        if wish is not None:
            received = digit(house, data)
            assert received in wish.split("or") or (received == "5" and wish == "close" and house.closed)
    assert not house.messages


def test_octets_before_the_banner_end_the_session() -> None:
    house = House()
    house.session.receive(b"EHLO x\r\n")
    house.session.greet(Reply(220, "", ""))
    assert codes(house.settle()) == [554]
    assert house.closed


@pytest.mark.parametrize("greeting", [Reply(554, "5.7.1", "not you"), Reply(421, "4.3.2", "not now")])
def test_a_refused_greeting_closes(greeting: Reply) -> None:
    house = House()
    house.session.greet(greeting)
    assert house.settle() == wire(greeting)
    assert house.closed


@pytest.mark.parametrize("command", [b"EHLO x.example\r\n", ENVELOPE, b"STARTTLS\r\n"])
def test_octets_behind_a_command_that_must_stand_last_end_the_session(command: bytes) -> None:
    house = House(starttls=True).open()
    assert codes(house.say(command + b"RSET\r\n"))[-1] == 554
    assert house.closed
    assert not house.upgrading


def test_starttls_forgets_what_was_said_before() -> None:
    house = House(starttls=True).open()
    house.say(b"MAIL FROM:<a@a.example>\r\n")
    assert codes(house.say(b"STARTTLS\r\n")) == [220]
    assert house.upgrading
    house.session.upgraded()
    assert codes(house.say(b"RCPT TO:<token@b.example>\r\n")) == [503]
    assert codes(house.say(b"MAIL FROM:<a@a.example>\r\n")) == [503]
    assert b"STARTTLS" not in house.say(b"EHLO c.example\r\n")
    assert codes(house.say(b"STARTTLS\r\n")) == [503]


@pytest.mark.parametrize(
    ("commands", "replies"),
    [
        (b"MAIL FROM:<a@a.example>\r\nMAIL FROM:<b@a.example>\r\n", [250, 503]),
        (b"RCPT TO:<token@b.example>\r\n", [503]),
        (b"DATA\r\n", [503]),
        (b"MAIL FROM:<a@a.example>\r\nDATA\r\n", [250, 554]),
        (b"MAIL FROM:<a@a.example>\r\nRSET\r\nDATA\r\n", [250, 250, 503]),
        (b"VRFY root\r\nEXPN all\r\nHELP\r\nNOOP x\r\nFOO\r\n", [252, 502, 214, 250, 500]),
        (b"MAIL FROM:<>\r\nRCPT TO:<token@b.example>\r\nRCPT TO:<token@b.example>\r\n", [250, 250, 452]),
        (b"MAIL FROM:<a@a.example> SIZE=1001\r\n", [552]),
        (b"QUIT\r\nNOOP\r\n", [221]),
    ],
)
def test_order(commands: bytes, replies: list[int]) -> None:
    assert codes(House(SMALL).open().say(commands)) == replies


@pytest.mark.parametrize("asked", [AskSender, AskRecipient, AskMessage])
@pytest.mark.parametrize("reply", [Reply(421, "4.3.2", "enough"), None])
def test_a_desk_can_end_the_session_at_each_question(asked: type[Event], reply: Reply | None) -> None:
    house = House(handler=lambda event: reply if isinstance(event, asked) else OK).open()
    answers = house.say(ENVELOPE.removesuffix(b"DATA\r\n"))
    if asked is AskMessage:
        house.say(b"DATA\r\n")
        answers = house.say(b"x\r\n.\r\n")
    assert house.closed
    assert codes(answers)[-1:] == ([421] if reply else codes(answers)[-1:])
    assert (421 in codes(answers)) is (reply is not None)


# --- bounds: each is met exactly, and passed by one ---


def test_the_longest_command_line() -> None:
    longest = b"NOOP " + b"x" * (COMMAND_OCTETS - 7) + b"\r\n"
    house = House().open()
    assert codes(house.say(longest)) == [250]
    assert codes(house.say(b"x" + longest)) == [500]
    assert house.closed


@pytest.mark.parametrize("command", [b"NOOP \n", b"\n", b"NOOP\r\n\n", b"NOOP x\nRSET\r\n"])
def test_a_line_that_ends_in_lf_alone_ends_the_session(command: bytes) -> None:
    house = House().open()
    assert codes(house.say(command))[-1] == 500
    assert house.closed


def test_a_line_without_end_is_not_kept() -> None:
    house = House().open()
    answers = house.say(b"A" * 1_000_000, 1000)
    assert codes(answers) == [500]
    assert house.closed
    assert house.most_buffered < 2 * COMMAND_OCTETS


@pytest.mark.parametrize("size", [1000, 1001])
def test_the_largest_message(size: int) -> None:
    house = House(SMALL).open()
    house.say(ENVELOPE)
    answers = house.say(b"x" * (size - 2) + b"\r\n.\r\nNOOP\r\n", 100)
    assert codes(answers) == ([250, 250] if size == 1000 else [552, 250])
    assert len(house.messages) == (size == 1000)
    assert house.dropped == (size > 1000)


def test_a_message_far_too_large_is_cut_off() -> None:
    house = House(SMALL).open()
    house.say(ENVELOPE)
    most = SMALL.message_octets + OVERRUN_OCTETS
    assert house.say(b"x" * most, 1000) == b""
    assert codes(house.say(b"xx")) == [552]
    assert house.closed
    assert house.most_buffered == 0


def test_a_line_too_long_is_refused_at_the_end() -> None:
    house = House().open()
    house.say(ENVELOPE)
    assert codes(house.say(b"x" * 65537 + b"\r\n.\r\n", 30_000)) == [552]
    assert not house.messages
    assert not house.closed


def test_recipients() -> None:
    house = House(SMALL).open()
    answers = house.say(b"MAIL FROM:<a@a.example>\r\n" + b"RCPT TO:<token@b.example>\r\n" * 4)
    assert codes(answers) == [250, 250, 250, 250, 452]


def test_errors_end_a_session_and_a_message_wipes_them_out() -> None:
    house = House(SMALL).open()
    assert codes(house.say(b"FOO\r\n" * 4)) == [500] * 4
    house.say(ENVELOPE)
    house.say(b"x\r\n.\r\n")
    house.say(b"MAIL FROM:<a@a.example>\r\n")
    for _ in range(4):
        assert codes(house.say(b"RCPT TO:<no@b.example>\r\nDATA\r\n")) == [550, 554]
    assert codes(house.say(b"RCPT TO:<no@b.example>\r\n")) == [550, 421]
    assert house.closed


def test_commands_without_a_message_end_a_session() -> None:
    house = House(SMALL).open()
    assert codes(house.say(b"NOOP\r\nRSET\r\n" * 10)) == [250] * 7 + [421]
    assert house.closed


@pytest.mark.parametrize("count", [10_000])
def test_recipient_flood(count: int) -> None:
    house = House().open()
    answers = house.say(b"MAIL FROM:<a@a.example>\r\n" + b"RCPT TO:<token@b.example>\r\n" * count, 1000)
    assert codes(answers) == [250] * 101 + [452] * 20 + [421]


def test_a_body_refused_half_way_is_read_to_its_end() -> None:
    house = House().open()
    house.say(ENVELOPE)
    house.say(b"first\r\n")
    house.session.refuse_body(Reply(452, "4.3.1", "full"))
    assert codes(house.say(b"second\r\n.\r\nNOOP\r\n")) == [452, 250]
    assert not house.messages
    assert house.dropped == 1


def test_replies_on_the_wire_are_printable_and_short() -> None:
    reply = Reply(550, "5.1.1", "a\r\nMAIL FROM\x1b\u202e\u00e9\n" + "x" * 1000)
    lines = wire(reply).split(b"\r\n")
    assert lines[0] == b"550-5.1.1 a?"
    assert lines[1] == b"550-5.1.1 MAIL FROM???"
    assert all(len(line) <= 510 for line in lines)


_ANYTHING = [
    ENVELOPE,
    b"x\r\n.\r\n",
    b"RSET\r\n",
    b"EHLO c.example\r\n",
    b"\r\n",
    b"QUIT\r\n",
    b"STARTTLS\r\n",
    b"\n",
    b"MAIL FROM:<>\r\n",
    b"\x16\x03",
    b"DATA\r\n",
]


@given(st.lists(st.sampled_from(_ANYTHING), max_size=12))
def test_any_order_of_commands_is_survived(parts: list[bytes]) -> None:
    house = House(SMALL, starttls=True).open()
    for part in parts:
        answers = house.say(part)
        assert all(200 <= code < 600 for code in codes(answers))


def test_a_body_refused_after_its_end_has_come_is_refused_all_the_same() -> None:
    house = House().open()
    house.say(ENVELOPE)
    house.session.receive(b"all of it\r\n.\r\n")
    assert house.session.next() == BodyOctets(b"all of it\r\n")
    house.session.refuse_body(Reply(452, "4.3.1", "full"))
    assert codes(house.settle()) == [452]
    assert not house.messages
