"""Mail that comes back, as the lab's hosts write it: bounces (RFC 3464), automatic answers (RFC 3834), human ones."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import format_datetime, getaddresses
from uuid import uuid4


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a bounce says of one recipient: RFC 3464's fields."""

    final_recipient: str
    status: str = "5.1.1"
    diagnostic_code: str = "smtp; 550 5.1.1 No such user here"
    original_recipient: str | None = None
    remote_mta: str | None = None
    original_envelope_id: str | None = None
    action: str = "failed"


def headers_of(content: bytes) -> Message:
    return BytesHeaderParser().parsebytes(content)


def addresses_in(message: Message, name: str) -> list[str]:
    """The addresses in all fields of this name, lower case."""
    fields = [str(value) for value in message.get_all(name, [])]
    return [address.lower() for _, address in getaddresses(fields) if address]


def bounce(reporting_mta: str, envelope_sender: str, content: bytes, failure: Failure) -> bytes:
    """A bounce as mail servers write it: notice, machine-readable part, the header of what was sent."""
    boundary = uuid4().hex
    now = format_datetime(datetime.now(UTC))
    optional = [
        f"Original-Recipient: rfc822;{failure.original_recipient}" if failure.original_recipient else None,
        f"Remote-MTA: dns; {failure.remote_mta}" if failure.remote_mta else None,
    ]
    recipient_fields = [
        f"Final-Recipient: rfc822; {failure.final_recipient}",
        *(line for line in optional if line),
        f"Action: {failure.action}",
        f"Status: {failure.status}",
        f"Diagnostic-Code: {failure.diagnostic_code}",
    ]
    lines = [
        f"From: Mail Delivery System <MAILER-DAEMON@{reporting_mta}>",
        f"To: {envelope_sender}",
        "Subject: Undelivered Mail Returned to Sender",
        f"Date: {now}",
        f"Message-ID: <{uuid4().hex}@{reporting_mta}>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"',
        "",
        f"--{boundary}",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        f"This is the mail system at host {reporting_mta}.",
        "",
        "Your message could not be delivered to one or more recipients.",
        "",
        f"<{failure.final_recipient}>: {failure.diagnostic_code.partition('; ')[2]}",
        "",
        f"--{boundary}",
        "Content-Type: message/delivery-status",
        "",
        f"Reporting-MTA: dns; {reporting_mta}",
        *([f"Original-Envelope-Id: {failure.original_envelope_id}"] if failure.original_envelope_id else []),
        f"Arrival-Date: {now}",
        "",
        *recipient_fields,
        "",
        f"--{boundary}",
        "Content-Type: text/rfc822-headers",
        "",
    ]
    header = content.partition(b"\r\n\r\n")[0]
    return "\r\n".join(lines).encode() + b"\r\n" + header + f"\r\n\r\n--{boundary}--\r\n".encode()


def auto_reply(header_from: str, to: str, content: bytes, text: str) -> bytes:
    """A vacation notice (RFC 3834)."""
    original = headers_of(content)
    return _answer(
        header_from, to, original, f"Auto: {original.get('Subject', '')}", text, "Auto-Submitted: auto-replied"
    )


def human_reply(header_from: str, to: str, content: bytes, text: str) -> bytes:
    """What a person writes who presses "Reply"."""
    original = headers_of(content)
    return _answer(header_from, to, original, f"Re: {original.get('Subject', '')}", text)


def _answer(header_from: str, to: str, original: Message, subject: str, text: str, *extra: str) -> bytes:
    message_id = str(original.get("Message-ID", "")).strip()
    references = " ".join([*str(original.get("References", "")).split(), message_id])
    lines = [
        f"From: {header_from}",
        f"To: {to}",
        "Subject: " + " ".join(subject.split()),
        f"Date: {format_datetime(datetime.now(UTC))}",
        f"Message-ID: <{uuid4().hex}@{header_from.rpartition('@')[2]}>",
        f"In-Reply-To: {message_id}",
        f"References: {references}",
        *extra,
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        "",
        *text.splitlines(),
        "",
    ]
    return "\r\n".join(lines).encode()
