"""Replies as they come over the wire, bounded, from servers that may be broken or hostile (RFC 5321 §4.2)."""

import re
from dataclasses import dataclass, field

from homing.mail.reply import Reply
from homing.mail.text import clean

LINE_OCTETS = 2048
REPLY_OCTETS = 64 * 1024
TEXT_CHARACTERS = 1024

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ServerReply:
    """A complete, well-formed reply: its code and its lines, cleaned. `reply` is what is kept: 1,024 characters."""

    reply_code: int
    lines: tuple[str, ...]

    @property
    def reply(self) -> Reply:
        return Reply.of(self.reply_code, "\n".join(line for line in self.lines if line)[:TEXT_CHARACTERS])


@dataclass(frozen=True, slots=True)
class Garbled:
    """Octets that are no SMTP reply, or one without an end: nothing more from this server can be understood."""


@dataclass(slots=True)
class ReplyReader:
    """Octets in, replies out. Keeps at most one reply's 64 KiB; more than that unread makes the rest garbled."""

    _buffer: bytearray = field(default_factory=bytearray)
    _lines: list[bytes] = field(default_factory=list)
    _octets: int = 0
    garbled: bool = False

    @property
    def untouched(self) -> bool:
        """Whether no unread octets are left: the only state in which a command may be sent."""
        return not (self._buffer or self._lines or self.garbled)

    def receive(self, data: bytes) -> None:
        if self.garbled:
            return
        if len(self._buffer) + len(data) > REPLY_OCTETS:
            self._give_up()
        else:
            self._buffer += data

    def next(self) -> ServerReply | Garbled | None:
        """The next reply; None while it is incomplete; Garbled for ever once the stream makes no sense."""
        while not self.garbled:
            end = self._buffer.find(b"\n", 0, LINE_OCTETS)
            if end < 0:
                if len(self._buffer) < LINE_OCTETS:
                    return None
                break
            line = bytes(self._buffer[:end]).removesuffix(b"\r")
            del self._buffer[: end + 1]
            found = _LINE.fullmatch(line)
            self._octets += end + 1
            if not found or self._octets > REPLY_OCTETS or (self._lines and line[:3] != self._lines[0][:3]):
                break
            self._lines.append(line)
            if found[2] != b"-":
                return self._complete()
        self._give_up()
        return Garbled()

    def _complete(self) -> ServerReply:
        code = int(self._lines[0][:3])
        reply = ServerReply(code, tuple(_readable(line[4:]) for line in self._lines))
        self._lines.clear()
        self._octets = 0
        return reply

    def _give_up(self) -> None:
        self.garbled = True
        self._buffer.clear()
        self._lines.clear()


def _readable(octets: bytes) -> str:
    text = octets.decode("utf-8", "replace")
    return text if text.isascii() and text.isprintable() else clean(text, LINE_OCTETS)
