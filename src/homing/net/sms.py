"""Text messages through a provider: any that takes JSON over HTTP, or one shaped like Twilio.

A provider's 2xx means that it took the text, no more; what became of it comes later to the callback address.
That address must be its own proof (unguessable), since providers differ in what they sign, or sign nothing.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from urllib.parse import parse_qs, quote, urlencode

from homing.mail.text import clean
from homing.net.fetch import TEXT_LIMIT, Fetcher, HttpAnswer, NoAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsAccepted:
    """The provider took the text. `provider_id` is its name for it, which comes back with the callback."""

    provider_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsRefused:
    """The provider did not take the text. `code` is its own word, else the HTTP status or "unreachable"."""

    code: str
    text: str
    permanent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsUnknown:
    """The text may have gone out."""

    why: str


SmsAnswer = SmsAccepted | SmsRefused | SmsUnknown


class SmsStatus(StrEnum):
    """`other`: still under way, or a word that we do not know."""

    DELIVERED = "delivered"
    FAILED = "failed"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCallback:
    """What became of a text. `said` is the provider's own word for it, with its error code."""

    provider_id: str
    status: SmsStatus
    said: str


class SmsSender(Protocol):
    """A provider: the interface by which others are added."""

    async def send(self, to: str, text: str, reference: str, callback: str) -> SmsAnswer:
        """Sends `text` to the number `to` (E.164). `reference` is our id of it; news of it go to the URL `callback`."""
        ...

    def parse_status_callback(self, body: bytes) -> StatusCallback | None:
        """The status in a callback, None if the body is not a callback of this provider."""
        ...


_PLACEHOLDER = re.compile(r"\{(to|text|reference|callback)\}")
_BUSY = frozenset({408, 429, 503})
_DELIVERED = frozenset({"delivered", "read"})
_FAILED = frozenset({"failed", "undelivered", "undeliverable", "rejected", "expired", "canceled", "blocked"})

_Json = Mapping[str, "_Json"] | list["_Json"] | str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenericHttp:
    """Posts JSON: `template` with {to}, {text}, {reference} and {callback} filled in wherever a string holds them.

    `headers` carry the credentials. `id_field` names the provider's id in its answer and its callback, `status_field`
    the status in the callback.
    """

    fetcher: Fetcher
    url: str
    template: str
    headers: Mapping[str, str] = field(default_factory=dict)
    id_field: str = "id"
    status_field: str = "status"

    async def send(self, to: str, text: str, reference: str, callback: str) -> SmsAnswer:
        values = {"to": to, "text": text, "reference": reference, "callback": callback}
        content = json.dumps(_filled(json.loads(self.template), values)).encode()
        answer = await self.fetcher.post(self.url, content, {"Content-Type": "application/json", **self.headers})
        return _judged(answer, self.id_field)

    def parse_status_callback(self, body: bytes) -> StatusCallback | None:
        fields = _json_fields(body)
        return _status(fields.get(self.id_field, ""), fields.get(self.status_field, ""), fields.get("code", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class TwilioShaped:
    """Speaks the form POST of Twilio's Messages resource (API version 2010-04-01), which others copy."""

    fetcher: Fetcher
    base_url: str
    account_sid: str
    auth_token: str = field(repr=False)
    from_number: str

    async def send(self, to: str, text: str, reference: str, callback: str) -> SmsAnswer:  # noqa: ARG002
        """Sends like any `SmsSender`; `reference` is not passed on, as the provider has no field for it."""
        url = f"{self.base_url.rstrip('/')}/2010-04-01/Accounts/{quote(self.account_sid, safe='')}/Messages.json"
        form = urlencode({"To": to, "From": self.from_number, "Body": text, "StatusCallback": callback})
        credentials = base64.b64encode(f"{self.account_sid}:{self.auth_token}".encode()).decode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Basic {credentials}"}
        return _judged(await self.fetcher.post(url, form.encode(), headers), "sid")

    def parse_status_callback(self, body: bytes) -> StatusCallback | None:
        try:
            fields = parse_qs(body.decode("utf-8"), max_num_fields=100)
        except ValueError:
            return None
        values = [fields.get(name, [""])[0] for name in ("MessageSid", "MessageStatus", "ErrorCode")]
        return _status(*values)


def _filled(template: _Json, values: Mapping[str, str]) -> _Json:
    match template:
        case str():
            return _PLACEHOLDER.sub(lambda found: values[found[1]], template)
        case list():
            return [_filled(item, values) for item in template]
        case Mapping():
            return {name: _filled(item, values) for name, item in template.items()}
        case _:
            return template


def _judged(answer: HttpAnswer | NoAnswer, id_field: str) -> SmsAnswer:
    if isinstance(answer, NoAnswer):
        if answer.sent:
            return SmsUnknown(why=answer.why)
        return SmsRefused(code="unreachable", text=answer.why, permanent=False)
    fields = _json_fields(answer.body)
    if 200 <= answer.status < 300:
        provider_id = fields.get(id_field, "")
        return SmsAccepted(provider_id=provider_id) if provider_id else SmsUnknown(why=f"accepted without {id_field}")
    if answer.status >= 500 and answer.status not in _BUSY:
        return SmsUnknown(why=f"HTTP {answer.status}: {answer.text}")
    return SmsRefused(
        code=fields.get("code") or str(answer.status),
        text=clean(fields.get("message", ""), TEXT_LIMIT) or answer.text,
        permanent=answer.status not in _BUSY,
    )


def _json_fields(body: bytes) -> dict[str, str]:
    """The text and number fields of a JSON object, as text; nothing for anything else."""
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(read, dict):
        return {}
    return {name: str(value)[:TEXT_LIMIT] for name, value in read.items() if isinstance(value, str | int)}


def _status(provider_id: str, said: str, code: str) -> StatusCallback | None:
    if not provider_id or not said:
        return None
    word = said.lower()
    status = SmsStatus.DELIVERED if word in _DELIVERED else SmsStatus.FAILED if word in _FAILED else SmsStatus.OTHER
    return StatusCallback(
        provider_id=clean(provider_id, TEXT_LIMIT), status=status, said=clean(f"{said} {code}", TEXT_LIMIT)
    )
