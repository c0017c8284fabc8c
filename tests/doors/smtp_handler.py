"""A handler that takes what is addressed to `token@…`, remembers it, and can be told to behave otherwise."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from homing.doors.smtp.server import Limits, Peer, Received, SmtpServer
from homing.mail.reply import Reply

OK = Reply(250, "2.0.0", "ok")


@dataclass
class RecordingDesk:
    hostname: str = "mx.b.example"
    greets_with: Reply | None = field(default_factory=lambda: Reply(220, "", ""))
    answers_sender: Callable[[str | None], Reply | None] = lambda _: OK
    answers_message: Callable[[Received], Reply | None] = lambda _: OK
    seconds: float = 0
    bodies: list[bytes] = field(default_factory=list)
    charges: list[Callable[[float], None]] = field(default_factory=list)
    received_all: list[Received] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a message has come to the handler, which then takes its `seconds`."""

    async def greeting(self, peer: Peer) -> Reply | None:
        return self.greets_with

    async def mail_from(self, peer: Peer, envelope_sender: str | None) -> Reply | None:
        return self.answers_sender(envelope_sender)

    async def recipient(self, peer: Peer, envelope_sender: str | None, recipient: str) -> Reply | None:
        return OK if recipient.lower().startswith("token@") else Reply(550, "5.1.1", "no such recipient")

    async def received(self, peer: Peer, received: Received) -> Reply | None:
        self.began.set()
        await asyncio.sleep(self.seconds)
        self.peers.append(peer)
        self.received_all.append(received)
        self.bodies.append(received.body.read())
        self.charges.append(received.charge)
        return self.answers_message(received)


@asynccontextmanager
async def listening(
    handler: RecordingDesk | None = None, limits: Limits | None = None, **options: Any
) -> AsyncIterator[tuple[RecordingDesk, SmtpServer, int]]:
    """A server on loopback with that handler; closed, and found without remains, in the end."""
    handler = handler or RecordingDesk()
    server = SmtpServer(handler, limits or Limits(connections_per_network=50), **options)
    port = await server.start("127.0.0.1", 0)
    try:
        yield handler, server, port
    finally:
        await server.close(grace=1)
    assert server.budget.used == 0
