"""Every field and parameter of the API takes its own type, and whatever else comes is refused in words: never a 5xx."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from homing.loop import ids
from homing.store.ids import earliest
from tests.store.conftest import cluster, templates, url

from .gateway import Gateway, gateway, message
from .operations import fields_of, operations, placed, routes, types_of

__all__ = ["cluster", "templates", "url"]

LONG_AGO = ("1969-12-31T23:59:59Z", "1900-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00")
SOME_DAY = ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999-12:00")

OTHER_TYPES: dict[str, tuple[Any, ...]] = {
    "integer": ("1", True, 1.0, 10**30),
    "boolean": ("true", 1, 0),
    "string": (1, True, []),
    "array": ("", {}),
    "object": (1, []),
}
NOT_NUMBERS = ("1.0", "+1", " 1", "1_0", "٣", "true", "1e1", "", "9" * 30, "-1", "0x1", "nan")
HOSTILE = ("%00", "a%00b", "%ED%A0%80", "%FF", "%F0%9F%90%A6", "%0D%0A", "-1", "9" * 400, "null", "[]", "", "a" * 3000)
TEXTS = ("\0", "a\0b", "\ud83d", "a\ud83db", "\u202e", "\U00010000", "a" * 100_000, "\r\n", "", " ", "%00", "٣")
PAGE_FIELDS = (
    *(
        "q",
        "before",
        "after",
        "address",
        "stream",
        "state",
        "what",
        "name",
        "organization",
        "cause",
        "key",
        "recipient",
    ),
    *("leave", "List-Unsubscribe"),
)
HEADERS = (
    "idempotency-key",
    "last-event-id",
    "if-none-match",
    "homing-organization",
    "authorization",
    "accept",
    "range",
)
ODD = (
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b'W/"',
    b"a" * 5000,
    b"%00",
    b"",
    b"\t",
    b"9" * 400,
    b";q=",
    b"text/html;q=x, */*;q=-1",
)


async def test_a_moment_before_1970_is_a_moment(home: Gateway) -> None:
    await home.send()
    for moment in LONG_AGO:
        for name, count in (("since", 1), ("until", 0)):
            response = await home.call("GET", "/v1/messages", params={name: moment})
            assert response.status_code == 200, (name, moment, response.text)
            assert len(response.json()["messages"]) == count, (name, moment)


async def test_a_moment_far_ahead_is_a_moment(home: Gateway) -> None:
    await home.send()
    for moment in SOME_DAY:
        for name, count in (("since", 0), ("until", 1)):
            response = await home.call("GET", "/v1/messages", params={name: moment})
            assert (response.status_code, len(response.json()["messages"])) == (200, count), (name, moment)


@pytest.mark.slow
async def test_every_moment_that_is_asked_for_may_be_any_moment(home: Gateway) -> None:
    tried = 0
    for operation in operations(home.app):
        for name in ("since", "until"):
            if name in operation.query:
                for moment in (*LONG_AGO, *SOME_DAY):
                    params = {name: moment} | ({"reason": "manual"} if "reason" in operation.query else {})
                    response = await home.call("GET", operation.path, params=params)
                    assert response.status_code == 200, (operation.path, name, moment, response.text)
                    tried += 1
    assert tried == 30


@pytest.mark.parametrize("moment", ["0", "1700000000", "2026-03-02", "2026-03-02T09:00:00", "2026-03-02T09:00Z", "now"])
async def test_a_number_or_half_a_moment_is_none(home: Gateway, moment: str) -> None:
    response = await home.call("GET", "/v1/messages", params={"since": moment})
    assert response.status_code == 422, moment
    assert response.json()["errors"][0]["pointer"] == "/query:since"


async def test_what_never_expires_in_our_calendar_can_be_read_again(home: Gateway) -> None:
    body = {"address": "john@example.org", "expires_at": SOME_DAY[1]}
    assert (await home.call("POST", "/v1/suppressions", json=body)).status_code == 201
    assert (await home.call("GET", "/v1/suppressions")).json()["suppressions"][0]["expires_at"].startswith("9999-12-31")


def test_no_id_is_older_than_1970() -> None:
    first = earliest(datetime(1970, 1, 1, tzinfo=UTC))
    assert earliest(datetime(1, 1, 1, tzinfo=UTC)) == first
    assert first.version == 7
    assert earliest(datetime.max.replace(tzinfo=UTC)) > first


@pytest.mark.slow
async def test_no_field_takes_what_could_be_turned_into_its_type(home: Gateway) -> None:
    tried = 0
    for operation in operations(home.app):
        for pointer, schema in fields_of(operation.body):
            wanted = types_of(schema)
            for kind in wanted - {"null"}:
                for value in OTHER_TYPES[kind]:
                    if {type(value)} & {_PYTHON[one] for one in wanted if one in _PYTHON}:
                        continue
                    response = await home.call(
                        operation.method,
                        operation.somewhere,
                        json=placed(pointer, value),
                        headers=_for(home, operation.path),
                    )
                    assert response.status_code == 422, (operation, pointer, value, response.text)
                    told = [one["pointer"] for one in response.json().get("errors", [])]
                    assert any(one.startswith(pointer) for one in told), (operation.path, pointer, value, told)
                    tried += 1
    assert tried > 150


_PYTHON = {"string": str, "boolean": bool, "array": list, "object": dict}


@pytest.mark.slow
async def test_no_number_in_a_query_is_guessed(home: Gateway) -> None:
    tried = 0
    for operation in operations(home.app):
        for name, schema in operation.query.items():
            kind = types_of(schema)
            if "integer" in kind or "boolean" in kind:
                for text in NOT_NUMBERS if "integer" in kind else ("1", "yes", "on", "True", "", "0", "t"):
                    address = f"{operation.somewhere}?{name}={quote(text)}"
                    response = await home.call(operation.method, address, headers=_for(home, operation.path))
                    assert response.status_code == 422, (address, response.text)
                    assert [one["pointer"] for one in response.json()["errors"]] == [f"/query:{name}"]
                    tried += 1
    assert tried > 60


@pytest.mark.slow
async def test_no_parameter_breaks_anything(url: str, tmp_path: Path) -> None:
    async with gateway(tmp_path, url) as home:
        await ask_oddly(home)
        await write_oddly(home)
        await browse_oddly(home)


async def ask_oddly(home: Gateway) -> None:
    for operation in operations(home.app):
        if operation.path == "/v1/doctor":
            continue  # asks the DNS, for seconds
        addresses = [f"{operation.somewhere}?{name}={text}" for name in operation.query for text in HOSTILE]
        if "{" in operation.path:
            before, _, after = operation.path.partition("{")
            behind = after.partition("}")[2].replace("{key}", "x")
            addresses += [f"{before}{text or '%20'}{behind}" for text in HOSTILE]
        for address in addresses:
            response = await home.call(operation.method, address, headers=_for(home, operation.path), json={})
            assert response.status_code < 500, (operation.method, address, response.text)


async def write_oddly(home: Gateway) -> None:
    known = {"human_sender": message()["human_sender"], "to": ["john@example.org"], "text": "x", "name": "x"}
    for operation in operations(home.app):
        for pointer, schema in fields_of(operation.body):
            if "string" not in types_of(schema) | types_of(schema.get("items", {})):
                continue
            for text in TEXTS:
                value = [text] if "array" in types_of(schema) else text
                document = known if operation.path == "/v1/messages" else {}
                response = await home.call(
                    operation.method,
                    operation.somewhere,
                    content=json.dumps(document | placed(pointer, value)),
                    headers=_for(home, operation.path) | {"Content-Type": "application/json"},
                )
                assert response.status_code < 500, (operation.path, pointer, text[:20], response.text)
                if not text.isprintable() and "\ud83d" in text:
                    assert response.status_code in {404, 422}, (operation.path, pointer)


async def browse_oddly(home: Gateway) -> None:
    """Every page, as somebody at this machine, with odd things in its address and its forms."""
    transport = httpx2.ASGITransport(home.app, raise_app_exceptions=False, client=("127.0.0.1", 4711))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8025") as browser:
        for method, path in routes(home.app):
            if path.startswith("/v1/") or method == "HEAD":
                continue
            for text in HOSTILE:
                address = re.sub(r"\{\w+\}", text or "x", path)
                pairs = "&".join(f"{name}={text}" for name in PAGE_FIELDS)
                form = {"content": pairs, "headers": {"Content-Type": "application/x-www-form-urlencoded"}}
                response = await browser.request(method, f"{address}?{pairs}", **(form if method == "POST" else {}))
                assert response.status_code < 500, (method, address, response.text)


@pytest.mark.slow
async def test_no_header_breaks_anything(home: Gateway) -> None:
    home.parts.tail.stopping.set()  # live streams end after their first frame
    for path in ("/v1/messages", "/v1/events/stream", "/v1/events", "/metrics", "/openapi.json", "/", "/nowhere"):
        for name in HEADERS:
            for value in ODD:
                headers = [*home.acme.headers.items(), (name, value)]
                response = await home.client.get(path, headers=headers)
                assert response.status_code < 500, (path, name, value, response.text)


@pytest.mark.parametrize("key", ["", "a" * 256, "é"])
async def test_an_idempotency_key_is_checked_wherever_it_is_taken(home: Gateway, key: str) -> None:
    delivery = (await home.send())["deliveries"][0]["id"]
    bodies = {"/v1/messages": message(), f"/v1/deliveries/{delivery}/resend": {"recipient": "x@example.org"}}
    for path, body in bodies.items():
        response = await home.call("POST", path, json=body, headers={"Idempotency-Key": key.encode("latin-1")})
        assert response.status_code == 422, (path, response.text)
        assert response.json()["errors"][0]["code"] == "idempotency-key-syntax"


@pytest.mark.parametrize(
    "digits", ["0190C3B65A7C7D0E8F1A2B3C4D5E6F70", "0190_c3b65a7c7d0e8f1a2b3c4d5e6f7", "٣" * 32, "+" + "1" * 31]
)
def test_an_id_has_one_spelling(digits: str) -> None:
    assert ids.read("message", f"msg_{digits}") is None


def _for(home: Gateway, path: str) -> dict[str, str]:
    """The key that may ask there."""
    administrators = ("/v1/organizations", "/v1/administrator_keys", "/v1/dkim_keys", "/v1/alarms")
    named = {} if path.startswith(administrators) else {"Homing-Organization": "acme"}
    return home.administrator | named
