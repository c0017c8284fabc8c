"""Tokens and links that act, taken out of what people and programs are shown: mails and words that came from outside.

Whoever reads a whole token can use it. In a text each keeps its beginning, by which it can be told from others. In a
mail they may also stand encoded, so its octets are looked at as a reader of mail would decode them, and keep their
number and their form: what is shown decodes as before, to the same words and to tokens that end in tildes.
"""

import re
from binascii import a2b_base64, a2b_qp, b2a_base64
from collections.abc import Iterator

from homing.loop.token import SHORT_TEXT_LENGTH, TEXT_LENGTH
from homing.mail.mime import decode_words
from homing.mail.text import clean_block

BEYOND = 4096
"""Octets by which a mail must be masked further than it is shown, so that no token is cut where it still is of use."""

_SHOWN = 12
_MASK = b"~"
"""Many of them are no token again, neither in base64 ("fn5+fn5+") nor decoded at a wrong place."""
_PROOF = "/prove/"
"""Stands before the one token that is no signed one: see `flow.address_proofs`."""
_LETTERS = "a-zA-Z2-7"
_AMONG_OTHERS = rf"[{_LETTERS}]{{{TEXT_LENGTH},}}|(?<={_PROOF})[\w-]{{{_SHOWN + 1},}}"
_ALONE = rf"(?<![a-zA-Z0-9])[{_LETTERS}]{{{TEXT_LENGTH},{SHORT_TEXT_LENGTH}}}(?![a-zA-Z0-9])|(?<={_PROOF})[\w-]{{13,}}"
_TOKEN = re.compile(_ALONE, re.ASCII)
_IN_OCTETS = re.compile(_ALONE.encode())
_IN_NOISE = re.compile(_AMONG_OTHERS.encode())
"""Without a look at what stands around it: what is decoded at a wrong place is noise."""
_IS_LETTER = bytes(re.match(f"[{_LETTERS}]", chr(octet)) is not None for octet in range(256))
_RUN = b"\1" * TEXT_LENGTH

_SOFT_BREAK = re.compile(rb"=[ \t]*(?:\r\n|\r|\n)")
_QUOTED = re.compile(rb"=(?:([0-9A-Fa-f]{2})|[ \t]*(?:\r\n|\r|\n))")
_WORD = rb"=\?[^?\s]{1,60}\?[bBqQ]\?[^?\r\n]*\?="
_WORDS = re.compile(_WORD + rb"(?:[ \t\r\n]*" + _WORD + rb"){0,99}")
_DIGITS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_NO_DIGITS = bytes(set(range(256)) - _DIGITS)
_DEPTH = 2
"""So often is base64 looked for within base64, as in a mail that is attached to one."""


def masked(text: str) -> str:
    """A text in which nobody can read a whole token."""
    return _TOKEN.sub(lambda found: f"{found[0][:_SHOWN]}…", text)


def shown_mail(beginning: bytes, octets: int) -> str:
    """The first `octets` of a mail as people may see them: cleaned of what would act on a screen, and masked. `BEYOND`
    more should be there. Takes up to a tenth of a second for 64 KiB: not for an event loop."""
    return masked(clean_block(masked_mail(beginning)[:octets], octets=octets))


def masked_mail(raw: bytes) -> bytes:
    """The octets of a mail, or of its beginning, in which nobody can read a whole token: in clear, in quoted-printable
    or base64 (RFC 2045 §6.7, §6.8) wherever it stands and whatever the fields say of it, and in encoded words (RFC
    2047). As many octets as before; time is linear."""
    return _masked(_WORDS.sub(_masked_words, raw), _IN_OCTETS, _DEPTH)


def _masked_words(found: re.Match[bytes]) -> bytes:
    """Encoded words that say a token go as a whole: it may be spread over several."""
    text = " ".join(found[0].decode("latin-1").split())
    return _MASK * len(found[0]) if _TOKEN.search(decode_words(text)) else found[0]


def _masked(data: bytes, tokens: re.Pattern[bytes], depth: int) -> bytes:
    """What is encoded first: half a token in clear may be a whole one to who decodes."""
    if depth:
        data = _in_base64(data, depth - 1)
    if b"=" in data:
        data = _in_quoted_printable(data, tokens)
    if b"\0" in data:
        data = _between_nul(data, tokens)
    return _without(tokens, data)


def _without(tokens: re.Pattern[bytes], data: bytes) -> bytes:
    return tokens.sub(_cut, data) if _may_hold_one(data) else data


def _may_hold_one(data: bytes) -> bool:
    """Much faster than to look for one."""
    return _RUN in data.translate(_IS_LETTER) or _PROOF.encode() in data


def _cut(found: re.Match[bytes]) -> bytes:
    return found[0][:_SHOWN] + _MASK * (len(found[0]) - _SHOWN)


def _in_quoted_printable(data: bytes, tokens: re.Pattern[bytes]) -> bytes:
    decoded = a2b_qp(_SOFT_BREAK.sub(b"", data)).replace(b"\0", b"")
    if not _may_hold_one(decoded) or not tokens.search(decoded):
        return data
    octets, places = _unquoted(data)
    masked = bytearray(data)
    for found in tokens.finditer(octets):
        for start, end in places[found.start() + _SHOWN : found.end()]:
            masked[start:end] = _MASK if end - start == 1 else b"=%02X" % ord(_MASK)
    return bytes(masked)


def _unquoted(data: bytes) -> tuple[bytearray, list[tuple[int, int]]]:
    """What quoted-printable says without NULs, and where each octet of that stands."""
    octets, at = bytearray(), 0
    places: list[tuple[int, int]] = []
    for found in _QUOTED.finditer(data):
        octets += data[at : found.start()]
        places += [(place, place + 1) for place in range(at, found.start())]
        at = found.end()
        if found[1] is not None:
            octets.append(int(found[1], 16))
            places.append(found.span())
    octets += data[at:]
    places += [(place, place + 1) for place in range(at, len(data))]
    kept = [place for place, octet in zip(places, octets, strict=True) if octet]
    return octets.replace(b"\0", b""), kept


def _between_nul(data: bytes, tokens: re.Pattern[bytes]) -> bytes:
    """UTF-16 has a NUL beside each letter."""
    rest = data.replace(b"\0", b"")
    masked = _without(tokens, rest)
    return data if masked == rest else _put_back(data, masked, (place for place, octet in enumerate(data) if octet))


def _in_base64(data: bytes, depth: int) -> bytes:
    """Whatever is no digit is passed over, as by a reader; where the first digit of a part stands among the others is
    not known, so all four places are tried."""
    digits = before = data.translate(None, _NO_DIGITS)
    for place in range(4):
        part = digits[place:]
        decoded = a2b_base64(part + b"A" * (-len(part) % 4))
        masked = _masked(decoded, _IN_NOISE, depth)
        if masked != decoded:
            digits = digits[:place] + b2a_base64(masked, newline=False)[: len(part)]
    if digits == before:
        return data
    return _put_back(data, digits, (place for place, octet in enumerate(data) if octet in _DIGITS))


def _put_back(data: bytes, changed: bytes, places: Iterator[int]) -> bytes:
    masked = bytearray(data)
    for place, octet in zip(places, changed, strict=True):
        masked[place] = octet
    return bytes(masked)
