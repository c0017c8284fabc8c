"""Reading strangers' mail: bounded, lenient, never raising (RFC 5322, 2045–2047, 2231).

Bounces arrive with every newline there is, missing boundaries, lying charsets and broken base64; attackers add
nesting and floods. So this reads the first MiB, once, in linear time, within fixed limits, and gives what it could
make out: header fields, parts with their text, and the original that was returned. All text is cleaned of control
and direction-changing characters; it is still a stranger's text and must be escaped where it is shown.
"""

import binascii
import html
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import NamedTuple

MESSAGE_BYTES = 1 << 20
HEADER_BLOCK_BYTES = 64 << 10
FIELD_BYTES = 8 << 10
FIELDS = 200
DEPTH = 30
PARTS = 500
PROSE_CHARACTERS = 64 << 10
_SEPARATORS = 20
_PIECE = 8 << 10
"""Characters that an expression runs over at once: a call into `re` keeps the interpreter's lock to its end, so one
over a MiB would stop everything beside it."""

_RETURNED_TYPES = frozenset(
    {"message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "text/rfc822", "message/global"}
    | {"message/global-headers", "message/partial"}
)
_REPORT = "multipart/report"
_CHARSETS = frozenset(
    re.split(
        r"\s+",
        """ascii us-ascii utf-8 utf8 utf-16 utf-16le utf-16be latin1 koi8-r koi8-u cp437 cp850 cp852 cp866 macintosh
        mac-roman big5 big5-hkscs gb2312 gbk gb18030 hz-gb-2312 cp936 cp950 shift_jis shift-jis sjis x-sjis cp932 euc-jp
        iso-2022-jp iso-2022-jp-1 iso-2022-jp-2 iso-2022-jp-3 iso-2022-kr euc-kr ks_c_5601-1987 cp949 tis-620""",
    )
) | {f"{family}{number}" for family in ("iso-8859-", "windows-125", "cp125") for number in range(17)}

_UNSHOWABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_UNSHOWABLE_IN_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+")
_PLAIN_BYTES = bytes([9, 10, *range(32, 127)])
_FIELD = re.compile(r"([!-9;-~]{1,200})[ \t]*:(.*)")
_WHOLE_FIELD = re.compile(r"^([!-9;-~]{1,200}):(.*(?:\n[ \t].*)*)", re.MULTILINE)
_NO_FIELD = re.compile(rb"(?:\xef\xbb\xbf)?(?:[ \t]*\n)*")
"""What stands before some headers: the mark of UTF-8, and lines that are empty or look so."""
_MBOX_LINE = re.compile(r">?From [^:]*[0-9:]")
_ENCODED_WORD = re.compile(r"=\?([A-Za-z0-9_.:+-]{1,40})(?:\*[A-Za-z-]{1,20})?\?([bBqQ])\?([^?]*)\?=([ \t]+(?==\?))?")
_MEDIA_TYPE = re.compile(r"\s*([\w.+-]{1,80})\s*/\s*([\w.+-]{1,80})", re.ASCII)
_PARAMETER = re.compile(r';\s*([\w*.+-]{1,80})\s*=\s*(?:"((?:[^"\\]|\\.)*)(?:"|\\?$)|([^;]*))', re.ASCII | re.DOTALL)
_ESCAPED = re.compile(r"\\(.)")
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_TAG = re.compile(
    r"<(?:(br|/?p|/?div|/?tr|/?li|/?h[1-6]|/?table|/?blockquote|hr|/?pre|/title)\b|[a-z/!?])[^<>]*>", re.IGNORECASE
)
"""A tag; its first group is set in one that ends a line."""
_BLANKS = re.compile(r"[ \t\xa0]+")
_HIDDEN = re.compile(r"<(style|script|!--)")
_LONG_REFERENCE = re.compile(r"&#[xX]?[0-9A-Fa-f]{8,}")
_SEPARATOR = re.compile(
    r"[-=*_#>~ \t]*(?:"
    r"below (?:this line|the next line) is a copy of the message|"
    r"this is a copy of (?:the|your) message|"
    r"(?:a )?copy of (?:the|your) (?:original )?(?:message|mail)\b|"
    r"(?:the )?(?:original|unsent|undelivered|returned|bounced|failed|rejected|your) (?:message|mail)(?: headers?)?"
    r"(?: (?:follows|begins here|is attached|is following|is included below|text follows)|:)?[-=*_ \t.:]*$|"
    r"(?:the )?headers? of (?:the|your) (?:original )?(?:message|mail)\b|"
    r"(?:original )?message headers?(?: follow| information)?[-=*_ \t.:]*$|"
    r"received message headers|body of message generated response|"
    r"start of (?:the )?returned message|returned message follows|message text follows|"
    r"the (?:following )?(?:text|beginning) of (?:the|your) (?:original )?message)",
    re.IGNORECASE,
)
_COPIED_FIELDS = ("\nreceived:", "\nreturn-path:", "\nmessage-id:", "\ndkim-signature:", "\ndelivered-to:")
_USUAL_FIELDS = ("Received", "Message-ID", "From", "To", "Subject", "Date")
_FIRST_ORIGINAL_FIELD = re.compile(
    r"^(?:received|return-path|message-id|from|to|subject|date|x-[\w-]+|mime-version|dkim-signature|"
    r"delivered-to|content-type|authentication-results)[ \t]*:",
    re.IGNORECASE | re.MULTILINE,
)


Fields = tuple[tuple[str, str], ...]
"""Of a header block, in their order: (name, what stands behind the colon)."""


@dataclass(frozen=True, slots=True)
class Headers:
    """The fields of a header block. A value is unfolded, decoded and cleaned when it is asked for: most never are."""

    written: Fields = ()
    _index: Mapping[str, list[str]] = field(init=False, repr=False, compare=False)
    _firsts: dict[str, str] = field(init=False, repr=False, compare=False, default_factory=dict)
    """What `first` was asked for: the same few fields, again and again."""

    def __post_init__(self) -> None:
        index: dict[str, list[str]] = {}
        for name, text in self.written:
            index.setdefault(name.lower(), []).append(text)
        object.__setattr__(self, "_index", index)

    @property
    def fields(self) -> Fields:
        """All of them, with their values."""
        return tuple((name, _value(name, text)) for name, text in self.written)

    def all(self, name: str) -> tuple[str, ...]:
        """The values of a field that may repeat."""
        found = self._index.get(name.lower())
        return tuple(_value(name, text) for text in found) if found else ()

    def names(self) -> Set[str]:
        """The names that occur, in lower case."""
        return self._index.keys()

    def first(self, name: str) -> str:
        """The first value of a field, "" where there is none."""
        known = self._firsts.get(name)
        if known is None:
            found = self._index.get(name.lower())
            known = self._firsts[name] = _value(name, found[0]) if found else ""
        return known

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._index


class Part(NamedTuple):
    """A leaf of the MIME tree. `text` is decoded for text/* and message/*, "" for others and for a returned mail.

    `original` are the header fields of a returned mail, where the part is one; `enclosed` is that mail, if it is a
    report of its own.
    """

    content_type: str
    params: Mapping[str, str]
    headers: Headers
    text: str
    original: Headers | None = None
    enclosed: "_Entity | None" = None


class Mail(NamedTuple):
    """A mail as far as it could be read.

    `prose` is what its writer says in words (plain text, else HTML without tags), up to the copy of an original;
    `returned` are the header fields of that original. `enclosed` is a report (RFC 6522) that stands in an attached
    message, as gateways pass it on.
    """

    headers: Headers
    content_type: str
    params: Mapping[str, str]
    parts: tuple[Part, ...]
    prose: str
    returned: Headers | None
    enclosed: "Mail | None" = None
    truncated: bool = False


class _Entity(NamedTuple):
    """A mail or a part of one (RFC 2045 §2.4), its body still encoded."""

    headers: Headers
    body: bytes
    content_type: str
    params: dict[str, str]


def read_mail(raw: bytes) -> Mail:
    """Whatever can be made out of the bytes. Never raises; time is linear, and limits cut rather than fail."""
    data = raw[:MESSAGE_BYTES].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    whole = _entity(_from_its_header(data))
    return _mail(whole, encloses=whole.content_type != _REPORT, truncated=len(raw) > MESSAGE_BYTES)


def _mail(whole: _Entity, *, encloses: bool, truncated: bool) -> Mail:
    """The mail of an entity; what is attached to an enclosed one is left alone."""
    parts: list[Part] = []
    _collect(whole, 0, parts)
    prose, returned = _prose_and_returned(parts)
    enclosed = next((part.enclosed for part in parts if part.enclosed), None) if encloses else None
    return Mail(
        headers=whole.headers,
        content_type=whole.content_type,
        params=whole.params,
        parts=tuple(parts),
        prose=prose,
        returned=returned,
        enclosed=_mail(enclosed, encloses=False, truncated=False) if enclosed else None,
        truncated=truncated,
    )


def _from_its_header(data: bytes) -> bytes:
    found = _NO_FIELD.match(data)
    return data[found.end() :] if found else data


def read_headers(text: str) -> Headers:
    """The header block at the start of a text (newlines already "\\n")."""
    return Headers(read_fields(text))


def read_fields(text: str) -> Fields:
    """The fields of the header block at the start of a text, as `Headers` holds them."""
    block, empty_line, _ = text.lstrip("\n").partition("\n\n")
    return _fields(block[:HEADER_BLOCK_BYTES], ends=bool(empty_line))[0]


def header_of(raw: bytes) -> bytes:
    """The header of a mail as its reader finds it, whatever its line ends are, which become "\\n"."""
    data = _from_its_header(raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
    return data.removesuffix(split_header(data)[1])


def split_header(data: bytes) -> tuple[Headers, bytes]:
    """Header fields and body. A header that ends without its empty line ends at the first line that is no field."""
    if data.startswith(b"\n"):
        return Headers(), data[1:]
    block, empty_line, body = data.partition(b"\n\n")
    fields, stop = _fields(_decoded(block[:HEADER_BLOCK_BYTES]), ends=bool(empty_line))
    if stop is not None:
        body = b"\n".join(block.split(b"\n")[stop:]) + empty_line + body
    return Headers(fields), body


def _fields(block: str, *, ends: bool) -> tuple[Fields, int | None]:
    """The fields of a block, and the number of the first line that is not a field and so ends it, None if there is
    none. `ends`: an empty line follows the block."""
    text = block.removesuffix("\n")
    whole = _WHOLE_FIELD.findall(text)
    if sum(map(len, chain.from_iterable(whole))) + len(":\n") * len(whole) - len("\n") == len(text):
        return tuple(whole[:FIELDS]), None
    lines = text.split("\n")
    fields: list[tuple[str, list[str]]] = []
    stop = None
    for number, line in enumerate(lines):
        if line.startswith((" ", "\t")) and fields:
            fields[-1][1].append(line)
        elif found := _FIELD.match(line):
            fields.append((found[1], [found[2]]))
        elif not (number == 0 and _MBOX_LINE.match(line)) and not (fields and ends and _field_at(lines, number + 1)):
            stop = number
            break
    return tuple((name, "\n".join(pieces)) for name, pieces in fields[:FIELDS]), stop


def _field_at(lines: list[str], number: int) -> bool:
    return number < len(lines) and _FIELD.match(lines[number]) is not None


def _value(name: str, text: str) -> str:
    """A value, unfolded and decoded; a recipient field holds an address, so its encoded words stay (RFC 2047 §5)."""
    value = " ".join(line.strip() for line in text.split("\n")) if "\n" in text else text.strip()
    value = value[:FIELD_BYTES]
    if "=?" in value and not name.lower().endswith("-recipient"):
        value = decode_words(value)
    if not (value.isascii() and value.isprintable()):
        value = _UNSHOWABLE_IN_LINE.sub(" ", value)  # faster and coarser than `mail.text.clean`
    return value.strip()


def decode_words(value: str) -> str:
    """A header value with its encoded words decoded (RFC 2047); what cannot be decoded stays as it is."""
    if "=?" not in value:
        return value
    out: list[str] = []
    pending, charset, end = b"", "", 0
    for found in _ENCODED_WORD.finditer(value):
        if found.start() > end or found[1].lower() != charset:
            out.append(_decoded(pending, charset))
            pending = b""
        out.append(value[end : found.start()])
        charset, end = found[1].lower(), found.end()
        encoded = found[3].encode("latin-1", "replace")
        pending += _base64(encoded) if found[2] in "bB" else binascii.a2b_qp(encoded, header=True)
    out.append(_decoded(pending, charset))
    out.append(value[end:])
    return "".join(out)


def _lines(text: str) -> str:
    """Control and direction characters become spaces, newlines and tabs stay."""
    return "".join(_UNSHOWABLE.sub(" ", text[at : at + _PIECE]) for at in range(0, len(text), _PIECE))


def read_content_type(value: str) -> tuple[str, dict[str, str]]:
    """Media type in lower case and its parameters; text/plain where there is none (RFC 2045 §5.2, RFC 2231)."""
    found = _MEDIA_TYPE.match(value)
    if not found:
        return "text/plain", {}
    params: dict[str, str] = {}
    for parameter in _PARAMETER.finditer(value, found.end()) if ";" in value else ():
        name = parameter[1].lower()
        quoted = parameter[2]
        text = parameter[3].strip() if quoted is None else _ESCAPED.sub(r"\1", quoted) if "\\" in quoted else quoted
        if name.endswith("*"):
            text = _PERCENT.sub(lambda hexed: chr(int(hexed[1], 16)), text.rpartition("'")[2])
        base, starred, _ = name.partition("*")
        if base not in params:
            params[base] = text
        elif starred:
            params[base] += text
    return f"{found[1]}/{found[2]}".lower(), params


def _entity(data: bytes) -> _Entity:
    headers, body = split_header(data)
    return _Entity(headers, body, *read_content_type(headers.first("Content-Type")))


def _collect(entity: _Entity, depth: int, parts: list[Part]) -> None:
    if entity.content_type.startswith("multipart/") and depth < DEPTH:
        boundary = entity.params.get("boundary", "").encode("utf-8", "replace").rstrip() or _guess_boundary(entity.body)
        pieces = _split(entity.body, boundary) if boundary else iter(())
        found = False
        for piece in pieces:
            found = True
            if len(parts) >= PARTS:
                return
            _collect(_entity(piece), depth + 1, parts)
        if found:
            return
    if len(parts) < PARTS:
        parts.append(_leaf(*entity))


def _leaf(headers: Headers, body: bytes, content_type: str, params: dict[str, str]) -> Part:
    original, text, enclosed = None, "", None
    if content_type.startswith(("text/", "message/", "multipart/")):
        data = _transfer_decoded(body, headers.first("Content-Transfer-Encoding"))
        if content_type in _RETURNED_TYPES:
            inner = _entity(_from_its_header(data))
            original = inner.headers
            enclosed = inner if inner.content_type == _REPORT and inner.body else None
        else:
            text = _decoded(data, params.get("charset", "").lower())
            text = _lines(text) if data.translate(None, _PLAIN_BYTES) else text
    return Part(
        content_type=content_type, params=params, headers=headers, text=text, original=original, enclosed=enclosed
    )


def _guess_boundary(body: bytes) -> bytes:
    for line in body[:FIELD_BYTES].split(b"\n"):
        if line.startswith(b"--") and 2 < len(line.rstrip()) <= 74:
            return line[2:].rstrip()
    return b""


def _split(body: bytes, boundary: bytes) -> Iterator[bytes]:
    """The pieces between boundary lines (RFC 2046 §5.1.1); a last piece without its end is given too."""
    delimiter = b"\n--" + boundary
    body = b"\n" + body
    start = -1
    at = body.find(delimiter)
    while at >= 0:
        after = at + len(delimiter)
        closing = body.startswith(b"--", after)
        line_end = body.find(b"\n", after)
        tail = body[after + 2 * closing : line_end if line_end >= 0 else None]
        if not tail.strip():
            if start >= 0:
                yield body[start:at]
            start = -1 if closing or line_end < 0 else line_end + 1
            if closing:
                return
        at = body.find(delimiter, after if line_end < 0 else line_end)
    if start >= 0:
        yield body[start:]


def _transfer_decoded(body: bytes, encoding: str) -> bytes:
    match encoding.strip().lower():
        case "base64":
            return _base64(body).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        case "quoted-printable":
            return binascii.a2b_qp(body).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        case _:
            return body


def _base64(data: bytes) -> bytes:
    digits = _NOT_BASE64.sub(b"", data)
    digits = digits[:-1] if len(digits) % 4 == 1 else digits
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


def _decoded(data: bytes, charset: str = "") -> str:
    if charset in _CHARSETS:
        try:
            return data.decode(charset, "replace" if charset not in {"ascii", "us-ascii"} else "strict")
        except (LookupError, UnicodeError):
            pass
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _prose_and_returned(parts: list[Part]) -> tuple[str, Headers | None]:
    returned = next((part.original for part in parts if part.original is not None and part.original.written), None)
    plain = [part.text for part in parts if part.content_type == "text/plain" and not _attached(part)]
    prose = "\n".join(plain).strip()
    if len(prose) < 20:
        marked_up = [part.text for part in parts if part.content_type == "text/html" and not _attached(part)]
        prose = "\n".join([prose, *map(strip_html, marked_up)]).strip()
    if not prose:
        prose = next((part.text for part in parts if part.content_type.startswith("multipart/")), "")
    prose = prose[:PROSE_CHARACTERS]
    if returned is not None:
        return prose, returned
    return _split_at_original(prose)


def _attached(part: Part) -> bool:
    return part.headers.first("Content-Disposition").lower().startswith("attachment")


def _split_at_original(prose: str) -> tuple[str, Headers | None]:
    """Prose and the header of the copy that follows a known separator line, if it looks like one."""
    for start, end in islice(_separators(prose), _SEPARATORS):
        field_at = _FIRST_ORIGINAL_FIELD.search(prose, end + 1)
        if field_at and not prose[end : field_at.start()].strip(" \t\n-=>*_"):
            headers = read_headers(prose[field_at.start() : field_at.start() + HEADER_BLOCK_BYTES])
            if len(headers.written) >= 2:
                return prose[:start], headers
    return _split_at_fields(prose)


def _split_at_fields(prose: str) -> tuple[str, Headers | None]:
    """Prose and the header of a copy without a separator line, as some systems write it. A nested report is no copy."""
    folded = prose.lower()
    for at in sorted(folded.find(copied) + 1 for copied in _COPIED_FIELDS):
        headers = read_headers(prose[at : at + HEADER_BLOCK_BYTES]) if at else None
        if headers and sum(name in headers for name in _USUAL_FIELDS) >= 3:
            nested = "multipart/report" in headers.first("Content-Type").lower()
            return (prose, None) if nested else (prose[:at], headers)
    return prose, None


def _separators(prose: str) -> Iterator[tuple[int, int]]:
    """The start and end of each line that separates an original from the text about it."""
    at = 0
    for line in prose.split("\n"):
        folded = line.lower()
        if ("message" in folded or "mail" in folded) and _SEPARATOR.match(line):
            yield at, at + len(line)
        at += len(line) + 1


def strip_html(text: str) -> str:
    """The words of an HTML text, block elements as line ends; of a long one, as many as a prose can hold."""
    words: list[str] = []
    length = 0
    for piece in _html_pieces(_without_hidden(text)):
        shown = _TAG.sub(_shown_as, piece)
        shown = _BLANKS.sub(" ", html.unescape(_LONG_REFERENCE.sub(" ", shown)))
        if not words and shown.isspace():  # before the first word, however much it is
            continue
        words.append(shown)
        length += len(shown)
        if length > PROSE_CHARACTERS + len(words):  # each may lose a blank to the one before
            break
    return _lines(_BLANKS.sub(" ", "".join(words)))


def _shown_as(tag: re.Match[str]) -> str:
    return "\n" if tag[1] else " "


def _without_hidden(text: str) -> str:
    kept, at, folded = [], 0, text.lower()
    while hidden := _HIDDEN.search(folded, at):
        kept.append(text[at : hidden.start()])
        closing = folded.find("--" if hidden[1] == "!--" else f"</{hidden[1]}", hidden.end())
        end = folded.find(">", closing) if closing >= 0 else -1
        at = end + 1 if end >= 0 else len(text)
    return "".join([*kept, text[at:]])


def _html_pieces(text: str) -> Iterator[str]:
    """A text of HTML in short pieces that divide no tag and no reference: neither holds a "<" behind its beginning."""
    at = 0
    while at < len(text):
        tag = _TAG.match(text, at)
        least, most = tag.end() if tag else at + 1, at + _PIECE
        end = text.rfind("<", least, most)
        if end < 0:
            end = text.rfind("&", least, most) if most < len(text) else -1
        end = end if end >= 0 else max(least, most)
        yield text[at:end]
        at = end
