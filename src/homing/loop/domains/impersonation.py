"""Whether a display name impersonates somebody: a well-known name, the operator, or another organization.

Two things are refused. A name disguised by lookalike letters ("Paypa1") is refused anywhere, since it is never a
mistake. A name in plain letters is refused if it stands alone ("PayPal", "PayPal Support"); "Joe Bloggs (PayPal
partner)" names a person. An organization that has proved a domain of that name may bear it.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from homing.mail.look_alike import plain, skeletons

_SHORTEST = 4
"""The fewest letters of a name by which a disguise of it can be told, or for which an organization's is guarded."""
_MOST_PARTS = 12
_BREAKS = re.compile(r"[\s\-_.,;:/()\[\]{}<>\"'’“”«»&+*#–—]+")

_ROLES = frozenset(
    """
    support service services team security billing account accounts help helpdesk desk customer customers care client
    notification notifications notice alert alerts info information admin administrator official center centre
    department dept no reply noreply donotreply the of from for by via your our online payment payments invoice invoices
    verification verify update updates message messages mail email news postmaster bank banking office group global
    sales marketing finance legal press jobs careers hr it orders order shop store newsletter events test demo example
    operator gateway tenant organization organisation school hotel club university hospital crm saas app
    international europe usa uk inc incorporated ltd limited llc llp corp corporation company co gmbh ag kg se sa sas
    sarl bv nv plc spa srl oy ab as
    kundenservice kundendienst kundenbetreuung sicherheit konto rechnung hilfe zahlung buchhaltung
    equipe securite compte facture assistance clientele soporte servicio seguridad cuenta factura pago assistenza
    servizio sicurezza suporte seguranca conta atendimento ondersteuning klantenservice beveiliging rekening
    """.split()  # noqa: SIM905 - words in lines read better than quoted strings
)
"""Words that stand beside a name in mail of its owner, and say nothing of their own."""
_ROLES_BESIDE = _ROLES | {"", "companies"}
"""The same, and what has no letters: "PayPal ✓"."""
_TRADE_SIGNS = re.compile("[\u00a9\u00ae\u2120\u2122]")
"""Signs of a trade mark, two of which NFKC would turn into letters."""


class Claim(StrEnum):
    """How a name impersonates somebody."""

    LOOK_ALIKE = "display-name-look-alike"
    IMPERSONATES = "display-name-impersonates"


@dataclass(frozen=True, slots=True)
class ClaimedWords:
    """What is wrong with a name, and with which of its words."""

    claim: Claim
    words: str

    @property
    def told(self) -> str:
        """The end of a sentence that begins with the name."""
        return f"{_TOLD[self.claim]}: “{self.words}”."


_TOLD = {
    Claim.LOOK_ALIKE: "is written with letters or digits that look like those of somebody else's name",
    Claim.IMPERSONATES: "is somebody else's name, who alone may bear it, or whoever has proved its domain",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A name that belongs to somebody, as `plain` letters; an organization that has proved one of `domains` may bear
    it. `common`: it may also be a person's or a thing's, so that it counts only beside a word such as "support"."""

    letters: str
    domains: tuple[str, ...] = ()
    common: bool = False


Guard = Mapping[str, Guarded]
"""Guarded names by their skeletons."""


def guard(names: Iterable[str], *, never_a_person: bool = False) -> Guard:
    """The guard of organizations' names. A name that could be a person's is `common`, unless `never_a_person`; a name
    that says nothing, or next to nothing, is not guarded."""
    guarded: dict[str, Guarded] = {}
    for name in names:
        telling = [part for part in parts_of(name) if plain(part) not in _ROLES]
        letters = plain("".join(telling))
        if len(letters) >= _SHORTEST:
            one = Guarded(letters=letters, common=not never_a_person and _could_be_a_person(name))
            guarded |= dict.fromkeys(skeletons("".join(telling)), one)
    return guarded


def claimed_words(
    name: str,
    guards: Iterable[Guard],
    *,
    own: str,
    own_domains: Collection[str] = (),
    never_a_person: bool = False,
) -> ClaimedWords | None:
    """How `name` impersonates somebody in the guards, and by which words; None: it does not.

    `own`: the name of the sending organization, which may bear it even if others do; `own_domains`: the domains that it
    has proved; `never_a_person`: it is an organization's name, so that it may not be that of another one either.
    """
    for one, found in _found(name, tuple(guards)):
        if _is_borne(one, own, own_domains):
            continue
        if found.letters != one.letters:
            if len(one.letters) >= _SHORTEST:
                return ClaimedWords(Claim.LOOK_ALIKE, found.words)
        elif found.alone and (found.beside or never_a_person or not one.common):
            return ClaimedWords(Claim.IMPERSONATES, found.words)
    return None


def claimable(name: str) -> frozenset[str]:
    """The skeletons of all names that `name` could impersonate."""
    return frozenset(skeleton for piece in _pieces(name) for skeleton in piece.skeletons)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Neighbouring words of a name. `beside`: there are others; `alone`: all others are roles."""

    words: str
    letters: str
    skeletons: frozenset[str]
    alone: bool
    beside: bool


def _found(name: str, guards: tuple[Guard, ...]) -> Iterator[tuple[Guarded, _Piece]]:
    for piece in _pieces(name):
        for guarded in guards:
            for skeleton in piece.skeletons & guarded.keys():
                yield guarded[skeleton], piece


@lru_cache(4096)
def _pieces(name: str) -> tuple[_Piece, ...]:
    """All runs of neighbouring words, also of the name without the signs of a trade mark."""
    spellings = dict.fromkeys((name, _TRADE_SIGNS.sub(" ", name)))
    return tuple(piece for spelling in spellings for piece in _runs(parts_of(spelling)))


def _runs(parts: list[str]) -> Iterator[_Piece]:
    says_nothing = [plain(part) in _ROLES_BESIDE for part in parts]
    for start in range(len(parts)):
        for end in range(start + 1, min(start + _MOST_PARTS, len(parts)) + 1):
            joined = "".join(parts[start:end])
            yield _Piece(
                words=" ".join(parts[start:end]),
                letters=plain(joined),
                skeletons=skeletons(joined),
                alone=all(says_nothing[:start]) and all(says_nothing[end:]),
                beside=end - start < len(parts),
            )


def parts_of(name: str) -> list[str]:
    """The words of a name."""
    return [part for part in _BREAKS.split(unicodedata.normalize("NFKC", name)) if part]


def _is_borne(one: Guarded, own: str, own_domains: Collection[str]) -> bool:
    if any(f".{domain}".endswith(f".{theirs}") for domain in own_domains for theirs in one.domains):
        return True
    return any(piece.alone and piece.letters == one.letters for piece in _pieces(own))


def _could_be_a_person(name: str) -> bool:
    """Up to three words, none of which says that it is an organization's name."""
    parts = parts_of(name)
    return (
        not {"&", "+"} & set(name)
        and len(parts) <= 3
        and all(part.isalpha() and plain(part) not in _ROLES for part in parts)
    )
