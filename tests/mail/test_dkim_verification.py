"""What a stranger's signatures may cost: the body is read once, in pieces, and only where a header holds."""

import time
import tracemalloc
from collections.abc import Iterator

import pytest

from homing.mail.authentication import author_domain
from homing.mail.dkim import SigningKey, sign
from homing.mail.dkim_verification import Result, verify

NOW = 1_700_000_000
KEY = SigningKey.generate_ed25519("post.example.com", "k1")
HEAD = b"From: joe@post.example.com\r\nSubject: x\r\n\r\n"
PIECE = b"x\n" + b"\r\n" * 5_000 + b" \t" * 5_000


def zone(name: str) -> str | None:
    return KEY.dns_record() if name == KEY.dns_name else None


SIGNATURE = sign(HEAD + PIECE * 40, KEY, NOW, NOW + 3600)


class Rest:
    """A body that comes in pieces, and how many of them were read."""

    def __init__(self, number: int = 40) -> None:
        self.number = number
        self.read = 0

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(self.number):
            self.read += 1
            yield PIECE


def test_the_body_is_read_once_for_all_signatures() -> None:
    rest = Rest()
    found = verify(SIGNATURE * 8 + HEAD, zone, NOW, rest).signatures
    assert [each.result for each in found] == [Result.PASS] * 8
    assert rest.read == rest.number


def test_a_body_that_was_cut_fails() -> None:
    (found,) = verify(SIGNATURE + HEAD, zone, NOW, Rest(39)).signatures
    assert (found.result, found.reason) == (Result.FAIL, "the body was changed")


@pytest.mark.parametrize("forged", [b"Subject: y", b"Subject: x\r\nReply-To: you@else.example"])
def test_no_body_is_read_for_a_header_that_does_not_hold(forged: bytes) -> None:
    rest = Rest()
    found = verify(SIGNATURE * 8 + HEAD.replace(b"Subject: x", forged), zone, NOW, rest).signatures
    assert {each.result for each in found} == {Result.FAIL}
    assert rest.read == 0


def test_a_long_body_is_never_held_whole() -> None:
    header = SIGNATURE * 8
    tracemalloc.start()
    try:
        verify(header + HEAD, zone, NOW, Rest())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 * len(PIECE), "forty pieces came"


def test_a_quoted_name_that_nobody_closes_is_read_once() -> None:
    head = b'From: "' + b'\\"' * 4_000 + b"\r\n\r\n"
    began = time.process_time()
    for _ in range(20):
        assert author_domain(head) is None
    assert time.process_time() - began < 0.5, "once for each quote in it: 3 s"
