"""The failure told in a text message: one part where it fits, never more than two.

A part holds 160 characters of the GSM 7-bit alphabet (3GPP TS 23.038 §6.2.1), or 153 where several are joined; one
character outside that alphabet, and the whole message is UCS-2, with 70 or 67. So typographic characters and accents
are simplified in the subject and in names, but never in an address.
"""

import unicodedata

from homing.loop.letters.facts import FailureFacts, tidy
from homing.loop.letters.phrases import cause
from homing.mail.text import clean, quoted

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("^{}[~]|€\\")  # each takes two places
_SIMPLER = str.maketrans({**dict.fromkeys("“”„«»", '"'), **dict.fromkeys("‘’‚`´", "'"), "–": "-", "—": "-", "…": "..."})
_GENEROUS_TO_TIGHT = ((24, 60, 80), (24, 40, 80), (24, 24, 64), (16, 16, 48), (12, 8, 28))
"""Lengths of names, subject and addresses to try."""


def failure_sms(facts: FailureFacts) -> str:
    """The failure told to the human sender: 160 GSM-7 characters where possible, at most 306; UCS-2 in two parts."""
    known = tidy(facts)
    return _fitting([_to_human_sender(known, *limits) for limits in _GENEROUS_TO_TIGHT], known.recipient)


def recipient_sms(facts: FailureFacts) -> str:
    """The failure told to the recipient, who may be waiting for the message: who wrote, and how to answer. As short."""
    known = tidy(facts)
    return _fitting([_to_recipient(known, *limits) for limits in _GENEROUS_TO_TIGHT], known.human_sender_address)


def _fitting(versions: list[str], address: str) -> str:
    """The first version of one part that has the whole `address`, else the first of two parts."""
    for version in versions:
        if address in version and _parts(version) == 1:
            return version
    for version in versions:
        if _parts(version) <= 2:
            return version
    return versions[-1].encode("utf-16-be")[: 2 * 134].decode("utf-16-be", "ignore")


def septets(text: str) -> int | None:
    """Places that `text` takes in the GSM 7-bit alphabet; None if it cannot be written in it."""
    if not set(text) <= _BASIC | _EXTENDED:
        return None
    return len(text) + sum(character in _EXTENDED for character in text)


def _to_human_sender(known: FailureFacts, name: int, subject: int, address: int) -> str:
    organization = _named(known.organization_name, name)
    verb = "may not have arrived" if known.possibly_delivered else "was not delivered"
    verb = "was not passed on" if known.failure is None else verb
    told = cause(known).short
    text = f"{organization}: your" if organization else "Your"
    text += f' e-mail "{_named(known.message_subject, subject)}" to {clean(known.recipient, address)} {verb}: {told}'
    return text.replace("…", "...") + ("" if told.endswith("?") else ".")


def _to_recipient(known: FailureFacts, name: int, subject: int, address: int) -> str:
    person, organization = _named(known.human_sender_name, name), _named(known.organization_name, name)
    writer = f"{person} ({organization})" if person and organization else person or organization or "Somebody"
    doubtful = known.possibly_delivered or known.failure is None
    verb = "may not have arrived" if doubtful else "could not be delivered"
    text = (
        f'{writer} sent you an e-mail, "{_named(known.message_subject, subject)}", which {verb}. '
        f"Please write to {clean(known.human_sender_address, address)}"
    )
    return text.replace("…", "...")


def _named(text: str, limit: int) -> str:
    return quoted(_simplified(text), limit)


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
