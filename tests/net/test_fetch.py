"""Nobody leads a POST of ours inside: static cases, rebinding, redirects, endless answers."""

import asyncio
import gzip
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2
import pytest
import trustme

from homing.lab.dns import DnsServer
from homing.net.dns import AS_PUBLISHED, Resolver
from homing.net.fetch import BODY_LIMIT, Fetcher, HttpAnswer, NoAnswer, check_url
from tests.data import HOSTILE_INPUTS

PORTS = frozenset({80, 443, 8080})
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    server = DnsServer()
    await server.start()
    yield server
    await server.close()


@dataclass
class Wire:
    """Stands where the network is: notes where a request would have gone, and answers."""

    answer: Callable[[], httpx2.Response] = lambda: httpx2.Response(200)
    seen: list[httpx2.Request] = field(default_factory=list)

    def transport(self) -> httpx2.MockTransport:
        def handle(request: httpx2.Request) -> httpx2.Response:
            self.seen.append(request)
            return self.answer()

        return httpx2.MockTransport(handle)


def fetcher_of(dns: DnsServer, wire: Wire) -> Fetcher:
    resolver = Resolver([dns.address], keep=AS_PUBLISHED, timeout=5)
    return Fetcher(resolver, ports=PORTS, transport=wire.transport())


@asynccontextmanager
async def listening(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def test_every_hostile_url_is_refused() -> None:
    urls = json.loads((HOSTILE_INPUTS / "api" / "ssrf_urls.json").read_text())["reject"]
    accepted = [url for url in urls if not check_url(url, ports=PORTS)]
    assert accepted == []


REFUSED = [
    ("http://127.0.0.1/", "url-address"),
    ("http://[::1]/", "url-address"),
    ("http://2130706433/", "url-host"),
    ("http://0x7f000001/", "url-host"),
    ("http://0177.0.0.1/", "url-host"),
    ("http://127.1/", "url-host"),
    ("http://corp.com.1/", "url-host"),
    ("http://localhost./", "url-host-inside"),
    ("http://db.internal/", "url-host-inside"),
    ("http://intranet/", "url-host-inside"),
    ("http://nas.home.arpa/", "url-host-inside"),
    ("https://user:pass@corp.com/", "url-credentials"),
    ("https://@corp.com/", "url-credentials"),
    ("https://corp.com/#", "url-fragment"),
    ("https://corp.com:25/", "url-port"),
    ("https://corp.com:99999/", "url-malformed"),
    ("https://[::1/", "url-malformed"),
    ("ftp://corp.com/", "url-scheme"),
    ("//corp.com/", "url-scheme"),
    ("", "url-characters"),
    ("https:///path", "url-host"),
    ("https://corp..com/", "url-host"),
    ("https://-corp.com/", "url-host"),
    ("https://corp.com/\n", "url-characters"),
    ("https://corp.com/a\\b", "url-characters"),
    ("https://b\u00fccher.de/", "url-characters"),
    ("https://corp.com/" + "a" * 2048, "url-too-long"),
]


@pytest.mark.parametrize(("url", "code"), REFUSED)
def test_what_is_wrong_is_said(url: str, code: str) -> None:
    assert code in [code for code, _ in check_url(url, ports=PORTS)]


def test_all_faults_at_once() -> None:
    codes = [code for code, _ in check_url("http://me@10.0.0.1:22/#x")]
    assert codes == ["url-credentials", "url-fragment", "url-port", "url-address"]


@pytest.mark.parametrize(
    "url", ["https://corp.com/hook", "https://xn--bcher-kva.de/?a=b", "https://8.8.8.8/", "HTTPS://CORP.COM."]
)
def test_public_urls_pass(url: str) -> None:
    assert check_url(url) == []


def test_plain_http_is_an_option() -> None:
    assert check_url("http://corp.com/") != []
    assert check_url("http://corp.com/", ports=PORTS) == []
    assert check_url("http://127.0.0.1:8765/", allow_private=True) == []


async def test_the_connection_goes_to_the_checked_address_under_the_name(dns: DnsServer) -> None:
    dns.publish("corp.com", "A 8.8.8.8")
    wire = Wire()
    answer = await fetcher_of(dns, wire).post("https://corp.com:8080/hook?a=%20b", b"{}", {"x": "y"})
    assert answer == HttpAnswer(status=200, body=b"", retry_after=None)
    (request,) = wire.seen
    assert str(request.url) == "https://8.8.8.8:8080/hook?a=%20b"
    assert request.headers["host"] == "corp.com:8080"
    assert request.extensions["sni_hostname"] == "corp.com"
    assert request.headers["x"] == "y"


@dataclass
class Flipping(DnsServer):
    """Public at first, inside from the second question on."""

    def _fill(self, response, name, kind) -> None:  # type: ignore[no-untyped-def]
        super()._fill(response, name, kind)
        if kind.name == "A":
            self.publish(name, "A 127.0.0.1")


async def test_rebinding_does_not_help() -> None:
    dns = Flipping(zones={"evil.com": ["A 8.8.8.8"]})
    await dns.start()
    wire = Wire()
    fetcher = fetcher_of(dns, wire)
    await fetcher.post("https://evil.com/", b"", {})
    assert [request.url.host for request in wire.seen] == ["8.8.8.8"]
    assert dns.asked.count(("evil.com", "A")) == 1
    second = await fetcher.post("https://evil.com/", b"", {})
    assert isinstance(second, NoAnswer)
    assert "127.0.0.1" in second.why
    assert len(wire.seen) == 1
    await dns.close()


INSIDE = [
    ["A 8.8.8.8", "A 10.0.0.1"],
    ["A 8.8.8.8", "AAAA ::1"],
    ["A 8.8.8.8", "AAAA ::ffff:127.0.0.1"],
    ["CNAME inside.corp.com"],
    ["A 169.254.169.254"],
]


@pytest.mark.parametrize("records", INSIDE)
async def test_one_address_inside_spoils_them_all(dns: DnsServer, records: list[str]) -> None:
    dns.publish("inside.corp.com", "A 192.168.0.1")
    dns.publish("evil.com", *records)
    wire = Wire()
    answer = await fetcher_of(dns, wire).post("https://evil.com/", b"", {})
    assert isinstance(answer, NoAnswer)
    assert not answer.sent
    assert wire.seen == []


async def test_a_canary_inside_hears_nothing(dns: DnsServer) -> None:
    probes = []

    async def canary(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        probes.append(1)

    async with listening(canary) as port:
        dns.publish("evil.com", "A 127.0.0.1")
        resolver = Resolver([dns.address], keep=AS_PUBLISHED, timeout=5)
        fetcher = Fetcher(resolver, ports=frozenset({port}))
        for url in (f"http://127.0.0.1:{port}/", f"http://evil.com:{port}/", f"http://localhost:{port}/"):
            answer = await fetcher.post(url, b"", {})
            assert isinstance(answer, NoAnswer)
        await fetcher.close()
    assert probes == []


async def test_a_redirect_is_an_answer(dns: DnsServer) -> None:
    dns.publish("corp.com", "A 8.8.8.8")
    wire = Wire(lambda: httpx2.Response(302, headers={"Location": "http://127.0.0.1/"}))
    answer = await fetcher_of(dns, wire).post("https://corp.com/", b"", {})
    assert isinstance(answer, HttpAnswer)
    assert answer.status == 302
    assert len(wire.seen) == 1


@pytest.mark.parametrize(
    ("header", "seconds"), [("30", 30), ("1e9", 86_400), ("-1", None), ("soon", None), ("nan", None)]
)
async def test_retry_after_is_bounded(dns: DnsServer, header: str, seconds: float | None) -> None:
    dns.publish("corp.com", "A 8.8.8.8")
    wire = Wire(lambda: httpx2.Response(429, headers={"Retry-After": header}))
    answer = await fetcher_of(dns, wire).post("https://corp.com/", b"", {})
    assert isinstance(answer, HttpAnswer)
    assert answer.retry_after == seconds


async def test_no_name_no_answer(dns: DnsServer) -> None:
    answer = await fetcher_of(dns, Wire()).post("https://nosuch.com/", b"", {})
    assert answer == NoAnswer(why="nosuch.com has no address", sent=False)


def lab_fetcher(dns: DnsServer, time_limit: float = 1.0, tls: ssl.SSLContext | None = None) -> Fetcher:
    resolver = Resolver([dns.address], keep=AS_PUBLISHED, timeout=5)
    return Fetcher(resolver, allow_private=True, time_limit=time_limit, tls=tls)


async def gone(reader: asyncio.StreamReader) -> None:
    """Until the other side has hung up."""
    while await reader.read(1000):
        pass


async def post_to(handler: Handler, dns: DnsServer) -> tuple[HttpAnswer | NoAnswer, float]:
    fetcher = lab_fetcher(dns)
    async with listening(handler) as port:
        started = asyncio.get_running_loop().time()
        answer = await fetcher.post(f"http://127.0.0.1:{port}/", b"{}", {})
        elapsed = asyncio.get_running_loop().time() - started
    await fetcher.close()
    return answer, elapsed


async def test_silence_and_drops_of_an_answer_end_in_time(dns: DnsServer) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone(reader)

    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.1)

    for handler in (silent, dripping):
        answer, elapsed = await post_to(handler, dns)
        assert isinstance(answer, NoAnswer)
        assert answer.sent
        assert elapsed > 0.9


async def test_an_endless_answer_is_cut(dns: DnsServer) -> None:
    written = 0

    async def gushing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 1000000000\r\n\r\n")
        for _ in range(16_000):
            writer.write(b"x" * 65_536)
            written += 65_536
            await writer.drain()

    answer, _ = await post_to(gushing, dns)
    assert isinstance(answer, HttpAnswer)
    assert len(answer.body) == BODY_LIMIT
    assert len(answer.text) <= 1024
    assert written < 50_000_000


async def test_a_packed_answer_stays_packed(dns: DnsServer) -> None:
    bomb = gzip.compress(b"0" * 30_000_000)

    async def packed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
        writer.write(head.encode() + bomb)
        await writer.drain()

    answer, _ = await post_to(packed, dns)
    assert isinstance(answer, HttpAnswer)
    assert answer.body == bomb[:BODY_LIMIT]


async def test_nobody_home_and_babble_are_told_apart(dns: DnsServer) -> None:
    async def babbling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx.corp.com ESMTP\r\n")
        await writer.drain()

    babble, _ = await post_to(babbling, dns)
    assert isinstance(babble, NoAnswer)
    assert babble.sent
    async with listening(babbling) as port:
        pass
    nobody = await lab_fetcher(dns).post(f"http://127.0.0.1:{port}/", b"", {})
    assert isinstance(nobody, NoAnswer)
    assert not nobody.sent


async def test_the_certificate_must_bear_the_name(dns: DnsServer) -> None:
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.corp.com").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    dns.publish("hooks.corp.com", "A 127.0.0.1")
    dns.publish("other.corp.com", "A 127.0.0.1")

    async def fine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 204 Fine\r\n\r\n")
        await writer.drain()

    fetcher = lab_fetcher(dns, time_limit=3, tls=client_side)
    async with listening(fine, server_side) as port:
        good = await fetcher.post(f"https://hooks.corp.com:{port}/", b"", {})
        bad = await fetcher.post(f"https://other.corp.com:{port}/", b"", {})
    await fetcher.close()
    assert isinstance(good, HttpAnswer)
    assert isinstance(bad, NoAnswer)
    assert not bad.sent
