"""What strangers write is read in linear time, whatever they fill it with, and no single expression runs for long."""

import re
import string
import sys
import time
from collections.abc import Callable
from itertools import product
from types import FrameType

import pytest

from homing.loop.reading.understand import understand
from homing.mail.text import quoted
from tests.loop.reading.rules import RULES

KIB = 1024
FILLINGS = (
    *string.punctuation,
    *("a", "0", " ", "\t", "é", "\x01", "\u200d", "\x1b[", "@@@", "a@", "a.", "a-", "a_", "1.", "550 ", "5.1.1 "),
    *("<a", "</", "<br ", "<b>", "<p>a<b>", "<a &x>", "<!--", "<!-->", "<style>", "&x", "&amp;#", "&#1234567890"),
    *("=?=?", "=?a?q?", "=?utf-8?q?a?= ", "((((", "[[", '"""', '\\"', ';a="', "-- ", ">>>>", "--> ", " Out: 550 a"),
    *("word ", "a- ", "to: ", "rcpt to: ", "host a.b.c ", "message headers ", "; if you ", ". please ", "a://", "www."),
    *("<user@d.example>: ", "user@d.example ", "generated from ", "this message is confidential ", "reason: a "),
)
SHAPES: dict[str, Callable[[str], str]] = {
    "one line": lambda filling: filling,
    "short lines": lambda filling: filling + "\n",
}
DAEMON = "From: MAILER-DAEMON@mx.corp.example\nSubject: Undelivered mail\n"
PLACES: dict[str, str] = {
    "words": DAEMON + "Content-Type: text/plain; charset=utf-8\n\nThis is the mail system.\n{}",
    "HTML": "From: a@b.example\nSubject: hi\nContent-Type: text/html; charset=utf-8\n\n{}",
    "fields": "Subject: {0}\nFrom: {0}\nTo: {0}\nContent-Type: text/plain; x={0}\n\nhi",
    "report": DAEMON + "Content-Type: multipart/report; report-type=delivery-status; boundary=B\n\n--B\n\n{0}\n--B\n"
    "Content-Type: message/delivery-status\n\nReporting-MTA: dns; a.example\n\nFinal-Recipient: rfc822; a@b.example\n"
    "Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; {0}\n--B\nContent-Type: message/rfc822\n\n"
    "To: {0}\n\n{0}\n--B--\n",
}


def filled(unit: str, characters: int) -> str:
    return (unit * (characters // len(unit) + 1))[:characters]


def spent(work: Callable[[], object]) -> float:
    """The processor seconds of this thread."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


def unit() -> float:
    """What this machine needs at this moment to look at a MiB, character by character, with an expression."""
    text = "a<" * (64 * KIB)
    return 8 * min(spent(lambda: re.sub("<", ">", text)) for _ in range(2))


def out_of_line(work: Callable[[int], object], large: int, most: float) -> str:
    """What is wrong, four times over, with work on a text of this size: it takes more than `most` units, or over a
    third of them and much more than four times as long as a quarter of the text. "" if nothing. The unit is measured
    before and after, for a machine that is shared is not as fast at every moment."""
    wrong = ""
    for _ in range(4):
        earlier = unit()
        seconds = spent(lambda: work(large))
        bound = most * max(earlier, unit())
        before = spent(lambda: work(large // 4)) if bound / 3 < seconds <= bound else seconds
        if seconds <= min(bound, 6 * before):
            return ""
        wrong = f"{seconds:.3f} s of {bound:.3f} s, and {before:.3f} s for a quarter"
    return wrong


def mail(place: str, unit: str, size: int) -> bytes:
    share = size // PLACES[place].count("{")
    return PLACES[place].format(filled(unit, share)).encode()


@pytest.mark.slow
@pytest.mark.parametrize(("place", "shape"), list(product(PLACES, SHAPES)))
def test_no_filling_makes_the_reader_slow(place: str, shape: str) -> None:
    def read(size: int) -> None:
        understand(mail(place, piece, size), rules=RULES, null_sender=True)

    for filling in FILLINGS:
        piece = SHAPES[shape](filling)
        assert not (wrong := out_of_line(read, 256 * KIB, 8)), f"{filling!r}: {wrong}"


def test_no_filling_makes_quoting_slow() -> None:
    def quote(size: int) -> None:
        quoted(text[:size], size)

    for filling in FILLINGS:
        text = filled(filling, 32 * KIB)
        assert not (wrong := out_of_line(quote, 32 * KIB, 4)), f"{filling!r}: {wrong}"


def longest_call(raw: bytes) -> tuple[float, str]:
    """The processor seconds of the longest call of an expression that runs no Python, so that nothing else in this
    process runs meanwhile."""
    began: list[float | None] = []
    longest = (0.0, "")

    def watch(frame: FrameType, event: str, called: object) -> None:
        nonlocal longest
        if event == "call":
            began[:] = [None] * len(began)
        elif event == "c_call":
            began.append(time.thread_time())
        elif event in {"c_return", "c_exception"} and began:
            since, owner = began.pop(), getattr(called, "__self__", None)
            if since is not None and isinstance(owner, re.Pattern):
                longest = max(longest, (time.thread_time() - since, f"{frame.f_code.co_name}, line {frame.f_lineno}"))

    sys.setprofile(watch)
    try:
        understand(raw, rules=RULES, null_sender=True)
    finally:
        sys.setprofile(None)
    return longest


@pytest.mark.slow
@pytest.mark.parametrize("filling", ["<", "</", "<p>a<b>", "<b>", "&x", "&amp;#", "\x01", "a- ", "@", "a@", " "])
def test_no_expression_runs_for_long(filling: str) -> None:
    """The reader works in a thread beside the loop that answers everybody."""
    for place in ("HTML", "words"):
        raw = mail(place, filling * (900 // len(filling)) + "\n", 1024 * KIB)
        for _ in range(4):
            (seconds, where), bound = longest_call(raw), unit()
            if seconds < bound:
                break
        assert seconds < bound, f"{seconds:.3f} s in {where}, where a MiB takes {bound:.3f} s"
