"""The request of an application to send a message, and all its faults, reported at once.

Pure: shapes and words only. Proofs, limits and suppression need the store and are checked by `flow.accept`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from homing.loop.model import Role
from homing.loop.problem import Fault
from homing.mail.address import Address, AddressError, parse_address
from homing.mail.characters import without_hints
from homing.mail.compose import (
    Attachment,
    Mailbox,
    check_body,
    check_content_id,
    check_content_type,
    check_display_name,
    check_filename,
    check_header,
    check_headers,
    check_recipient_name,
    check_subject,
)

RECIPIENTS = 1000
ATTACHMENTS = 50
METADATA = 20
_METADATA_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_METADATA_VALUE_LENGTH = 500
LETTERS = "letters"
"""The stream of what we write ourselves: its suppressions are ours."""
RESERVED = f"The stream {LETTERS} is for the e-mails that we write ourselves. Choose another name."
_STREAM = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")  # E.164


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A person as the application names one; nothing is checked yet."""

    address: str
    name: str = ""
    phone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRequest:
    """A message as it came through a door. `payload_hash` identifies the payload under its idempotency key."""

    human_sender: Party
    to: tuple[Party, ...]
    cc: tuple[Party, ...] = ()
    bcc: tuple[Party, ...] = ()
    reply_to: str | None = None
    requested_from: str | None = None
    subject: str = ""
    text: str | None = None
    html: str | None = None
    attachments: tuple[Attachment, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    failure_policy: str | None = None
    stream: str = "default"
    idempotency_key: str | None = None
    payload_hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    mailbox: Mailbox
    role: Role
    phone: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRequest:
    """The same, with every address parsed."""

    request: MessageRequest
    human_sender: Mailbox
    reply_to: Address
    recipients: tuple[Recipient, ...]
    requested_from: Address | None = None

    @property
    def wanted_from(self) -> Address:
        """The address that the application wants in From, used if permitted."""
        return self.requested_from or self.human_sender.address

    def mailboxes(self, role: Role) -> tuple[Mailbox, ...]:
        return tuple(recipient.mailbox for recipient in self.recipients if recipient.role is role)


def check_request(request: MessageRequest) -> CheckedRequest | tuple[Fault, ...]:
    """The request ready to be composed, or all its faults."""
    faults = [*_text_faults(request), *_attachment_faults(request), *_metadata_faults(request)]
    if request.human_sender.name:
        faults += [Fault("/human_sender/name", *fault) for fault in check_display_name(request.human_sender.name)]
    human_sender = _mailbox("/human_sender", request.human_sender, faults)
    reply_to = human_sender.address if human_sender else None
    if request.reply_to is not None:
        reply_to = _address("/reply_to", request.reply_to, faults)
    requested_from = None
    if request.requested_from is not None:
        requested_from = _address("/from", request.requested_from, faults)
    recipients = _recipients(request, faults)
    if faults or human_sender is None or reply_to is None:
        return tuple(faults)
    return CheckedRequest(
        request=replace(request, attachments=tuple(map(_named, request.attachments))),
        human_sender=human_sender,
        reply_to=reply_to,
        recipients=tuple(recipients),
        requested_from=requested_from,
    )


def _recipients(request: MessageRequest, faults: list[Fault]) -> list[Recipient]:
    recipients: list[Recipient] = []
    seen: set[str] = set()
    for role, parties in ((Role.TO, request.to), (Role.CC, request.cc), (Role.BCC, request.bcc)):
        for index, party in enumerate(parties):
            path = f"/{role.value}/{index}"
            faults += [Fault(f"{path}/name", *fault) for fault in check_recipient_name(party.name)]
            mailbox = _mailbox(path, party, faults)
            if mailbox is None:
                continue
            if mailbox.address.folded in seen:
                faults.append(Fault(f"{path}/address", "recipient-twice", "This recipient is named twice."))
            seen.add(mailbox.address.folded)
            recipients.append(Recipient(mailbox=mailbox, role=role, phone=party.phone))
    if not request.to + request.cc + request.bcc:
        faults.append(Fault("/to", "recipient-missing", "Name at least one recipient."))
    if len(recipients) > RECIPIENTS:
        faults.append(Fault("/to", "too-many-recipients", f"A message has at most {RECIPIENTS} recipients."))
    return recipients


def _mailbox(path: str, party: Party, faults: list[Fault]) -> Mailbox | None:
    if party.phone is not None and not _PHONE.fullmatch(party.phone):
        faults.append(
            Fault(f"{path}/phone", "phone-syntax", "Write the number as +, country code and digits: +442079460000.")
        )
    address = _address(f"{path}/address", party.address, faults)
    name = "" if faults else without_hints(party.name)  # it may be as long as a body
    return None if address is None else Mailbox(name=name, address=address)


def _address(path: str, text: str, faults: list[Fault]) -> Address | None:
    try:
        return parse_address(text)
    except AddressError as error:
        faults.append(Fault(path, error.code, str(error)))
        return None


def _text_faults(request: MessageRequest) -> Iterator[Fault]:
    for code, text in check_subject(request.subject):
        yield Fault("/subject", code, text)
    if request.text is None and request.html is None:
        yield Fault("/text", "body-missing", "Give a text or an html body.")
    for path, body in (("/text", request.text), ("/html", request.html)):
        for code, text in check_body(body or ""):
            yield Fault(path, code, text)
    for code, text in check_headers(request.headers):
        yield Fault("/headers", code, text)
    for name, value in request.headers:
        for code, text in check_header(name, value):
            yield Fault(f"/headers/{_pointer(name)}", code, text)
    if not _STREAM.fullmatch(request.stream):
        yield Fault(
            "/stream",
            "stream-name",
            "A stream's name has up to 64 of a-z, 0-9, - and _, and begins with a letter or a digit.",
        )
    if request.stream == LETTERS:
        yield Fault("/stream", "stream-reserved", RESERVED)
    yield from idempotency_key_faults(request.idempotency_key)


def idempotency_key_faults(key: str | None) -> Iterator[Fault]:
    if key is not None and not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        yield Fault("", "idempotency-key-syntax", "An Idempotency-Key has 1 to 255 printable ASCII characters.")


def _attachment_faults(request: MessageRequest) -> Iterator[Fault]:
    if len(request.attachments) > ATTACHMENTS:
        yield Fault("/attachments", "too-many-attachments", f"A message has at most {ATTACHMENTS} attachments.")
    for index, attachment in enumerate(request.attachments):
        path = f"/attachments/{index}"
        for code, text in check_filename(attachment.filename):
            yield Fault(f"{path}/filename", code, text)
        for code, text in check_content_type(attachment.content_type):
            yield Fault(f"{path}/content_type", code, text)
        if attachment.content_id is not None:
            for code, text in check_content_id(attachment.content_id):
                yield Fault(f"{path}/content_id", code, text)


def _named(attachment: Attachment) -> Attachment:
    return replace(attachment, filename=without_hints(attachment.filename))


def _metadata_faults(request: MessageRequest) -> Iterator[Fault]:
    if len(request.metadata) > METADATA:
        yield Fault("/metadata", "too-much-metadata", f"A message carries at most {METADATA} metadata entries.")
    for name, value in request.metadata.items():
        if not _METADATA_NAME.fullmatch(name):
            yield Fault(
                f"/metadata/{_pointer(name)}", "metadata-name", "A name has up to 40 of A-Z, a-z, 0-9, _, . and -."
            )
        if len(value) > _METADATA_VALUE_LENGTH or not value.isprintable():
            yield Fault(
                f"/metadata/{_pointer(name)}",
                "metadata-value",
                f"A value has at most {_METADATA_VALUE_LENGTH} printable characters.",
            )


def _pointer(name: str) -> str:
    """A name as a step of a JSON pointer (RFC 6901 §3), bounded."""
    return name[:64].replace("~", "~0").replace("/", "~1")
