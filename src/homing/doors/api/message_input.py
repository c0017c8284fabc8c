"""A message as JSON: its shape, and all its faults, reported at once."""

import base64
import binascii
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from homing.doors.api.fields import Strict
from homing.loop.problem import Fault
from homing.loop.request import ATTACHMENTS, RECIPIENTS, MessageRequest, Party, check_request
from homing.mail.compose import Attachment

_PLACEHOLDERS: dict[str, Any] = {
    "human_sender": {"address": "placeholder@homing.invalid"},
    "to": {"address": "placeholder@homing.invalid"},
    "cc": {"address": "placeholder@homing.invalid"},
    "bcc": {"address": "placeholder@homing.invalid"},
    "attachments": {"filename": "placeholder", "content": ""},
    "text": "placeholder",
    "html": "placeholder",
}


_BLANKS = b" \t\r\n\v\f"


def _as_object(value: object) -> object:
    return {"address": value} if isinstance(value, str) else value


def _decoded(value: object) -> object:
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "not text")
    try:
        return base64.b64decode(value.encode("ascii").translate(None, _BLANKS), validate=True)
    except (ValueError, binascii.Error):
        raise PydanticCustomError("base64", "not Base64") from None


class PersonObject(Strict):
    """A person: an object, or the bare address as text."""

    address: str = Field(description="An addr-spec, without name or angle brackets.", examples=["john@example.org"])
    name: str = Field("", examples=["John Doe"])
    phone: str | None = Field(None, description="E.164; for text messages of a failure policy.")


Person = Annotated[PersonObject, BeforeValidator(_as_object, json_schema_input_type=str | PersonObject)]


PolicyName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", examples=["default"])]


class AttachmentIn(Strict):
    filename: str = Field(examples=["invoice.pdf"])
    content_type: str = Field("application/octet-stream", examples=["application/pdf"])
    content: Annotated[
        bytes, BeforeValidator(_decoded), WithJsonSchema({"type": "string", "contentEncoding": "base64"})
    ]
    content_id: str | None = Field(None, description="Makes it an inline image that the HTML names as `cid:…`.")


class MessageIn(Strict):
    """A message. Every address in `to`, `cc` and `bcc` becomes a delivery of its own; `bcc` is seen by nobody else."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "human_sender": {"name": "Janet Roe", "address": "janet@example.com"},
                    "to": [{"name": "John Doe", "address": "john@example.org"}],
                    "subject": "Our call this morning",
                    "text": "Dear John,\n\nas promised, here are my notes.\n\nJanet",
                    "metadata": {"call": "4711"},
                }
            ]
        },
    )

    human_sender: Person = Field(description="On whose behalf. The address must have been proved.")
    to: list[Person] = Field(default=[], max_length=RECIPIENTS)
    cc: list[Person] = Field(default=[], max_length=RECIPIENTS)
    bcc: list[Person] = Field(default=[], max_length=RECIPIENTS)
    reply_to: str | None = Field(None, description="Default: the human sender's address.")
    from_: str | None = Field(None, alias="from", description="The From address that you would like best.")
    subject: str = ""
    text: str | None = None
    html: str | None = None
    attachments: list[AttachmentIn] = Field(default=[], max_length=ATTACHMENTS)
    headers: dict[str, str] = Field(default={}, max_length=50, description="X-… and a few others.")
    metadata: dict[str, str] = Field(default={}, max_length=50, description="Comes back with every event.")
    failure_policy: PolicyName | None = Field(None, description="Default: the organization's.")
    stream: str = Field("default", description="A kind of mail with a suppression list of its own.")

    def request(self, idempotency_key: str | None, payload_hash: str) -> MessageRequest:
        return MessageRequest(
            human_sender=_party(self.human_sender),
            to=tuple(map(_party, self.to)),
            cc=tuple(map(_party, self.cc)),
            bcc=tuple(map(_party, self.bcc)),
            reply_to=self.reply_to,
            requested_from=self.from_,
            subject=self.subject,
            text=self.text,
            html=self.html,
            attachments=tuple(map(_attachment, self.attachments)),
            headers=tuple(self.headers.items()),
            metadata=self.metadata,
            failure_policy=self.failure_policy,
            stream=self.stream,
            idempotency_key=idempotency_key,
            payload_hash=payload_hash,
        )


def further_faults(body: Any, wrong: list[str]) -> list[Fault]:
    """What else is wrong with a body whose values at the pointers `wrong` have the wrong shape: those are replaced,
    and what is found in their place is left out."""
    if not isinstance(body, dict):
        return []
    roots = {_root(pointer) for pointer in wrong}
    try:
        message = MessageIn.model_validate(_mended(body, roots))
    except ValidationError:
        return []
    checked = check_request(message.request(None, ""))
    if not isinstance(checked, tuple):
        return []
    under = tuple("/".join(("", *map(str, root), "")) for root in roots)
    return [fault for fault in checked if not f"{fault.path}/".startswith(under)]


def _root(pointer: str) -> tuple[str, ...]:
    """The part to replace: an item of a list, or a whole field."""
    name, *rest = pointer.split("/")[1:3] or [""]
    return (name, rest[0]) if rest and rest[0].isdecimal() and name in _PLACEHOLDERS else (name,)


def _mended(body: dict[str, Any], roots: set[tuple[str, ...]]) -> dict[str, Any]:
    mended = dict(body)
    for root in sorted(roots, key=len, reverse=True):
        name, *index = root
        if index and isinstance(mended.get(name), list):
            items = list(mended[name])
            items[int(index[0])] = _PLACEHOLDERS[name]
            mended[name] = items
        elif name in {"human_sender", "text", "html"}:
            mended[name] = _PLACEHOLDERS[name]
        else:
            mended.pop(name, None)
    return mended


def _party(person: PersonObject) -> Party:
    return Party(address=person.address, name=person.name, phone=person.phone)


def _attachment(one: AttachmentIn) -> Attachment:
    return Attachment(
        filename=one.filename, content_type=one.content_type, content=one.content, content_id=one.content_id
    )
