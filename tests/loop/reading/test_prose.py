"""Notices in words: whom they name, and why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.loop.reading.prose import Named, first_address, returned_recipients
from homing.loop.reading.returned_mail import see
from homing.mail.mime import read_mail
from tests.loop.reading.rules import RULES


def named(prose: str, headers: str = "") -> tuple[Named, ...]:
    head = f"From: daemon@mx.example\nTo: b+tok@b.post.example\n{headers}\n"
    return see(read_mail(f"{head}{prose}".encode()), RULES).notice.named


@pytest.mark.parametrize(
    ("prose", "address", "reason"),
    [
        ("<joe@corp.example>: no such user\n\nBye", "joe@corp.example", "no such user"),
        ("<joe@corp.example>:\nno such\nuser\n\nBye", "joe@corp.example", "no such\nuser"),
        ("Failed:\n\n    joe@corp.example\n\n    host said: 550 no\n", "joe@corp.example", "host said: 550 no"),
        ("To: joe@corp.example\n550 no", "joe@corp.example", "550 no"),
        ("Recipient: [SMTP:joe@corp.example]\nfull", "joe@corp.example", "full"),
        ("joe@corp.example... User unknown", "joe@corp.example", "... User unknown"),
        ('"joe b"@corp.example failed', '"joe b"@corp.example', "failed"),
        ("Your mail for joe@corp.example is lost.", "joe@corp.example", "Your mail for joe@corp.example is lost."),
        ("Somebody failed.", "", "Somebody failed."),
    ],
)
def test_whom_and_why(prose: str, address: str, reason: str) -> None:
    assert named(prose) == (Named(address, reason),)


def test_each_address_has_its_own_reason() -> None:
    both = (Named("joe@corp.example", "mailbox full"), Named("ann@corp.example", "no such user"))
    prose = "<joe@corp.example>: mailbox full\n\n<ann@corp.example>: no such user\n"
    assert named(prose) == both
    assert named(prose, "X-Failed-Recipients: joe@corp.example,\n ann@corp.example\n") == both


def test_the_senders_of_notice_and_original_did_not_fail() -> None:
    prose = (
        "daemon@mx.example\nb+tok@b.post.example\na@post.example\n<joe@corp.example>: no\n\n"
        "Original message:\n\nFrom: a@post.example\nSubject: hi\n"
    )
    assert [each.address for each in named(prose)] == ["joe@corp.example"]


def test_the_returned_original_names_the_recipient_where_nothing_else_does() -> None:
    assert named("Failed.\n\nOriginal message:\n\nFrom: a@post.example\nTo: joe@corp.example\n")[0].address == (
        "joe@corp.example"
    )
    two = read_mail(b"Subject: x\n\nOriginal message:\n\nTo: a@x.example, B <b@x.example>\nCc: a@x.example\n")
    assert returned_recipients(two) == ("a@x.example", "b@x.example")
    assert see(two, RULES).notice.named[0].address == ""


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("Joe <joe@x.example>", "joe@x.example"),
        ("joe@x.example (Joe)", "joe@x.example"),
        ("undisclosed:;", ""),
        ("<>", ""),
        ('"a@b.example" <joe@x.example>', "joe@x.example"),
    ],
)
def test_first_address(value: str, address: str) -> None:
    assert first_address(value) == address


@given(st.text(max_size=300))
def test_names_somebody_or_nobody_but_always_answers(prose: str) -> None:
    assert named(prose)
