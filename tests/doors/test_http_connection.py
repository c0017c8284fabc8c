"""The HTTP door, as those meet it who talk HTTP badly: many, slow, without end, or deaf."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from structlog.testing import capture_logs

from homing.doors.http_connection import HttpLimits
from homing.doors.http_places import KEY_SHOWN
from tests.patience import until

from .access_table import TABLE
from .gateway import Gateway
from .serving import serving
from .test_access import nowhere

SOON = 10.0
LARGE = 25 * 1024 * 1024
QUICK = HttpLimits(
    head_seconds=0.15,
    body_grace_seconds=0.15,
    body_seconds=0.3,
    unread_seconds=0.15,
    linger_seconds=0.15,
    connections=8,
    tick=0.02,
)


class Answering:
    """An application that knows one key, reads the body of a POST, and answers with as many octets as the path says; at
    /live there may always be more."""

    def __init__(self) -> None:
        self.requests = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.requests += 1
        if (b"authorization", b"Bearer live") in scope["headers"]:
            scope["state"][KEY_SHOWN]()
        if scope["path"] == "/live":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x" * 20_000_000, "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        if scope["path"] == "/slow":
            await asyncio.sleep(0.05)
        if scope["method"] == "POST":
            while (message := await receive()).get("more_body"):
                pass
            if message["type"] == "http.disconnect":
                return
        octets = b"x" * int(scope["path"].strip("/")) if scope["path"].strip("/").isdigit() else b"ok"
        length = (b"content-length", b"%d" % len(octets))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": octets})


def hosted(octets: bytes) -> bytes:
    """The same with a Host field in each request that begins there, as HTTP/1.1 wants it."""
    return octets.replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r\nHost: gateway.example\r\n")


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, octets: bytes) -> "Client":
        """These octets, `hosted`."""
        return self.say_just(hosted(octets))

    def say_just(self, octets: bytes) -> "Client":
        self.writer.write(octets)
        return self

    def reads_nothing_of(self, path: str, *fields: str) -> "Client":
        self.writer.transport.pause_reading()
        return self.say("\r\n".join([f"GET {path} HTTP/1.1", *fields, "", ""]).encode())

    async def given_up(self) -> None:
        """The other side has hung up on who reads nothing."""

        def is_gone() -> bool:
            self.say_just(b"\r\n")  # empty lines are no request (RFC 9112 §2.2)
            return self.writer.transport.is_closing()

        await until(is_gone)

    @property
    def answered(self) -> bool:
        return bool(self.reader._buffer) or self.reader.at_eof()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, header fields and body of one answer."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), SOON)).decode()
        first, *lines = head.strip().split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(first.split()[1]), fields, await self.reader.readexactly(int(fields["content-length"]))

    async def problem(self) -> tuple[int, str]:
        """Status and code of a last answer."""
        status, fields, body = await self.answer()
        assert (fields["content-type"], fields["connection"]) == ("application/problem+json", "close")
        told = json.loads(body)
        assert told["request_id"] == fields["x-request-id"]
        await self.closed()
        return status, told["code"]

    async def closed(self) -> None:
        """The other side closes, and says nothing more."""
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(self.reader.read(), SOON) == b""


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Client]:
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


# -- time ------------------------------------------------------------------------------------------------------------


async def test_who_does_not_end_his_request_is_told_so() -> None:
    async with serving(Answering(), QUICK) as url:
        for said in (
            b"GET / HT",
            b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        ):
            async with client(url) as slow:
                assert await slow.say(said).problem() == (408, "request-too-slow")


@pytest.mark.slow
async def test_who_says_nothing_is_closed_without_a_word() -> None:
    async with serving(Answering(), QUICK) as url, client(url) as silent:
        await silent.closed()


async def test_a_strangers_body_has_the_time_of_a_head() -> None:
    async with (
        serving(Answering(), replace(QUICK, body_grace_seconds=SOON, body_seconds=SOON)) as url,
        client(url) as known,
    ):
        known.say(b"POST / HTTP/1.1\r\nAuthorization: Bearer live\r\nContent-Length: 2\r\n\r\n")
        async with client(url) as stranger:
            stranger.say(b"POST / HTTP/1.1\r\nAuthorization: Bearer x\r\nContent-Length: 2\r\n\r\n")
            assert await stranger.problem() == (408, "request-too-slow")
        assert (await known.say(b"ab").answer())[0] == 200


@pytest.mark.slow
async def test_drops_hold_no_connection_open() -> None:
    async with serving(Answering(), QUICK) as url, client(url) as head, client(url) as body:
        drops = ((head, b"A: b\r\n"), (body, b"1\r\na\r\n"))
        head.say(b"GET / HTTP/1.1\r\n")
        body.say(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        async with asyncio.timeout(SOON):
            while not all(one.answered for one, _ in drops):
                for one, drop in drops:
                    if not one.answered:
                        one.say(drop)
                await asyncio.sleep(0.02)
        assert (await head.answer())[0] == (await body.answer())[0] == 408


@pytest.mark.parametrize("path", ["/20000000", "/live"])
async def test_an_answer_that_nobody_reads_is_given_up(path: str) -> None:
    async with serving(Answering(), QUICK) as url, client(url) as deaf:
        await deaf.reads_nothing_of(path).given_up()


@pytest.mark.slow
async def test_a_reader_who_takes_his_time_gets_all() -> None:
    async with serving(Answering(), replace(QUICK, unread_seconds=1)) as url, client(url) as slow:
        slow.say(b"GET /20000000 HTTP/1.1\r\nConnection: close\r\n\r\n")
        got = 0
        while octets := await asyncio.wait_for(slow.reader.read(200_000), SOON):
            got += len(octets)
            await asyncio.sleep(0.02)
        assert got > 20_000_000, "two seconds in all, and never one without a read"


@pytest.mark.slow
async def test_who_reads_drop_by_drop_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    create = socket.create_server

    def with_a_small_buffer(*given: Any, **more: Any) -> socket.socket:
        listener = create(*given, **more)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        return listener

    monkeypatch.setattr(socket, "create_server", with_a_small_buffer)
    loop, limits, read = asyncio.get_running_loop(), replace(QUICK, unread_seconds=0.3, answer_rate=1_000_000), 0
    async with serving(Answering(), limits) as url:
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            slow.setblocking(False)
            await loop.sock_connect(slow, ("127.0.0.1", urlsplit(url).port))
            await loop.sock_sendall(slow, hosted(b"GET /20000000 HTTP/1.1\r\n\r\n" * 8))
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(SOON):
                    while drop := await loop.sock_recv(slow, 2048):
                        read += len(drop)
                        await asyncio.sleep(0.02)
    assert read < 1_000_000


async def test_an_answer_has_its_time_and_a_live_stream_lasts() -> None:
    app = Watched(Answering())
    limits = replace(QUICK, unread_seconds=SOON, answer_seconds=0.2)
    async with serving(app, limits) as url, client(url) as live, client(url) as deaf:
        live.reads_nothing_of("/live")
        await until(lambda: app.waits)
        await deaf.reads_nothing_of("/20000000").given_up()
        live.writer.transport.resume_reading()
        await asyncio.wait_for(live.reader.readexactly(20_000_000), SOON)


async def test_no_answer_waits_for_an_acknowledgement() -> None:
    clock = asyncio.get_running_loop().time
    async with serving(Answering()) as url, client(url) as steady:
        took = []
        for _ in range(11):
            began = clock()
            await steady.say(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab").answer()
            took.append(clock() - began)
    assert median(took) < 0.03, "40 ms is what a delayed acknowledgement takes"


# -- octets ----------------------------------------------------------------------------------------------------------


async def test_a_head_is_bounded_and_what_is_like_one() -> None:
    chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(Answering()) as url:
        for said in (
            b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: " + b"a" * 40_000,
            b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n",
            chunked + b"1;" + b"a" * 40_000,
            chunked + b"1\r\na\r\n0\r\nA: " + b"a" * 600_000,
        ):
            async with client(url) as long:
                assert await long.say(said).problem() == (431, "head-too-large")


@pytest.mark.slow
async def test_what_is_no_http_is_told_so_in_our_form() -> None:
    async with serving(Answering()) as url, client(url) as odd:
        assert await odd.say(b"EHLO me.example\r\n").problem() == (400, "request-malformed")


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n",
        b"GET / HTTP/1.0\r\nHost: x\r\nhost: y\r\n",
        b"GET http://gateway.example/ HTTP/1.1\r\n",
        *(
            b"GET / HTTP/%s\r\nHost: %s\r\n" % (version, host)
            for version in (b"1.1", b"1.0")
            for host in (
                b"a b",
                b"a@x",
                b"a/b",
                b"x:80a",
                b"x:1:2",
                b"%zz",
                b"[::1",
                b"[1:2]",
                b"[::1]x",
                b"\xe4.example",
            )
        ),
    ],
)
async def test_a_request_names_one_host(head: bytes) -> None:
    app = Answering()
    async with serving(app) as url, client(url) as nameless:
        assert await nameless.say_just(head + b"\r\n").problem() == (400, "request-malformed")
    assert app.requests == 0


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.0\r\n",
        b"GET / HTTP/1.0\r\nHost: x\r\n",
        *(
            b"GET / HTTP/1.1\r\nHost:%s\r\n" % host
            for host in (
                b"",
                b" x ",
                b"gateway.example:",
                b"a_b.Example:8080",
                b"a%C3%A4",
                b"192.0.2.1",
                b"[::1]:8080",
                b"[v1.a:b]",
            )
        ),
    ],
)
async def test_hosts_as_they_may_be_named(head: bytes) -> None:
    async with serving(Answering()) as url, client(url) as named:
        assert (await named.say_just(head + b"\r\n").answer())[0] == 200


async def test_one_request_without_a_host_ends_what_follows_it() -> None:
    app = Answering()
    async with serving(app) as url, client(url) as hasty:
        hasty.say_just(hosted(b"GET /slow HTTP/1.1\r\n\r\n") + b"GET / HTTP/1.1\r\n\r\n")
        assert (await hasty.answer())[0] == 200
        await hasty.closed()
    assert app.requests == 1


@pytest.mark.slow
async def test_trailers_are_nobodys_header_fields() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        seen.extend(scope["headers"])
        await send({"type": "http.response.start", "status": 204, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async with serving(app) as url, client(url) as late:
        late.say(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nAuthorization: Bearer x\r\n\r\n")
        assert (await late.answer())[0] == 204
    assert seen == [(b"host", b"gateway.example"), (b"transfer-encoding", b"chunked")]


@pytest.mark.slow
async def test_requests_that_wait_for_an_answer_are_few() -> None:
    app = Answering()
    async with serving(app) as url, client(url) as hasty:
        hasty.say(b"GET /slow HTTP/1.1\r\n\r\n" * 5)
        assert [(await hasty.answer())[0] for _ in range(5)] == [200] * 5
        hasty.say(b"GET /slow HTTP/1.1\r\n\r\n" * 1_000)
        await hasty.closed()
    assert app.requests < 20


# -- places ----------------------------------------------------------------------------------------------------------


async def test_an_answer_before_the_end_of_a_request_is_the_last_one() -> None:
    async with serving(Answering()) as url, client(url) as wordy:
        wordy.say(b"GET / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"a" * 1000)
        assert (await wordy.answer())[0] == 200
        async with asyncio.timeout(3):
            await wordy.closed()


# -- hanging up ------------------------------------------------------------------------------------------------------


@dataclass
class Watched:
    """An application that tells whether it waits for a body, and whether it is at work."""

    app: Any
    waits: int = 0
    at_work: int = 0
    ended: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def waited() -> Any:
            self.waits += 1
            return await receive()

        self.at_work += 1
        try:
            await self.app(scope, waited, send)
        finally:
            self.at_work -= 1
            self.ended += 1


async def test_who_hangs_up_in_the_middle_of_a_body_is_no_error_of_ours(
    home: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    app, read = Watched(home.app), []
    signed_in = await home.client.post("/sign_in", data={"key": home.acme.key})
    cookie = signed_in.headers["set-cookie"].partition(";")[0]
    async with serving(app) as url:
        for route in TABLE:
            method, path = route.split()[0], nowhere(route)
            kind = "json" if path.startswith("/v1") and "sms" not in path else "x-www-form-urlencoded"
            with capture_logs() as logged:
                async with client(url) as hasty:
                    hasty.say(
                        f"{method} {path} HTTP/1.1\r\nAuthorization: Bearer {home.acme.key}\r\nCookie: {cookie}\r\n"
                        f"Content-Type: application/{kind}\r\nContent-Length: 9\r\n\r\n".encode()
                    )
                    waits, ended = app.waits, app.ended
                    await until(lambda waits=waits, ended=ended: app.waits > waits or app.ended > ended)
                    read += [path] * (app.waits > waits)
                await until(lambda: not app.at_work)
            assert (logged, caplog.records) == ([], []), route
    assert {"/v1/messages", "/v1/streams/nobody", "/v1/sms/status/x", "/sign_in", "/unsubscribe/x"} <= set(read)


async def test_what_strangers_write_is_no_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Answering()) as url:
        async with client(url) as odd:
            assert (await odd.say(b"EHLO me.example\r\n").problem())[0] == 400
        async with client(url) as odd:
            assert (await odd.say(b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n").answer())[0] == 200
    assert caplog.records == []


# -- a wrong key -----------------------------------------------------------------------------------------------------

WRONG = (
    b"POST /v1/messages HTTP/1.1\r\nAuthorization: Bearer wrong\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n"
) % (LARGE - 1)


async def test_the_key_is_looked_at_before_the_body_comes(home: Gateway) -> None:
    async with serving(home.app) as url, client(url) as stranger:
        status, code = await stranger.say(WRONG).problem()
        assert (status, code) == (401, "key-invalid")


@pytest.mark.slow
async def test_a_large_body_with_a_wrong_key_is_answered_and_not_kept(home: Gateway) -> None:
    octets = b" " * (LARGE - 1)
    before = psutil.Process().memory_info().rss

    async def stranger(url: str) -> int:
        async with client(url) as one:
            one.say(WRONG)
            for begin in range(0, len(octets), 1 << 18):
                with contextlib.suppress(ConnectionError):
                    one.say(octets[begin : begin + (1 << 18)])
                    await one.writer.drain()
                if one.answered:
                    break
            return (await one.answer())[0]

    async with serving(home.app) as url:
        assert await asyncio.gather(*(stranger(url) for _ in range(60))) == [401] * 60
        assert psutil.Process().memory_info().rss - before < 40 * 1024 * 1024
    assert home.parts.bodies.used == 0
