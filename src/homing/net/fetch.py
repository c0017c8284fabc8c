"""HTTP to an address that somebody else chose, without being led inside our own network.

The name is resolved once, every address is checked, and the connection goes to a checked address, with the name in
SNI, certificate check and Host. Redirects are returned, not followed. Time and size of the answer are bounded, and it
is never decompressed.
"""

import asyncio
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit

import httpx2

from homing.mail.text import clean
from homing.net.dns import Found, LookupFailed, Resolver
from homing.net.public_address import why_not_public

URL_LIMIT = 2048
BODY_LIMIT = 64 * 1024
TEXT_LIMIT = 1024
TIME_LIMIT = 10.0
LONGEST_WAIT = 86_400.0
"""Seconds: no Retry-After puts us off for longer than a day."""
TRIED_ADDRESSES = 3

_DEFAULT_PORTS = {"https": 443, "http": 80}
_PRINTABLE = re.compile(r"[!-~]+")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_INSIDE = frozenset({"localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "private"})

Complaint = tuple[str, str]
"""A stable code and a message for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """What came back, at most 64 KiB of it. `retry_after` in seconds, at most a day."""

    status: int
    body: bytes
    retry_after: float | None

    @property
    def text(self) -> str:
        """The body as at most 1 KiB of readable text, still to be escaped where it is shown."""
        return clean(self.body.decode("utf-8", "replace"), TEXT_LIMIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAnswer:
    """Nothing came back. `sent`: the request may have arrived all the same."""

    why: str
    sent: bool


def check_url(url: str, *, ports: frozenset[int] = frozenset({443}), allow_private: bool = False) -> list[Complaint]:
    """All faults of a URL to post to that can be found without asking the DNS.

    `allow_private` (the lab) lets hosts, addresses and ports be inside.
    """
    if len(url) > URL_LIMIT:
        return [("url-too-long", f"The URL is longer than {URL_LIMIT} characters.")]
    if not _PRINTABLE.fullmatch(url) or "\\" in url:
        return [
            (
                "url-characters",
                "Only printable ASCII without spaces and backslashes is allowed; write xn-- names and %XX.",
            )
        ]
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return [("url-malformed", "This is not a URL.")]
    if parts.scheme not in _DEFAULT_PORTS:
        return [("url-scheme", "The URL must begin with https:// or http://.")]
    found: list[Complaint] = []
    if "@" in parts.netloc:
        found.append(("url-credentials", "The URL must not contain a user name or a password."))
    if "#" in url:
        found.append(("url-fragment", "A fragment (#…) is never sent; leave it out."))
    if not allow_private and port not in ports:
        found.append(("url-port", f"Port {port} is not allowed here."))
    return found + _check_host(parts.hostname or "", allow_private)


def _check_host(host: str, allow_private: bool) -> list[Complaint]:
    address = _as_address(host)
    if address is not None:
        why = None if allow_private else why_not_public(str(address))
        return [("url-address", f"The address {address} is {why}.")] if why else []
    labels = host.removesuffix(".").lower().split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return [("url-host", "The host is not a name in the DNS.")]
    # Some resolvers read 127.1, 0x7f000001 and 0177.0.0.1 as addresses, so nothing that ends in a number is a name.
    if labels[-1][0].isdigit():
        return [("url-host", "The host is not a name in the DNS, and not an address in its usual form.")]
    if not allow_private and (len(labels) == 1 or labels[-1] in _INSIDE or labels[-2:] == ["home", "arpa"]):
        return [("url-host-inside", "The host is a name of an internal network.")]
    return []


def _as_address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return None if "%" in host else ip_address(host)
    except ValueError:
        return None


@cache
def _trusting_authorities() -> ssl.SSLContext:
    """A TLS context that trusts this machine's authorities. It is slow to make, so it is made once."""
    return ssl.create_default_context()


class Fetcher:
    """Posts to strangers' URLs and gets them. `ports` are those to be used; `allow_private` is for the lab only."""

    def __init__(
        self,
        resolver: Resolver,
        *,
        ports: frozenset[int] = frozenset({443}),
        allow_private: bool = False,
        tls: ssl.SSLContext | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        self._resolver = resolver
        self._ports = ports
        self._allow_private = allow_private
        self._time_limit = time_limit
        # No connection is kept: two names at one address must not share a TLS session.
        self._transport = transport or httpx2.AsyncHTTPTransport(
            verify=tls or _trusting_authorities(),
            trust_env=False,
            limits=httpx2.Limits(max_keepalive_connections=0),
        )

    async def close(self) -> None:
        await self._transport.aclose()

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> HttpAnswer | NoAnswer:
        """Posts once. Within `time_limit` seconds there is an answer, or the reason why there is none."""
        return await self._fetch("POST", url, content, headers)

    async def get(self, url: str) -> HttpAnswer | NoAnswer:
        """Gets what stands there, under the same rules."""
        return await self._fetch("GET", url, b"", {})

    async def _fetch(self, method: str, url: str, content: bytes, headers: Mapping[str, str]) -> HttpAnswer | NoAnswer:
        complaints = check_url(url, ports=self._ports, allow_private=self._allow_private)
        if complaints:
            return NoAnswer(why=complaints[0][1], sent=False)
        parts = urlsplit(url)
        sent = False
        try:
            async with asyncio.timeout(self._time_limit):
                addresses = await self._addresses(parts.hostname or "")
                if isinstance(addresses, NoAnswer):
                    return addresses
                sent = True
                requests = [self._request(method, ip, parts, content, headers) for ip in addresses[:TRIED_ADDRESSES]]
                return await self._try_each(requests)
        except TimeoutError:
            return NoAnswer(why=f"no answer within {self._time_limit:g} seconds", sent=sent)

    async def _addresses(self, host: str) -> tuple[str, ...] | NoAnswer:
        """All addresses of the host; NoAnswer if any of them is not public, or there are none."""
        if _as_address(host) is not None:
            return (host,)
        answer = await self._resolver.addresses(host)
        match answer:
            case Found(records=records):
                for ip in records:
                    why = None if self._allow_private else why_not_public(ip)
                    if why is not None:
                        return NoAnswer(why=f"the address {ip} of {host} is {why}", sent=False)
                return records
            case LookupFailed(why=fault):
                return NoAnswer(why=f"{host} could not be looked up ({fault})", sent=False)
            case _:
                return NoAnswer(why=f"{host} has no address", sent=False)

    async def _try_each(self, requests: Sequence[httpx2.Request]) -> HttpAnswer | NoAnswer:
        answer: HttpAnswer | NoAnswer = NoAnswer(why="no address", sent=False)
        for request in requests:
            answer = await self._try(request)
            if isinstance(answer, HttpAnswer) or answer.sent:
                break
        return answer

    def _request(
        self, method: str, ip: str, parts: SplitResult, content: bytes, headers: Mapping[str, str]
    ) -> httpx2.Request:
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
        host = parts.hostname or ""
        named = f"[{host}]" if ":" in host else host
        return httpx2.Request(
            method,
            httpx2.URL(
                scheme=parts.scheme,
                host=ip,
                port=port,
                raw_path=(f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/").encode("ascii"),
            ),
            headers={
                "Host": named if port == _DEFAULT_PORTS[parts.scheme] else f"{named}:{port}",
                "Accept-Encoding": "identity",
                "User-Agent": "homing",
                "Connection": "close",
                **headers,
            },
            content=content,
            extensions={"sni_hostname": host, "timeout": httpx2.Timeout(self._time_limit, connect=3.0).as_dict()},
        )

    async def _try(self, request: httpx2.Request) -> HttpAnswer | NoAnswer:
        try:
            response = await self._transport.handle_async_request(request)
            try:
                return HttpAnswer(
                    status=response.status_code,
                    body=await _head(response),
                    retry_after=_retry_after(response.headers.get("retry-after", "")),
                )
            finally:
                await response.aclose()
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as fault:
            return NoAnswer(why=clean(f"no connection: {fault}", TEXT_LIMIT), sent=False)
        except httpx2.HTTPError as fault:
            return NoAnswer(why=clean(f"no answer: {type(fault).__name__} {fault}", TEXT_LIMIT), sent=True)


async def _head(response: httpx2.Response) -> bytes:
    """The beginning of the body as it came over the wire; a packed body stays packed."""
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    body = b""
    async for chunk in response.stream:
        body += chunk
        if len(body) >= BODY_LIMIT:
            break
    return body[:BODY_LIMIT]


def _retry_after(text: str) -> float | None:
    """The seconds of Retry-After (RFC 9110 §10.2.3); a date is ignored, as servers that send one are in no hurry."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return min(seconds, LONGEST_WAIT) if seconds >= 0 else None
