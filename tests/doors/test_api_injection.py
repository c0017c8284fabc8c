"""Header injection from the API: refused and nothing kept, or sent with exactly its own headers."""

import json
from collections import Counter
from email.parser import BytesHeaderParser
from email.policy import compat32
from typing import Any

import pytest

from homing.loop import ids
from homing.loop.model import MessageId
from homing.store import accepted_messages, views
from tests.data import HOSTILE_INPUTS

from .gateway import Gateway, message

CASES = json.loads((HOSTILE_INPUTS / "api" / "header_injection.json").read_text())

# Where each field of the corpus stands in our request. What has no place is put in as a field that does not exist.
PLACES: dict[str, tuple[str | int, ...]] = {
    "from.name": ("human_sender", "name"),
    "from.email": ("from",),
    "reply_to.name": ("human_sender", "address"),
    "reply_to.email": ("reply_to",),
    "to[].name": ("to", 0, "name"),
    "to[].email": ("to", 0, "address"),
    "headers{value}": ("headers", "X-Own"),
    "in_reply_to": ("headers", "In-Reply-To"),
    "references[]": ("headers", "References"),
    "list_unsubscribe": ("headers", "List-Unsubscribe"),
    "attachments[].filename": ("attachments", 0, "filename"),
    "attachments[].content_type": ("attachments", 0, "content_type"),
    "attachments[].cid": ("attachments", 0, "content_id"),
    "tag": ("stream",),
    "metadata{v}": ("metadata", "name"),
}


def request(field: str, payload: str) -> dict[str, Any]:
    attachment = {"filename": "a.txt", "content_type": "text/plain", "content": "aGk=", "content_id": "one"}
    body = message(attachments=[attachment], headers={"X-Own": "value"}, metadata={"name": "value"})
    if field == "headers{name}":
        return body | {"headers": {payload: "value"}}
    if field == "metadata{k}":
        return body | {"metadata": {payload: "value"}}
    if field == "idempotency_key":
        return body
    *way, last = PLACES.get(field, (field,))
    inner: Any = body
    for step in way:
        inner = inner[step]
    inner[last] = payload
    return body


def header_names(content: bytes) -> Counter[str]:
    head = content.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    assert head.count(b"\r\n") == head.count(b"\n") == head.count(b"\r")
    return Counter(name.lower() for name in BytesHeaderParser(policy=compat32).parsebytes(head).keys())  # noqa: SIM118


_OF_THE_DELIVERY = ("from", "reply-to", "homing-trace", "cfbl-address", "cfbl-feedback-id")
_OF_THE_MESSAGE = ("date", "message-id", "subject", "to", "mime-version", "content-type", "x-own")
CLEAN = Counter((*_OF_THE_DELIVERY, *_OF_THE_MESSAGE))


@pytest.mark.parametrize("field", CASES["fields"])
async def test_no_field_carries_a_header_of_its_own(home: Gateway, field: str) -> None:
    accepted = 0
    for payload in CASES["payloads"]:
        headers: dict[str, Any] = {"Content-Type": "application/json"}
        if field == "idempotency_key":
            if set(payload) & set("\r\n\0"):
                continue  # no HTTP server lets these through
            headers["Idempotency-Key"] = payload.encode("utf-8", "replace")
        body = json.dumps(request(field, payload)).encode()
        response = await home.call("POST", "/v1/messages", content=body, headers=headers)
        assert response.status_code in {202, 422}, (field, payload[:40], response.text[:300])
        if response.status_code == 422:
            assert response.json()["errors"] or field == "idempotency_key"
            continue
        accepted += 1
        await _check_wire(home, response.json()["id"], field, payload)
    assert accepted < len(CASES["payloads"])
    kept = (await home.call("GET", "/v1/messages?limit=200")).json()["messages"]
    assert len(kept) <= accepted


async def _check_wire(home: Gateway, text: str, field: str, payload: str) -> None:
    identifier = MessageId(ids.read("message", text))
    content = await home.database.read(accepted_messages.content, home.acme.organization.id, identifier)
    view = await home.database.read(views.message, home.acme.organization.id, identifier)
    one = view.deliveries[0]
    front = home.parts.acceptance.outgoing.front(one.delivery.id, one.identity, one.delivery.created_at)
    names = header_names(front + content)
    expected = Counter(CLEAN)
    if field == "headers{name}":
        expected.update({payload.lower(): 1, "x-own": -1})
    elif field in {"in_reply_to", "references[]", "list_unsubscribe"}:
        expected.update([str(PLACES[field][-1]).lower()])
    assert names == +expected, (field, payload[:40])
