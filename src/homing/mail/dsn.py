"""Delivery status notifications, read leniently (RFC 3464; internationalised: RFC 6533).

One report in nine breaks the standard somewhere: several recipients without blank lines between them, blank lines
inside a recipient, missing address types, "Action: failure", status codes with prose. The fields keep RFC 3464's names;
what is not understood is "" here and never an error.
"""

import binascii
import re
from collections.abc import Iterator
from typing import NamedTuple

from homing.mail.mime import FIELDS, Headers, Mail, read_fields
from homing.mail.spelling import bare, from_utf8, from_xtext

RECIPIENTS = 1000

_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
_ADDRESS_FIELDS = frozenset({"final-recipient", "original-recipient"})
_ONCE = _ADDRESS_FIELDS | {"action"}
_RECIPIENT_FIELDS = _ADDRESS_FIELDS | {
    "action",
    "status",
    "diagnostic-code",
    "remote-mta",
    "last-attempt-date",
    "will-retry-until",
    "final-log-id",
}
_TYPED = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9/_.-]{0,30})\s*;\s*(.*)", re.DOTALL)
_STATUS = re.compile(r"(?<![\d.])([245])\s?\.\s?(\d{1,3})\s?\.\s?(\d{1,3})(?![\d.]*\d)")
_ENCODED_INSIDE = re.compile(
    r"^content-transfer-encoding:[ \t]*base64[ \t]*\n(?:[a-z-]+:.*\n){0,10}\n?([a-z0-9+/=\n]{20,})",
    re.IGNORECASE | re.MULTILINE,
)
_BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")
_STARTS = re.compile(r"^(?:reporting-mta|final-recipient|original-recipient)[ \t]*:", re.IGNORECASE | re.MULTILINE)
_NO_LETTER = re.compile(r"[^a-z]")
_ACTIONS = {
    "failure": "failed",
    "fail": "failed",
    "error": "failed",
    "expired": "failed",
    "undeliverable": "failed",
    "delay": "delayed",
    "deferred": "delayed",
    "success": "delivered",
    "deliverable": "delivered",
    "relay": "relayed",
    "transferred": "relayed",
}
_KNOWN_ACTIONS = frozenset({"failed", "delayed", "delivered", "relayed", "expanded"})


class RecipientStatus(NamedTuple):
    """The per-recipient fields (RFC 3464 §2.3). Addresses and diagnostics are without their type prefix.

    `action` is one of RFC 3464's five words or ""; `status` an enhanced status code or "". Where there is no
    Diagnostic-Code, `diagnostic_code` is the comment in Status, where some servers quote the reply.
    """

    original_recipient: str = ""
    final_recipient: str = ""
    action: str = ""
    status: str = ""
    remote_mta: str = ""
    diagnostic_type: str = ""
    diagnostic_code: str = ""
    fields: Headers = Headers()


class DeliveryStatus(NamedTuple):
    """The per-message fields (RFC 3464 §2.2) and the recipients, at most `RECIPIENTS` of them."""

    recipients: tuple[RecipientStatus, ...]
    original_envelope_id: str = ""
    reporting_mta: str = ""


def find_dsn(mail: Mail) -> DeliveryStatus | None:
    """The mail's delivery status, wherever its part stands in the tree; None if there is none with a recipient."""
    found = [read_dsn(part.text) for part in mail.parts if part.content_type in _TYPES]
    read = next((status for status in found if status is not None), None)
    if read is not None or mail.params.get("report-type", "").lower() not in {"delivery-status", ""}:
        return read
    if mail.content_type == "multipart/report":  # its second part has lost its type
        return next((s for part in mail.parts if part.original is None and (s := find_in_text(part.text))), None)
    return None


def find_in_text(text: str) -> DeliveryStatus | None:
    """A delivery status written into the words of a mail, as some gateways do."""
    start = _STARTS.search(text)
    return read_dsn(text[start.start() :]) if start else None


def read_dsn(text: str) -> DeliveryStatus | None:
    """The fields of a message/delivery-status body (newlines "\\n"). None if no recipient can be made out."""
    text = _opened(text)
    message: list[tuple[str, str]] = []
    recipients: list[list[tuple[str, str]]] = []
    for names, group in _groups(text):
        if names & _ADDRESS_FIELDS or (not recipients and names & {"action", "status"}):
            if len(recipients) >= RECIPIENTS:
                break
            recipients.append(group)
        elif recipients and names & _RECIPIENT_FIELDS:
            if len(recipients[-1]) < FIELDS:
                recipients[-1].extend(group)
        else:
            message.extend(group)
    if not recipients:
        return None
    headers = Headers((*message, *recipients[0]))
    return DeliveryStatus(
        original_envelope_id=headers.first("Original-Envelope-Id"),
        reporting_mta=_untyped(headers.first("Reporting-MTA"))[1],
        recipients=tuple(_recipient(Headers(tuple(fields))) for fields in recipients),
    )


def _opened(text: str) -> str:
    """The text, decoded where a gateway encoded its fields a second time and put the encoding's field among them."""
    found = _ENCODED_INSIDE.search(text)
    if found is None:
        return text
    try:
        inner = binascii.a2b_base64(found[1].encode("ascii", "ignore"))
    except binascii.Error:
        return text
    return f"{text[: found.start()]}\n\n{inner.decode('utf-8', 'replace')}"


def _groups(text: str) -> Iterator[tuple[set[str], list[tuple[str, str]]]]:
    """Groups of fields, each with its field names in lower case and its fields as written. A group ends at a blank
    line, or before a second address field of the same name."""
    for block in _BLANK_LINES.split(text):
        group: list[tuple[str, str]] = []
        names: set[str] = set()
        for name, value in read_fields(block) if len(block) < 32_768 else _long_block(block):
            folded = name.lower()
            if folded in names and folded in _ONCE:
                yield names, group
                group, names = [], set()
            names.add(folded)
            group.append((name, value))
        if group:
            yield names, group


def _long_block(block: str) -> Iterator[tuple[str, str]]:
    """A block without any blank line can hold more fields than a header may; read it in slices of whole lines."""
    lines = block.split("\n")
    for start in range(0, min(len(lines), 20 * RECIPIENTS), 100):
        yield from read_fields("\n".join(lines[start : start + 100]))


def _recipient(fields: Headers) -> RecipientStatus:
    diagnostic_type, diagnostic_code = _untyped(fields.first("Diagnostic-Code"))
    return RecipientStatus(
        original_recipient=read_recipient(fields.first("Original-Recipient")),
        final_recipient=read_recipient(fields.first("Final-Recipient")),
        action=_action(fields.first("Action")),
        status=read_status(fields.first("Status")),
        remote_mta=_untyped(fields.first("Remote-MTA"))[1].split(" ", 1)[0].strip("[]()").lower(),
        diagnostic_type=diagnostic_type.lower(),
        diagnostic_code=diagnostic_code or _comment(fields.first("Status")),
        fields=fields,
    )


def _action(value: str) -> str:
    word = _NO_LETTER.split(value.strip().lower(), maxsplit=1)[0]
    word = _ACTIONS.get(word, word)
    return word if word in _KNOWN_ACTIONS else ""


def read_status(value: str) -> str:
    """The first enhanced status code in a text, "" if none (RFC 3463 §2)."""
    found = _STATUS.search(value)
    return f"{found[1]}.{int(found[2])}.{int(found[3])}" if found else ""


def _comment(status: str) -> str:
    """The words behind the code of a Status field."""
    found = _STATUS.search(status)
    words = status[found.end() :].strip() if found else ""
    return words[1:-1].strip() if words.startswith("(") and words.endswith(")") else words.strip("() ")


def read_recipient(value: str) -> str:
    """The address in an Original- or Final-Recipient field, without type, brackets, comment and encoding.

    May be a bare name where a gateway gave no more, or "".
    """
    if not value:
        return ""
    address_type, address = _untyped(value)
    if "<" in address and ">" in address[address.index("<") :]:
        address = address[address.index("<") + 1 :].partition(">")[0]
    address = bare(address)
    if address[:1] == address[-1:] and address[:1] in {'"', "'"}:
        address = address[1:-1].strip()
    if not address.startswith('"') and " " in address:
        address = next((word for word in address.split() if "@" in word), address).strip("<>()[]\"',;")
    if address_type.lower() == "utf-8":
        address = from_utf8(address)
    return address if "@" in address else bare(from_xtext(address))


def _untyped(value: str) -> tuple[str, str]:
    found = _TYPED.match(value)
    return (found[1], found[2].strip()) if found else ("", value.strip())
