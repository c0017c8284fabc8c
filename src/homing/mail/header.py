"""Writing header fields, the one place where text becomes header lines (RFC 5322 §2.2.3, RFC 2047, RFC 2231).

Lines are folded at 76 octets where a space allows it. Text is kept exactly: what cannot stand as it is, or would be
read as an encoded word, becomes encoded words. Addresses and message ids are never encoded.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence

from homing.mail.address import Address

LINE_OCTETS = 998  # RFC 5322 §2.1.1
TRACE_HEADER = "Homing-Trace"
"""The signed field that still names the delivery when the envelope is lost."""
_FOLD_AT = 76  # RFC 2047 §2: lines that hold encoded words
_ENCODED_WORD = 75
_OVERHEAD = len("=?utf-8?q??=")
_LONG_NAME = _ENCODED_WORD // 2  # a header's value begins beside its name, unless the name is longer than this
_PLAIN = re.compile(r"[!-~]+(?: +[!-~]+)*")
_QUOTABLE = re.compile(r"[A-Za-z0-9!#$&+.^_`{}~ ()@,=/:-]+")
_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
_PARAMETER_SAFE = _Q_SAFE - frozenset(b"!*+/") | frozenset(b"._")
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class ComposeError(ValueError):
    """These parts cannot become a mail. `code` is a stable word, the message is for a person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def unsafe_character(text: str) -> str | None:
    """The first character that no header may hold: C0, DEL, C1, U+2028, U+2029, a lone surrogate; None if all is well.

    These end a line, or do so for somebody's parser.
    """
    found = _UNSAFE.search(text)
    return found[0] if found else None


def unstructured(name: str, text: str) -> bytes:
    """A header of free text, such as Subject."""
    text = _safe(name, text).strip(" ")
    if not text:
        return _folded(name, [])
    if _PLAIN.fullmatch(text) and "=?" not in text:
        chunks = re.findall(" +[^ ]+", " " + text)
        if max(map(len, chunks)) <= _FOLD_AT and len(name) + len(chunks[0]) < _FOLD_AT:
            return _folded(name, chunks)
    return _folded(name, [" " + word for word in encoded_words(text, len(name) + 2)])


def structured(name: str, tokens: Iterable[str]) -> bytes:
    """A header of tokens that may be folded between but never encoded, such as References."""
    return _folded(name, [" " + _safe(name, token) for token in tokens])


def mailboxes(name: str, entries: Sequence[tuple[str, Address]]) -> bytes:
    """An address list; only an address whose local part needs SMTPUTF8 is written as raw UTF-8 (RFC 6532)."""
    chunks: list[str] = []
    for display_name, address in entries:
        phrase = _phrase(_safe(name, display_name).strip(" "))
        chunks += [" " + word for word in (*phrase, f"<{address}>" if phrase else str(address))]
        chunks[-1] += ","
    chunks[-1] = chunks[-1].removesuffix(",")
    return _folded(name, chunks)


def ascii_mailboxes(name: str, value: str) -> bytes:
    """An address list as `mailboxes` wrote it, without addresses that need SMTPUTF8. In place of each stands a group
    without members (RFC 5322 §3.4), as RFC 6857 §3.1 has it: of the same name or, where there was none, of the address
    as encoded words. It tells a person who else was written to, and a reply to all passes over it."""
    chunks: list[str] = []
    for entry in _ENTRY.findall(value.replace("\r\n", "")):
        named = _NAMED.fullmatch(entry.strip(" "))
        phrase, address = named.groups() if named else ("", entry.strip(" "))
        words = [phrase] if phrase.startswith('"') else phrase.split()
        if address.isascii():
            words.append(f"<{address}>" if words else address)
        else:
            words = [*(words or encoded_words(address, len(name) + 2)), ":;"]
        chunks += [" " + word for word in words]
        chunks[-1] += ","
    chunks[-1] = chunks[-1].removesuffix(",")
    return _folded(name, chunks)


_ENTRY = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^",])+')
_NAMED = re.compile(r'("(?:[^"\\]|\\.)*"|[^"<]*) <(.*)>')


def with_parameters(name: str, value: str, parameters: Sequence[tuple[str, str]]) -> bytes:
    """A header such as Content-Disposition, its parameters quoted, or encoded and continued (RFC 2231)."""
    chunks = [" " + value]
    for attribute, content in parameters:
        for piece in _parameter(attribute, _safe(name, content)):
            chunks[-1] += ";"
            chunks.append(" " + piece)
    return _folded(name, chunks)


def encoded_words(text: str, taken: int = 0) -> list[str]:
    """The text as RFC 2047 encoded words; the first leaves room for `taken` octets before it on its line."""
    q_octets = sum(map(_q_octets, text))
    use_q = q_octets <= (len(text.encode()) + 2) // 3 * 4
    room = _ENCODED_WORD - _OVERHEAD - (taken if taken <= _LONG_NAME else 0)
    words: list[str] = []
    held: list[str] = []
    used = 0  # octets: encoded ones for Q, plain ones for B, which writes three as four
    for char in text:
        more = _q_octets(char) if use_q else len(char.encode())
        if held and used + more > (room if use_q else room // 4 * 3):
            words.append(_encoded_word("".join(held), use_q=use_q))
            held, used, room = [], 0, _ENCODED_WORD - _OVERHEAD
        held.append(char)
        used += more
    return [*words, _encoded_word("".join(held), use_q=use_q)]


def _safe(name: str, text: str) -> str:
    char = unsafe_character(text)
    if char is not None:
        raise ComposeError("control-character", f"{name} must not hold the character U+{ord(char):04X}.")
    return text


def _folded(name: str, chunks: Iterable[str]) -> bytes:
    """Lines of a header; each chunk begins with a space, before which a line may end."""
    lines = [name + ":"]
    for chunk in chunks:
        fits = len(lines[-1].encode()) + len(chunk.encode()) <= _FOLD_AT
        if fits or (lines[-1] == name + ":" and len(name) <= _LONG_NAME):
            lines[-1] += chunk
        else:
            lines.append(chunk)
    octets = [line.encode() for line in lines]
    if max(map(len, octets)) > LINE_OCTETS:
        raise ComposeError("text-too-long", f"{name} would have a line of more than {LINE_OCTETS} octets.")
    return b"\r\n".join(octets) + b"\r\n"


def _phrase(display_name: str) -> list[str]:
    if not display_name:
        return []
    quoted = '"' + re.sub(r'(["\\])', r"\\\1", display_name) + '"'
    if _PLAIN.fullmatch(display_name) and "=?" not in display_name and len(quoted) < _FOLD_AT - len("Reply-To: "):
        return [quoted]
    return encoded_words(display_name, len("Reply-To: "))


def _q_octets(char: str) -> int:
    return sum(1 if octet in _Q_SAFE or octet == 0x20 else 3 for octet in char.encode())


def _encoded_word(text: str, *, use_q: bool) -> str:
    octets = text.encode()
    if not use_q:
        return f"=?utf-8?b?{b64encode(octets).decode()}?="
    written = "".join(chr(octet) if octet in _Q_SAFE else f"={octet:02X}" for octet in octets)
    return f"=?utf-8?q?{written.replace('=20', '_')}?="


def _parameter(attribute: str, content: str) -> list[str]:
    if _QUOTABLE.fullmatch(content) and len(attribute) + len(content) < _FOLD_AT - 6:
        return [f'{attribute}="{content}"']
    pieces = [""]
    for octet in content.encode():
        written = chr(octet) if octet in _PARAMETER_SAFE else f"%{octet:02X}"
        if len(pieces[-1]) + len(written) > _FOLD_AT - len(attribute) - 20:
            pieces.append("")
        pieces[-1] += written
    pieces[0] = "utf-8''" + pieces[0]
    if len(pieces) == 1:
        return [f"{attribute}*={pieces[0]}"]
    return [f"{attribute}*{number}*={piece}" for number, piece in enumerate(pieces)]
