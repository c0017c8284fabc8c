"""From a draft to the bytes that are sent (RFC 5322, RFC 2045–2047, RFC 2183, RFC 2387).

The part that all recipients of a message share is composed once; `front` makes the lines that differ between
deliveries, From to the trace. Bytes are CRLF-ended and 7-bit clean, so that no server on the way has a reason to
convert them and break the signature, and equal drafts give equal bytes.
"""

import re
from base64 import encodebytes
from binascii import b2a_qp
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.errors import MultipartInvariantViolationDefect
from email.parser import BytesHeaderParser
from email.policy import compat32
from email.utils import format_datetime
from hashlib import sha256
from itertools import count

from homing.mail import header
from homing.mail.address import Address
from homing.mail.field_checks import NEVER_SENT, ONCE_AT_MOST, TOKEN_HEADERS, bare_message_id, check_message_id
from homing.mail.field_checks import Faults as Faults
from homing.mail.field_checks import check_body as check_body
from homing.mail.field_checks import check_content_id as check_content_id
from homing.mail.field_checks import check_content_type as check_content_type
from homing.mail.field_checks import check_display_name as check_display_name
from homing.mail.field_checks import check_filename as check_filename
from homing.mail.field_checks import check_header as check_header
from homing.mail.field_checks import check_headers as check_headers
from homing.mail.field_checks import check_recipient_name as check_recipient_name
from homing.mail.field_checks import check_subject as check_subject
from homing.mail.field_checks import check_text as check_text
from homing.mail.header import LINE_OCTETS
from homing.mail.header import ComposeError as ComposeError

_URI = re.compile(r"(?:https?://|mailto:)[!#-;=?-~]{1,400}")
_TRACE = re.compile(r"[A-Za-z0-9._=+-]{1,200}")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A name, which may be empty, and an address."""

    name: str
    address: Address


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file. With a `content_id` it is an image inside the HTML, which refers to it as `cid:…`."""

    filename: str
    content_type: str
    content: bytes = field(repr=False)
    content_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What all recipients of a message see, except From, Reply-To and trace. Bcc has no place here.

    Message ids stand without angle brackets. `headers` are custom ones that passed `check_header`.
    """

    subject: str
    to: tuple[Mailbox, ...]
    date: datetime
    message_id: str
    cc: tuple[Mailbox, ...] = ()
    text: str | None = None
    html: str | None = None
    attachments: tuple[Attachment, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    auto_submitted: str | None = None


@dataclass(frozen=True, slots=True)
class _Part:
    head: bytes
    body: bytes


def compose(draft: Draft) -> bytes:
    """Headers, without From, Reply-To, trace and signature, and body. Raises ComposeError for a fault in a field."""
    _refuse(check_headers(draft.headers))
    for name, value in draft.headers:
        _refuse(check_header(name, value))
    for text in (draft.text, draft.html):
        _refuse(check_body(text or ""))
    lines = _headers(draft)
    part = _body(draft)
    return b"".join((*lines, b"MIME-Version: 1.0\r\n", part.head, b"\r\n", part.body))


def front(
    header_from: Address,
    display_name: str,
    reply_to: Address | None,
    trace: str,
    *,
    feedback_to: Address | None = None,
    unsubscribe: Sequence[str] = (),
) -> bytes:
    """The header lines of one delivery, to be put in front of what `compose` gave. Raises ComposeError.

    `feedback_to`: where a provider may send complaints, which name the trace (RFC 9477 §3). `unsubscribe`: URIs, the
    first of which takes a one-click POST (RFC 8058 §3.1).
    """
    if not _TRACE.fullmatch(trace):
        raise ComposeError("trace-invalid", "A trace token is 1 to 200 letters, digits and . _ = + -")
    lines = [header.mailboxes("From", [(display_name, header_from)])]
    if reply_to is not None:
        lines.append(header.mailboxes("Reply-To", [("", reply_to)]))
    lines.append(header.structured(header.TRACE_HEADER, [trace]))
    if feedback_to is not None:
        lines.append(header.structured("CFBL-Address", [f"{feedback_to};", "report=arf"]))
        lines.append(header.structured("CFBL-Feedback-ID", [trace]))
    if unsubscribe:
        lines.append(header.structured("List-Unsubscribe", _angled_list(unsubscribe)))
        lines.append(header.structured("List-Unsubscribe-Post", ["List-Unsubscribe=One-Click"]))
    return b"".join(lines)


def _angled_list(uris: Sequence[str]) -> list[str]:
    if not all(map(_URI.fullmatch, uris)):
        raise ComposeError("uri-invalid", "These are no addresses for List-Unsubscribe.")
    return [f"<{uri}>," for uri in uris[:-1]] + [f"<{uris[-1]}>"]


def corrected(content: bytes, mistaken: Address, right: Address, message_id: str) -> bytes:
    """The output of `compose`, changed for a resend: a new message id, and `right` instead of `mistaken` in To and Cc
    (a recipient in neither was a blind copy, and stays one)."""
    head, separator, body = content.partition(b"\r\n\r\n")
    whole_address = re.compile(rb"(?<![^\s<,:])" + re.escape(str(mistaken).encode()) + rb"(?![^\s>,])")
    fields = []
    for one in re.split(rb"\r\n(?![ \t])", head):
        match one.partition(b":")[0]:
            case b"To" | b"Cc":
                fields.append(whole_address.sub(str(right).encode().replace(b"\\", b"\\\\"), one))
            case b"Message-ID":
                fields.append(header.structured("Message-ID", [_angled(message_id)]).removesuffix(b"\r\n"))
            case _:
                fields.append(one)
    return b"\r\n".join(fields) + separator + body


def without_smtputf8(content: bytes) -> bytes:
    """The output of `compose` for a recipient whose own address is ASCII: To and Cc without addresses that only a
    server with SMTPUTF8 takes (RFC 6531 §3.2). All else, the body too, is the same, and so is the result each time."""
    head, separator, body = content.partition(b"\r\n\r\n")
    fields = []
    for one in re.split(rb"\r\n(?![ \t])", head):
        name, _, value = one.partition(b":")
        if name in (b"To", b"Cc") and not one.isascii():
            one = header.ascii_mailboxes(name.decode(), value.decode()).removesuffix(b"\r\n")  # noqa: PLW2901
        fields.append(one)
    return b"\r\n".join(fields) + separator + body


def check_composed(raw: bytes) -> None:
    """Hold the finished bytes against a second, independent parser. Raises ComposeError (code final-gate).

    CRLF line ends only, no NUL, lines within 998 octets, a 7-bit body; both parsers see the same header names; exactly
    one From, Date and Message-ID, no structural header twice, no Bcc.
    """
    _require(b"\0" not in raw and raw.endswith(b"\r\n"), "the message holds NUL or does not end with CRLF")
    _require(raw.count(b"\r\n") == raw.count(b"\r") == raw.count(b"\n"), "there is a bare CR or LF")
    _require(max(map(len, raw.split(b"\r\n"))) <= LINE_OCTETS, "a line is too long")
    head, separator, body = raw.partition(b"\r\n\r\n")
    _require(bool(separator) and body.isascii(), "there is no body, or it is not 7-bit")
    names = [line.partition(b":")[0] for line in head.split(b"\r\n") if line[:1] not in (b" ", b"\t")]
    parsed = BytesHeaderParser(policy=compat32).parsebytes(head + separator)
    # The first releases of Python 3.11 (Debian 12 has one) report missing parts of a multipart even for a header alone.
    defects = [defect for defect in parsed.defects if not isinstance(defect, MultipartInvariantViolationDefect)]
    _require(not defects, "the header block is malformed")
    _require([name.encode("ascii", "replace") for name in parsed] == names, "parsers disagree about the headers")
    times = Counter(name.decode("ascii", "replace").lower() for name in names)
    _require(
        all(times[name] == 1 for name in ("from", "date", "message-id")), "From, Date or Message-ID is not there once"
    )
    _require(all(times[name] <= 1 for name in ONCE_AT_MOST), "a structural header is there twice")
    _require(not any(times[name] for name in NEVER_SENT), "a header is there that must never leave")


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise ComposeError("final-gate", f"The finished message was refused: {sentence}.")


def _refuse(faults: Faults) -> None:
    for code, message in faults:
        raise ComposeError(code, message)


# --- headers ---------------------------------------------------------------------------------------------------------


def _headers(draft: Draft) -> list[bytes]:
    lines = [
        header.structured("Date", format_datetime(draft.date).split(" ")),
        header.structured("Message-ID", [_angled(draft.message_id)]),
        *_recipients(draft),
        header.unstructured("Subject", draft.subject),
    ]
    own: list[tuple[str, list[str]]] = [
        ("In-Reply-To", [_angled(draft.in_reply_to)] if draft.in_reply_to else []),
        ("References", [_angled(reference) for reference in draft.references]),
        ("Auto-Submitted", [draft.auto_submitted] if draft.auto_submitted else []),
    ]
    taken = {name.lower() for name, _ in draft.headers}
    for name, tokens in own:
        if tokens and name.lower() in taken:
            raise ComposeError("header-repeated", f'The header "{name}" may stand only once.')
        if tokens:
            lines.append(header.structured(name, tokens))
    return lines + [_custom(name, value) for name, value in draft.headers]


def _recipients(draft: Draft) -> list[bytes]:
    lines = [
        header.mailboxes(name, [(mailbox.name, mailbox.address) for mailbox in mailboxes])
        for name, mailboxes in (("To", draft.to), ("Cc", draft.cc))
        if mailboxes
    ]
    return lines or [b"To: undisclosed-recipients:;\r\n"]  # RFC 5322 §A.1.3


def _custom(name: str, value: str) -> bytes:
    if name.lower() in TOKEN_HEADERS:
        return header.structured(name, value.split())
    return header.unstructured(name, value)


def _angled(message_id: str) -> str:
    _refuse(check_message_id(message_id))
    return f"<{bare_message_id(message_id)}>"


# --- body ------------------------------------------------------------------------------------------------------------


def _body(draft: Draft) -> _Part:
    """mixed( alternative( text, related( html, inline images ) ), files ), each level only where it is needed."""
    inline = [one for one in draft.attachments if one.content_id is not None and draft.html is not None]
    files = [one for one in draft.attachments if one.content_id is None or draft.html is None]
    alternatives = []
    if draft.text is not None:
        alternatives.append(_text("plain", draft.text))
    if draft.html is not None:
        html = _text("html", draft.html)
        images = [_file(one, "inline") for one in inline]
        alternatives.append(_multipart(draft, "related", [html, *images], [("type", "text/html")]) if images else html)
    parts = []
    if alternatives:
        parts.append(_multipart(draft, "alternative", alternatives) if len(alternatives) > 1 else alternatives[0])
    parts += [_file(one, "attachment") for one in files]
    if not parts:
        return _text("plain", "")
    return _multipart(draft, "mixed", parts) if files else parts[0]


def _text(subtype: str, text: str) -> _Part:
    """A text part: as it is if ASCII in short lines; else quoted-printable, or base64 if much shorter (RFC 2045 §6)."""
    octets = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n").encode()
    if not octets.endswith(b"\r\n"):
        octets += b"\r\n"
    content_type = header.with_parameters("Content-Type", f"text/{subtype}", [("charset", "utf-8")])
    pieces = _pieces(octets)
    if all(map(_stands_as_it_is, pieces)):
        return _Part(content_type + b"Content-Transfer-Encoding: 7bit\r\n", octets)
    based = _base64(octets)
    if max(map(len, pieces)) < _LONGEST_QUOTED:
        quoted = b"".join(map(_quoted, pieces))
        if 3 * len(quoted) <= 4 * len(based):
            return _Part(content_type + b"Content-Transfer-Encoding: quoted-printable\r\n", quoted)
    return _Part(content_type + b"Content-Transfer-Encoding: base64\r\n", based)


_PIECE = 256 * 1024
_LONGEST_QUOTED = 1024 * 1024
"""Octets of a piece from which on nobody would read what is quoted."""


def _pieces(octets: bytes) -> list[bytes]:
    """The text in some lines at a time: what is done with all of many megabytes in one call keeps every other thread
    waiting. A line is never cut."""
    pieces, start = [], 0
    while start < len(octets):
        end = octets.find(b"\r\n", start + _PIECE) + 2
        pieces.append(octets[start : end if end > 1 else len(octets)])
        start += len(pieces[-1])
    return pieces


def _quoted(octets: bytes) -> bytes:
    """In quoted-printable; `b2a_qp` leaves lines too long whose last blank it encodes."""
    lines = _LONG_LINE.sub(rb"\1=\r\n\2", b2a_qp(octets, istext=True))
    return _FROM_LINE.sub(_not_a_from_line, lines)


_LONG_LINE = re.compile(rb"^(.{74,76})(=20|=09)(?=\r?$)", re.MULTILINE)
_FROM_LINE = re.compile(rb"^From (?=(.*))", re.MULTILINE)
_QUOTED_LINE = 76
"""Octets of a line in quoted-printable (RFC 2045 §6.7, rule 5)."""


def _not_a_from_line(line: re.Match[bytes]) -> bytes:
    """Whoever keeps mail in an mbox writes ">From " instead (RFC 4155), and the body's hash no longer fits."""
    fits = len(line[0]) + len(line[1].rstrip(b"\r")) + len(b"=46") - len(b"F") <= _QUOTED_LINE
    return b"=46rom " if fits else b"=46=\r\nrom "


def _stands_as_it_is(octets: bytes) -> bool:
    """Nothing in it that a server might change: no long line, no control character, no "From " (RFC 4155)."""
    printable = octets.isascii() and octets.translate(None, b"\r\n\t").decode("ascii").isprintable()
    return printable and max(map(len, octets.split(b"\r\n"))) <= LINE_OCTETS and not (b"\n" + octets).count(b"\nFrom ")


def _file(attachment: Attachment, disposition: str) -> _Part:
    _refuse(check_content_type(attachment.content_type))
    _refuse(check_filename(attachment.filename))
    lines = [
        header.structured("Content-Type", attachment.content_type.split(" ")),
        b"Content-Transfer-Encoding: base64\r\n",
        header.with_parameters("Content-Disposition", disposition, [("filename", attachment.filename)]),
    ]
    if attachment.content_id is not None:
        _refuse(check_content_id(attachment.content_id))
        lines.append(header.structured("Content-ID", [f"<{attachment.content_id}>"]))
    return _Part(b"".join(lines), _base64(attachment.content))


def _multipart(
    draft: Draft, subtype: str, parts: list[_Part], parameters: list[tuple[str, str]] | None = None
) -> _Part:
    inner = [part.head + b"\r\n" + part.body for part in parts]
    boundary = next(
        candidate
        for candidate in (_boundary(draft.message_id, subtype, number) for number in count())
        if not any(candidate.encode() in part for part in inner)
    )
    delimiter = b"--" + boundary.encode()
    body = b"".join(delimiter + b"\r\n" + part + b"\r\n" for part in inner) + delimiter + b"--\r\n"
    head = header.with_parameters("Content-Type", f"multipart/{subtype}", [*(parameters or []), ("boundary", boundary)])
    return _Part(head, body)


def _boundary(message_id: str, subtype: str, number: int) -> str:
    """A boundary: "=_" never occurs in quoted-printable or base64 (RFC 2045 §6.7, note); the rest is hard to guess."""
    return "=_" + sha256(f"{message_id} {subtype} {number}".encode()).hexdigest()[:32]


def _base64(octets: bytes) -> bytes:
    return encodebytes(octets).replace(b"\n", b"\r\n")
