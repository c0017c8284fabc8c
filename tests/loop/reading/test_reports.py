"""Machine-readable reports whose fields say more, or less, than they should."""

import pytest

from homing.loop.reading.understand import RecipientReport, understand
from tests.loop.reading.rules import RULES


def report(fields: str, *, prose: str = "Sorry.") -> RecipientReport:
    mail = (
        "From: MAILER-DAEMON@mx.corp.example\nTo: b+tok@b.post.example\nMIME-Version: 1.0\n"
        f"Content-Type: multipart/report; report-type=delivery-status; boundary=B\n\n--B\n\n{prose}\n"
        "--B\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.corp.example\n\n"
        f"{fields}\nAction: failed\nStatus: 5.0.0\n--B--\n"
    )
    (found,) = understand(mail.encode(), rules=RULES).reports
    return found


@pytest.mark.parametrize("field", ["X-Actual-Recipient", "X-Original-Recipient"])
def test_where_a_file_or_a_program_failed_another_field_has_the_address(field: str) -> None:
    """Sendmail's and Postfix's own."""
    assert report(f"Final-Recipient: X-Unix; |/usr/bin/filter\n{field}: rfc822; joe@corp.example").address == (
        "joe@corp.example"
    )


@pytest.mark.parametrize(
    ("diagnostic", "failure_class"),
    [
        ("X-Unix; 67", "invalid_recipient"),  # sysexits.h: EX_NOUSER
        ("X-Unix; 75", "system"),
        ("X-Boxbe-Notice; not on the list", "challenge_response"),
        ("X-Acme; 67", "undetermined"),
        ("smtp; 67", "undetermined"),
    ],
)
def test_the_type_of_a_diagnosis_says_something_where_we_know_it(diagnostic: str, failure_class: str) -> None:
    said = report(f"Final-Recipient: rfc822; joe@corp.example\nDiagnostic-Code: {diagnostic}")
    assert said.verdict.failure_class == failure_class
