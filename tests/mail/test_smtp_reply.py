import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.mail.reply import Reply
from homing.mail.smtp_reply import LINE_OCTETS, REPLY_OCTETS, Garbled, ReplyReader, ServerReply


def first(data: bytes) -> ServerReply | Garbled | None:
    reader = ReplyReader()
    reader.receive(data)
    return reader.next()


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"250 2.1.0 ok\r\n", Reply(250, "2.1.0", "ok")),
        (b"250 ok\n", Reply(250, "", "ok")),
        (b"250\r\n", Reply(250, "", "")),
        (b"250-\r\n250 \r\n", Reply(250, "", "")),
        (b"550-5.1.1 no such\r\n550 5.1.1 user\r\n", Reply(550, "5.1.1", "no such\nuser")),
        (b"299 odd but a reply\r\n", Reply(299, "", "odd but a reply")),
        (b"550 a\x1b[2Jb\x00c\x07\r\n", Reply(550, "", "ab c")),
        ("550 caf\u00e9 \u202egnp\r\n".encode(), Reply(550, "", "caf\u00e9 gnp")),
        (b"550 \xff\xfe\r\n", Reply(550, "", "\ufffd\ufffd")),
    ],
)
def test_replies(data: bytes, reply: Reply) -> None:
    received = first(data)
    assert isinstance(received, ServerReply)
    assert received.reply == reply


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n",
        b"\r\n",
        b"25 ok\r\n",
        b"2500 ok\r\n",
        b"150 ok\r\n",
        b"650 ok\r\n",
        b"250_ok\r\n",
        b"250-ok\r\n550 no\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"250 " + b"x" * LINE_OCTETS,
        b"x" * LINE_OCTETS,
        b"250-more\r\n" * (REPLY_OCTETS // 10 + 1),
    ],
)
def test_garbled_for_ever(data: bytes) -> None:
    reader = ReplyReader()
    reader.receive(data)
    assert reader.next() == Garbled()
    reader.receive(b"250 ok\r\n")
    assert reader.next() == Garbled()
    assert not reader.untouched


def test_the_longest_line_and_reply() -> None:
    line = b"250 " + b"x" * (LINE_OCTETS - 6) + b"\r\n"
    assert isinstance(first(line), ServerReply)
    lines = b"250-" + b"x" * 506 + b"\r\n"
    assert isinstance(first(lines * 127 + b"250 " + b"x" * 506 + b"\r\n"), ServerReply)


def test_an_endless_reply_in_small_pieces_is_given_up() -> None:
    reader = ReplyReader()
    for _ in range(REPLY_OCTETS // 8 + 1):
        reader.receive(b"250-xx\r\n")
        answer = reader.next()
    assert answer == Garbled()


def test_no_more_than_one_reply_is_kept_unread() -> None:
    reader = ReplyReader()
    for _ in range(REPLY_OCTETS // 8):
        reader.receive(b"250 ok\r\n")
    assert not reader.garbled
    reader.receive(b"2")
    assert reader.garbled
    assert not reader._buffer


def test_text_is_kept_to_a_kibibyte() -> None:
    received = first(b"".join(b"550-" + b"y" * 400 + b"\r\n" for _ in range(9)) + b"550 end\r\n")
    assert isinstance(received, ServerReply)
    assert len(received.reply.text) == 1024
    assert len(received.lines) == 10


@given(st.binary(max_size=300), st.integers(1, 40))
def test_any_octets_in_any_pieces_never_raise(data: bytes, step: int) -> None:
    whole, pieces = ReplyReader(), ReplyReader()
    whole.receive(data)
    for start in range(0, len(data), step):
        pieces.receive(data[start : start + step])
    for _ in range(5):
        received = whole.next()
        assert pieces.next() == received
        if isinstance(received, ServerReply):
            assert received.reply.text.replace("\n", "").isprintable()
