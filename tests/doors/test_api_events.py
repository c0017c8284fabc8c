"""Events as a list and as live streams: nothing skipped, nothing of others, and only for whom they are meant."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from homing.doors.api import events as door
from homing.doors.api import tail
from homing.loop import ids
from homing.loop.model import OPERATOR, EventType, NewEvent, OrganizationId
from homing.loop.token import Purpose
from homing.store import events
from tests.patience import PATIENCE, until

from .gateway import Gateway, Member
from .serving import serving


async def happen(home: Gateway, member: Member, *, own: bool = True, **data: Any) -> None:
    """An event, as a worker would write it."""
    subject = events.Subject(organization=member.organization.id, human_sender=member.sender.id if own else None)
    event = NewEvent(type=EventType.NOTIFIED, data=data)
    await home.database.write(events.append, [events.Happening(subject=subject, event=event, at=home.clock())])
    home.parts.news.wake()


@asynccontextmanager
async def following(url: str, **more: Any) -> AsyncIterator[AsyncIterator[dict[str, str]]]:
    """The frames of a live stream."""
    async with httpx2.AsyncClient(timeout=PATIENCE) as client, client.stream("GET", url, **more) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield frames(response)


async def frames(response: httpx2.Response) -> AsyncIterator[dict[str, str]]:
    frame: dict[str, str] = {}
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if line:
            frame[name] = value
        elif "data" in frame:
            yield frame
            frame = {}
        else:
            frame = {}


async def take(stream: AsyncIterator[dict[str, str]], count: int) -> list[dict[str, str]]:
    async with asyncio.timeout(PATIENCE):
        return [await anext(stream) for _ in range(count)]


def number(frame: dict[str, str]) -> int:
    return json.loads(frame["data"])["data"]["number"]


async def test_a_stream_begins_with_its_place(home: Gateway) -> None:
    """Whoever is cut off before the first event comes back there, and misses nothing."""
    await happen(home, home.acme, number=1)
    async with serving(home.app) as url, httpx2.AsyncClient(timeout=PATIENCE) as client:
        stream = client.stream("GET", f"{url}/v1/events/stream", headers=home.acme.headers)
        async with stream as response:
            opening = await anext(response.aiter_text())
    place = opening.partition("id: ")[2].partition("\n")[0]
    await happen(home, home.acme, number=2)
    found = (await home.call("GET", f"/v1/events?cursor={place}")).json()["events"]
    assert [event["data"]["number"] for event in found] == [2]


async def test_the_list_goes_on_where_the_cursor_stands(home: Gateway) -> None:
    for index in range(5):
        await happen(home, home.acme, number=index)
    first = (await home.call("GET", "/v1/events?limit=3")).json()
    rest = (await home.call("GET", f"/v1/events?limit=3&cursor={first['cursor']}")).json()
    assert [one["data"]["number"] for one in first["events"] + rest["events"]] == [0, 1, 2, 3, 4]
    assert (await home.call("GET", f"/v1/events?cursor={rest['cursor']}")).json()["events"] == []
    assert first["events"][0]["type"] == "notified"
    assert first["events"][0]["anymail_event"] == "unknown"
    assert first["events"][0]["human_sender"] == ids.show("human_sender", home.acme.sender.id)
    bad = await home.call("GET", "/v1/events?cursor=%21")
    assert (bad.status_code, bad.json()["code"]) == (422, "cursor-invalid")


async def test_a_stream_begins_now_and_hears_the_bell(home: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "LOOK_AT_LEAST", 600.0)
    await happen(home, home.acme, number=0)
    async with serving(home.app) as url, following(f"{url}/v1/events/stream", headers=home.acme.headers) as stream:
        for index in range(1, 4):
            await happen(home, home.acme, number=index)
            await happen(home, home.other, number=99)
            [frame] = await take(stream, 1)
            assert (number(frame), frame["event"]) == (index, "notified")


async def test_a_stream_goes_on_after_the_last_event_that_was_seen(home: Gateway) -> None:
    async with serving(home.app) as url:
        async with following(f"{url}/v1/events/stream", headers=home.acme.headers) as stream:
            for index in range(3):
                await happen(home, home.acme, number=index)
            seen = await take(stream, 2)
        for index in range(3, 300):
            await happen(home, home.acme, number=index)
        again = home.acme.headers | {"Last-Event-ID": seen[-1]["id"]}
        async with following(f"{url}/v1/events/stream?cursor=MA", headers=again) as stream:
            rest = await take(stream, 298)
        by_query = f"{url}/v1/events/stream?cursor={seen[-1]['id']}"
        async with following(by_query, headers=home.acme.headers) as stream:
            assert number((await take(stream, 1))[0]) == 2
        assert [number(frame) for frame in seen + rest] == list(range(300))


async def test_what_rang_no_bell_is_found_within_a_second_or_so(home: Gateway) -> None:
    async with serving(home.app) as url, following(f"{url}/v1/events/stream", headers=home.acme.headers) as stream:
        subject = events.Subject(organization=home.acme.organization.id)
        happening = events.Happening(
            subject=subject, event=NewEvent(type=EventType.NOTIFIED, data={"number": 1}), at=home.clock()
        )
        await home.database.write(events.append, [happening])
        assert number((await take(stream, 1))[0]) == 1


async def test_heartbeats_and_the_end_of_a_key(home: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "HEARTBEAT", 0.1)
    monkeypatch.setattr(tail, "LOOK_AT_LEAST", 0.05)
    async with (
        serving(home.app) as url,
        httpx2.AsyncClient(timeout=PATIENCE) as client,
        client.stream("GET", f"{url}/v1/events/stream", headers=home.acme.headers) as response,
    ):
        lines = response.aiter_lines()
        async with asyncio.timeout(PATIENCE):
            while await anext(lines) != ": alive":
                pass
        await home.database.write(_revoke_all)
        async with asyncio.timeout(PATIENCE):
            async for _ in lines:
                pass


async def test_a_stream_ends_with_the_hour_of_its_token(home: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "HEARTBEAT", 0.1)
    monkeypatch.setattr(tail, "LOOK_AT_LEAST", 0.05)
    path = await own_stream(home)
    async with (
        serving(home.app) as url,
        httpx2.AsyncClient(timeout=PATIENCE) as client,
        client.stream("GET", f"{url}{path}") as response,
    ):
        lines = response.aiter_lines()
        async with asyncio.timeout(PATIENCE):
            while await anext(lines) != ": alive":
                pass
        home.clock.advance(timedelta(hours=1))
        async with asyncio.timeout(PATIENCE):
            async for _ in lines:
                pass


def _revoke_all(conn) -> None:
    from homing.store import tables

    conn.execute(tables.api_key.delete())


async def test_streams_end_when_the_process_does(home: Gateway) -> None:
    async with serving(home.app) as url, httpx2.AsyncClient(timeout=PATIENCE) as client:
        async with client.stream("GET", f"{url}/v1/events/stream", headers=home.acme.headers) as response:
            lines = response.aiter_lines()
            await anext(lines)
            assert home.parts.streams.used == 1
            home.parts.tail.stopping.set()
            home.parts.news.wake()
            async with asyncio.timeout(PATIENCE):
                async for _ in lines:
                    pass
        await until(lambda: home.parts.streams.used == 0)


async def test_no_organization_has_all_live_streams(home: Gateway) -> None:
    """Neither by its key nor by its people's tokens; whoever comes from another one finds a place."""
    home.parts.bound(8)
    own = await own_stream(home)
    async with serving(home.app) as url, AsyncExitStack() as stack:
        await stack.enter_async_context(following(f"{url}/v1/events/stream", headers=home.acme.headers))
        await stack.enter_async_context(following(f"{url}{own}"))
        for refused in (await home.call("GET", "/v1/events/stream"), await home.client.get(own)):
            assert (refused.status_code, refused.json()["code"]) == (429, "too-many-streams")
            assert refused.headers["retry-after"] == "10"
        async with following(f"{url}/v1/events/stream", headers=home.other.headers) as stream:
            await happen(home, home.other, number=1)
            assert number((await take(stream, 1))[0]) == 1
        await until(lambda: home.parts.streams.used == 2)


async def test_live_streams_are_bounded_for_all_organizations_together(home: Gateway) -> None:
    home.parts.bound(8)
    another = OrganizationId(ids.new_id(home.clock(), b"x" * 10))
    for holder in (OPERATOR, OPERATOR, another):
        home.parts.streams.take(holder)
    async with serving(home.app) as url, following(f"{url}/v1/events/stream", headers=home.other.headers):
        response = await home.call("GET", "/v1/events/stream")
        assert (response.status_code, response.json()["code"]) == (503, "gateway-busy")
        assert response.headers["retry-after"] == "5"


async def test_streams_that_are_asked_for_at_once_are_as_few(home: Gateway) -> None:
    home.parts.bound(8)
    async with serving(home.app) as url, httpx2.AsyncClient(timeout=PATIENCE) as client, AsyncExitStack() as stack:
        asked = [client.stream("GET", f"{url}/v1/events/stream", headers=home.acme.headers) for _ in range(6)]
        answers = await asyncio.gather(*(stack.enter_async_context(one) for one in asked))
        assert sorted(one.status_code for one in answers) == [200] * 2 + [429] * 4


async def test_what_happens_is_read_once_however_many_listen(home: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "LOOK_AT_LEAST", 600.0)
    looks, read = [], events.after_of_all

    def counting(conn: Any, organizations: Any, *rest: Any) -> Any:
        looks.append(set(organizations))
        return read(conn, organizations, *rest)

    monkeypatch.setattr(events, "after_of_all", counting)
    home.parts.bound(200)
    async with serving(home.app) as url, AsyncExitStack() as stack:
        own = f"{url}{await own_stream(home)}"
        opened = [await stack.enter_async_context(following(own)) for _ in range(20)]
        await happen(home, home.acme, number=0)
        assert [number(frame) for one in opened for frame in await take(one, 1)] == [0] * 20
        looks.clear()
        for index in range(1, 6):
            await happen(home, home.acme, number=index)
            for one in opened:
                assert [number(frame) for frame in await take(one, 1)] == [index]
    assert len(looks) <= 12, "twenty streams are no more looks than one"
    assert set().union(*looks) == {home.acme.organization.id}, "nobody else's events are read"


async def test_who_does_not_keep_up_misses_nothing(home: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "KEPT", 3)
    monkeypatch.setattr(door, "PAGE", 5)
    async with serving(home.app) as url, following(f"{url}/v1/events/stream", headers=home.acme.headers) as stream:
        await happen(home, home.acme, number=0)
        await take(stream, 1)
        await home.database.write(events.append, [_numbered(home, index) for index in range(1, 50)])
        home.parts.news.wake()
        assert [number(frame) for frame in await take(stream, 49)] == list(range(1, 50))
        await happen(home, home.acme, number=50)
        assert [number(frame) for frame in await take(stream, 1)] == [50]


def _numbered(home: Gateway, index: int) -> events.Happening:
    event = NewEvent(type=EventType.NOTIFIED, data={"number": index})
    return events.Happening(
        subject=events.Subject(organization=home.acme.organization.id), event=event, at=home.clock()
    )


async def test_nothing_is_told_twice_or_lost_while_streams_come_and_go(home: Gateway) -> None:
    """Whoever comes while events are written reads them from the store or hears them, and not both."""
    home.parts.bound(200)
    start = (await home.call("GET", "/v1/events")).json()["cursor"]
    async with serving(home.app) as url:

        async def follow() -> list[int]:
            path = f"{url}/v1/events/stream?cursor={start}"
            async with following(path, headers=home.acme.headers) as stream:
                return [number(frame) for frame in await take(stream, 120)]

        async def write() -> None:
            for index in range(120):
                await home.database.write(events.append, [_numbered(home, index)])
                home.parts.news.wake()
                await asyncio.sleep(0)

        writing = asyncio.create_task(write())
        followed = []
        for _ in range(12):
            followed.append(asyncio.create_task(follow()))
            await asyncio.sleep(0.01)
        for heard in await asyncio.gather(*followed):
            assert heard == list(range(120))
        await writing


async def own_stream(home: Gateway) -> str:
    sender = ids.show("human_sender", home.acme.sender.id)
    made = await home.call("POST", f"/v1/human_senders/{sender}/stream_token")
    assert made.status_code == 200, made.text
    return made.json()["url"]


async def test_a_person_sees_his_own_events_and_no_others(home: Gateway) -> None:
    path = await own_stream(home)
    async with serving(home.app) as url, following(f"{url}{path}") as stream:
        await happen(home, home.acme, own=False, number=1)
        await happen(home, home.other, number=2)
        await happen(home, home.acme, number=3)
        assert number((await take(stream, 1))[0]) == 3


async def test_a_stream_token_opens_one_stream_for_one_hour(home: Gateway) -> None:
    path = await own_stream(home)
    token = path.partition("token=")[2]
    other = ids.show("human_sender", home.other.sender.id)
    for wrong in (
        path.replace(token, ""),
        path.replace(token, "a" * 64),
        f"/v1/human_senders/{other}/events/stream?token={token}",
        f"/v1/human_senders/x/events/stream?token={token}",
    ):
        response = await home.client.get(wrong)
        assert (response.status_code, response.json()["code"]) == (401, "stream-token-invalid"), wrong
    until = home.clock() + timedelta(hours=1)
    session = home.parts.tokens.mint_short(Purpose.CORRECTION, home.acme.sender.id, until)
    assert (await home.client.get(path.replace(token, session))).status_code == 401
    for header in ({"Authorization": f"Bearer {token}"}, {}):
        assert (await home.client.get("/v1/events/stream", headers=header)).status_code == 401
    home.clock.advance(timedelta(hours=1))
    assert (await home.client.get(path)).status_code == 401


async def test_pages_of_allowed_origins_may_read_and_no_others(home: Gateway) -> None:
    await home.call("PATCH", "/v1/organization", json={"cors_origins": ["https://app.example.com"]})
    path = await own_stream(home)
    allowed = await home.client.options(path, headers={"Origin": "https://app.example.com"})
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == "https://app.example.com"
    assert allowed.headers["access-control-allow-methods"] == "GET"
    assert "access-control-allow-credentials" not in allowed.headers
    assert allowed.headers["vary"] == "Origin"
    for origin in ("https://evil.example", "null", "https://app.example.com.evil.example", "http://app.example.com"):
        for method in ("OPTIONS", "GET"):
            response = await home.client.request(method, path, headers={"Origin": origin})
            assert response.status_code == 403, origin
            assert "access-control-allow-origin" not in response.headers
    async with serving(home.app) as url, httpx2.AsyncClient(timeout=PATIENCE) as client:
        headers = {"Origin": "https://app.example.com"}
        async with client.stream("GET", f"{url}{path}", headers=headers) as response:
            assert response.headers["access-control-allow-origin"] == "https://app.example.com"
    elsewhere = await home.call("GET", "/v1/messages", headers={"Origin": "https://app.example.com"})
    assert "access-control-allow-origin" not in elsewhere.headers
