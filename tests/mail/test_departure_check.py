"""Nothing leaves that is not as we mean it to be: whatever went wrong before, the last gate sees it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from homing.mail.address import parse_address
from homing.mail.compose import ComposeError, Draft, Mailbox, compose, front
from homing.mail.departure_check import check_departure
from homing.mail.dkim import SigningKey, sign
from homing.mail.header import LINE_OCTETS

KEY = SigningKey("post.acme.com", "h1", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = SigningKey("other.com", "h1", KEY.private_key)
DRAFT = Draft(
    subject="Your call",
    to=(Mailbox("Jürgen", parse_address("john@corp.com")),),
    date=datetime(2026, 11, 24, 6, 0, tzinfo=UTC),
    message_id="abc@post.acme.com",
    text="Hello,\n\nthank you.\n",
    html="<p>Hello</p>",
    headers=(("X-Ticket", "17"), ("X-Ticket", "18"), ("List-Unsubscribe", "<https://acme.com/u>")),
)
FRONT = front(parse_address("service@post.acme.com"), "Janet Roe", parse_address("janet@example.net"), "trace")
RAW = FRONT + compose(DRAFT)


def signed(raw: bytes, *keys: SigningKey) -> bytes:
    return b"".join(sign(raw, key, 1_800_000_000, 1_900_000_000) for key in keys or (KEY,)) + raw


def passes(whole: bytes) -> bool:
    try:
        check_departure(whole, "post.acme.com", "post.acme.com")
    except ComposeError as error:
        assert error.code == "final-gate"
        return False
    return True


GOOD = signed(RAW)


CUSTOM = SigningKey("bloggs.com", "acme1", KEY.private_key)
CUSTOM_RAW = front(parse_address("joe@bloggs.com"), "Joe", None, "trace") + compose(DRAFT)


def passes_from_bloggs(whole: bytes) -> bool:
    try:
        check_departure(whole, "bloggs.com", "post.acme.com")
    except ComposeError:
        return False
    return True


def test_the_operator_may_sign_beside_the_domain_of_from_but_never_in_its_place() -> None:
    assert passes_from_bloggs(signed(CUSTOM_RAW, CUSTOM))
    assert passes_from_bloggs(signed(CUSTOM_RAW, CUSTOM, KEY))
    assert not passes_from_bloggs(signed(CUSTOM_RAW, KEY))
    assert not passes_from_bloggs(signed(CUSTOM_RAW, KEY, CUSTOM))
    assert not passes_from_bloggs(signed(CUSTOM_RAW, CUSTOM, OTHER))
    second = sign(CUSTOM_RAW, KEY, 1_800_000_000, 1_900_000_000)
    for careless in (second.replace(b"; s=h1;", b"; s=h1; l=10;"), second.replace(b"h=from:from:", b"h=from:")):
        assert careless != second
        first = sign(CUSTOM_RAW, CUSTOM, 1_800_000_000, 1_900_000_000)
        assert not passes_from_bloggs(first + careless + CUSTOM_RAW)


def test_what_we_compose_and_sign_passes() -> None:
    assert passes(GOOD)
    assert passes(signed(RAW, KEY, KEY))
    assert passes(signed(RAW.replace(b"john@corp.com", "jürgen@corp.com".encode())))
    bare = Draft(subject="", to=(), date=DRAFT.date, message_id=DRAFT.message_id)
    assert passes(signed(front(parse_address("a@post.acme.com"), "", None, "t") + compose(bare)))


RESIGNED: dict[str, Callable[[bytes], bytes]] = {
    # made before it was signed, so that only the gate stands between it and the world
    "second From": lambda raw: b"From: boss@bank.com\r\n" + raw,
    "second from, lower case": lambda raw: b"from: boss@bank.com\r\n" + raw,
    "second Reply-To": lambda raw: b"Reply-To: thief@evil.org\r\n" + raw,
    "second Subject": lambda raw: b"Subject: other\r\n" + raw,
    "second Content-Type": lambda raw: b"Content-Type: text/html\r\n" + raw,
    "second Message-ID": lambda raw: b"Message-ID: <x@post.acme.com>\r\n" + raw,
    "second List-Unsubscribe": lambda raw: b"List-Unsubscribe: <https://evil.org/>\r\n" + raw,
    "no From": lambda raw: raw.replace(b"From:", b"X-From:", 1),
    "no Date": lambda raw: raw.replace(b"\r\nDate:", b"\r\nX-Date:"),
    "no Message-ID": lambda raw: raw.replace(b"\r\nMessage-ID:", b"\r\nX-Message-ID:"),
    "Bcc": lambda raw: b"Bcc: secret@corp.com\r\n" + raw,
    "Return-Path": lambda raw: b"Return-Path: <>\r\n" + raw,
    "foreign Message-ID": lambda raw: raw.replace(b"<abc@post.acme.com>", b"<abc@evil.org>"),
    "longer Message-ID": lambda raw: raw.replace(b"<abc@post.acme.com>", b"<abc@post.acme.com.evil.org>"),
    "two Message-IDs in one": lambda raw: raw.replace(b"<abc@post", b"<x@evil.org> <abc@post"),
    "odd Date": lambda raw: raw.replace(b"Date: Tue", b"Date: Tuesday"),
    "Date with more": lambda raw: raw.replace(b"06:00:00 +0000", b"06:00:00 +0000 (UTC)"),
    "bare LF": lambda raw: raw.replace(b"thank", b"th\nank"),
    "bare CR": lambda raw: raw.replace(b"thank", b"th\rank"),
    "as many CR as LF": lambda raw: raw.replace(b"thank", b"th\rank").replace(b"you", b"y\nou"),
    "NUL": lambda raw: raw.replace(b"thank", b"th\0ank"),
    "8-bit body": lambda raw: raw.replace(b"thank", "thänk".encode()),
    "long line": lambda raw: raw.replace(b"thank", b"t" * 999),
    "no end": lambda raw: raw.removesuffix(b"\r\n"),
    "a line that is no header": lambda raw: raw.replace(b"\r\nSubject:", b"\r\nnonsense\r\nSubject:"),
    "a name with a space": lambda raw: raw.replace(b"\r\nSubject:", b"\r\nX Y: z\r\nSubject:"),
    "a name with a space before the colon": lambda raw: raw.replace(b"\r\nTo:", b"\r\nTo :"),
    "an empty name": lambda raw: raw.replace(b"\r\nSubject:", b"\r\n: z\r\nSubject:"),
}


@pytest.mark.parametrize("name", RESIGNED)
def test_what_is_wrong_is_stopped_however_well_it_is_signed(name: str) -> None:
    raw = RESIGNED[name](RAW)
    assert raw != RAW
    assert not passes(signed(raw))


ONE_SIGNATURE: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda whole: RAW,
    "not on top": lambda whole: b"X-First: 1\r\n" + whole,
    "a second one below": lambda whole: whole.replace(
        b"\r\nSubject:", b"\r\nDKIM-Signature: v=1; d=post.acme.com\r\nSubject:"
    ),
    "of another domain": lambda whole: signed(RAW, OTHER),
    "one of another domain": lambda whole: signed(RAW, KEY, OTHER),
    "From once": lambda whole: whole.replace(b"h=from:from:", b"h=from:"),
    "Subject not at all": lambda whole: whole.replace(b":subject:subject", b""),
    "Content-Type once": lambda whole: re.sub(rb"content-type:content-type", b"content-type", whole),
    "a body length": lambda whole: whole.replace(b"; s=h1;", b"; s=h1; l=10;"),
    "a body length, folded": lambda whole: whole.replace(b"; s=h1;", b"; s=h1;\r\n\tl = 10;"),
    "a tag twice": lambda whole: whole.replace(b"; s=h1;", b"; s=h1; h=from;"),
    "a header added": lambda whole: whole.replace(b"\r\nSubject:", b"\r\nCc: all@corp.com\r\nSubject:"),
}


@pytest.mark.parametrize("name", ONE_SIGNATURE)
def test_the_signature_must_be_ours_and_cover_all(name: str) -> None:
    changed = ONE_SIGNATURE[name](GOOD)
    assert changed != GOOD
    assert not passes(changed)


@given(st.lists(st.integers(0, 1100), max_size=12))
def test_a_line_is_too_long_wherever_it_stands(lengths: list[int]) -> None:
    body = b"".join(b"x" * length + b"\r\n" for length in lengths)
    assert passes(signed(RAW + body)) is (max(lengths, default=0) <= LINE_OCTETS)
