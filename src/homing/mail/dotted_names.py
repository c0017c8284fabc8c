"""Names with full stops that read like a domain, told from those of people and firms: "Dr.Müller", "Acme Co.Ltd"."""

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

_DOMAIN_LIKE = re.compile(
    r"(?<![\w.-])[\w-]*\w{2}\.[^\W\d_]{2,63}(?!\w)|\w\.(?:com|net|org|co|io|me|de)\b", re.IGNORECASE
)
_DOTTED = re.compile(r"[\w-]+(?:\.[\w-]+)+(?![\w.])")
_FIRM = re.compile(r"(?:Co|Pty|Pvt|Pte|Sdn)\.(?:Ltd|KG|KGaA|OHG|Inc|LLC|Corp|Bhd)")
"""Forms of firms, as they are written without the space."""


def domain_in(name: str) -> str | None:
    """The first part of a name that reads like a domain; None if there is none.

    Where each part of a dotted word begins with a capital, as names do, it is a domain only if it ends in a top-level
    domain that there is.
    """
    spaced = _DOTTED.sub(lambda word: word[0].replace(".", ". ") if _is_a_name(word[0]) else word[0], name)
    found = _DOMAIN_LIKE.search(spaced)
    return found[0] if found else None


def _is_a_name(word: str) -> bool:
    first, *rest = word.split(".")
    if _FIRM.fullmatch(word):
        return True
    capitals = first[:1].isupper() and all(part[0].isupper() and not part.isupper() for part in rest if len(part) > 1)
    return capitals and not any(_top_level().is_public(part.lower()) for part in rest if len(part) > 1)


@cache
def _top_level() -> "PublicSuffixList":
    """The list of top-level domains, read at the first question."""
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False, only_icann=True)
