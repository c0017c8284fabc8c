"""The octets between DATA and the lone dot, both ways (RFC 5321 §4.1.1.4, §4.5.2).

Only CRLF "." CRLF ends a message. Servers that take another sequence for the end let strangers smuggle a second
message in, so the reader here looks for these five octets and for nothing else; a carriage return, line feed or NUL
that stands alone is content, and noted. Work is done on whole chunks: no loop over lines, no expression over octets.
"""

from dataclasses import dataclass

BARE_CR, BARE_LF, NUL, LONG_LINE = "bare_cr", "bare_lf", "nul", "long_line"

_END = b"\r\n.\r\n"
_PIECE = 32 * 1024  # octets worked on at once; no longer than a line may be, see `_measure_lines`
LINE_OCTETS = 64 * 1024


def dot_stuffed(content: bytes) -> bytes:
    """The content as it goes over the wire, final dot not included; a missing CRLF at its end is added.

    Raises ValueError if a CR or LF stands alone: such octets, dotted, could end the message early at a careless server.
    """
    ends = content.count(b"\r\n")
    if content.count(b"\r") != ends or content.count(b"\n") != ends:
        raise ValueError("a CR or LF stands alone in a message to be sent")
    if content.startswith(b"."):
        content = b"." + content
    content = content.replace(b"\r\n.", b"\r\n..")
    return content if content.endswith(b"\r\n") or not content else content + b"\r\n"


@dataclass(slots=True)
class DataReader:
    """Takes dot-stuffed octets as they arrive, gives back the message, and finds its end.

    Holds back at most the four octets that may turn out to begin the end. `size` counts the message's octets so far;
    `flags` says what stood in it that should not: bare_cr, bare_lf, nul, long_line (over 64 KiB).
    """

    size: int = 0
    flags: frozenset[str] = frozenset()
    ended: bool = False
    _held: bytes = b"\r\n"  # the message begins as if after a line end
    _unreal: int = 2  # octets held at first that are not the client's
    _line: int = 0

    def receive(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Message octets in pieces, and what follows the end (only once `ended` is true)."""
        pieces: list[bytes] = []
        for start in range(0, len(data), _PIECE):
            piece, rest = self._read(data[start : start + _PIECE])
            if piece:
                pieces.append(piece)
            if self.ended:
                return pieces, rest + data[start + _PIECE :]
        return pieces, b""

    def _read(self, data: bytes) -> tuple[bytes, bytes]:
        buffer = self._held + data
        end = buffer.find(_END)
        if end >= 0:
            self.ended = True
            return self._take(buffer[: end + 2]), buffer[end + len(_END) :]
        held = next((length for length in (4, 3, 2, 1) if buffer.endswith(_END[:length])), 0)
        self._held = buffer[len(buffer) - held :]
        return self._take(buffer[: len(buffer) - held]), b""

    def _take(self, octets: bytes) -> bytes:
        self._note_flags(octets)
        message = octets.replace(b"\r\n.", b"\r\n")
        if self._unreal and message:
            message, self._unreal = message[self._unreal :], 0
        self.size += len(message)
        return message

    def _note_flags(self, octets: bytes) -> None:
        ends = octets.count(b"\r\n")
        found = {
            BARE_CR: octets.count(b"\r") != ends,
            BARE_LF: octets.count(b"\n") != ends,
            NUL: b"\0" in octets,
            LONG_LINE: self._measure_lines(octets),
        }
        self.flags |= {flag for flag, present in found.items() if present}

    def _measure_lines(self, octets: bytes) -> bool:
        """Whether a line grew too long. A piece is shorter than the bound, so only its first line can break it."""
        first = octets.find(b"\r\n")
        if first < 0:
            self._line += len(octets)
            return self._line > LINE_OCTETS
        longest = self._line + first
        self._line = len(octets) - octets.rfind(b"\r\n") - 2
        return longest > LINE_OCTETS
