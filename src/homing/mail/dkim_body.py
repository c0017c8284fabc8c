"""Bodies in the canonical forms of DKIM, whole or piece by piece (RFC 6376 §3.4.3, §3.4.4)."""

from collections.abc import Iterator
from hashlib import sha256

_LINE_ENDS = b"\r\n" * 4096


def relaxed_body(body: bytes) -> bytes:
    """RFC 6376 §3.4.4."""
    return _end_once(_relaxed_space(body).removesuffix(b" "))


def _relaxed_space(octets: bytes) -> bytes:
    """Lines with one space for each run of white space in them, and none at their ends. Plain replacements: a regular
    expression over a body costs several times as much."""
    octets = octets.replace(b"\t", b" ")
    while b"  " in octets:
        octets = octets.replace(b"  ", b" ")
    return octets.replace(b" \r\n", b"\r\n")


class BodyDigest:
    """The SHA-256 of a canonical body that comes in pieces: in linear time and constant memory."""

    def __init__(self, *, relaxed: bool) -> None:
        self._relaxed = relaxed
        self._hash = sha256()
        self._held = b""  # the end of the pieces so far, whose meaning depends on what follows
        self._line_ends = 0  # CRLFs that are hashed only if anything follows them
        self._empty = True

    def feed(self, piece: bytes) -> None:
        octets = self._held + piece
        undecided = b"\r"
        if self._relaxed:
            octets = _relaxed_space(octets)
            undecided = b" \r" if octets.endswith(b" \r") else b" " if octets.endswith(b" ") else b"\r"
        self._held = undecided if octets.endswith(undecided) else b""
        self._update(octets.removesuffix(undecided))

    def finish(self) -> bytes:
        self._update(self._held.removesuffix(b" ") if self._relaxed else self._held)
        if not (self._empty and self._relaxed):
            self._hash.update(b"\r\n")
        return self._hash.digest()

    def _update(self, octets: bytes) -> None:
        ends = _line_ends(octets)
        if len(octets) > 2 * ends:
            for piece in _many_line_ends(self._line_ends):
                self._hash.update(piece)
            self._hash.update(memoryview(octets)[: len(octets) - 2 * ends])
            self._line_ends = 0
            self._empty = False
        self._line_ends += ends


def _many_line_ends(number: int) -> Iterator[bytes]:
    while number > 0:
        yield _LINE_ENDS[: 2 * number]
        number -= len(_LINE_ENDS) // 2


def _line_ends(octets: bytes) -> int:
    """How many CRLFs end the octets: line ends of empty lines, but for one (RFC 6376 §3.4.3)."""
    tail = octets[len(octets.rstrip(b"\r\n")) :]
    if not tail.endswith(b"\n"):
        return 0
    alternating = len(tail) - 1 - max(tail.rfind(b"\n\n"), tail.rfind(b"\r\r"))
    return alternating // 2


def _end_once(body: bytes) -> bytes:
    """The body without its trailing empty lines, ended by one CRLF; an empty body stays empty."""
    end = len(body) - 2 * _line_ends(body)
    return body[:end] + b"\r\n" if end else b""
