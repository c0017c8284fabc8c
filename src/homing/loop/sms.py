"""The failure told in a text message: one part where it fits, never more than two.

A part holds 160 characters of the GSM 7-bit alphabet (3GPP TS 23.038 §6.2.1), or 153 where several are joined; one
character outside that alphabet, and the whole message is UCS-2, with 70 or 67. So typographic characters and accents
are simplified in what we may simplify (the subject, names), never in an address.
"""

import unicodedata

from homing.loop.facts import FailureFacts, tidy
from homing.loop.phrases import cause
from homing.mail.text import clean, without_links

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("^{}[~]|€\\")  # each takes two places
_SIMPLER = str.maketrans({**dict.fromkeys("“”„«»", '"'), **dict.fromkeys("‘’‚`´", "'"), "–": "-", "—": "-", "…": "..."})
_GENEROUS_TO_TIGHT = ((24, 60, 80), (24, 40, 80), (24, 24, 64), (16, 16, 48), (12, 8, 28))
"""Lengths of organization, subject and recipient to try."""


def failure_sms(facts: FailureFacts) -> str:
    """The failure in one text message: 160 GSM-7 characters where possible, at most 306; UCS-2 is kept to two parts."""
    known = tidy(facts)
    versions = [_written(known, *limits) for limits in _GENEROUS_TO_TIGHT]
    with_whole_address = (version for version in versions if known.recipient in version)
    for version in with_whole_address:
        if _parts(version) == 1:
            return version
    for version in versions:
        if _parts(version) <= 2:
            return version
    return versions[-1][:134]


def septets(text: str) -> int | None:
    """Places that `text` takes in the GSM 7-bit alphabet; None if it cannot be written in it."""
    if not set(text) <= _BASIC | _EXTENDED:
        return None
    return len(text) + sum(character in _EXTENDED for character in text)


def _written(known: FailureFacts, organization: int, subject: int, recipient: int) -> str:
    name = clean(_simplified(known.organization_name), organization)
    about = clean(without_links(_simplified(known.message_subject)), subject)
    verb = "may not have arrived" if known.possibly_delivered else "was not delivered"
    told = cause(known).short
    text = f"{name}: your" if name else "Your"
    text += f' mail "{about}" to {clean(known.recipient, recipient)} {verb}: {told}'
    return text.replace("…", "...") + ("" if told.endswith("?") else ".")


def _simplified(text: str) -> str:
    """`text` without the accents and typographic characters that the GSM 7-bit alphabet lacks; other scripts stay."""
    return "".join(_simpler(character) for character in unicodedata.normalize("NFC", text.translate(_SIMPLER)))


def _simpler(character: str) -> str:
    base, *marks = list(unicodedata.normalize("NFD", character))
    plain = character not in _BASIC and base in _BASIC and all(map(unicodedata.combining, marks))
    return base if plain else character


def _parts(text: str) -> int:
    places = septets(text)
    size, single, joined = (places, 160, 153) if places is not None else (len(text.encode("utf-16-be")) // 2, 70, 67)
    return 1 if size <= single else -(-size // joined)
