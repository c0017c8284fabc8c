"""Who keeps a place at the HTTP door, who gives way, and whose reading is too slow."""

import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from homing.doors.http_connection import HttpLimits, Reading
from homing.doors.http_places import Places, Standing
from homing.loop import ids
from tests.patience import until

from .gateway import ADMINISTRATOR, Gateway
from .serving import serving
from .test_http_connection import Answering, Client, Watched, client

STRANGER, IDLE, ENDING, AT_WORK = Standing.STRANGER, Standing.IDLE, Standing.ENDING, Standing.AT_WORK


def places(*taken: tuple[str, Standing, str]) -> Places[str]:
    made: Places[str] = Places()
    for one in taken:
        made.put(*one)
    return made


def in_turn(made: Places[str]) -> str:
    """Those who give way, one after the other."""
    found = []
    while (one := made.next_to_go()) is not None:
        made.remove(one)
        found.append(one)
    return " ".join(found)


@pytest.mark.parametrize(
    ("taken", "turn"),
    [
        ([], ""),
        ([("a", IDLE, "n"), ("b", STRANGER, "n"), ("c", ENDING, "n"), ("d", AT_WORK, "n")], "c b a"),
        ([("a", STRANGER, "n"), ("b", STRANGER, "n"), ("a", STRANGER, "n")], "b a"),
        ([("a", IDLE, "n"), ("b", IDLE, "n"), ("a", IDLE, "n")], "b a"),
        ([("a", ENDING, "n"), ("b", ENDING, "m"), ("c", ENDING, "m")], "a b c"),
        ([("a", STRANGER, "n"), ("a", AT_WORK, "n"), ("b", STRANGER, "n"), ("b", IDLE, "n")], "b"),
        # the network that holds most, and of networks that hold as many, whichever was longest silent
        ([("a", STRANGER, "n"), ("b", STRANGER, "m"), ("c", STRANGER, "m"), ("d", STRANGER, "m")], "b c a d"),
        ([("a", STRANGER, "n"), ("b", STRANGER, "m"), ("c", STRANGER, "o"), ("a", STRANGER, "n")], "b c a"),
        # those of another standing are none of a network's crowd
        ([("a", STRANGER, "n"), ("b", STRANGER, "m"), ("c", AT_WORK, "m"), ("d", IDLE, "m")], "a b d"),
        # who turns out to come from elsewhere counts there
        ([("a", STRANGER, "n"), ("b", STRANGER, "n"), ("c", STRANGER, "m"), ("b", STRANGER, "m")], "c a b"),
    ],
)
def test_who_gives_way(taken: list[tuple[str, Standing, str]], turn: str) -> None:
    assert in_turn(places(*taken)) == turn


def test_of_all_strangers_it_is_always_one_of_the_largest_crowd() -> None:
    dice, made, network_of = random.Random(7), places(), {}
    for step in range(3_000):
        one, network = f"c{dice.randrange(60)}", f"n{dice.randrange(9)}"
        if dice.random() < 0.4:
            made.remove(one)
            network_of.pop(one, None)
        else:
            made.put(one, STRANGER, network)
            network_of[one] = network
        crowds = [list(network_of.values()).count(found) for found in network_of.values()]
        first = made.next_to_go()
        assert (first is None) is not network_of
        if first is not None:
            assert list(network_of.values()).count(network_of[first]) == max(crowds), step
    assert made.taken == len(network_of)
    assert set(made.everybody()) == set(network_of)


def test_a_place_is_left_once_and_for_all() -> None:
    made = places(("a", STRANGER, "n"))
    made.remove("a")
    made.remove("a")
    assert (made.taken, made.standing("a"), made.next_to_go()) == (0, None, None)


# -- reading ---------------------------------------------------------------------------------------------------------

LIMITS = HttpLimits(unread_seconds=30, answer_rate=1_000, answer_seconds=300)


def given_up_at(seen: list[tuple[float, int]], *, live: bool = False) -> float | None:
    """When an answer of a million octets is given up, of which so many were unread at these moments."""
    reading = Reading(LIMITS)
    reading.answered(1_000_000, 0)
    return next((now for now, unread in seen if reading.too_slow(now, unread, live=live)), None)


def test_nothing_read() -> None:
    assert given_up_at([(now, 900_000) for now in range(100, 200)]) == 131


def test_a_pause_however_much_was_read_before() -> None:
    assert given_up_at([(0, 900_000), (1, 400_000), (2, 400_000), (31, 400_000), (32, 400_000)]) == 32


@pytest.mark.parametrize(("rate", "until"), [(990, None), (500, 61), (10, 31)])
def test_drops(rate: int, until: float | None) -> None:
    assert given_up_at([(now, 900_000 - rate * now) for now in range(200)]) == until


@pytest.mark.parametrize(("live", "until"), [(False, 301), (True, None)])
def test_an_answer_ends_and_a_live_stream_may_last(live: bool, until: float | None) -> None:
    assert given_up_at([(now, 900_000 - 2_000 * now) for now in range(400)], live=live) == until


def test_who_has_read_all_begins_anew() -> None:
    reading = Reading(LIMITS)
    for now in range(0, 1_000, 100):
        reading.answered(1_000, 0)
        assert not reading.too_slow(now, 500, live=False)
    reading.answered(1_000, 500)
    assert reading.too_slow(1_000, 1_500, live=False), "what follows unread answers is no beginning"
    assert not reading.too_slow(2_000, 0, live=False)
    assert not reading.too_slow(3_000, 10, live=False)


def test_what_is_written_meanwhile_hides_neither_reading_nor_a_pause() -> None:
    reads, sleeps = Reading(LIMITS), Reading(LIMITS)
    for now in range(0, 40, 10):
        reads.answered(20_000, 500)
        assert not reads.too_slow(now, 500, live=True)
        sleeps.answered(20_000, 20_000 * now // 10)
        assert not sleeps.too_slow(now, 20_000 * (now // 10 + 1), live=True)
    assert sleeps.too_slow(40, 80_000, live=True)


# -- at the door ------------------------------------------------------------------------------------------------------


@dataclass
class Door:
    """A door with so many places, and those who come to it, who stay until the end."""

    url: str
    staying: contextlib.AsyncExitStack

    async def comes(self, says: bytes = b"") -> Client:
        return (await self.staying.enter_async_context(client(self.url))).say(says)

    async def takes_one_more(self) -> bool:
        """Whether there is a place for whoever comes, and asks something."""
        async with client(self.url) as new:
            return (await new.say(b"GET /healthz HTTP/1.1\r\n\r\n").answer())[0] == 200


@asynccontextmanager
async def door(app: Any, places: int, *proxies: str) -> AsyncIterator[Door]:
    limits = HttpLimits(connections=places, linger_seconds=60)
    async with serving(app, limits, trusted_proxies=proxies) as url, contextlib.AsyncExitStack() as staying:
        yield Door(url, staying)


def form(path: str, *fields: str, octets: int = 16_000) -> bytes:
    """The head of a request whose body is still to come."""
    kind = "application/json" if path.startswith("/v1/messages") else "application/x-www-form-urlencoded"
    head = [f"POST {path} HTTP/1.1", f"Content-Type: {kind}", f"Content-Length: {octets}", *fields, "", ""]
    return "\r\n".join(head).encode()


LIVE = "Authorization: Bearer live"


async def test_who_has_shown_a_key_keeps_his_place_while_he_is_at_work() -> None:
    app = Answering()
    async with door(app, 4) as place:
        stranger = await place.comes(form("/"))
        known = [await place.comes(form("/", LIVE, octets=2)) for _ in range(3)]
        await until(lambda: app.requests == 4)
        assert await place.takes_one_more()
        await stranger.closed()
        known.append(await place.comes(form("/", LIVE, octets=2)))
        await until(lambda: app.requests == 6)
        async with client(place.url) as further:
            status, fields, _ = await further.answer()
            assert (status, fields["retry-after"]) == (503, "5")
            await further.closed()
        assert [(await one.say(b"ab").answer())[0] for one in known] == [200] * 4
        assert await place.takes_one_more(), "they have their answers, and wait"
        await known[0].closed()
        assert (await known[1].say(b"GET / HTTP/1.1\r\n\r\n").answer())[0] == 200


@pytest.mark.parametrize("path", ["/sign_in", "/v1/sms/status/x", "/unsubscribe/x", "/v1/messages"])
@pytest.mark.parametrize("word", ["Authorization: Bearer homing_live_x", "Cookie: homing_session=x", "X: y"])
async def test_who_only_says_that_he_has_a_key_gives_way(home: Gateway, path: str, word: str) -> None:
    app = Watched(home.app)
    async with door(app, 4) as place:
        for _ in range(4):
            liar = await place.comes()
            for refused in ("/v1/messages", "/"):
                assert (await liar.say(f"GET {refused} HTTP/1.1\r\n{word}\r\n\r\n".encode()).answer())[0] == 401
            app.waits = app.ended = 0
            liar.say(form(path, word))
            await until(lambda: app.waits + app.ended)
        assert await place.takes_one_more()


async def test_each_proof_keeps_a_place_in_the_application(home: Gateway) -> None:
    signed_in = await home.client.post("/sign_in", data={"key": home.acme.key})
    cookie = signed_in.headers["set-cookie"].partition(";")[0]
    sender = ids.show("human_sender", home.acme.sender.id)
    token = (await home.call("POST", f"/v1/human_senders/{sender}/stream_token")).json()["url"]
    key = f"Authorization: Bearer {home.acme.key}"
    held = [
        form("/v1/messages", key),
        form("/suppressions/lift", f"Cookie: {cookie}"),
        form("/sign_in", f"Cookie: {cookie}"),
        f"GET /v1/events/stream HTTP/1.1\r\n{key}\r\n\r\n".encode(),
        f"GET {token} HTTP/1.1\r\n\r\n".encode(),
    ]
    app = Watched(home.app)
    async with door(app, 5) as place:
        for head in held:
            app.waits = 0
            await place.comes(head)
            await until(lambda: app.waits)
        assert await place.takes_one_more(), "the form to sign in asks for no session"
        app.waits = 0
        await place.comes(held[0])
        await until(lambda: app.waits)
        async with client(place.url) as new:
            assert (await new.answer())[0] == 503


async def test_who_only_waits_for_the_end_gives_way_before_all(home: Gateway) -> None:
    async with door(home.app, 3) as place:
        silent = await place.comes()
        lingering = await place.comes(form("/prove/x"))
        refused = await place.comes(form("/v1/messages", "Authorization: Bearer x"))
        assert [(await one.answer())[0] for one in (lingering, refused)] == [410, 401]
        assert await place.takes_one_more()
        assert await place.takes_one_more()
        await lingering.closed()
        assert (await silent.say(b"GET /healthz HTTP/1.1\r\n\r\n").answer())[0] == 200


def by_proxy(client: str) -> str:
    return f"X-Forwarded-For: 192.0.2.77, {client}"


async def test_a_network_with_many_strangers_pushes_out_its_own() -> None:
    app = Answering()
    async with door(app, 6, "127.0.0.1") as place:
        lone = await place.comes(form("/", by_proxy("192.0.2.1"), octets=2))
        await until(lambda: app.requests == 1)
        crowd = []
        for number in range(1, 6):
            crowd.append(await place.comes(form("/", by_proxy(f"198.51.100.{number}"))))
            await until(lambda number=number: app.requests == 1 + number)
        for one in crowd[:3]:
            await place.comes(form("/", by_proxy("203.0.113.1"), octets=2))
            await one.closed()
        assert (await lone.say(b"ab").answer())[0] == 200


async def test_a_key_is_no_proof_for_others_who_come_by_the_same_proxy() -> None:
    app = Answering()
    async with door(app, 2, "127.0.0.1") as place:
        for _ in range(2):
            carrier = await place.comes(b"GET / HTTP/1.1\r\n" + LIVE.encode() + b"\r\n\r\n")
            assert (await carrier.answer())[0] == 200
            carrier.say(form("/", by_proxy("192.0.2.1")))
        await until(lambda: app.requests == 4)
        assert await place.takes_one_more()


@pytest.mark.parametrize("further", ["X: y", "Connection: close", "Content-Length: 9"])
async def test_who_reads_nothing_gives_way_unless_he_has_shown_a_key(further: str) -> None:
    app, deaf = Watched(Answering()), []
    async with door(app, 3) as place:
        silent = await place.comes()
        for ended, words in enumerate((LIVE, LIVE, "X: y"), 1):
            deaf.append(await place.comes())
            deaf[-1].reads_nothing_of("/20000000", words, further)
            await until(lambda ended=ended: app.ended == ended)
        await silent.closed()
        assert await place.takes_one_more(), "in the place of the stranger who does not read"
        keyed = await place.comes(form("/", LIVE, octets=2))
        await until(lambda: app.at_work)
        assert not await place.takes_one_more()
        deaf[0].writer.transport.resume_reading()
        assert len((await deaf[0].answer())[2]) == 20_000_000
        await until(place.takes_one_more)
        assert (await keyed.say(b"ab").answer())[0] == 200


async def test_who_has_shown_a_key_once_gives_way_after_strangers(home: Gateway) -> None:
    signing_in = f"key={home.acme.key}".encode()
    said = [
        form("/sign_in", octets=len(signing_in)) + signing_in,
        f"GET /metrics HTTP/1.1\r\nAuthorization: Bearer {ADMINISTRATOR}\r\n\r\n".encode(),
    ]
    async with door(home.app, 3) as place:
        known = [await place.comes(words) for words in said]
        assert [(await one.answer())[0] for one in known] == [303, 200]
        stranger = await place.comes()
        assert await place.takes_one_more()
        await stranger.closed()
        assert [(await one.say(b"GET /healthz HTTP/1.1\r\n\r\n").answer())[0] for one in known] == [200, 200]
