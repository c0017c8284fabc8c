"""A notice that we write ourselves is read as what it says, by us and by the standard library."""

import email
import email.policy
import re
from datetime import UTC, datetime

import pytest

from homing.mail.compose_dsn import FailureNotice, failure_notice
from homing.mail.dsn import find_dsn
from homing.mail.header import ComposeError
from homing.mail.mime import read_mail

NOTICE = FailureNotice(
    reporting_mta="mx.operator.example",
    to="b+token@b.post.operator.example",
    final_recipient="probe@loop-watch.invalid",
    status="5.1.1",
    diagnostic_code="550 5.1.1 No such user here",
    header=b"Subject: Probe\r\nMessage-ID: <1@post.operator.example>\r\n",
    date=datetime(2026, 3, 1, 12, tzinfo=UTC),
    message_id="loop-watch-1.abc@mx.operator.example",
)


def test_it_is_read_back() -> None:
    mail = read_mail(failure_notice(NOTICE))
    status = find_dsn(mail)
    assert status is not None
    (recipient,) = status.recipients
    assert status.reporting_mta == "mx.operator.example"
    assert (recipient.final_recipient, recipient.action, recipient.status) == (
        "probe@loop-watch.invalid",
        "failed",
        "5.1.1",
    )
    assert (recipient.diagnostic_type, recipient.diagnostic_code) == ("smtp", "550 5.1.1 No such user here")


def test_it_has_the_form_of_the_standard() -> None:
    """RFC 6522 §3, RFC 3464 §2: three parts in this order; lines that every server takes."""
    raw = failure_notice(NOTICE)
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail.get_content_type() == "multipart/report"
    assert mail["Content-Type"].params["report-type"] == "delivery-status"
    assert [part.get_content_type() for part in mail.iter_parts()] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    assert not mail.defects
    assert str(mail["Auto-Submitted"]) == "auto-replied"
    assert str(mail["Date"]) == "Sun, 01 Mar 2026 12:00:00 +0000"
    assert str(mail["To"]) == "b+token@b.post.operator.example"
    assert b"Subject: Probe\r\n" in raw
    assert raw.isascii()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", raw)
    assert max(map(len, raw.split(b"\r\n"))) <= 78


def test_what_breaks_a_line_is_refused() -> None:
    with pytest.raises(ComposeError):
        failure_notice(FailureNotice(**{**_fields(), "diagnostic_code": "550 no\r\nX-Header: yes"}))


def _fields() -> dict:
    return {name: getattr(NOTICE, name) for name in FailureNotice.__dataclass_fields__}
