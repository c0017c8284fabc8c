"""Whether a display name impersonates somebody: a well-known name, the operator, or another organization.

Two things are refused. A name disguised by lookalike letters ("Paypa1") is refused anywhere, since it is never a
mistake. A name in plain letters is refused if it stands alone ("PayPal", "PayPal Support", "PayPalSupport"); "Joe
Bloggs (PayPal partner)" names a person. Countries and numbers leave a well-known name and the operator's alone, too
("PayPal Germany"); beside another organization's they are no claim, since the next Smith may be Jordan Smith. An
organization that has proved a domain of that name may bear it.

Not everything that deceives is found: a small l within a small word ("Mlcrosoft") and a capital I that begins one
("IinkedIn") are not taken for each other, since Ali is not All and Iara is not Lara; words that say something
("PayPal Rewards") leave no name alone; other people's names are not looked for within a word ("AcmeRocketsSupport").
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto
from functools import lru_cache
from itertools import accumulate
from operator import or_

from homing.loop.domains.words_beside import BRANCHES, BRANCHES_OR_PEOPLE, ROLES
from homing.mail.look_alike import plain, skeletons, unboxed

_SHORTEST = 4
"""The fewest letters of a name by which a disguise of it can be told, or for which an organization's is guarded."""
_MOST_PARTS = 12
_BREAKS = re.compile(r"[\s\-_.,;:/()\[\]{}<>\"'’“”«»&+*#–—]+")

_DOTTED = re.compile(r"(?<!\w)\w(?:\.\w)+(?!\w)")
"""Letters with dots between them, as in "S.p.A."."""
_DIGITS_BEHIND = re.compile(r"(.*[^\W\d_])(\d+)")
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
    it. `common`: it may also be a person's or a thing's, so that it counts only beside a word such as "support".
    `known`: by everybody, so that nobody else has a branch of that name somewhere."""

    letters: str
    domains: tuple[str, ...] = ()
    common: bool = False
    known: bool = False


Guard = Mapping[str, Guarded]
"""Guarded names by their skeletons."""


def guard(names: Iterable[str], *, never_a_person: bool = False) -> Guard:
    """The guard of organizations' names, also written as one word. A name that could be a person's is `common`, unless
    `never_a_person`, which is then `known`; a name that says nothing, or next to nothing, is not guarded."""
    guarded: dict[str, Guarded] = {}
    for name in names:
        parts = parts_of(name)
        telling = "".join(part for part in parts if plain(part) not in ROLES)
        common = not never_a_person and _could_be_a_person(name)
        one = Guarded(letters=plain(telling), common=common, known=never_a_person)
        if len(one.letters) >= _SHORTEST:
            whole = "".join(parts)
            guarded |= dict.fromkeys(skeletons(whole), replace(one, letters=plain(whole)))
            guarded |= dict.fromkeys(skeletons(telling), one)
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
        elif _is_alone(found, one) and (found.beside or never_a_person or not one.common):
            return ClaimedWords(Claim.IMPERSONATES, found.words)
    return None


def claimable(name: str) -> frozenset[str]:
    """The skeletons of all names that `name` could impersonate."""
    return frozenset(skeleton for piece in _pieces(name) for skeleton in piece.skeletons)


class _Beside(Enum):
    """What kind of word stands beside a name."""

    NOTHING = auto()
    BRANCH = auto()
    NUMBER = auto()
    PERHAPS_A_BRANCH = auto()
    WORD = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Neighbouring words of a name, and what is beside them. `apart`: they were written as one word with others."""

    words: str
    letters: str
    skeletons: frozenset[str]
    beside: frozenset[_Beside]
    apart: bool


def _is_alone(piece: _Piece, one: Guarded) -> bool:
    """Whether nothing beside it says that it is another name than this one."""
    kinds = {_Beside.NOTHING}
    if one.known:
        kinds |= {_Beside.BRANCH} if one.common else set(_Beside) - {_Beside.WORD}
    return piece.beside <= kinds


def _is_sought(one: Guarded, piece: _Piece) -> bool:
    """Within a word names are sought that nobody else's word would begin or end with."""
    return not piece.apart or (one.known and not one.common)


def _found(name: str, guards: tuple[Guard, ...]) -> Iterator[tuple[Guarded, _Piece]]:
    for piece in _pieces(name):
        for guarded in guards:
            for skeleton in piece.skeletons & guarded.keys():
                if _is_sought(guarded[skeleton], piece):
                    yield guarded[skeleton], piece


@lru_cache(512)
def _pieces(name: str) -> tuple[_Piece, ...]:
    """All runs of neighbouring words, also of the name without the signs of a trade mark and with letters out of their
    boxes, and of each with words apart that say nothing."""
    spellings = dict.fromkeys((name, _TRADE_SIGNS.sub(" ", name), unboxed(name)))
    whole = dict.fromkeys(tuple(parts_of(spelling)) for spelling in spellings)
    apart = dict.fromkeys(_apart(parts, sizes) for parts in whole for sizes in (_SIZES, _SIZES[::-1]))
    return (
        *(piece for parts in whole for piece in _runs(parts, apart=False)),
        *(piece for parts in apart if parts not in whole for piece in _runs(parts, apart=True)),
    )


def _runs(parts: tuple[str, ...], *, apart: bool) -> Iterator[_Piece]:
    kinds = [_kind(part) for part in parts]
    before = [_Beside.WORD if kind is _Beside.PERHAPS_A_BRANCH else kind for kind in kinds]
    first = [frozenset[_Beside](), *accumulate(map(_one, before), or_)]
    last = [frozenset[_Beside](), *accumulate(map(_one, reversed(kinds)), or_)][::-1]
    for start in range(len(parts)):
        for end in range(start + 1, min(start + _MOST_PARTS, len(parts)) + 1):
            joined = "".join(parts[start:end])
            yield _Piece(
                words=" ".join(parts[start:end]),
                letters=plain(joined),
                skeletons=skeletons(joined),
                beside=first[start] | last[end],
                apart=apart,
            )


def _one(kind: _Beside) -> frozenset[_Beside]:
    return frozenset((kind,))


def _skeletons(words: Iterable[str]) -> frozenset[str]:
    return frozenset(skeleton for word in words for skeleton in skeletons(word))


_KINDS = {
    _Beside.NOTHING: _skeletons(ROLES | {"companies"}),
    _Beside.BRANCH: _skeletons(BRANCHES),
    _Beside.PERHAPS_A_BRANCH: _skeletons(BRANCHES_OR_PEOPLE),
}
_SIZES = range(4, 15)
"""How many characters a word has that is looked for within another one."""
_WITHIN = _skeletons(word for word in ROLES | BRANCHES | BRANCHES_OR_PEOPLE if len(plain(word)) >= _SIZES[0])


@lru_cache(4096)
def _kind(part: str) -> _Beside:
    letters = plain(part)
    if not letters:
        return _Beside.NOTHING
    if letters.isdecimal():
        return _Beside.NUMBER
    meant = skeletons(part)
    return next((kind for kind, words in _KINDS.items() if meant & words), _Beside.WORD)


def _apart(parts: tuple[str, ...], sizes: range) -> tuple[str, ...]:
    return tuple(piece for part in parts for piece in _taken_apart(part, sizes))


def _taken_apart(part: str, sizes: range) -> list[str]:
    """The word without those at its ends that say nothing: "PayPal", "Support" and "24" for "PayPalSupport24". The
    first of `sizes` that fits is taken."""
    if (digits := _DIGITS_BEHIND.fullmatch(part)) is not None:
        return [*_taken_apart(digits[1], sizes), digits[2]]
    for size in sizes:
        if size < len(part) and skeletons(part[-size:]) & _WITHIN:
            return [*_taken_apart(part[:-size], sizes), part[-size:]]
    for size in sizes:
        if size + _SHORTEST <= len(part) and skeletons(part[:size]) & _WITHIN:
            return [part[:size], *_taken_apart(part[size:], sizes)]
    return [part]


def parts_of(name: str) -> list[str]:
    """The words of a name."""
    text = _DOTTED.sub(lambda found: found[0].replace(".", ""), unicodedata.normalize("NFKC", name))
    return [part for part in _BREAKS.split(text) if part]


def _is_borne(one: Guarded, own: str, own_domains: Collection[str]) -> bool:
    if any(f".{domain}".endswith(f".{theirs}") for domain in own_domains for theirs in one.domains):
        return True
    mine = (piece for piece in _pieces(own) if _is_sought(one, piece) and _is_alone(piece, one))
    return any(piece.letters == one.letters for piece in mine)


def _could_be_a_person(name: str) -> bool:
    """Up to three words, none of which says that it is an organization's name."""
    parts = parts_of(name)
    return (
        not {"&", "+"} & set(name)
        and len(parts) <= 3
        and all(part.isalpha() and plain(part) not in ROLES for part in parts)
    )
