"""A connection at the HTTP door: uvicorn's, bounded in places, octets and time before anybody has seen a key.

Who gives way to whoever comes stands in `http_places`; whoever is slow is told so (408, RFC 9110 §15.5.9), and closed.
An answer to a request that was not read to its end closes the connection as RFC 9112 §9.6 says: our side first, and
what still comes is thrown away for a moment, so that the answer is not lost with it.
"""

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv6Address
from typing import Any, NoReturn

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from homing.doors.api.problems import render
from homing.doors.http_places import KEY_SHOWN, Places, Standing
from homing.doors.peers import Peers
from homing.loop.problem import Problem
from homing.mail.network import network_of


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """What one client, and all of them together, may use up.

    A request's head comes within `head_seconds`, and so does a stranger's body; that of others at `body_rate` octets a
    second after `body_grace_seconds`, and within `body_seconds`. Answers are read without a pause of `unread_seconds`,
    at `answer_rate` octets a second after as many, and within `answer_seconds`; those that are given up otherwise are
    lost. `linger_seconds`: for so long what comes after the last answer is thrown away. `pipelined`: requests that wait
    for an answer before them. Times are kept to a `tick`, in seconds.
    """

    connections: int = 1000
    head_seconds: float = 10
    head_octets: int = 32 * 1024
    head_fields: int = 100
    pipelined: int = 8
    body_grace_seconds: float = 30
    body_rate: float = 1024
    body_seconds: float = 300
    unread_seconds: float = 30
    answer_rate: float = 1024
    answer_seconds: float = 300
    linger_seconds: float = 2
    tick: float = 1


_BUSY = Problem(status=503, code="gateway-busy", title="There are too many connections at the moment.", retry_after=5)
_TOO_SLOW = Problem(status=408, code="request-too-slow", title="The request took too long to come.")
_HEAD_TOO_LARGE = Problem(status=431, code="head-too-large", title="The request's header fields are too large.")
_MALFORMED = Problem(status=400, code="request-malformed", title="The request cannot be read.")
_TOO_EAGER = Problem(status=400, code="request-malformed", title="Too many requests wait for the answers before them.")
_NO_HOST = Problem(
    status=400, code="request-malformed", title="A request has one Host field, with a host's name in it."
)

_BEFORE_HOST = frozenset({"0.9", "1.0"})
_HOST = re.compile(
    rb"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|\[v[0-9a-f]+\.[\w.~!$&'()*+,;=:-]+\]|(?:[\w.~!$&'()*+,;=-]|%[0-9a-f]{2})*)(?::\d*)?",
    re.IGNORECASE,
)
"""uri-host and port (RFC 3986 §3.2.2, §3.2.3): an empty name is one too."""


class HttpConnections:
    """All connections of the door. `dice`: random octets, for the ids of answers that are given here."""

    def __init__(self, limits: HttpLimits, dice: Callable[[], bytes], peers: Peers) -> None:
        self.limits = limits
        self.peers = peers
        self.places: Places[HttpConnection] = Places()
        self._dice = dice

    def protocol(self, **given: Any) -> "HttpConnection":
        """What uvicorn makes for each connection."""
        return HttpConnection(self, **given)

    def make_room(self) -> bool:
        """Whether there is room for one more, if need be in the place of whoever gives way first."""
        if self.places.taken < self.limits.connections:
            return True
        first = self.places.next_to_go()
        if first is None:
            return False
        first.give_up()
        return True

    async def watch(self) -> None:
        """Looks at all of them now and then, until it is cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(self.limits.tick)
            now = clock()
            for connection in self.places.everybody():
                connection.look(now)

    def answer(self, problem: Problem) -> bytes:
        """A last answer, as it goes over the wire."""
        told = render(problem, self._dice().hex())
        told.headers["Connection"] = "close"
        fields = b"".join(b"%b: %b\r\n" % pair for pair in told.raw_headers)
        return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (
            problem.status,
            HTTPStatus(problem.status).phrase.encode(),
            fields,
            bytes(told.body),
        )


def _named_well(version: str, fields: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request of this version of HTTP names its host as it must (RFC 9112 §3.2)."""
    hosts = [value.strip(b" \t") for name, value in fields if name == b"host"]
    if len(hosts) != 1:
        return not hosts and version in _BEFORE_HOST
    found = _HOST.fullmatch(hosts[0])
    if found is None or found["ipv6"] is None:
        return found is not None
    try:
        IPv6Address(found["ipv6"].decode())
    except ValueError:
        return False
    return True


class _RefusedError(Exception):
    """A request is refused by its head; the parser hands it on as an error of its own."""


class Reading:
    """How fast answers are read, which are kept in memory until then."""

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._written = 0
        self._since: float | None = None
        """When the answers began to wait; None: none does, as far as is known."""
        self._first = self._read = 0
        """Octets that had been read then, and when one was last read."""
        self._read_at = 0.0

    def answered(self, octets: int, unread: int) -> None:
        """So much more is written, to what was still unread."""
        self._written += octets
        if not unread:
            self._since = None

    def too_slow(self, now: float, unread: int, *, live: bool) -> bool:
        """Whether what is unread at this moment is to be given up. `live`: a stream, which may last."""
        if not unread:
            self._since = None
            return False
        read = self._written - unread
        if self._since is None:
            self._since, self._first = now, read
        if self._since == now or read > self._read:
            self._read, self._read_at = read, now
        limits, waited = self._limits, now - self._since
        return (
            now - self._read_at > limits.unread_seconds
            or waited > limits.unread_seconds + (read - self._first) / limits.answer_rate
            or (waited > limits.answer_seconds and not live)
        )


class HttpConnection(HttpToolsProtocol):
    """One client."""

    def __init__(self, connections: HttpConnections, **given: Any) -> None:
        super().__init__(**given)
        self._all = connections
        self._limits = connections.limits
        self._since = self.loop.time()
        """When the head began to be waited for, the body began, or the connection was closed."""
        self._head = self._body = 0
        self._fed = self._parsing = 0
        """Octets: of the last read; within the parser, which has not told of them yet."""
        self._waiting = True
        """For a request; else one is under way."""
        self._known = self._body_coming = self._closing = self._ignoring = False
        self._peer = self._network = ""
        self._reading = Reading(self._limits)
        self._refusal = _MALFORMED

    @property
    def closing(self) -> bool:
        return self._closing

    # --- what the event loop calls ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if self._all.make_room():
            self._wire = transport
            super().connection_made(_Transport(transport, self))
            self._peer = self.client[0] if self.client else ""
            self._network = network_of(self._peer)
            self._all.places.put(self, Standing.STRANGER, self._network)
        else:
            transport.write(self._all.answer(_BUSY))
            transport.close()

    def data_received(self, data: bytes) -> None:
        if self._closing or self._ignoring:
            return
        self._fed = len(data)
        self._parsing += self._fed
        super().data_received(data)
        if self._parsing > self._limits.head_octets:
            self._refuse(_HEAD_TOO_LARGE)

    def connection_lost(self, error: Exception | None) -> None:
        self._all.places.remove(self)
        if self.transport is not None:
            self._closing = True
            super().connection_lost(error)

    # --- what the parser calls --------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._head, self._parsing = 0, self._fed
        super().on_message_begin()
        self.scope["state"][KEY_SHOWN] = self._key_shown

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        if self._body_coming:
            return  # a trailer (RFC 9110 §6.5.1): nobody asks for any
        if len(self.headers) >= self._limits.head_fields:
            self._stop(_HEAD_TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= self._limits.pipelined:
            self._stop(_TOO_EAGER)
        if not _named_well(self.parser.get_http_version(), self.headers):
            self._stop(_NO_HOST)
        self._find_client()
        self._waiting = False
        self._body, self._body_coming, self._since = 0, True, self.loop.time()
        super().on_headers_complete()
        self._step()

    def on_body(self, body: bytes) -> None:
        self._parsing = 0
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._body_coming = False
        super().on_message_complete()

    def _find_client(self) -> None:
        """Whoever speaks through a proxy is not whoever spoke before him."""
        peers = self._all.peers
        if peers.is_proxy(self._peer):
            named = [value.decode("latin-1") for name, value in self.headers if name == b"x-forwarded-for"]
            self._known, self._network = False, network_of(peers.client(self._peer, named))

    def _count(self, octets: int) -> None:
        self._parsing -= octets
        self._head += octets
        if self._head > self._limits.head_octets:
            self._stop(_HEAD_TOO_LARGE)

    def _stop(self, problem: Problem) -> NoReturn:
        self._refusal = problem
        raise _RefusedError

    # --- its place --------------------------------------------------------------------------------------------------

    def _key_shown(self) -> None:
        self._known = True
        self._step()

    def _standing(self) -> Standing:
        unread = self._wire.get_write_buffer_size()
        if self._closing and not unread:
            return Standing.ENDING
        if not self._known:
            return Standing.STRANGER
        return Standing.IDLE if self._waiting and not unread else Standing.AT_WORK

    def _step(self) -> None:
        if self._all.places.standing(self) is not None:  # else it had to go while its key was looked up
            self._all.places.put(self, self._standing(), self._network)

    # --- the end of a request, and of the connection ----------------------------------------------------------------

    def on_response_complete(self) -> None:
        if not self.pipeline and self._body_coming:
            self.close()
        super().on_response_complete()
        if not self.pipeline and not self._closing:
            self._head, self._since, self._waiting = 0, self.loop.time(), True
            self._step()

    def send_400_response(self, _message: str) -> None:
        self._refuse(self._refusal)

    def look(self, now: float) -> None:
        """Ends what has taken too long."""
        limits, waited = self._limits, now - self._since
        if self._closing:
            if waited > limits.linger_seconds and not self._wire.get_write_buffer_size():
                self.give_up()
        elif self._waiting:
            if waited > limits.head_seconds:
                self._refuse(_TOO_SLOW)
        elif self._body_coming:
            if self.flow.read_paused:
                self._since += limits.tick  # it waits for us
            elif waited > self._body_may_take():
                self._refuse(_TOO_SLOW)
        request, unread = self.cycle, self._wire.get_write_buffer_size()
        live = request is not None and request.response_started and not request.response_complete
        if self._reading.too_slow(now, unread, live=live):
            self.give_up()
        elif self._standing() is not self._all.places.standing(self):
            self._step()

    def _body_may_take(self) -> float:
        limits = self._limits
        if not self._known:
            return limits.head_seconds
        return min(limits.body_seconds, limits.body_grace_seconds + self._body / limits.body_rate)

    def answered(self, octets: int) -> None:
        """So much of an answer is about to be written."""
        self._reading.answered(octets, self._wire.get_write_buffer_size())

    def close(self) -> None:
        """Closes our side, and the other one too unless more is to come from there."""
        if self._closing:
            return
        self._closing, self._since = True, self.loop.time()
        if not self._body_coming:
            self._wire.close()
        elif not self._wire.is_closing():
            self._wire.write_eof()
            self.flow.resume_reading()
        self._step()

    def give_up(self) -> None:
        self._closing = True
        self._all.places.remove(self)
        self._wire.abort()

    def _refuse(self, problem: Problem) -> None:
        """The last answer, in the application's place; what it is at work on it may answer itself."""
        if self._closing:
            return
        request, self._ignoring = self.cycle, True
        under_way = request is not None and not request.response_complete
        if under_way and not self._body_coming and not self.pipeline:
            request.keep_alive = False
            return
        if under_way:
            request.disconnected = True
            request.message_event.set()
        if not self.pipeline and not (under_way and request.response_started) and (self._head or self._parsing):
            self.transport.write(self._all.answer(problem))
        self.pipeline.clear()
        self._body_coming = True  # whatever it is, it is thrown away
        self.close()


class _Transport(asyncio.Transport):
    """The transport as uvicorn sees it: it closes as the connection does."""

    def __init__(self, wire: asyncio.Transport, connection: HttpConnection) -> None:
        super().__init__()
        self._wire = wire
        self._connection = connection

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._wire.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._connection.closing or self._wire.is_closing()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._connection.closing:
            self._connection.answered(len(data))
            self._wire.write(data)

    def pause_reading(self) -> None:
        self._wire.pause_reading()

    def resume_reading(self) -> None:
        self._wire.resume_reading()

    def close(self) -> None:
        self._connection.close()
