"""Checks of the fields that callers write: one per field, each giving every fault as (code, message for a person).

Nothing is repaired: the caller is told what is wrong with the text, and nothing is sent. Text that is refused plain is
refused inside RFC 2047 encoded words too, because some reader on the way will decode them.
"""

import re
import unicodedata
from base64 import b64decode
from binascii import Error as Base64Error
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from quopri import decodestring

from homing.mail.characters import HINTS, Found, find_hidden, odd_letter, without_hints
from homing.mail.dotted_names import domain_in
from homing.mail.header import TRACE_HEADER, unsafe_character

Faults = list[tuple[str, str]]

SUBJECT_CHARACTERS = 998
NAME_CHARACTERS = 128
FILENAME_CHARACTERS = 200
HEADER_OCTETS = 8192
HEADERS_OCTETS = 65536
HEADERS = 50
MESSAGE_IDS = 100

# Beside X-… these names may be set by a caller. Everything else is ours: identity, structure and trace.
# Auto-Submitted is among them because only the application knows that no person caused its mail (RFC 3834 §5).
FREE_TEXT_HEADERS = frozenset({"comments", "keywords", "importance", "priority", "sensitivity"})
TOKEN_HEADERS = {
    "references": re.compile(r"<[^<>\s@]+@[^<>\s@]+>(?: +<[^<>\s@]+@[^<>\s@]+>)*"),
    "in-reply-to": re.compile(r"<[^<>\s@]+@[^<>\s@]+>(?: +<[^<>\s@]+@[^<>\s@]+>)*"),
    "list-unsubscribe": re.compile(r"<(?:https|mailto):[^<>\s]+>(?:, *<(?:https|mailto):[^<>\s]+>)*"),
    "list-unsubscribe-post": re.compile(r"List-Unsubscribe=One-Click"),
    "list-id": re.compile(r'(?:[A-Za-z0-9 ._-]+ |"[A-Za-z0-9 ._-]+" )?<[A-Za-z0-9._-]+>'),
    "feedback-id": re.compile(r"[A-Za-z0-9._-]*(?::[A-Za-z0-9._-]*){0,4}"),
    "auto-submitted": re.compile(r"no|auto-generated|auto-replied|auto-notified"),
}
ONCE_AT_MOST = TOKEN_HEADERS.keys() | {
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    TRACE_HEADER.lower(),
    "cfbl-address",
    "cfbl-feedback-id",
}
NEVER_SENT = frozenset({"bcc", "return-path"})
_OURS = re.compile(
    r"x-(?:homing|received|return-path|dkim|arc|cfbl|authentication|original-authentication|google|ms-exchange|forwarded)"
    r"(?:-.*)?"
)
_REPEATABLE = frozenset({"comments", "keywords"})
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_ENCODED = re.compile(r"=\?([^?]*)\?([^?]*)\?([^?]*)\?=")
_CHARSET = re.compile(r"utf-?8|us-ascii|iso-8859-\d{1,2}|windows-125\d", re.IGNORECASE)
_WORD = r"[A-Za-z0-9!#$&^_.+-]{1,64}"
_CONTENT_TYPE = re.compile(rf'({_WORD})/({_WORD})(?: *; *{_WORD}=(?:{_WORD}|"[A-Za-z0-9 !#$&^_.+:/=-]{{1,64}}"))*')
_CONTENT_ID = re.compile(r"[A-Za-z0-9!#$&'*+/=?^_`{|}~.@-]{1,128}")
_MESSAGE_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@(?:[A-Za-z0-9.-]+|\[[A-Za-z0-9.:-]+\])")
_SPARED = frozenset({"Zs", "Cn"})  # spaces of other scripts, and characters newer than our tables


def too_long(text: str, at_most: int) -> Faults:
    """The check before all others, which take time with each character: a caller may write millions of them."""
    if len(text) <= at_most:
        return []
    return [("text-too-long", f"At most {at_most} characters are allowed; there are {len(text)}.")]


def check_text(text: str, at_most: int) -> Faults:
    """Any one-line text, up to `at_most` characters: no control characters, no line ends, not even encoded ones."""
    if faults := too_long(text, at_most):
        return faults
    char = unsafe_character(text)
    if char is not None:
        return [("control-character", f"Control characters are not allowed: {Found(char, text.index(char) + 1)}.")]
    for charset, coding, payload in _ENCODED.findall(text):
        decoded = _decode(charset, coding, payload)
        if decoded is None:
            return [("encoded-word", "Give the text itself: this encoded word (RFC 2047) cannot be read.")]
        if unsafe_character(decoded) is not None:
            return [("control-character", "An encoded word (RFC 2047) hides a control character.")]
    return []


def check_subject(subject: str) -> Faults:
    return check_text(subject, SUBJECT_CHARACTERS)


def check_recipient_name(name: str) -> Faults:
    """The name beside an address in To, Cc or Bcc; it may be empty, and it may be an address."""
    return check_text(name, NAME_CHARACTERS) or _check_visible(name, HINTS)


def check_display_name(name: str) -> Faults:
    """The name that stands beside our own address in From, so it must not pretend to be an address or a domain. Marks
    of direction are let through before and behind it, where they are dropped."""
    if faults := too_long(name, NAME_CHARACTERS):
        return faults
    if not without_hints(name).strip():
        return [("display-name-empty", "The display name is empty.")]
    within = name.strip(HINTS)
    faults = check_text(name, NAME_CHARACTERS) or _check_visible(within, before=name.index(within))
    return faults or [*_pretences(name)]


def _pretences(name: str) -> Iterator[tuple[str, str]]:
    odd = odd_letter(name)
    if odd is not None:
        yield "display-name-scripts", f"A word of the display name mixes alphabets: see {odd}."
    seen = unicodedata.normalize("NFKC", name).replace("\u3002", ".").replace("\u2024", ".")
    if "xn--" in seen.lower():
        at = _number(name, seen.lower().index("xn--"))
        yield "display-name-punycode", f"Write the letters themselves instead of xn-- (RFC 3492), character {at}."
    if "@" in seen:
        at = _number(name, seen.index("@"))
        yield "display-name-address", f"The display name must not contain an “@”: see {Found(name[at - 1], at)}."
    domain = domain_in(seen)
    if domain:
        at = _number(name, seen.find(domain))
        yield (
            "display-name-domain",
            f'"{domain}", from character {at} on, reads like a domain; write a space after a full stop.',
        )


def _number(name: str, index: int) -> int:
    """The number of the character of a name that stands at this index of its NFKC form."""
    numbers = range(1, len(name))
    return 1 + bisect_right(numbers, index, key=lambda number: len(unicodedata.normalize("NFKC", name[:number])))


def check_header(name: str, value: str) -> Faults:
    """A custom header. Names are X-… or on the allow-list; some values must have the form their RFC gives them."""
    folded = name.lower()
    if not _HEADER_NAME.fullmatch(name):
        return [("header-name-invalid", "A header name is 1 to 64 letters, digits and hyphens.")]
    form = TOKEN_HEADERS.get(folded)
    free = folded in FREE_TEXT_HEADERS or (len(folded) > 2 and folded.startswith("x-") and not _OURS.fullmatch(folded))
    if form is None and not free:
        return [("header-not-allowed", f'The header "{name}" cannot be set; use a name that begins with "X-".')]
    if not value.strip(" "):
        return [("header-value-empty", f'The header "{name}" has no value.')]
    if len(value.encode(errors="replace")) > HEADER_OCTETS:
        return [("text-too-long", f"A header value has at most {HEADER_OCTETS} octets.")]
    faults = check_text(value, HEADER_OCTETS)
    if form and not faults and not (value.isascii() and form.fullmatch(value) and _foldable(name, value)):
        faults.append(("header-value-invalid", f'This is not a valid value of the header "{name}".'))
    return faults


def check_headers(headers: Sequence[tuple[str, str]]) -> Faults:
    """Faults of the list as a whole; each pair is for `check_header`."""
    faults: Faults = []
    if len(headers) > HEADERS:
        faults.append(("too-many-headers", f"At most {HEADERS} custom headers are allowed."))
    if sum(len(name) + len(value) for name, value in headers) > HEADERS_OCTETS:
        faults.append(("text-too-long", f"Custom headers have at most {HEADERS_OCTETS} octets together."))
    times = Counter(name.lower() for name, _ in headers)
    faults += [
        ("header-repeated", f'The header "{name}" may occur only once.')
        for name, count in times.items()
        if count > 1 and name not in _REPEATABLE and not name.startswith("x-")
    ]
    return faults


def check_filename(filename: str) -> Faults:
    """A file name without folders, shown as it is stored: no path, no reversed extension."""
    if faults := too_long(filename, FILENAME_CHARACTERS):
        return faults
    if not without_hints(filename).strip(" ."):
        return [("filename-invalid", "The file name is empty.")]
    faults = check_text(filename, FILENAME_CHARACTERS) or _check_visible(filename, HINTS)
    if "/" in filename or "\\" in filename:
        faults.append(("filename-invalid", "A file name must not contain a slash or a backslash."))
    return faults


def check_content_type(content_type: str) -> Faults:
    """A media type with optional parameters (RFC 2045 §5.1). Attachments are opaque, so no multipart and no message."""
    found = _CONTENT_TYPE.fullmatch(content_type) if len(content_type) <= 255 else None
    if found is None:
        return [("content-type-invalid", 'A content type has the form "image/png".')]
    if found[1].lower() in ("multipart", "message"):
        return [("content-type-invalid", f'"{found[1]}" cannot be attached; use "application/octet-stream".')]
    return []


def check_content_id(content_id: str) -> Faults:
    """The name by which HTML refers to an inline image (`cid:name`), without angle brackets."""
    if not _CONTENT_ID.fullmatch(content_id):
        return [("content-id-invalid", "A content id is 1 to 128 characters such as letters, digits, - . _ and @.")]
    return []


def check_message_id(message_id: str) -> Faults:
    """A Message-ID, with or without its angle brackets (RFC 5322 §3.6.4)."""
    if len(message_id) > 255 or not _MESSAGE_ID.fullmatch(bare_message_id(message_id)):
        return [("message-id-invalid", 'A message id has the form "<unique@example.com>".')]
    return []


def check_body(text: str) -> Faults:
    """A text or HTML body: any characters but NUL and lone surrogates."""
    if "\0" in text:
        return [("control-character", "The body contains a NUL character.")]
    try:
        text.encode()
    except UnicodeEncodeError:
        return [("control-character", "The body contains half a surrogate pair, which is not a character.")]
    return []


def bare_message_id(message_id: str) -> str:
    return message_id[1:-1] if message_id.startswith("<") and message_id.endswith(">") else message_id


def _check_visible(text: str, skipped: str = "", *, before: int = 0) -> Faults:
    """`before`: how many characters of the field stand before `text`."""
    found = find_hidden(text, _SPARED, skipped=skipped, name=True)
    if found is None:
        return []
    place = Found(found.char, found.number + before)
    return [("hidden-character", f"Invisible or direction-changing characters are not allowed here: {place}.")]


def _foldable(name: str, value: str) -> bool:
    return len(name) + max(map(len, value.split(" "))) < 900


def _decode(charset: str, coding: str, payload: str) -> str | None:
    """An encoded word as the most lenient reader would take it; None if nobody can."""
    if not _CHARSET.fullmatch(charset.partition("*")[0]) or not payload.isascii():
        return None
    try:
        match coding.lower():
            case "q":
                octets = decodestring(payload.replace("_", " "))
            case "b":
                octets = b64decode(payload + "=" * (-len(payload) % 4))
            case _:
                return None
    except (Base64Error, ValueError):
        return None
    return octets.decode("utf-8" if "8" in charset and "utf" in charset.lower() else "latin-1", "replace")
