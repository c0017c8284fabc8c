"""How much of a request's body is read, and how much of all of them lies in memory at once."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from homing.doors.api.body import READ_AT_ONCE
from homing.doors.api.parts import LARGEST_BODY, SMALL_BODY
from homing.doors.shares import NoShareError, Shares
from homing.flow import metrics
from homing.loop.model import OPERATOR
from tests.patience import until

from .gateway import ADMINISTRATOR, ALL, Gateway, make_key, message

MIB = 1024 * 1024
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
    body: bytes = b""
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
        self.body += message.get("body", b"")


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
    room = Shares(8 * MIB, least=5 * MIB)
    object.__setattr__(home.parts, "bodies", room)
    known = JSON | home.acme.headers
    waiting = [
        Endless("POST", "/v1/messages", JSON | member.headers, held=3 * MIB) for member in (home.acme, home.other)
    ]
    tasks = [asyncio.create_task(one.ask(home)) for one in waiting]
    await asyncio.gather(*(one.reached.wait() for one in waiting))
    assert room.used == 6 * MIB

    async with asyncio.timeout(5):
        large = await Endless("POST", "/v1/messages", known, held=MIB + MIB // 2).ask(home)
    assert (large.status, large.fields["retry-after"], large.fields["connection"]) == (503, "5", "close")
    assert room.used == 6 * MIB
    await home.send()

    for one in waiting:
        one.free.set()
    await asyncio.gather(*tasks)
    assert [one.status for one in waiting] == [400, 400]
    assert room.used == 0


async def test_a_full_room_is_full_for_all(home: Gateway) -> None:
    room = Shares(1000, least=1000)
    object.__setattr__(home.parts, "bodies", room)
    response = await home.call("POST", "/v1/messages", json={"text": "a" * 2000})
    assert (response.status_code, response.json()["code"]) == (503, "gateway-busy")
    assert room.used == 0


@asynccontextmanager
async def waiting_for(home: Gateway, *requests: Endless) -> AsyncIterator[None]:
    """Within it these requests wait for the rest of their bodies."""
    tasks = [asyncio.create_task(one.ask(home)) for one in requests]
    try:
        await until(lambda: all(one.reached.is_set() for one in requests) or any(task.done() for task in tasks))
        assert [one.status for one in requests] == [0] * len(requests)
        yield
    finally:
        for one in requests:
            one.free.set()
        await asyncio.gather(*tasks)


async def refused(home: Gateway, request: Endless) -> Endless:
    """The request, which should be answered before its body has come."""
    task = asyncio.create_task(request.ask(home))
    await until(lambda: task.done() or request.reached.is_set())
    request.free.set()
    return await task


def refusals(code: str) -> float:
    return metrics.SHARE_REFUSALS.labels(code)._value.get()


async def test_no_organization_has_all_of_the_room_for_bodies(home: Gateway) -> None:
    """By whichever of its keys they come; another one's body, and the operator's, comes through."""
    object.__setattr__(home.parts, "bodies", Shares(16 * MIB, least=2 * MIB))
    further = {"authorization": f"Bearer {await make_key(home.database, home.clock, home.acme.organization.id, ALL)}"}
    acme = Endless("POST", "/v1/messages", JSON | home.acme.headers, held=6 * MIB)
    before = refusals("too-many-bodies")
    async with waiting_for(home, acme):
        more = await refused(home, Endless("POST", "/v1/messages", JSON | further, held=3 * MIB))
        assert (more.status, more.fields.get("retry-after"), more.fields.get("connection")) == (429, "10", "close")
        assert json.loads(more.body)["code"] == "too-many-bodies"
        assert refusals("too-many-bodies") == before + 1
        assert (home.parts.bodies.used, home.parts.uploads.used) == (6 * MIB, 1)
        for others in (home.other.headers, home.administrator):
            async with waiting_for(home, Endless("POST", "/v1/messages", JSON | others, held=2 * MIB)):
                assert home.parts.bodies.used == 8 * MIB
    assert home.parts.bodies.used == 0
    again = Endless("POST", "/v1/messages", JSON | further, held=3 * MIB)
    async with waiting_for(home, again):
        pass
    assert again.status == 400, "no JSON"


async def test_whatever_one_organization_sends_the_largest_body_of_another_finds_room(home: Gateway) -> None:
    room = home.parts.bodies
    with pytest.raises(NoShareError):
        while True:
            room.take(home.acme.organization.id, len(CHUNK))
    largest = Endless("POST", "/v1/messages", JSON | home.other.headers, held=LARGEST_BODY)
    async with waiting_for(home, largest):
        assert largest.read == LARGEST_BODY
        room.take(OPERATOR, SMALL_BODY)


async def test_no_organization_has_all_places_for_bodies_that_do_not_come(home: Gateway) -> None:
    home.parts.bound(8)

    def slow(who: dict[str, str]) -> Endless:
        return Endless("POST", "/v1/messages", JSON | who, held=0)

    async with waiting_for(home, slow(home.acme.headers), slow(home.acme.headers)):
        assert home.parts.uploads.used == 2
        more = await refused(home, slow(home.acme.headers))
        assert (more.status, json.loads(more.body)["code"]) == (429, "too-many-bodies")
        stranger = Endless("POST", "/sign_in", FORM, held=0)
        async with waiting_for(home, slow(home.other.headers), slow(home.administrator), stranger):
            assert home.parts.uploads.used == 4, "a stranger's connection gives way, and needs no place"
            full = await refused(home, slow(home.other.headers))
            assert (full.status, json.loads(full.body)["code"]) == (503, "gateway-busy")
    assert home.parts.uploads.used == 0


async def test_a_body_that_has_come_has_no_place_among_those_to_come(home: Gateway) -> None:
    at_work: list[int] = []
    object.__setattr__(home.parts, "check_url", lambda _: at_work.append(home.parts.uploads.used) or [])
    changed = await home.call("PATCH", "/v1/organization", json={"webhook_url": "https://acme.example/hook"})
    assert (changed.status_code, set(at_work)) == (200, {0})
    object.__setattr__(home.parts, "uploads", Shares(0))
    assert (await home.call("POST", "/v1/messages", json={})).status_code == 503
    assert (await home.call("GET", "/v1/messages")).status_code == 200, "it has no body"


async def test_an_organizations_large_bodies_are_worked_on_one_after_the_other(home: Gateway) -> None:
    """However many it sends at once: others come between them, and its small ones are not held up."""
    large = message(text="a" * (READ_AT_ONCE + 1))
    async with home.parts.large_bodies.of(home.acme.organization.id):
        waiting = asyncio.create_task(home.call("POST", "/v1/messages", json=large))
        await home.send()
        await home.send(home.other, text=large["text"])
        assert not waiting.done()
    assert (await waiting).status_code == 202


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
