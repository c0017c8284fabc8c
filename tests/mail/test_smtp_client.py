from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.mail.reply import Reply, Stage
from homing.mail.smtp_client import (
    DIALOGUE_CHARACTERS,
    Answer,
    Capabilities,
    Ending,
    Envelope,
    Interrupted,
    Log,
    Silence,
    Transcript,
    Turn,
    asking_for_tls,
    opening,
    transaction,
    xtext,
)
from homing.mail.smtp_data import dot_stuffed
from homing.mail.smtp_reply import Garbled, ReplyReader, ServerReply
from homing.mail.smtp_server import AskMessage, AskRecipient, AskSender, Event, SessionLimits
from tests.mail.smtp_house import OK, House

T = TypeVar("T")
CONTENT = b"Subject: x\r\n\r\n.a dot\r\n..\r\n.\r\nend\r\n"
ENVELOPE = Envelope(envelope_sender="a@a.example", recipient="token@b.example", content=CONTENT)
PIPELINING = Capabilities(frozenset({"PIPELINING"}))
PLAIN = Capabilities()


@dataclass
class Server:
    """Answers what is written to it; `sent` is all that reached it."""

    answer: Callable[[bytes], bytes]
    step: int = 0
    sent: list[bytes] = field(default_factory=list)
    reader: ReplyReader = field(default_factory=ReplyReader)

    def take(self, turn: Turn) -> Answer:
        octets = turn.octets if turn.content is None else dot_stuffed(turn.content) + b".\r\n"
        if octets:
            self.sent.append(octets)
            answers = self.answer(octets)
            for start in range(0, len(answers), self.step or len(answers) or 1):
                self.reader.receive(answers[start : start + (self.step or len(answers))])
        match self.reader.next():
            case ServerReply() as received:
                return received
            case Garbled():
                return Silence.GARBLED
        return Silence.CLOSED


def play(dialogue: Generator[Turn, Answer, T], server: Server) -> T:
    try:
        turn = next(dialogue)
        while True:
            turn = dialogue.send(server.take(turn))
    except StopIteration as end:
        return end.value


def scripted(**replies: str) -> Server:
    """A server that answers each command by its verb: `MAIL="250 ok"`; `DOT` answers the message; "" says nothing."""

    def answer(octets: bytes) -> bytes:
        if octets.endswith(b"\r\n.\r\n"):
            return replies.get("DOT", "250 taken").encode() + b"\r\n" * bool(replies.get("DOT", "x"))
        said = b""
        for line in octets.splitlines():
            verb = line[:4].decode()
            reply = replies.get(verb, "354 go on" if verb == "DATA" else "250 ok")
            said += reply.encode() + b"\r\n" * bool(reply)
        return said

    return Server(answer)


# --- both ends against each other ---


@pytest.mark.parametrize("offers", [("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN"), ("8BITMIME", "SMTPUTF8"), ()])
@pytest.mark.parametrize("step", [0, 1, 7])
def test_our_client_and_our_server_understand_each_other(offers: tuple[str, ...], step: int) -> None:
    house = House(SessionLimits(offers=offers))
    house.session.greet(Reply(220, "", "hello"))
    server = Server(lambda octets: house.say(octets, step), step)
    server.reader.receive(house.settle())
    offered = play(opening("c.example"), server)
    assert isinstance(offered, Capabilities)
    assert offered == Capabilities(frozenset({"SIZE", *offers}), 10 * 1024 * 1024)
    reset = False
    for recipient in ["token@b.example", "nobody@b.example", "token@b.example"]:
        envelope = Envelope(envelope_sender=None, recipient=recipient, content=CONTENT, envid="m+1")
        ending = play(transaction(envelope, offered, reset=reset), server)
        reset = ending.stage is not Stage.DOT
        assert ending.reusable
        assert ending == (
            Ending(Stage.DOT, OK, reusable=True)
            if recipient.startswith("token")
            else Ending(Stage.RCPT_TO, Reply(550, "5.1.1", "no such recipient"), reusable=True)
        )
    assert [body for _, body in house.messages] == [CONTENT, CONTENT]
    assert house.session.buffered == 0


@given(st.sampled_from([AskSender, AskRecipient, AskMessage]), st.sampled_from([400, 450, 550, 421]), st.booleans())
def test_both_ends_agree_on_who_was_refused(asked: type[Event], code: int, pipelined: bool) -> None:
    refusal = Reply(code, "", "no")
    house = House(
        SessionLimits(offers=("PIPELINING",) if pipelined else ()),
        handler=lambda event: refusal if isinstance(event, asked) else OK,
    )
    house.open()
    ending = play(transaction(ENVELOPE, PIPELINING if pipelined else PLAIN), Server(house.say))
    stage = {AskSender: Stage.MAIL_FROM, AskRecipient: Stage.RCPT_TO, AskMessage: Stage.DOT}[asked]
    assert (ending.stage, ending.reply) == (stage, refusal)
    assert ending.reusable is (code != 421)
    assert not house.messages


# --- stages ---

CASES = [
    ({}, Stage.DOT, "250 taken", True),
    ({"RCPT": "251 will forward"}, Stage.DOT, "250 taken", True),
    ({"MAIL": "550 not you", "RCPT": "503 what", "DATA": "503 what"}, Stage.MAIL_FROM, "550 not you", True),
    ({"RCPT": "550 5.1.1 nobody", "DATA": "503 no"}, Stage.RCPT_TO, "550 5.1.1 nobody", True),
    ({"RCPT": "450 later", "DATA": "554 no"}, Stage.RCPT_TO, "450 later", True),
    ({"RCPT": "550 nobody", "DATA": "421 bye"}, Stage.RCPT_TO, "550 nobody", False),
    ({"DATA": "451 no"}, Stage.DATA, "451 no", True),
    ({"MAIL": "421 busy"}, Stage.MAIL_FROM, "421 busy", False),
    ({"DOT": "554 spam"}, Stage.DOT, "554 spam", True),
    ({"DOT": "421 bye"}, Stage.DOT, "421 bye", False),
    ({"DOT": "299 odd"}, Stage.DOT, "299 odd", True),
]


@pytest.mark.parametrize("offered", [PIPELINING, PLAIN], ids=["pipelined", "lock-step"])
@pytest.mark.parametrize(("script", "stage", "reply", "reusable"), CASES)
def test_the_first_refusal_counts(
    script: dict[str, str], stage: Stage, reply: str, reusable: bool, offered: Capabilities
) -> None:
    ending = play(transaction(ENVELOPE, offered), scripted(**script))
    code, _, text = reply.partition(" ")
    assert (ending.stage, ending.reply) == (stage, Reply.of(int(code), text))
    # without pipelining nobody comes to DATA after a refusal
    assert ending.reusable is (reusable or (offered is PLAIN and "RCPT" in script))
    assert ending.silence is None


def test_a_354_after_a_refused_recipient_never_gets_the_message() -> None:
    server = scripted(RCPT="550 nobody", DATA="354 go on")
    ending = play(transaction(ENVELOPE, PIPELINING), server)
    assert ending == Ending(Stage.RCPT_TO, Reply(550, "", "nobody"), reusable=False)
    assert not any(b"Subject" in octets or octets.endswith(b".\r\n") for octets in server.sent)


@pytest.mark.parametrize("offered", [PIPELINING, PLAIN], ids=["pipelined", "lock-step"])
@pytest.mark.parametrize(
    ("script", "stage", "silence"),
    [
        ({"MAIL": ""}, Stage.MAIL_FROM, Silence.CLOSED),
        ({"RCPT": "hello"}, Stage.RCPT_TO, Silence.GARBLED),
        ({"RCPT": "354 what"}, Stage.RCPT_TO, Silence.GARBLED),
        ({"DATA": "250 what"}, Stage.DATA, Silence.GARBLED),
        ({"DATA": ""}, Stage.DATA, Silence.CLOSED),
        ({"DOT": ""}, Stage.DOT, Silence.CLOSED),
        ({"DOT": "25"}, Stage.DOT, Silence.GARBLED),
        ({"DOT": "354 more"}, Stage.DOT, Silence.GARBLED),
        ({"DOT": "250-half"}, Stage.DOT, Silence.CLOSED),
    ],
)
def test_silence(script: dict[str, str], stage: Stage, silence: Silence, offered: Capabilities) -> None:
    if offered is PIPELINING and script == {"MAIL": ""}:
        script = {"MAIL": "", "RCPT": "", "DATA": ""}
    if offered is PIPELINING and script == {"DATA": ""}:
        script = {"DATA": ""}
    ending = play(transaction(ENVELOPE, offered), scripted(**script))
    assert (ending.stage, ending.reply, ending.silence, ending.reusable) == (stage, None, silence, False)


@pytest.mark.parametrize(
    ("received", "ending"),
    [
        (ServerReply(552, ("too big",)), Ending(Stage.DATA, Reply(552, "", "too big"))),
        (ServerReply(421, ("bye",)), Ending(Stage.DATA, Reply(421, "", "bye"))),
        (ServerReply(250, ("early",)), Ending(Stage.DATA, silence=Silence.GARBLED)),
        (Silence.TIMEOUT, Ending(Stage.DATA, silence=Silence.TIMEOUT)),
    ],
)
def test_interrupted_before_the_dot_is_never_in_doubt(received: ServerReply | Silence, ending: Ending) -> None:
    dialogue = transaction(ENVELOPE, PLAIN)
    next(dialogue)
    for code in (250, 250, 354):
        turn = dialogue.send(ServerReply(code, ("",)))
    assert turn == Turn(Stage.DOT, content=CONTENT)
    with pytest.raises(StopIteration) as stop:
        dialogue.send(Interrupted(received))
    assert stop.value.value == ending


@pytest.mark.parametrize(
    ("script", "reset", "stale"),
    [
        ({"MAIL": "", "RCPT": "", "DATA": ""}, False, True),
        ({"MAIL": "421 idle too long"}, False, True),
        ({"MAIL": "450 later", "DATA": "503 no"}, False, False),
        ({"RSET": "421 idle too long"}, True, True),
        ({"RSET": "502 what"}, True, True),
        ({"MAIL": "", "RCPT": "", "DATA": ""}, True, False),
        ({"RCPT": "", "DATA": ""}, False, False),
    ],
)
def test_stale_means_that_mail_had_no_answer(script: dict[str, str], reset: bool, stale: bool) -> None:
    assert play(transaction(ENVELOPE, PIPELINING, reset=reset), scripted(**script)).stale is stale


# --- what is asked for ---


def commands(envelope: Envelope, *offered: str) -> list[str]:
    server = scripted()
    play(transaction(envelope, Capabilities(frozenset(offered))), server)
    return [octets.decode() for octets in server.sent[:2]]


def test_parameters_only_where_offered() -> None:
    envelope = Envelope(
        envelope_sender="a@a.example", recipient="j+x@b.example", content=CONTENT, envid="a b=1", orcpt="old@b.example"
    )
    assert commands(envelope) == ["MAIL FROM:<a@a.example>\r\n", "RCPT TO:<j+x@b.example>\r\n"]
    assert commands(envelope, "SIZE", "DSN", "8BITMIME", "SMTPUTF8") == [
        f"MAIL FROM:<a@a.example> SIZE={len(CONTENT)} RET=HDRS ENVID=a+20b+3D1\r\n",
        "RCPT TO:<j+x@b.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;old@b.example\r\n",
    ]


def test_the_null_sender_wants_no_reports() -> None:
    envelope = Envelope(envelope_sender=None, recipient="j+x@b.example", content=CONTENT)
    assert commands(envelope, "DSN") == [
        "MAIL FROM:<> RET=HDRS\r\n",
        "RCPT TO:<j+x@b.example> NOTIFY=NEVER ORCPT=rfc822;j+2Bx@b.example\r\n",
    ]


def test_smtputf8() -> None:
    envelope = Envelope(envelope_sender="a@a.example", recipient="josé=@b.example", content=CONTENT, smtputf8=True)
    assert commands(envelope, "SMTPUTF8", "8BITMIME", "DSN") == [
        "MAIL FROM:<a@a.example> BODY=8BITMIME SMTPUTF8 RET=HDRS\r\n",
        "RCPT TO:<josé=@b.example> NOTIFY=FAILURE,DELAY ORCPT=utf-8;jos\\x{E9}\\x{3D}@b.example\r\n",
    ]
    server = scripted()
    ending = play(transaction(envelope, PIPELINING), server)
    assert ending == Ending(Stage.EHLO, silence=Silence.SMTPUTF8_NOT_OFFERED, reusable=True)
    assert not server.sent


@pytest.mark.parametrize(("size", "fits"), [(len(CONTENT), True), (len(CONTENT) - 1, False), (0, True)])
def test_a_message_larger_than_the_server_takes_is_not_tried(size: int, fits: bool) -> None:
    server = scripted()
    ending = play(transaction(ENVELOPE, Capabilities(frozenset({"SIZE"}), size)), server)
    assert bool(server.sent) is fits
    assert ending == (
        Ending(Stage.DOT, Reply(250, "", "taken"), reusable=True)
        if fits
        else Ending(Stage.MAIL_FROM, silence=Silence.SIZE_EXCEEDED, reusable=True)
    )


@pytest.mark.parametrize("address", ["a@b.example>\r\nRCPT TO:<x@y.example", "a\0@b.example", "josé@b.example"])
def test_an_address_that_was_never_validated_does_not_reach_the_wire(address: str) -> None:
    for envelope in (
        Envelope(envelope_sender="a@a.example", recipient=address, content=CONTENT),
        Envelope(envelope_sender=address, recipient="a@a.example", content=CONTENT),
    ):
        with pytest.raises(ValueError, match="never validated"):
            next(transaction(envelope, PIPELINING))


@given(st.text(max_size=40))
def test_xtext_is_printable_and_reversible(text: str) -> None:
    encoded = xtext(text)
    assert all("!" <= char <= "~" and char != "=" for char in encoded)
    head, *rest = encoded.split("+")
    octets = head.encode() + b"".join(bytes([int(part[:2], 16)]) + part[2:].encode() for part in rest)
    assert octets.decode() == text


# --- the opening ---


@pytest.mark.parametrize(
    ("banner", "replies", "outcome"),
    [
        ("220 hi", {}, Capabilities()),
        ("220 hi", {"EHLO": "250-hi\r\n250-SIZE 99\r\n250-pipelining\r\n250 AUTH PLAIN"},
         Capabilities(frozenset({"SIZE", "PIPELINING", "AUTH"}), 99)),
        ("220 hi", {"EHLO": "250-hi\r\n250-SIZE x\r\n250-\r\n250 SIZE"}, Capabilities(frozenset({"SIZE"}), 0)),
        ("220 hi", {"EHLO": "502 what"}, Capabilities()),
        ("220 hi", {"EHLO": "502 what", "HELO": "550 no"}, Ending(Stage.EHLO, Reply(550, "", "no"))),
        ("220 hi", {"EHLO": "550 5.7.1 not you"}, Ending(Stage.EHLO, Reply(550, "5.7.1", "not you"))),
        ("220 hi", {"EHLO": "220 what"}, Ending(Stage.EHLO, silence=Silence.GARBLED)),
        ("220 hi", {"EHLO": ""}, Ending(Stage.EHLO, silence=Silence.CLOSED)),
        ("554 5.7.1 blocked", {}, Ending(Stage.BANNER, Reply(554, "5.7.1", "blocked"))),
        ("421 busy", {}, Ending(Stage.BANNER, Reply(421, "", "busy"))),
        ("250 what", {}, Ending(Stage.BANNER, silence=Silence.GARBLED)),
        ("SSH-2.0-OpenSSH", {}, Ending(Stage.BANNER, silence=Silence.GARBLED)),
    ],
)  # fmt: skip
def test_opening(banner: str, replies: dict[str, str], outcome: Capabilities | Ending) -> None:
    server = scripted(**replies)
    server.reader.receive(banner.encode() + b"\r\n")
    assert play(opening("c.example"), server) == outcome


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("220 go", True),
        ("454 4.7.0 not now", False),
        ("421 bye", Ending(Stage.TLS, Reply(421, "", "bye"))),
        ("", Ending(Stage.TLS, silence=Silence.CLOSED)),
    ],
)
def test_asking_for_tls(reply: str, outcome: bool | Ending) -> None:
    assert play(asking_for_tls(), scripted(STAR=reply)) == outcome


def test_the_log_is_bounded_and_holds_no_message() -> None:
    log = Log()
    for _ in range(1000):
        log.received(ServerReply(250, ("x" * 5000,)))
    log.sent(b"MAIL FROM:<>\r\nDATA\r\n")
    assert len(log.lines) == 4, "16 KiB, and the reply that passed them"
    assert max(map(len, log.lines)) == 500
    chatty = Log()
    for _ in range(1000):
        chatty.received(ServerReply(250, ("ok",)))
    assert len(chatty.lines) == 64


def test_the_log_in_words() -> None:
    log = Log(3)
    log.note("connected to mx [192.0.2.1]:25")
    log.sent(b"MAIL FROM:<a@a.example>\r\nDATA\r\n")
    log.received(ServerReply(250, ("2.1.0 ok", "and more")))
    log.sent_message(1234)
    log.received(Interrupted(ServerReply(552, ("5.3.4 too big",))))
    log.received(Silence.TIMEOUT)
    assert log.lines == (
        "= message 3 on this connection",
        "= connected to mx [192.0.2.1]:25",
        "> MAIL FROM:<a@a.example>",
        "> DATA",
        "< 250 2.1.0 ok / and more",
        "> (a message of 1234 octets)",
        "= before the message had left:",
        "< 552 5.3.4 too big",
        "= timeout",
    )
    assert log.text == "\n".join(log.lines)


def test_hostile_words_in_a_log_are_words_and_few() -> None:
    log = Log()
    log.note("\x1b[2J\u202e gnp.exe\r\n> forged")
    assert log.lines == ("= gnp.exe > forged",)
    for _ in range(60):
        log.sent(b"x" * 400)
    log.received(ServerReply(550, ("5.1.1 the end",)))
    assert len(log.text) <= DIALOGUE_CHARACTERS
    assert "…" in log.text
    assert log.text.startswith("= gnp.exe")


@pytest.mark.parametrize(
    ("stage", "reply", "clean"),
    [
        (Stage.DOT, Reply(250, "2.0.0", "ok"), True),
        (Stage.DOT, Reply(251, "", "will forward"), False),
        (Stage.DOT, Reply(550, "5.7.1", "no"), False),
        (Stage.DOT, None, False),
        (Stage.RCPT_TO, Reply(250, "2.1.5", "ok"), False),
    ],
)
def test_only_a_plain_250_to_the_dot_is_clean(stage: Stage, reply: Reply | None, clean: bool) -> None:
    assert Transcript(stage=stage, reply=reply, silence=None, host="mx", ip="", tls="").clean is clean
