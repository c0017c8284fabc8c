"""Delivery status notifications, as the standard has them and as they really are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.mail.dsn import RECIPIENTS, find_dsn, find_in_text, read_dsn, read_recipient, read_status
from homing.mail.mime import read_mail


def test_the_fields_of_the_standard() -> None:
    status = read_dsn(
        "Original-Envelope-Id: msg_1\nReporting-MTA: dns; mx.corp.example\nReceived-From-MTA: dns; out.post.example\n"
        "Arrival-Date: Mon, 2 Nov 2026 10:00:00 +0000\n\n"
        "Original-Recipient: rfc822;Joe+40corp.example\nFinal-Recipient: rfc822; joe@corp.example\nAction: failed\n"
        "Status: 5.1.1 (bad mailbox)\nRemote-MTA: dns; MX2.corp.example (192.0.2.1)\n"
        "Diagnostic-Code: smtp; 550 5.1.1 No such\n user here\nLast-Attempt-Date: Mon, 2 Nov 2026 10:00:01 +0000\n"
    )
    assert status is not None
    assert (status.original_envelope_id, status.reporting_mta) == ("msg_1", "mx.corp.example")
    (recipient,) = status.recipients
    assert recipient.original_recipient == "Joe@corp.example"
    assert recipient.final_recipient == "joe@corp.example"
    assert (recipient.action, recipient.status, recipient.remote_mta) == ("failed", "5.1.1", "mx2.corp.example")
    assert (recipient.diagnostic_type, recipient.diagnostic_code) == ("smtp", "550 5.1.1 No such user here")


A, B = "Final-Recipient: rfc822; a@x.example\n", "Final-Recipient: rfc822; b@x.example\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{A}Action: failed\n\n{B}Action: delayed", ["a@x.example failed", "b@x.example delayed"]),
        (f"{A}Action: failed\n{B}Action: relayed", ["a@x.example failed", "b@x.example relayed"]),
        (f"\n\nReporting-MTA: dns; x\n\n\n \n{A}\nAction: Failure (no way)\n\nStatus: 5.0.0", ["a@x.example failed"]),
        ("Final-Recipient: a@x.example\nAction: expanded", ["a@x.example expanded"]),
        ("Action: delivered\nStatus: 2.0.0", [" delivered"]),
        ("Final-Recipient: x400; /S=joe/\nAction: perhaps", ["/S=joe/ "]),
    ],
)
def test_several_and_odd_recipients(text: str, expected: list[str]) -> None:
    status = read_dsn(text)
    assert status is not None
    assert [f"{r.final_recipient} {r.action}" for r in status.recipients] == expected


def test_nothing_to_read() -> None:
    assert read_dsn("") is None
    assert read_dsn("Reporting-MTA: dns; mx.example\n\nhello") is None
    assert find_in_text("no fields at all") is None


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("rfc822; joe@corp.example", "joe@corp.example"),
        ("RFC822;<joe@corp.example>", "joe@corp.example"),
        ("LOCAL; joe@corp.example (Joe)", "joe@corp.example"),
        ("rfc822; SMTP:joe@corp.example", "joe@corp.example"),
        ("utf-8; j\\x{f6}e@corp.example", "jöe@corp.example"),
        ("utf-8; jöe@corp.example", "jöe@corp.example"),
        ('rfc822; "joe b"@corp.example', '"joe b"@corp.example'),
        ("unknown; joe_b", "joe_b"),
        ("joe@corp.example", "joe@corp.example"),
        ("utf-8; \\x{d800}@x.example", "\ufffd@x.example"),
        ("", ""),
    ],
)
def test_recipient_fields(value: str, address: str) -> None:
    assert read_recipient(value).removeprefix("\"'") == address or read_recipient(value) == address.strip('"')


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("5.1.1", "5.1.1"),
        ("5.01.001 (x)", "5.1.1"),
        ("#4. 4. 7", "4.4.7"),
        ("9.9999999.1", ""),
        ("1.2.3.4", ""),
        ("x", ""),
    ],
)
def test_status(value: str, status: str) -> None:
    assert read_status(value) == status


FIELDS = "Final-Recipient: rfc822; joe@corp.example\nAction: failed\nStatus: 5.2.2\n"


def multipart(*parts: str, subtype: str = "mixed", boundary: str = "a") -> str:
    inner = "".join(f"--{boundary}\n{part}\n" for part in parts)
    return f"Content-Type: multipart/{subtype}; boundary={boundary}\n\n{inner}--{boundary}--\n"


STATUS = f"Content-Type: MESSAGE/Delivery-Status\n\n{FIELDS}"


@pytest.mark.parametrize(
    "raw",
    [
        STATUS,
        multipart(multipart(STATUS, boundary="b")),
        multipart(f"Content-Type: message/global-delivery-status\n\n{FIELDS}", subtype="report"),
        multipart("\nSorry.", f"Content-Type: text/plain\n\n{FIELDS}", subtype="report"),
    ],
)
def test_wherever_it_stands(raw: str) -> None:
    status = find_dsn(read_mail(raw.encode()))
    assert status is not None
    assert status.recipients[0].status == "5.2.2"


def test_a_dsn_inside_the_returned_original_is_not_ours() -> None:
    raw = multipart("\nhi", f"Content-Type: message/rfc822\n\n{STATUS}")
    assert find_dsn(read_mail(raw.encode())) is None


def test_bounded() -> None:
    text = "".join(f"Final-Recipient: rfc822; u{n}@x.example\nAction: failed\n\n" for n in range(5000))
    status = read_dsn(text)
    assert status is not None
    assert len(status.recipients) == RECIPIENTS


_PIECES = st.sampled_from(
    [
        "Final-Recipient: ",
        "Original-Recipient:",
        "Action: ",
        "Status:",
        "\n",
        "\n\n",
        "rfc822; ",
        "utf-8; \\x{",
        '"',
        "<",
    ]
)


@given(st.lists(_PIECES | st.text(max_size=5), max_size=40).map("".join))
def test_never_raises(text: str) -> None:
    status = read_dsn(text)
    assert status is None or all(
        r.action in {"", "failed", "delayed", "delivered", "relayed", "expanded"} for r in status.recipients
    )
