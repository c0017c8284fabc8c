"""Nobody reads a whole token, or a link that proves an address, in what is shown of a mail, however it is encoded."""

import os
import quopri
import re
import time
from base64 import b64decode, b64encode, encodebytes
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.loop.masking import BEYOND, masked, masked_mail, shown_mail

TOKEN = "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnop"
LONG = TOKEN + "qrstuvwxyz234567"
PROOF = "Zm9vYmFy-UmVhbGx5_c2VjcmV0IGJ5dGVzIGhlcmUhIQ"
LINK = f"https://mail.example.com/prove/{PROOF}"
TEXT = f"Write to b+{TOKEN}@b.post.example.com or press {LINK} or https://x.example/correct/{LONG}.\nGoodbye.\n"


def as_base64(text: str, charset: str = "utf-8") -> bytes:
    return encodebytes(text.encode(charset))


def readable(data: bytes, depth: int = 2) -> str:
    """All that any reader of mail makes of some octets, without its guesses at what is a part."""
    decoded = [data, quopri.decodestring(data), data.replace(b"\0", b"")]
    shown = "\n".join(one.decode("latin-1") for one in decoded)
    digits = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
    for place in range(4 if depth else 0):
        some = digits[place:]
        shown += readable(b64decode(some + b"A" * (-len(some) % 4)), depth - 1)
    return shown


def gone(data: bytes) -> None:
    shown = readable(data)
    for secret in (TOKEN, LONG, PROOF, TOKEN.upper(), PROOF.upper()):
        assert secret not in shown


@pytest.mark.parametrize(
    "raw",
    [
        TEXT.encode(),
        TEXT.upper().encode().replace(b"/PROVE/", b"/prove/"),
        quopri.encodestring(TEXT.encode(), quotetabs=True),
        quopri.encodestring(TEXT.encode()).replace(b"\n", b"\r\n"),
        "".join(f"={ord(char):02x}" for char in TEXT).encode(),
        f"?id=3D{TOKEN}=20and {TOKEN[:20]}=\r\n{TOKEN[20:30]}= \t\r\n{TOKEN[30:]}".encode(),
        as_base64(TEXT),
        as_base64(TEXT).replace(b"\n", b"\r\n"),
        b"abc " + as_base64(TEXT),
        b"ab " + as_base64(TEXT),
        b"a: " + as_base64(TEXT),
        as_base64(TEXT).replace(b"\n", b"\n> "),
        as_base64(TEXT, "utf-16"),
        as_base64(f".{TOKEN}") + b"--xxxx0000--\n",
        as_base64(f"..{TOKEN}") + b"--xxxx0000--\n",
        as_base64(f"...{TOKEN}"),
        as_base64(quopri.encodestring(TEXT.encode(), quotetabs=True).decode()),
        as_base64("Content-Transfer-Encoding: base64\n\n" + as_base64(TEXT).decode()),
    ],
    ids=range(18),
)
def test_no_whole_token_is_left(raw: bytes) -> None:
    masked_raw = masked_mail(raw)
    assert len(masked_raw) == len(raw)
    gone(masked_raw)
    assert TOKEN[:12] in readable(masked_raw).lower(), "its beginning stays"


@pytest.mark.parametrize("encoding", ["quoted-printable", "base64", "8bit"])
@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "latin-1"])
def test_a_whole_mail_reads_as_before_but_for_its_tokens(encoding: str, charset: str) -> None:
    if (encoding, charset) == ("8bit", "utf-16"):
        return
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = "failure notice"
    mail.set_content(TEXT + "ü" * 100, charset=charset, cte=encoding)
    mail.add_alternative(f"<a href='{LINK}?x=y'>{TOKEN}</a>", subtype="html", cte="base64")
    raw = mail.as_bytes()
    before, after = message_from_bytes(raw, policy=SMTP), message_from_bytes(masked_mail(raw), policy=SMTP)
    assert after["Subject"] == "failure notice"
    for old, new in zip(before.walk(), after.walk(), strict=True):
        assert (old.get_content_type(), old.get_content_charset()) == (
            new.get_content_type(),
            new.get_content_charset(),
        )
        if not old.is_multipart():
            wanted = content(old)
            for secret in (LONG, TOKEN, PROOF):
                wanted = wanted.replace(secret, secret[:12] + "~" * (len(secret) - 12))
            assert content(new) == wanted != content(old)


def content(part: Any) -> str:
    return str(part.get_content())


@pytest.mark.parametrize(
    "words",
    [
        f"=?utf-8?B?{b64encode(TOKEN.encode()).decode()}?=",
        f"=?utf-8?q?{TOKEN}?=",
        f"=?utf-8?Q?{TOKEN[:20]}?=\r\n =?UTF-8?q?={ord(TOKEN[20]):02X}{TOKEN[21:]}?=",
        f"=?us-ascii?b?{b64encode(TOKEN[:20].encode()).decode()}?= =?utf-8?Q?{TOKEN[20:]}?=",
        f"=?utf-8?b?{b64encode(TOKEN[:20].encode()).decode()}?=\r\n\t=?utf-8?b?{b64encode(TOKEN[20:].encode()).decode()}?=",
    ],
    ids=range(5),
)
def test_encoded_words_that_say_a_token_go(words: str) -> None:
    raw = f"Subject: x {words} y\r\nFrom: =?utf-8?q?J=C3=BCrgen?= <j@example.com>\r\n".encode()
    shown = masked_mail(raw)
    assert b"~" * len(words) in shown or TOKEN[:12].encode() + b"~" * 36 in shown
    assert b"=?utf-8?q?J=C3=BCrgen?= <j@example.com>" in shown
    assert len(shown) == len(raw)
    assert TOKEN not in str(message_from_bytes(shown, policy=SMTP)["Subject"])


def test_what_holds_no_token_stays_to_the_octet() -> None:
    for raw in (
        b"From: a@b.example\r\n\r\nYour mail =E2=80=94 gone=\r\n.\r\n",
        as_base64("Nothing of ours. " * 50),
        os.urandom(4000),
        f"{TOKEN[:47]} {TOKEN}{LONG} {'a1' * 40}".encode(),  # too short, too long, with digits that no token has
        b"",
    ):
        assert masked_mail(raw) == raw


@given(st.binary(max_size=300), st.integers(0, 3), st.sampled_from([TOKEN, LONG, LINK]), st.booleans())
def test_wherever_a_token_stands_in_base64_it_goes(around: bytes, indent: int, secret: str, folded: bool) -> None:
    inner = around + b" " + secret.encode() + b" " + around
    encoded = encodebytes(inner) if folded else b64encode(inner)
    shown = masked_mail(b"x" * indent + encoded)
    assert len(shown) == indent + len(encoded)
    assert secret.encode() not in b64decode(shown[indent:])


@given(st.binary(max_size=500))
def test_never_raises_and_keeps_the_length(raw: bytes) -> None:
    assert len(masked_mail(raw)) == len(raw)
    assert masked_mail(masked_mail(raw)) == masked_mail(raw)


def test_a_token_at_the_end_of_what_is_shown_is_cut_after_it_was_found() -> None:
    for cut in range(1, 49):
        raw = b"x" * (1000 - cut) + b" " + TOKEN.encode()
        assert TOKEN[:13] not in shown_mail(raw + b" " * BEYOND, 1000)
    encoded = as_base64("x" * 700 + " " + TOKEN)
    for octets in range(len(encoded) - 80, len(encoded)):
        gone(shown_mail(encoded, octets).encode() + as_base64(TOKEN[-1]) * 2)
        assert TOKEN[:16] not in readable(shown_mail(encoded, octets).encode())


def test_what_is_joined_by_cleaning_is_masked_too() -> None:
    assert TOKEN not in shown_mail(f"{TOKEN[:20]}\u200b{TOKEN[20:]}".encode(), 1000)
    assert shown_mail(f"b+{TOKEN}@x".encode(), 1000) == f"b+{TOKEN[:12]}{'~' * 36}@x"


def test_words_of_a_text_keep_the_beginning_of_a_token() -> None:
    assert masked(f"<b+{TOKEN}@b.example> {LINK} ok") == f"<b+{TOKEN[:12]}…@b.example> {LINK[:31]}{PROOF[:12]}… ok"


_HOSTILE = [
    b"=",
    b"=\n",
    b"=41",
    b"=?utf-8?q?a?= ",
    b"=?u?q?",
    b"=?utf-8?b?" + b"a" * 10_000,
    b"= ",
    b"=" + b"\t" * 100,
    b"\0a",
    b"/prove/",
    b"a",
    TOKEN.encode() + b" ",
    as_base64(f"{TOKEN} "),
    as_base64("\0a" * 100),
    as_base64(as_base64(TEXT).decode()),
]


@pytest.mark.parametrize("piece", _HOSTILE, ids=range(len(_HOSTILE)))
def test_time_is_linear(piece: bytes) -> None:
    raw = (piece * (64 * 1024 // len(piece) + 1))[: 64 * 1024]
    began = time.process_time()
    assert len(masked_mail(raw)) == len(raw)
    assert time.process_time() - began < 1
