"""Strangers' bytes: whatever they are, something sensible comes out, within bounds."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homing.mail import mime
from homing.mail.mime import decode_words, read_content_type, read_headers, read_mail, strip_html
from tests.data import HOSTILE_INPUTS

REPORT = b"""From: =?utf-8?q?M=C3=A4iler?= <daemon@mx.example>
Subject: =?iso-8859-1?Q?Zur=FCck?= =?iso-8859-1?Q?geschickt?=
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="=_x"

ignored preamble
--=_x
Content-Type: text/plain; charset=windows-1252
Content-Transfer-Encoding: quoted-printable

Not delivered=85 sorry
--=_x
Content-Type: message/delivery-status
Content-Transfer-Encoding: base64

RmluYWwtUmVjaXBpZW50OiByZmM4MjI7IGpvZUBjb3JwLmV4YW1wbGUK
--=_x
Content-Type: message/rfc822

Message-ID: <m1@post.example>
Homing-Trace: abc

secret body
--=_x--
epilogue
"""


def test_a_report_is_taken_apart() -> None:
    mail = read_mail(REPORT)
    assert mail.headers.first("from") == "Mäiler <daemon@mx.example>"
    assert mail.headers.first("SUBJECT") == "Zurückgeschickt"
    assert mail.params["report-type"] == "delivery-status"
    assert [part.content_type for part in mail.parts] == ["text/plain", "message/delivery-status", "message/rfc822"]
    assert mail.prose == "Not delivered… sorry"
    assert mail.parts[1].text.strip() == "Final-Recipient: rfc822; joe@corp.example"
    assert mail.returned is not None
    assert mail.returned.first("Homing-Trace") == "abc"


@pytest.mark.parametrize("newline", [b"\r\n", b"\r"])
def test_every_newline_reads_the_same(newline: bytes) -> None:
    assert read_mail(REPORT.replace(b"\n", newline)) == read_mail(REPORT)


@pytest.mark.parametrize(
    ("raw", "prose"),
    [
        (b"\n\nno headers at all", "no headers at all"),
        (b"From: a@b.example\nSubject: x\nthis line is no field\nmore", "this line is no field\nmore"),
        (b"From a@b.example Mon Jan  1 00:00:00 2024\nSubject: x\n\nbody", "body"),
        (b"Content-Transfer-Encoding: base64\n\naGVs!bG8=\n", "hello"),
        (b"Content-Transfer-Encoding: base64\n\naGVsbG8\n", "hello"),
        (b"Content-Transfer-Encoding: quoted-printable\n\n=ZZ=41=\nB", "=ZZAB"),
        (b"Content-Transfer-Encoding: x-weird\n\nplain", "plain"),
        (b"Content-Type: text/plain; charset=x-made-up\n\n\xe4", "ä"),
        (b"Content-Type: text/plain; charset=rot13\n\nabc", "abc"),
        (b"Content-Type: text/plain; charset=utf-7\n\n+ADw-script+AD4-", "+ADw-script+AD4-"),
        (b'Content-Type: text/plain; charset=iso-2022-jp\n\n\x1b$B$"\x1b(B', "あ"),
        (b"Content-Type: multipart/mixed\n\n--x\n\nguessed\n--x--", "guessed"),
        (b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nnot closed", "not closed"),
        (b"Content-Type: multipart/mixed; boundary=a\n\n--ab\n\nx\n--a\n\ny\n--ab\n--a--", "y\n--ab"),
        (b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nTo: a body\n\nline\n--b--", "To: a body\n\nline"),
        (b"Content-Type: multipart/mixed; boundary=nowhere\n\nflat", "flat"),
        (b'Content-Type: multipart/mixed; boundary*0="a"; boundary*1=b\n\n--ab\n\ninside\n--ab--', "inside"),
        (b"Content-Type: text/html\n\n<style>p{}</style><p>Caf&eacute;<br>bar <!-- no -->x</p>", "Café\nbar x"),
        (b"Subject: x\n\na\x00b\x1b[31mc\xe2\x80\xaed", "a b [31mc d"),
    ],
)
def test_lenient(raw: bytes, prose: str) -> None:
    assert read_mail(raw).prose.strip() == prose


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"   \t \r\n", b"\n \n\n", b"\xef\xbb\xbf\n"])
def test_a_header_begins_behind_what_is_no_field(before: bytes) -> None:
    assert read_mail(before + REPORT) == read_mail(REPORT)


WRAPPED = b"""From: daemon@gateway.example
Content-Type: multipart/mixed; boundary=w

--w

See below.
--w
Content-Type: message/rfc822

%b
--w--
"""


def test_a_report_in_an_attached_message_is_read() -> None:
    mail = read_mail(WRAPPED % REPORT)
    assert mail.prose.strip() == "See below."
    assert mail.enclosed is not None
    assert mail.enclosed.parts == read_mail(REPORT).parts
    assert read_mail(REPORT).enclosed is None
    assert mail.enclosed.enclosed is None


def test_the_copy_of_an_original_is_not_prose() -> None:
    raw = (
        b"Subject: failure notice\n\nSorry.\n\n--- Below this line is a copy of the message.\n\n"
        b"Return-Path: <a@post.example>\nMessage-ID: <m2@post.example>\n\n550 no such user\n"
    )
    mail = read_mail(raw)
    assert mail.prose.strip() == "Sorry."
    assert mail.returned is not None
    assert mail.returned.first("Message-ID") == "<m2@post.example>"


def test_a_separator_without_an_original_is_prose() -> None:
    assert "no copy here" in read_mail(b"Subject: x\n\nOriginal message:\nno copy here").prose


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("=?utf-8?b?w6Q=?= and =?utf-8?q?=C3=A4?=", "ä and ä"),
        ("=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),
        ("=?utf-8*de?q?a_b?=", "a b"),
        ("=?utf-8?x?q?=", "=?utf-8?x?q?="),
        ("=?no-such?q?=e4?=", "ä"),
        ("=?", "=?"),
    ],
)
def test_encoded_words(value: str, text: str) -> None:
    assert decode_words(value) == text


def test_an_encoded_line_break_forges_no_field() -> None:
    headers = read_headers("Subject: =?utf-8?q?hi=0D=0ABcc:_evil=40e.example?=\nFrom: a@a.example\n")
    assert headers.first("Subject") == "hi Bcc: evil@e.example"
    assert "Bcc" not in headers


@pytest.mark.parametrize(
    ("value", "media_type", "params"),
    [
        ("", "text/plain", {}),
        ("nonsense", "text/plain", {}),
        ("Text/HTML ; Charset = utf-8", "text/html", {"charset": "utf-8"}),
        ('a/b; x="1;2\\"3"; y=4', "a/b", {"x": '1;2"3', "y": "4"}),
        ('a/b; x="never closed; y=4', "a/b", {"x": "never closed; y=4"}),
        ("a/b; x=1; x=2", "a/b", {"x": "1"}),
        ("a/b; n*=utf-8''a%20b", "a/b", {"n": "a b"}),
    ],
)
def test_content_type(value: str, media_type: str, params: dict[str, str]) -> None:
    assert read_content_type(value) == (media_type, params)


def test_limits_cut_and_do_not_fail() -> None:
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(200))
    assert len(read_mail(nested).parts) == 1
    flood = read_mail(b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 5000)
    assert len(flood.parts) == mime.PARTS
    wide = read_mail(b"".join(b"X-%d: y\n" % n for n in range(5000)) + b"\nbody")
    assert len(wide.headers.fields) == mime.FIELDS
    assert wide.prose == "body"
    assert len(read_mail(b"Subject: " + b"s" * 100_000 + b"\n\nbody").headers.first("Subject")) <= mime.FIELD_BYTES
    assert read_mail(b"\n" + b"x" * (mime.MESSAGE_BYTES + 1)).truncated


@pytest.mark.parametrize("path", sorted((HOSTILE_INPUTS / "mime").glob("*.eml")), ids=lambda path: path.stem)
def test_hostile_corpus(path) -> None:  # type: ignore[no-untyped-def]
    began = time.process_time()
    mail = read_mail(path.read_bytes())
    assert time.process_time() - began < 1
    assert not any(character in value for _, value in mail.headers.fields for character in "\x00\r\n\x1b")


_ADVERSARIES = [
    b"Content-Type: text/plain; " + b'x="' * 3000,
    b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\nContent-Type: a/b" + b';x="a' * 2000 + b"\n\n",
    b"Content-Type: text/html\n\n" + b"<style>" * 140_000,
    b"Content-Type: text/html\n\n" + b"<style></style>" * 70_000,
    b"Content-Type: text/html\n\n" + b"<" * 1_000_000,
    b"Content-Type: text/html\n\n&#" + b"9" * 900_000 + b";",
    b"Subject: " + b"=?utf-8?q?" * 6000 + b"\n\n",
    b"Subject: x\n\n" + b"original message\n" * 60_000,
    b"Subject: x\n\n" + b"-" * 1_000_000,
    b"A: b\n c" * 150_000,
]


@pytest.mark.parametrize("raw", _ADVERSARIES, ids=range(len(_ADVERSARIES)))
def test_time_is_linear(raw: bytes) -> None:
    began = time.process_time()
    read_mail(raw)
    assert time.process_time() - began < 1


_LINES = st.lists(
    st.sampled_from(
        [
            b"Content-Type: multipart/mixed; boundary=b",
            b"Content-Type: message/rfc822",
            b"Content-Type: text/html; charset=utf-16",
            b"Content-Type: text/plain; charset=iso-2022-kr",
            b"Content-Transfer-Encoding: base64",
            b"Content-Transfer-Encoding: quoted-printable",
            b"Subject: =?utf-8?b?=?= =?big5?q?=ff=?=",
            b"--b",
            b"--b--",
            b"",
            b" ",
            b"=",
            b"Original message:",
            b"=FF=D8=00",
            b"\xff\xfe\xd8\x00",
            b"<!-- <style &#x110000; &#55555555555;",
        ]
    )
    | st.binary(max_size=20),
    max_size=40,
)


@given(st.binary(max_size=2000) | _LINES.map(b"\n".join) | _LINES.map(b"\r".join))
@example(b"")
@example(b"\x00")
def test_never_raises_and_never_shows_control_characters(raw: bytes) -> None:
    mail = read_mail(raw)
    values = [value for _, value in mail.headers.fields]
    assert all(ord(character) >= 32 for value in values for character in value)
    text = mail.prose + "".join(part.text for part in mail.parts)
    assert all(ord(character) >= 32 or character in "\n\t" for character in text)
    text.encode()


@given(st.text(max_size=500))
def test_html_never_raises(text: str) -> None:
    strip_html(text)
