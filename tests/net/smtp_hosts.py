"""Servers for the client to talk to, and the usual ways of doing it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trustme

from homing.mail.smtp_client import Envelope, Transcript
from homing.net.route import Host
from homing.net.smtp_client import PoolLimits, SmtpClient, Timeouts, Tls

CONTENT = b"Subject: x\r\n\r\n.a dot\r\n..\r\nend\r\n"
IMPATIENT = Timeouts(
    slot=0.3,
    connect=5,
    banner=1,
    ehlo=1,
    tls=1,
    mail_from=1,
    rcpt_to=1,
    data=1,
    dot=1,
    quit=0.2,
    body_rate=200_000,
)
"""For hosts that are to be found silent; everything else is given its time."""
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def envelope(recipient: str = "token@b.example", content: bytes = CONTENT) -> Envelope:
    return Envelope(envelope_sender="a@a.example", recipient=recipient, content=content)


@asynccontextmanager
async def client(timeouts: Timeouts | None = None, limits: PoolLimits | None = None) -> AsyncIterator[SmtpClient]:
    made = SmtpClient("c.example", timeouts or Timeouts(), limits)
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def remote(handler: Handler) -> AsyncIterator[Host]:
    """A server that does as `handler` says. Its connections end with it."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            await handler(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**22)
    try:
        yield Host("mx.b.example", "127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def script(*answers: bytes | None, banner: bytes = b"220 hi\r\n") -> Handler:
    """Answer line by line, as they come; None closes. DATA's body is read to its dot. Then silence."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(banner)
        for answer in answers:
            line = await reader.readuntil(b"\r\n.\r\n" if answer and answer.startswith(b"DOT ") else b"\r\n")
            if not line or answer is None:
                return
            writer.write(answer.removeprefix(b"DOT "))
        await asyncio.sleep(60)

    return handler


async def attempt(client: SmtpClient, host: Host, message: Envelope | None = None, **how: Tls) -> Transcript:
    connection = await client.acquire(host, **how)
    return connection if isinstance(connection, Transcript) else await connection.send(message or envelope())


def home(port: int) -> Host:
    return Host("mx.b.example", "127.0.0.1", port)


def certified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("mx.b.example").configure_cert(context)
    return context


OPEN = b"250 hi\r\n"
UP_TO_DATA = [OPEN, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"]


class Stubborn:
    """Reads line by line and stops reading for good after DATA."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def readuntil(self, separator: bytes) -> bytes:
        line = await self._reader.readuntil(separator)
        if line.startswith(b"DATA"):
            self._reader._transport.pause_reading()
        return line


async def script_until_data(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 hi\r\n")
    for answer in UP_TO_DATA:
        await reader.readuntil(b"\r\n")
        writer.write(answer)
