"""Words of ours in what is left of a header."""

from hypothesis import given
from hypothesis import strategies as st

from homing.loop.reading.marks import (
    ENVELOPE_LOCAL,
    UNSUBSCRIBE_LOCAL,
    UNSUBSCRIBE_PATH,
    marks_in,
    senders_in,
    unsubscribe_uris,
)
from homing.mail.mime import Headers, read_headers

A, B, C = "a" * 48, "b" * 48, "c" * 48


def of(text: str) -> tuple[str, ...]:
    return marks_in(read_headers(text))


def test_each_field_tells_even_where_the_others_were_blacked_out() -> None:
    ways = ", ".join(f"<{uri}>" for uri in unsubscribe_uris("https://x.example/unsubscribe/", "b.post.example", C))
    assert of(f"Homing-Trace: {A}\nCFBL-Feedback-ID: {A}\n") == (A,)
    assert of(f"Homing-Trace: [redacted]\nCFBL-Feedback-ID: {B.upper()}\n") == (B,)
    assert of(f"Homing-Trace: xxxx\nList-Unsubscribe: {ways}\n") == (C,)
    assert of(f"Homing-Trace: {A}\nList-Unsubscribe: {ways}\n") == (A, C)


def test_nothing_else_is_a_mark() -> None:
    assert of(f"Subject: {A}\nX-Trace: {A}\n") == ()
    assert of(f"Homing-Trace: {A}a\n") == ()
    assert of(f"Homing-Trace: {'1' * 48}\n") == ()
    assert marks_in(Headers()) == ()


def test_however_much_is_there_little_is_read() -> None:
    many = "".join(f"Homing-Trace: {chr(97 + number) * 48}\n" for number in range(26))
    assert len(of(many)) == 8
    assert of("Homing-Trace: " + "x" * 10**6 + f" {A}\n") == ()


@given(st.text())
def test_any_text_anywhere(text: str) -> None:
    assert all(len(mark) == 48 for mark in of(f"Homing-Trace: {text}\nList-Unsubscribe: {text}\n"))


def test_our_envelope_senders_are_found_in_return_path_and_in_what_a_report_tells() -> None:
    returned = read_headers(f"Return-Path: <b+{A}@b.post.example>\nSubject: b+{B}@b.post.example\n")
    assert senders_in(returned, f"b+{C.upper()}@b.post.example", "") == (A, C)
    assert senders_in(Headers(), "x" * 10**6 + A) == ()


def test_what_mail_under_way_bears_is_what_we_look_for() -> None:
    """Copies in mailboxes and in others' queues keep what they were sent with, whatever we become."""
    assert (ENVELOPE_LOCAL, UNSUBSCRIBE_LOCAL, UNSUBSCRIBE_PATH) == ("b+", "u+", "/unsubscribe/")
