"""Notifications of Amazon SES, as Amazon SNS delivers them by mail: JSON in JSON, or the bare object of SES.

Amazon SES developer guide, "Amazon SNS notification contents".
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from homing.mail.mime import Mail, Part

_JSON_CHARACTERS = 256 << 10
_RECIPIENTS = 1000
_KINDS = {"bounce": "bounce", "complaint": "complaint", "delivery": "delivery", "deliverydelay": "delay"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifiedRecipient:
    """One recipient of a notification; fields that were not given are ""."""

    address: str
    action: str = ""
    status: str = ""
    diagnostic_code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A notification: `kind` is bounce, complaint, delivery or delay; `type` and `subtype` are SES's words for it."""

    kind: str
    type: str = ""
    subtype: str = ""
    reporting_mta: str = ""
    message_id: str = ""
    recipients: tuple[NotifiedRecipient, ...] = ()


def find_notification(mail: Mail) -> Notification | None:
    """The notification that a mail holds, None if it holds none."""
    for text in _json_texts(mail):
        found = read_notification(text)
        if found is not None:
            return found
    return None


def _json_texts(mail: Mail) -> Iterator[str]:
    for part in mail.parts:
        text = part.text.strip()
        if text.startswith("{") and _readable(part):
            yield text[: text.rfind("}") + 1]


def _readable(part: Part) -> bool:
    return part.content_type in {"text/plain", "application/json", "text/json"} and len(part.text) <= _JSON_CHARACTERS


def read_notification(text: str) -> Notification | None:
    """A JSON text as a notification. None if it is none; never raises."""
    outer = _object(text)
    inner = outer.get("Message")
    document = _object(inner) if isinstance(inner, str) else outer
    kind = _KINDS.get(_text(document, "notificationType", "eventType").lower().replace(" ", ""))
    if kind is None:
        return None
    detail = _mapping(
        document, {"bounce": "bounce", "complaint": "complaint", "delivery": "delivery"}.get(kind, "deliveryDelay")
    )
    listed = next(
        (
            found
            for key in ("bouncedRecipients", "complainedRecipients", "delayedRecipients", "recipients")
            if isinstance(found := detail.get(key), list)
        ),
        [],
    )
    return Notification(
        kind=kind,
        type=_text(detail, "bounceType", "complaintFeedbackType", "delayType"),
        subtype=_text(detail, "bounceSubType", "complaintSubType"),
        reporting_mta=_text(detail, "reportingMTA").rpartition(";")[2].strip(),
        message_id=_original_message_id(_mapping(document, "mail")),
        recipients=tuple(_recipient(each) for each in listed[:_RECIPIENTS]),
    )


def _object(text: str) -> Mapping[str, object]:
    try:
        # Mail wraps lines where it likes, so a line end inside a string is not the string's.
        found = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _mapping(document: Mapping[str, object], key: str) -> Mapping[str, object]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def _text(document: Mapping[str, object], *keys: str) -> str:
    return next((found for key in keys if isinstance(found := document.get(key), str) and found), "")


def _recipient(entry: object) -> NotifiedRecipient:
    if not isinstance(entry, dict):
        return NotifiedRecipient(address=entry if isinstance(entry, str) else "")
    return NotifiedRecipient(
        address=_text(entry, "emailAddress").strip("<> "),
        action=_text(entry, "action").lower(),
        status=_text(entry, "status"),
        diagnostic_code=_text(entry, "diagnosticCode"),
    )


def _original_message_id(sent: Mapping[str, object]) -> str:
    return _text(_mapping(sent, "commonHeaders"), "messageId")
