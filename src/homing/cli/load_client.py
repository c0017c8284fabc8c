"""The application's side of a measurement: HTTP at its barest, so that what is measured is the gateway."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

HUMAN_SENDER = "janet@crm.example"
_PATIENCE = 10.0


class Answered(NamedTuple):
    """A message that was accepted: when it was begun and answered (time.monotonic, seconds), its id and recipient."""

    begun: float
    answered: float
    id: str
    recipient: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Where and with which key. `size`: octets of each message's text."""

    port: int
    key: str
    size: int

    async def messages(
        self, recipients: list[str], connections: int, progress: Callable[[int], None]
    ) -> list[Answered]:
        """Submit one message to each recipient, over so many connections, each as soon as its last was answered."""
        answered: list[Answered] = []
        waiting = iter(recipients)

        async def work() -> None:
            connection = await _Connection.open(self.port)
            for recipient in waiting:
                answered.append(await self._submit(connection, recipient))
                progress(len(answered))
            connection.close()

        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(work())
        return answered

    async def failures(self, recipients: list[str], rate: float, stream: str) -> dict[str, float]:
        """Submit to recipients that are refused, `rate` a second, while the human sender's live stream is open.
        By recipient: the seconds from the 202 to the octets of his `bounced`; those that never came are missing."""
        answered: dict[str, Answered] = {}
        announced: dict[str, float] = {}
        listening, everything = asyncio.Event(), asyncio.Event()

        async def listen() -> None:
            async for moment, message in bounces(self.port, stream, listening):
                announced[message] = moment
                if len(announced) == len(recipients):
                    everything.set()

        listener = asyncio.create_task(listen())
        await asyncio.wait_for(listening.wait(), _PATIENCE)
        async for one in self._paced(recipients, rate):
            answered[one.id] = one
        try:
            await asyncio.wait_for(everything.wait(), _PATIENCE)
        except TimeoutError:
            pass
        finally:
            listener.cancel()
        return {
            one.recipient: max(0.0, announced[one.id] - one.answered)
            for one in answered.values()
            if one.id in announced
        }

    async def _paced(self, recipients: list[str], rate: float) -> AsyncIterator[Answered]:
        """Each at its time, also while others wait for their answers."""
        connections: asyncio.Queue[_Connection] = asyncio.Queue()
        for _ in range(int(rate)):
            connections.put_nowait(await _Connection.open(self.port))
        begun = time.monotonic()

        async def one(number: int, recipient: str) -> Answered:
            await asyncio.sleep(begun + number / rate - time.monotonic())
            connection = await connections.get()
            answered = await self._submit(connection, recipient)
            connections.put_nowait(connection)
            return answered

        for done in asyncio.as_completed([one(*numbered) for numbered in enumerate(recipients)]):
            yield await done

    async def _submit(self, connection: "_Connection", recipient: str) -> Answered:
        request = self._request(recipient)
        begun = time.monotonic()
        answer = await connection.ask(request)
        return Answered(begun, time.monotonic(), json.loads(answer)["id"], recipient)

    def _request(self, recipient: str) -> bytes:
        body = json.dumps(
            {
                "human_sender": {"name": "Janet Roe", "address": HUMAN_SENDER},
                "to": [recipient],
                "subject": "Our call this morning",
                "text": _text(self.size),
            }
        )
        return (
            f"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


@dataclass(slots=True)
class Watching:
    """Live streams that are open while something else is measured."""

    port: int
    received: int = 0
    _open: list["asyncio.Task[None]"] = field(default_factory=list)

    async def begin(self, streams: Sequence[str]) -> None:
        """Returns when all are open. Raises TimeoutError: some do not open."""
        opened = [asyncio.Event() for _ in streams]
        self._open = [asyncio.create_task(self._watch(*one)) for one in zip(streams, opened, strict=True)]
        async with asyncio.timeout(_PATIENCE + len(streams) / 10):
            for event in opened:
                await event.wait()

    async def end(self) -> int:
        """How many events were received, over all streams."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        return self.received

    async def _watch(self, stream: str, opened: asyncio.Event) -> None:
        async for line in stream_lines(self.port, stream):
            if line.startswith(b"retry:"):
                opened.set()
            elif line.startswith(b"data: "):
                self.received += 1


async def stream_lines(port: int, stream: str) -> AsyncIterator[bytes]:
    """The lines of a live stream."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    writer.write(f"GET {stream} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n".encode())
    try:
        async for line in reader:
            yield line
    finally:
        writer.close()


async def bounces(port: int, stream: str, listening: asyncio.Event) -> AsyncIterator[tuple[float, str]]:
    """When each `bounced` event came, and the message's id."""
    bounced = False
    async for line in stream_lines(port, stream):
        if line.startswith(b"retry:"):
            listening.set()
        elif line.startswith(b"event: "):
            bounced = line.strip() == b"event: bounced"
        elif bounced and line.startswith(b"data: "):
            yield time.monotonic(), json.loads(line[6:])["message"]


@dataclass(slots=True)
class _Connection:
    """One connection that is kept (RFC 9112)."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, port: int) -> "_Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, request: bytes) -> bytes:
        """The body of a 202. Anything else ends the measurement: RuntimeError."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await self.reader.readexactly(length)
        if b" 202 " not in head[:20]:
            raise RuntimeError(f"the gateway refused a message: {body.decode('utf-8', 'replace')}")
        return body

    def close(self) -> None:
        self.writer.close()


def _text(size: int) -> str:
    line = "As promised on the telephone, here are my notes; the figures follow below.\n"
    return (line * (size // len(line) + 1))[:size]
