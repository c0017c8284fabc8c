"""A fast mail host for measurements: it takes every message, remembers when, and keeps none.

It trusts its client and checks nothing, so that what is measured is the other side.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

_END = b"\r\n.\r\n"
_BYE = b"221 2.0.0 Bye\r\n"
_EHLO = b"250-sink\r\n250-PIPELINING\r\n250 SIZE 100000000\r\n"


@dataclass
class Sink:
    """`arrived` tells when each recipient's message was complete (time.monotonic, in seconds); recipients of `refused`,
    a domain, do not exist."""

    refused: str
    arrived: dict[str, float] = field(default_factory=dict)
    _servers: list[asyncio.Server] = field(default_factory=list)

    async def start(self, addresses: Iterable[str]) -> int:
        """Listens at all of these addresses, at one port, which it returns."""
        port = 0
        for address in addresses:
            server = await asyncio.get_running_loop().create_server(lambda: _Session(self), address, port, backlog=512)
            self._servers.append(server)
            port = server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        for server in self._servers:
            server.close()


class _Session(asyncio.Protocol):
    """RFC 5321 with pipelining (RFC 2920), as far as a well-behaved client needs it."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._came = bytearray()
        self._in_message = False
        self._recipient: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports are not of that class
        self._transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        searched = max(0, len(self._came) - len(_END))
        self._came += data
        replies = []
        while (reply := self._message(searched) if self._in_message else self._command()) is not None:
            replies.append(reply)
            searched = 0
        if replies:
            self._transport.write(b"".join(replies))
        if _BYE in replies:
            self._transport.close()

    def _message(self, searched: int) -> bytes | None:
        end = self._came.find(_END, searched)
        if end < 0:
            return None
        del self._came[: end + len(_END)]
        assert self._recipient is not None
        self._sink.arrived[self._recipient] = time.monotonic()
        self._in_message, self._recipient = False, None
        return b"250 2.0.0 Ok\r\n"

    def _command(self) -> bytes | None:
        line, end, _ = self._came.partition(b"\r\n")
        if not end:
            return None
        del self._came[: len(line) + 2]
        match bytes(line[:4]).upper():
            case b"EHLO":
                return _EHLO
            case b"RCPT":
                return self._rcpt(line)
            case b"DATA" if self._recipient is None:
                return b"554 5.5.1 No valid recipients\r\n"
            case b"DATA":
                self._in_message = True
                return b"354 Go ahead\r\n"
            case b"QUIT":
                return _BYE
            case _:
                return b"250 2.0.0 Ok\r\n"

    def _rcpt(self, line: bytes | bytearray) -> bytes:
        recipient = line.partition(b"<")[2].partition(b">")[0].decode("ascii", "replace")
        if recipient.endswith(f"@{self._sink.refused}"):
            return b"550 5.1.1 No such user here\r\n"
        self._recipient = recipient
        return b"250 2.1.5 Ok\r\n"
