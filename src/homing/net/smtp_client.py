"""Speaks SMTP to other people's servers, and keeps connections for the next message.

Every failure out there comes back as a `Transcript`; only our own bugs and cancellation raise. A cancelled attempt
closes its connection and raises on, so that nobody can take it for "not sent".
"""

import asyncio
import errno
import ssl
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from cachetools import TTLCache

from homing.mail.reply import Stage
from homing.mail.smtp_client import (
    Answer,
    Capabilities,
    Ending,
    Envelope,
    Log,
    Silence,
    Transcript,
    Turn,
    asking_for_tls,
    introduction,
    lost_when_pipelined,
    opening,
    refuses_parameters,
    transaction,
)
from homing.net.route import Host
from homing.net.smtp_wire import Timeouts, Wire, pump

__all__ = ["Connection", "Envelope", "PoolLimits", "SmtpClient", "Timeouts", "Tls", "Transcript"]

_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
"""What connect says, at once, on a machine that has no address of that family or no way out."""
_HOSTS_WITHOUT_PIPELINING = 10_000
_WITHOUT_PIPELINING_FOR = 24 * 3600.0
"""Seconds for which a host that loses pipelined commands is sent one at a time."""


class Tls(StrEnum):
    """How a connection is protected where the server offers STARTTLS, in the order in which to try: some servers close
    as soon as they see TLS 1.3, and clear text is better than no mail (RFC 7435)."""

    NEWEST = "newest"
    AT_MOST_1_2 = "at most 1.2"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """`connections` in all to one host; each may be idle for `idle` seconds and carries at most `messages` messages."""

    connections: int = 20
    idle: float = 30
    messages: int = 100


@dataclass(slots=True, eq=False)
class _Line:
    """A connection after its opening. `reset`: its last transaction was refused and is still open.

    `idle_since` is the loop's time of its last return; `watched`: a timer runs that will close it if idle too long.
    """

    wire: Wire
    offered: Capabilities
    tls: str
    log: Log
    messages: int = 0
    reset: bool = False
    reused: bool = False
    idle_since: float = 0.0
    watched: bool = False


@dataclass(slots=True)
class _Pool:
    """The connections to one host. `tasks` counts those who hold one or wait for one."""

    slots: asyncio.Semaphore
    idle: deque[_Line] = field(default_factory=deque)
    tasks: int = 0


_Key = tuple[Host, Tls]
T = TypeVar("T")


class Connection:
    """A connection lent out for one message: `send` it, or `release` the connection unused. `SmtpClient` makes them."""

    def __init__(self, client: "SmtpClient", key: _Key, line: _Line) -> None:
        self._client = client
        self._key = key
        self._line = line
        self._lent = True

    @property
    def tls(self) -> str:
        """What protects this connection, such as "TLSv1.3 TLS_AES_256_GCM_SHA384"; "" if nothing does."""
        return self._line.tls

    @property
    def log(self) -> Log:
        """The dialogue so far."""
        return self._line.log

    @property
    def egress_ip(self) -> str:
        """Our own address of this connection."""
        return self._line.wire.egress_ip

    @property
    def reached(self) -> Stage:
        """How far `send` has come, for a caller that cancels it. At `dot` the server may have the message."""
        return self._line.wire.reached

    async def send(self, envelope: Envelope) -> Transcript:
        """One SMTP transaction. The connection goes back to the pool if it is still good, and is closed otherwise.

        Where an idle connection turns out to be gone before MAIL was answered, a new one takes its place, once.
        Raises ValueError for an envelope that cannot be put on the wire safely (a bug of the caller's).
        """
        assert self._lent, "a connection carries one message each time it is acquired"
        keep = False
        try:
            self._begin()
            ending = await self._transact(envelope)
            if ending.stale and self._line.reused:
                self._line.wire.hang_up()
                fresh = await self._client.connect(*self._key)
                if isinstance(fresh, Transcript):
                    return fresh
                self._line = fresh
                self._begin()
                ending = await self._transact(envelope)
            if "DSN" in self._line.offered and refuses_parameters(ending):
                self._line.offered = self._line.offered.without("DSN")
                ending = await self._transact(envelope)
            if "PIPELINING" in self._line.offered and lost_when_pipelined(ending):
                self._client.without_pipelining(self._key[0])
            keep = ending.reusable
            return _transcript(ending, self._key[0], self._line.log, self._line)
        finally:
            self._give_back(keep=keep)

    def release(self) -> None:
        """Give the connection back unused; nothing happens after `send`."""
        if self._lent:
            self._give_back(keep=True)

    def _begin(self) -> None:
        line = self._line
        if line.reused:
            line.log = Log(line.messages + 1)
        line.messages += 1
        line.wire.reached = Stage.MAIL_FROM

    async def _transact(self, envelope: Envelope) -> Ending:
        line = self._line
        dialogue = transaction(envelope, line.offered, reset=line.reset)
        ending = await pump(dialogue, line.wire, line.log, self._client.timeouts)
        line.reset = ending.stage is not Stage.DOT
        return ending

    def _give_back(self, *, keep: bool) -> None:
        self._lent = False
        self._client.take_back(self._key, self._line, keep=keep)


class SmtpClient:
    """Connections to mail hosts. `hostname` is how we introduce ourselves."""

    def __init__(self, hostname: str, timeouts: Timeouts | None = None, limits: PoolLimits | None = None) -> None:
        self.timeouts = timeouts or Timeouts()
        self._hostname = hostname
        self._limits = limits or PoolLimits()
        self._tls_context = {
            Tls.NEWEST: _opportunistic_tls(),
            Tls.AT_MOST_1_2: _opportunistic_tls(ssl.TLSVersion.TLSv1_2),
        }
        self._unpipelined: TTLCache[Host, bool] = TTLCache(_HOSTS_WITHOUT_PIPELINING, _WITHOUT_PIPELINING_FOR)
        self._pools: dict[_Key, _Pool] = {}
        self._leaving: set[Wire] = set()
        self._closed = False

    async def acquire(self, host: Host, *, tls: Tls = Tls.NEWEST, log: Log | None = None) -> Connection | Transcript:
        """A connection ready for MAIL: an idle one, or a new one through banner, EHLO and, where offered, STARTTLS.
        `log` keeps the dialogue of a new one, for a caller that may cancel this call.

        TLS is opportunistic and proves no name. After a failed handshake (stage tls) the caller may ask again for less.
        One host has at most `PoolLimits.connections`; a caller that waits too long gets "busy".
        """
        key = (host, tls)
        pool = self._pools.setdefault(key, _Pool(asyncio.Semaphore(self._limits.connections)))
        pool.tasks += 1
        line: _Line | Transcript | None = None
        holds_slot = False
        try:
            async with asyncio.timeout(self.timeouts.slot):
                holds_slot = await pool.slots.acquire()
            line = _take_idle(pool) or await self.connect(host, tls, log)
        except TimeoutError:
            return _transcript(Ending(Stage.CONNECT, silence=Silence.BUSY), host, Log())
        finally:
            if not isinstance(line, _Line):
                self._leave(key, pool, holds_slot=holds_slot)
        return Connection(self, key, line) if isinstance(line, _Line) else line

    async def close(self) -> None:
        """Take leave of every idle connection; those lent out are closed when they come back."""
        self._closed = True
        for pool in self._pools.values():
            while pool.idle:
                self._retire(pool.idle.pop())
        if self._leaving:
            await asyncio.wait([wire.gone for wire in self._leaving], timeout=self.timeouts.quit + 1)

    def without_pipelining(self, host: Host) -> None:
        """Send one command at a time to this host from its next connection on, whatever it offers (RFC 2920 §3.1)."""
        self._unpipelined[host] = True

    async def connect(self, host: Host, tls: Tls, log: Log | None = None) -> _Line | Transcript:
        """A new connection, outside the pool."""
        log = Log() if log is None else log
        wire = await self._dial(host, log)
        if isinstance(wire, Silence):
            return _transcript(Ending(Stage.CONNECT, silence=wire), host, log)
        line: _Line | Ending | None = None
        try:
            line = await self._open(wire, host, log, tls)
            if isinstance(line, _Line) and host in self._unpipelined:
                line.offered = line.offered.without("PIPELINING")
        finally:
            if not isinstance(line, _Line):
                wire.hang_up()
        return line if isinstance(line, _Line) else _transcript(line, host, log, egress_ip=wire.egress_ip)

    def take_back(self, key: _Key, line: _Line, *, keep: bool) -> None:
        """Return a lent connection to the pool, or close it."""
        pool = self._pools[key]
        if not keep or line.wire.closed:
            line.wire.hang_up()
        elif self._closed or line.messages >= self._limits.messages:
            self._retire(line)
        else:
            line.wire.idle = line.reused = True
            line.idle_since = asyncio.get_running_loop().time()
            pool.idle.append(line)
            self._watch(key, line)
        self._leave(key, pool, holds_slot=True)

    async def _dial(self, host: Host, log: Log) -> Wire | Silence:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.timeouts.connect):
                _, wire = await loop.create_connection(Wire, host.ip, host.port)
        except TimeoutError:
            return Silence.TIMEOUT
        except ConnectionRefusedError:
            return Silence.REFUSED
        except OSError as error:
            log.note(str(error))
            return Silence.NO_ROUTE if error.errno in _NO_ROUTE else Silence.UNREACHABLE
        log.note(f"connected to {host.name} [{host.ip}]:{host.port}")
        return wire

    async def _open(self, wire: Wire, host: Host, log: Log, tls: Tls) -> _Line | Ending:
        offered = await self._play(opening(self._hostname), wire, log)
        if isinstance(offered, Ending) or tls is Tls.NONE or "STARTTLS" not in offered:
            return offered if isinstance(offered, Ending) else _Line(wire, offered, "", log)
        willing = await self._play(asking_for_tls(), wire, log)
        if isinstance(willing, Ending):
            return willing
        if not willing:
            return _Line(wire, offered, "", log)
        agreed = await wire.start_tls(self._tls_context[tls], host.name, self.timeouts.tls)
        log.note(agreed)
        if isinstance(agreed, Silence):
            return Ending(Stage.TLS, silence=agreed)
        offered = await self._play(introduction(self._hostname), wire, log)
        if isinstance(offered, Ending) and offered.silence is Silence.CLOSED:
            return Ending(
                Stage.TLS, silence=Silence.TLS_FAILED
            )  # in TLS 1.3 a server may object after our part is done
        return offered if isinstance(offered, Ending) else _Line(wire, offered, agreed, log)

    async def _play(self, dialogue: Generator[Turn, Answer, T], wire: Wire, log: Log) -> T:
        return await pump(dialogue, wire, log, self.timeouts)

    def _watch(self, key: _Key, line: _Line) -> None:
        if not line.watched:
            line.watched = True
            asyncio.get_running_loop().call_at(line.idle_since + self._limits.idle, self._look_after, key, line)

    def _look_after(self, key: _Key, line: _Line) -> None:
        """Close an idle connection in time. One timer per connection, not per message: set again after a use."""
        line.watched = False
        pool = self._pools.get(key)
        if pool is None or line not in pool.idle:
            return
        if line.wire.closed or asyncio.get_running_loop().time() >= line.idle_since + self._limits.idle:
            pool.idle.remove(line)
            self._retire(line)
            self._forget_if_unused(key, pool)
        else:
            self._watch(key, line)

    def _retire(self, line: _Line) -> None:
        wire = line.wire
        if wire.closed:
            return
        self._leaving.add(wire)
        wire.gone.add_done_callback(lambda _: self._leaving.discard(wire))
        wire.say_goodbye(self.timeouts.quit)

    def _leave(self, key: _Key, pool: _Pool, *, holds_slot: bool) -> None:
        if holds_slot:
            pool.slots.release()
        pool.tasks -= 1
        self._forget_if_unused(key, pool)

    def _forget_if_unused(self, key: _Key, pool: _Pool) -> None:
        if not pool.tasks and not pool.idle:
            self._pools.pop(key, None)


def _opportunistic_tls(newest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED) -> ssl.SSLContext:
    """A context for opportunistic TLS (RFC 7435): it stops eavesdroppers and proves no name. Slow to make: once."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1_2, newest
    return context


def _take_idle(pool: _Pool) -> _Line | None:
    while pool.idle:
        line = pool.idle.pop()
        if not line.wire.closed:
            line.wire.idle = False
            return line
    return None


def _transcript(ending: Ending, host: Host, log: Log, line: _Line | None = None, *, egress_ip: str = "") -> Transcript:
    return Transcript(
        stage=ending.stage,
        reply=ending.reply,
        silence=ending.silence,
        host=host.name,
        ip=host.ip,
        tls=line.tls if line else "",
        fell_back=line is not None and not line.tls and "STARTTLS" in line.offered,
        egress_ip=line.wire.egress_ip if line else egress_ip,
        log=log,
    )
