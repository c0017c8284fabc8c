"""How much of a request's body is read, and how much of all of them lies in memory at once."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from homing.doors.api.body import SMALL_BODY
from homing.doors.budget import Budget

from .gateway import ADMINISTRATOR, Gateway, message

CHUNK = b"a" * 4096
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
MULTIPART = {"content-type": "multipart/form-data; boundary=x"}


@dataclass
class Endless:
    """A request whose body has no end; it is `held` after so many octets until the test lets it go on."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    held: int | None = None
    read: int = 0
    status: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    free: asyncio.Event = field(default_factory=asyncio.Event)
    client: str = "203.0.113.9"

    async def ask(self, home: Gateway) -> "Endless":
        headers = {"host": "gateway.example", "transfer-encoding": "chunked"} | self.headers
        scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "scheme": "http",
            "method": self.method,
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": (self.client, 4711),
            "server": ("gateway.example", 80),
        }
        await home.app(scope, self._receive, self._send)
        return self

    async def _receive(self) -> dict[str, Any]:
        if self.held is not None and self.read >= self.held:
            self.reached.set()
            await self.free.wait()
            return {"type": "http.request", "body": b"", "more_body": False}
        self.read += len(CHUNK)
        return {"type": "http.request", "body": CHUNK, "more_body": True}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.fields = {name.decode().lower(): value.decode() for name, value in message["headers"]}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "most"),
    [
        ("POST", "/v1/messages", JSON, 401, 0),
        ("POST", "/v1/messages", JSON | {"authorization": "Bearer wrong"}, 401, 0),
        ("POST", "/v1/organizations", JSON, 401, 0),
        ("POST", "/v1/messages", FORM, 401, 0),
        ("POST", "/v1/nothing", JSON, 404, 0),
        ("PUT", "/v1/messages", JSON, 405, 0),
        ("POST", "/v1/sms/status/x", JSON, 404, 65_536),
        ("POST", "/sign_in", FORM, 403, 16_384),
        ("POST", "/unsubscribe/x", FORM, 410, 16_384),
        ("POST", "/unsubscribe/x", MULTIPART, 410, 16_384),
        ("POST", "/correct/x", FORM, 410, 0),
        ("POST", "/suppressions/lift", FORM, 401, 0),
    ],
)
async def test_a_stranger_is_read_no_further_than_needed(
    home: Gateway, method: str, path: str, headers: dict[str, str], status: int, most: int
) -> None:
    asked = await Endless(method, path, headers).ask(home)
    assert asked.status == status
    assert asked.fields["connection"] == "close"
    assert asked.read <= most + len(CHUNK) * bool(most)
    assert home.parts.bodies.used == 0


async def test_bodies_of_all_requests_together_are_bounded_and_small_ones_come_through(home: Gateway) -> None:
    room = Budget(8 * 1024 * 1024)
    object.__setattr__(home.parts, "bodies", room)
    known = JSON | home.acme.headers
    waiting = [Endless("POST", "/v1/messages", known, held=3 * 1024 * 1024) for _ in range(2)]
    tasks = [asyncio.create_task(one.ask(home)) for one in waiting]
    await asyncio.gather(*(one.reached.wait() for one in waiting))
    assert room.used == 6 * 1024 * 1024

    async with asyncio.timeout(5):
        large = await Endless("POST", "/v1/messages", known, held=1536 * 1024).ask(home)
    assert (large.status, large.fields["retry-after"], large.fields["connection"]) == (503, "5", "close")
    assert room.used == 6 * 1024 * 1024
    await home.send()

    for one in waiting:
        one.free.set()
    await asyncio.gather(*tasks)
    assert [one.status for one in waiting] == [400, 400]
    assert room.used == 0


async def test_a_full_room_is_full_for_all(home: Gateway) -> None:
    room = Budget(1000)
    object.__setattr__(home.parts, "bodies", room)
    response = await home.call("POST", "/v1/messages", json={"text": "a" * 2000})
    assert (response.status_code, response.json()["code"]) == (503, "gateway-busy")
    assert room.used == 0


async def test_an_organizations_large_bodies_are_worked_on_one_after_the_other(home: Gateway) -> None:
    """However many it sends at once: others come between them, and its small ones are not held up."""
    large = message(text="a" * (SMALL_BODY + 1))
    async with home.parts.large_bodies.of(home.acme.organization.id):
        waiting = asyncio.create_task(home.call("POST", "/v1/messages", json=large))
        await home.send()
        await home.send(home.other, text=large["text"])
        assert not waiting.done()
    assert (await waiting).status_code == 202


async def test_live_streams_are_bounded_for_all_organizations_together(home: Gateway) -> None:
    object.__setattr__(home.parts, "streams", 2)
    home.parts.listeners[home.other.organization.id] = 2
    response = await home.call("GET", "/v1/events/stream")
    assert (response.status_code, response.json()["code"]) == (503, "gateway-busy")


@pytest.mark.slow
@pytest.mark.parametrize("key", ["wrong", ADMINISTRATOR])
async def test_a_body_that_is_too_large_is_no_secret(home: Gateway, key: str) -> None:
    headers = JSON | {"authorization": f"Bearer {key}", "homing-organization": "acme"}
    announced = await Endless("POST", "/v1/messages", headers | {"content-length": str(26 * 1024 * 1024)}).ask(home)
    assert (announced.status, announced.read) == (413, 0)
    if key == ADMINISTRATOR:
        sent = await Endless("POST", "/v1/messages", headers).ask(home)
        assert sent.status == 413
        assert 25 * 1024 * 1024 <= sent.read <= 25 * 1024 * 1024 + 2 * len(CHUNK)
    assert home.parts.bodies.used == 0
