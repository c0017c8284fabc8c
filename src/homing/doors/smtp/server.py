"""An SMTP door: TCP and TLS around `mail.smtp_server`, bounded in every dimension, and a session handler that decides.

One task serves one connection: it takes the session's questions to the handler one after the other, so pipelined
commands are answered in order, and reads on only when the handler has answered. What a stranger may use up stands in
`Limits`.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import structlog

from homing.doors.budget import Budget, NoRoomError
from homing.doors.smtp.body import Spool, SpooledBody
from homing.doors.smtp.networks import Networks
from homing.doors.smtp.session_handler import Peer, Received, SessionHandler
from homing.mail.reply import Reply
from homing.mail.smtp_server import (
    AskMessage,
    AskRecipient,
    AskSender,
    BodyDropped,
    BodyOctets,
    BodyOpened,
    Closing,
    Event,
    ServerSession,
    SessionLimits,
    UpgradeToTls,
    wire,
)
from homing.net.stream import Stream, agreed_on

__all__ = ["Limits", "Peer", "Received", "SessionHandler", "SmtpServer", "SpooledBody"]

_READ_OCTETS = 32 * 1024
_UNREAD_REPLIES = 64 * 1024

_TROUBLE = Reply(451, "4.3.0", "trouble on our side, please try again later")
_FULL = Reply(452, "4.3.1", "no room for a message now, please try again later")
_CROWDED = Reply(421, "4.7.0", "too many connections, please try again later")
_TOO_MUCH = Reply(451, "4.7.0", "too much mail from your network at once, please try again later")
_TOO_SLOW = Reply(421, "4.4.2", "time is over")
_GOING_DOWN = Reply(421, "4.3.2", "the server is going down, please try again")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(SessionLimits):
    """What one client, and all of them together, may use up.

    `command_seconds` is for each command as a whole, however its octets trickle in; a message may pause as long, and
    must come at `body_rate` octets a second after `body_grace_seconds`; a last reply that nobody reads is waited for
    `linger_seconds`. A network is a /24 or a /64; it may send `octets_per_network` at once, and goes on with
    `network_octets_per_second`. A message larger than `spool_above` octets goes to disk; what lies in memory in all
    connections stays under `memory_octets`.
    """

    command_seconds: float = 60
    session_seconds: float = 600
    body_grace_seconds: float = 30
    linger_seconds: float = 5
    body_rate: float = 1024
    connections: int = 500
    connections_per_network: int = 10
    octets_per_network: int = 256 * 1024 * 1024
    network_octets_per_second: int = 2 * 1024 * 1024
    memory_octets: int = 64 * 1024 * 1024
    spool_above: int = 256 * 1024


class SmtpServer:
    """Listens, and opens a session for each client."""

    def __init__(
        self,
        handler: SessionHandler,
        limits: Limits | None = None,
        tls_context: ssl.SSLContext | None = None,
        *,
        spool: Path | None = None,
    ) -> None:
        """`spool`: a folder for messages too large for memory; the system's own if None."""
        self.handler = handler
        self.limits = limits or Limits()
        self.tls_context = tls_context
        self.spool = spool
        self.budget = Budget(self.limits.memory_octets)
        self.networks = Networks(
            connections=self.limits.connections_per_network,
            octets=self.limits.octets_per_network,
            octets_per_second=self.limits.network_octets_per_second,
            now=time.monotonic,
        )
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listens; returns the port, which the system chooses if `port` is 0. Raises OSError if the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), host, port)
        chosen: int = self._server.sockets[0].getsockname()[1]
        return chosen

    async def close(self, grace: float = 30) -> None:
        """Stop listening, say 421 to those who idle, and give the others `grace` seconds to end their message."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections.values():
            connection.go_down()
        if self._connections:
            _, late = await asyncio.wait(self._connections, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def admit(self, connection: "_Connection") -> bool:
        """Take in a new connection, unless there are too many, in all or from its network."""
        ip = connection.peer.ip
        if len(self._connections) >= self.limits.connections or not self.networks.enter(ip):
            return False
        task = asyncio.get_running_loop().create_task(connection.serve())
        self._connections[task] = connection
        task.add_done_callback(lambda task: self._dismiss(task, ip))
        return True

    def _dismiss(self, task: asyncio.Task[None], ip: str) -> None:
        del self._connections[task]
        self.networks.leave(ip)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("smtp_connection_failed", exc_info=error)


class _Connection(Stream, asyncio.BufferedProtocol):
    """One client. Octets are read into one small buffer, so that nobody can make us hold more than we look at."""

    def __init__(self, server: SmtpServer) -> None:
        super().__init__(buffered=_UNREAD_REPLIES)
        self.peer = Peer(ip="", port=0)
        self._server = server
        self._limits = server.limits
        self._loop = asyncio.get_running_loop()
        self._session = ServerSession(server.handler.hostname, server.limits, starttls=server.tls_context is not None)
        self._space = bytearray(_READ_OCTETS)
        self._spool: Spool | None = None
        self._ended = self._going_down = self._paused = False
        self._octets = 0
        self._session_end = self._loop.time() + self._limits.session_seconds
        self._command_end = self._loop.time() + self._limits.command_seconds
        self._body_since, self._body_from = 0.0, 0

    # --- what asyncio calls -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.use(transport)
        address = transport.get_extra_info("peername")
        if not address:  # gone before it was greeted
            self.transport.abort()
            return
        self.peer = Peer(ip=address[0], port=address[1])
        if not self._server.admit(self):
            self.transport.write(wire(_CROWDED))
            self.transport.close()

    def get_buffer(self, _sizehint: int) -> bytearray:
        return self._space

    def buffer_updated(self, nbytes: int) -> None:
        self._octets += nbytes
        self._session.receive(bytes(memoryview(self._space)[:nbytes]))
        if self._session.buffered >= _READ_OCTETS and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self.wake()

    def eof_received(self) -> bool:
        self._ended = True
        self.wake()
        return self.peer.tls == ""  # who half-closes may still read our answers; TLS has no such thing

    def connection_lost(self, _error: Exception | None) -> None:
        self._ended = True
        super().connection_lost(_error)

    # --- the dialogue -----------------------------------------------------------------------------------------------

    def go_down(self) -> None:
        """Ends the session at the next pause between two transactions."""
        self._going_down = True
        self.wake()

    async def serve(self) -> None:
        """From banner to close."""
        try:
            self._session.greet(await self._ask(self._server.handler.greeting(self.peer)))
            open_ = True
            while open_:
                while open_ and (event := self._session.next()) is not None:
                    open_ = await self._handle(event)
                self._send()
                open_ = open_ and await self._more()
        finally:
            self._drop_message()
            await self._close()

    async def _handle(self, event: Event) -> bool:
        """Carries out what the session asks for; returns whether the connection stays open."""
        session, handler = self._session, self._server.handler
        match event:
            case AskSender(envelope_sender):
                self._name_peer()
                busy = not self._server.networks.may_send(self.peer.ip)
                session.answer(_TOO_MUCH if busy else await self._ask(handler.mail_from(self.peer, envelope_sender)))
            case AskRecipient(envelope_sender, recipient):
                session.answer(await self._ask(handler.recipient(self.peer, envelope_sender, recipient)))
            case BodyOpened():
                self._open_message()
            case BodyOctets(octets):
                await self._keep(octets)
            case BodyDropped():
                self._drop_message()
            case AskMessage():
                await self._hand_over(event)
            case UpgradeToTls():
                return await self._start_tls()
            case Closing():
                return False
        return True

    async def _ask(self, answer: Awaitable[Reply | None]) -> Reply | None:
        try:
            return await answer
        except Exception:  # the door's one catch: our bug must not cost the client its message
            log.exception("smtp_session_failed", ip=self.peer.ip)
            return _TROUBLE

    def _name_peer(self) -> None:
        hello = self._session.hello
        if hello is not None and hello.name != self.peer.helo:
            self.peer = replace(self.peer, helo=hello.name)

    # --- the message ------------------------------------------------------------------------------------------------

    def _open_message(self) -> None:
        if self._server.budget.exhausted:
            self._session.answer(_FULL)
            return
        self._spool = Spool(self._server.budget, self._server.spool, self._limits.spool_above)
        self._body_since, self._body_from = self._loop.time(), self._octets
        self._session.accept_body()

    async def _keep(self, octets: bytes) -> None:
        if self._spool is None:
            return
        try:
            await self._spool.write(octets)
        except NoRoomError:
            self._session.refuse_body(_FULL)

    async def _hand_over(self, message: AskMessage) -> None:
        assert self._spool is not None, "opened before its octets came"
        try:
            body = await self._spool.finish()
        except NoRoomError:
            self._session.answer(_FULL)
            return
        received = Received(
            envelope_sender=message.envelope_sender,
            recipients=message.recipients,
            body=body,
            flags=message.flags,
            smtputf8=message.smtputf8,
            envid=message.envid,
            charge=partial(self._server.networks.worked, self.peer.ip),
        )
        reply = await self._ask(self._server.handler.received(self.peer, received))
        self._drop_message()
        self._session.answer(reply)

    def _drop_message(self) -> None:
        if self._spool is not None:
            self._server.networks.sent(self.peer.ip, self._octets - self._body_from)
            self._spool.discard()
            self._spool = None

    # --- octets and time --------------------------------------------------------------------------------------------

    def _send(self) -> None:
        octets = self._session.output()
        if octets and not self.gone.done():
            self.transport.write(octets)
            self._command_end = self._loop.time() + self._limits.command_seconds

    async def _more(self) -> bool:
        """Waits for octets; returns whether the dialogue goes on."""
        seen = self._octets
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        try:
            async with asyncio.timeout_at(self._deadline()):
                while self.full or self._octets == seen:
                    if self._ended:
                        return False
                    if self._going_down and not self._session.in_body:
                        self._session.hang_up(_GOING_DOWN)
                        return True
                    await self.change()
        except TimeoutError:
            self._session.hang_up(_TOO_SLOW)
        return True

    def _deadline(self) -> float:
        if not self._session.in_body:
            return min(self._session_end, self._command_end)
        due = (self._octets - self._body_from) / self._limits.body_rate + self._limits.body_grace_seconds
        pause = self._loop.time() + self._limits.command_seconds
        return min(self._session_end, pause, self._body_since + due)

    async def _start_tls(self) -> bool:
        self._send()
        context = self._server.tls_context
        assert context is not None, "offered only with a context"
        seconds = self._limits.command_seconds
        try:
            async with asyncio.timeout(seconds):
                transport = await self._loop.start_tls(
                    self.transport, self, context, server_side=True, ssl_handshake_timeout=seconds
                )
        except OSError:
            return False
        if transport is None:
            return False
        self.use(transport)
        self.peer = replace(self.peer, helo="", tls=agreed_on(transport))
        self._session.upgraded()
        return True

    async def _close(self) -> None:
        """Sends the last reply, but does not wait for ever for a client that reads nothing."""
        self.transport.close()
        _, unread = await asyncio.wait([self.gone], timeout=self._limits.linger_seconds)
        if unread:
            self.transport.abort()
