"""One SMTP connection to somebody's server, and the pump that drives `mail.smtp_client`'s dialogues over it.

Memory is bounded whatever comes: the reply reader keeps 64 KiB, and the connection is closed if a server sends more, or
sends anything unasked while it is idle. Time is bounded per reply, not per octet.
"""

import asyncio
import re
import ssl
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

from homing.mail.reply import Stage
from homing.mail.smtp_client import Answer, Interrupted, Log, Silence, Turn
from homing.mail.smtp_data import dot_stuffed
from homing.mail.smtp_reply import Garbled, ReplyReader, ServerReply
from homing.net.stream import Stream, agreed_on

_CHUNK = 64 * 1024
_LAST_DOT = b".\r\n"
_LOOK_AGAIN = 0.01
_SNI_NAME = re.compile(r"(?=.{1,253}$)(?:[a-z0-9_-]{1,63}\.)+[a-z][a-z0-9-]{0,62}", re.IGNORECASE)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds to wait for each reply (RFC 5321 §4.5.3.2). `body_rate`: octets a second that a message must move at;
    `slot`: seconds to wait for a free connection to a host at its limit."""

    slot: float = 60
    connect: float = 30
    banner: float = 300
    ehlo: float = 300
    tls: float = 60
    mail_from: float = 300
    rcpt_to: float = 300
    data: float = 120
    body_rate: float = 1024
    dot: float = 600
    quit: float = 5

    def of(self, stage: Stage) -> float:
        seconds: dict[Stage, float] = {
            Stage.BANNER: self.banner,
            Stage.EHLO: self.ehlo,
            Stage.TLS: self.tls,
            Stage.MAIL_FROM: self.mail_from,
            Stage.RCPT_TO: self.rcpt_to,
            Stage.DATA: self.data,
            Stage.DOT: self.dot,
        }
        return seconds[stage]


class Wire(Stream, asyncio.Protocol):
    """The octets of one connection: input goes to the reader and wakes the task that waits."""

    def __init__(self) -> None:
        super().__init__(buffered=_CHUNK)
        self.closed = False
        self.idle = False
        self.reached = Stage.BANNER
        """Where we are in the dialogue; `dot` as soon as the dot has left, and not before."""
        self._reader = ReplyReader()
        self.egress_ip = ""
        """Our own address of this connection."""
        self._patience: asyncio.TimerHandle | None = None
        self._socket: asyncio.Transport
        """Below TLS, where there is TLS."""

    # --- what asyncio calls -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.use(transport)
        self._socket = self.transport
        self.egress_ip = str((transport.get_extra_info("sockname") or ("",))[0])

    def data_received(self, data: bytes) -> None:
        self._reader.receive(data)
        if self.idle or self._reader.garbled:
            self.hang_up()
        self.wake()

    def eof_received(self) -> None:
        self.closed = True
        self.wake()

    def connection_lost(self, _error: Exception | None) -> None:
        self.closed = True
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(_error)

    # --- what the pump calls ----------------------------------------------------------------------------------------

    def hang_up(self) -> None:
        self.closed = True
        self.transport.abort()

    def say_goodbye(self, patience: float) -> None:
        """QUIT, and close when the answer comes or patience ends."""
        self.idle = True
        self.transport.write(b"QUIT\r\n")
        self._patience = asyncio.get_running_loop().call_later(patience, self.hang_up)

    async def reply(self, patience: float) -> ServerReply | Silence:
        """The next reply, within `patience` seconds whatever trickles in."""
        if (answer := self._answer()) is not None:
            return answer
        try:
            async with asyncio.timeout(patience):
                while (answer := self._answer()) is None:
                    await self.change()
        except TimeoutError:
            return Silence.TIMEOUT
        return answer

    async def command(self, octets: bytes, patience: float) -> ServerReply | Silence | None:
        """Send commands. A reply that came before them is no answer, except 421: the server is closing."""
        if not self._reader.untouched:
            early = await self.reply(patience)
            return early if isinstance(early, ServerReply) and early.reply_code == 421 else Silence.GARBLED
        if self.closed:
            return Silence.CLOSED
        self.transport.write(octets)
        return None

    async def message(self, content: bytes, rate: float) -> Interrupted | None:
        """Send the message and its dot; None once the dot has left us. Each chunk must leave at `rate`."""
        octets = dot_stuffed(content) + _LAST_DOT
        for start in range(0, len(octets), _CHUNK):
            chunk = octets[start : start + _CHUNK]
            patience = max(len(chunk) / rate, 1)
            if start:
                await asyncio.sleep(0)  # else nobody would hear a server that speaks or closes meanwhile
            if not await self._drained(patience) or not self._reader.untouched or self._over:
                return await self._interrupted(patience)
            self.transport.write(chunk)
        return None if await self._left(rate) else await self._interrupted(patience)

    async def _interrupted(self, patience: float) -> Interrupted:
        if not self._reader.untouched:
            return Interrupted(await self.reply(patience))
        return Interrupted(Silence.CLOSED if self._over else Silence.TIMEOUT)

    async def start_tls(self, context: ssl.SSLContext, server_name: str, patience: float) -> str | Silence:
        """The handshake: what was agreed on, as text such as "TLSv1.3 TLS_AES_256_GCM_SHA384"."""
        if not self._reader.untouched:
            return Silence.TLS_INJECTION
        name = server_name if _SNI_NAME.fullmatch(server_name) else None
        try:
            async with asyncio.timeout(patience):
                transport = await asyncio.get_running_loop().start_tls(
                    self.transport, self, context, server_hostname=name, ssl_handshake_timeout=patience
                )
        except OSError:
            return Silence.TLS_FAILED
        if transport is None or self.closed:
            return Silence.TLS_FAILED
        self.use(transport)
        return agreed_on(transport)

    # --- within -----------------------------------------------------------------------------------------------------

    def _answer(self) -> ServerReply | Silence | None:
        match self._reader.next():
            case ServerReply() as received:
                return received
            case Garbled():
                return Silence.GARBLED
        return Silence.CLOSED if self.closed else None

    @property
    def _over(self) -> bool:
        return self.closed or self.transport.is_closing()

    async def _left(self, rate: float) -> bool:
        """Whether the system takes all that we have written, down to the last octet, in time. False only where octets
        certainly stayed here; whatever may have gone has left."""
        transport = self.transport
        if transport.is_closing():  # the last write has failed
            return False
        patience = max((transport.get_write_buffer_size() + self._socket.get_write_buffer_size()) / rate, 1)
        if transport.get_write_buffer_size():
            transport.set_write_buffer_limits(high=0)  # full until it is empty
            drained = await self._drained(patience)
            if not transport.is_closing():
                transport.set_write_buffer_limits(high=_CHUNK)
            if not drained:
                return False
        self.reached = Stage.DOT
        looks = int(patience / _LOOK_AGAIN)
        while not self._over and self._reader.untouched and self._socket.get_write_buffer_size():
            if not looks:
                return False
            looks -= 1
            await asyncio.sleep(_LOOK_AGAIN)  # below TLS nobody tells
        return True

    async def _drained(self, patience: float) -> bool:
        """Whether there is room again in time, and before anything else happens."""
        try:
            async with asyncio.timeout(patience):
                while self.full and not self._over and self._reader.untouched:
                    await self.change()
        except TimeoutError:
            return False
        return not self.full


async def pump(dialogue: Generator[Turn, Answer, T], wire: Wire, log: Log, timeouts: Timeouts) -> T:
    """Play a dialogue to its end."""
    try:
        turn = next(dialogue)
        while True:
            answer = await _take_turn(turn, wire, log, timeouts)
            turn = dialogue.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


async def _take_turn(turn: Turn, wire: Wire, log: Log, timeouts: Timeouts) -> Answer:
    patience = timeouts.of(turn.stage)
    answer: Answer | None = None
    wire.reached = turn.stage if turn.content is None else Stage.DATA
    if turn.content is not None:
        log.sent_message(len(turn.content))
        answer = await wire.message(turn.content, timeouts.body_rate)
    elif turn.octets:
        log.sent(turn.octets)
        answer = await wire.command(turn.octets, patience)
    if answer is None:
        wire.reached = turn.stage
        answer = await wire.reply(patience)
    log.received(answer)
    return answer
