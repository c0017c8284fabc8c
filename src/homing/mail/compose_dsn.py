"""A notice that a message could not be delivered, as a mail server writes it (RFC 3464 in RFC 6522's envelope).

Homing refuses in the dialogue and so never has to write one to anybody else: this is for notices to itself.
"""

from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from homing.mail.header import structured, unstructured


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureNotice:
    """What the notice says. `to`: the envelope sender of what failed; `header`: the header of what failed (CRLF);
    `message_id`: the notice's own, without angle brackets. Host names and addresses are ASCII."""

    reporting_mta: str
    to: str
    final_recipient: str
    status: str
    diagnostic_code: str
    header: bytes
    date: datetime
    message_id: str


def failure_notice(notice: FailureNotice) -> bytes:
    """The mail, 7-bit clean, for MAIL FROM:<> (RFC 3464 §2). Raises ComposeError for text that no header may hold."""
    boundary = f"=_{notice.message_id.partition('@')[0]}"
    date = format_datetime(notice.date)
    head = (
        structured("From", ["Mail", "Delivery", "System", f"<MAILER-DAEMON@{notice.reporting_mta}>"]),
        structured("To", [f"<{notice.to}>"]),
        unstructured("Subject", "Undelivered Mail Returned to Sender"),
        structured("Date", [date]),
        structured("Message-ID", [f"<{notice.message_id}>"]),
        structured("Auto-Submitted", ["auto-replied"]),
        structured("MIME-Version", ["1.0"]),
        structured("Content-Type", ["multipart/report;", "report-type=delivery-status;", f'boundary="{boundary}"']),
    )
    words = (
        f"This is the mail system at host {notice.reporting_mta}.\r\n\r\n"
        f"A message could not be delivered to <{notice.final_recipient}>:\r\n{notice.diagnostic_code}\r\n"
    )
    per_message = structured("Reporting-MTA", ["dns;", notice.reporting_mta]) + structured("Arrival-Date", [date])
    per_recipient = (
        structured("Final-Recipient", ["rfc822;", notice.final_recipient])
        + structured("Action", ["failed"])
        + structured("Status", [notice.status])
        + unstructured("Diagnostic-Code", f"smtp; {notice.diagnostic_code}")
    )
    parts = (
        (b"text/plain; charset=us-ascii", words.encode("ascii")),
        (b"message/delivery-status", per_message + b"\r\n" + per_recipient),
        (b"text/rfc822-headers", notice.header),
    )
    delimiter = f"--{boundary}".encode("ascii")
    body = b"".join(delimiter + b"\r\nContent-Type: " + kind + b"\r\n\r\n" + part + b"\r\n" for kind, part in parts)
    return b"".join(head) + b"\r\n" + body + delimiter + b"--\r\n"
