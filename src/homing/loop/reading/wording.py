"""Words as rules compare them: folded text, phrases with gaps, and an index that finds which of many can occur.

A phrase is a tuple of pieces in lower case that stand in this order, each at the start of a word and within a bounded
gap of the one before. Thousands of phrases are asked of every mail, so an index finds all pieces of all phrases in one
pass, and only the phrases whose pieces stand there are compared.
"""

import re
import unicodedata
from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, TypeVar

from ahocorasick import Automaton

Phrase = tuple[str, ...]

GAP_CHARACTERS = 80

_CONTINUED = re.compile(r"[245](?<![\d.].)\d\d-(?:[245]\.\d{1,3}\.\d{1,3}[ -])?")
_WRAPPER = re.compile(r"[45]\.\d\.\d - (?:Unknown address error|Other mail system problem)(?= [45]\d\d[-' ])")
_QUOTES = dict(zip("’‘“”´`«»", "''\"\"''\"\"", strict=True))
_LATIN = (*range(0xC0, 0x250), *range(0x1E00, 0x1F00))
_LOCAL_CHARACTERS = 64
_UNBROKEN = re.compile(r"[^\s<>()\[\]:;,\"'@\\|：，；（）【】「」、]*")
_AT_DOMAIN = re.compile(r"@[A-Za-z0-9][\w.-]{1,252}\w")

Owner = TypeVar("Owner", bound=Hashable)


def fold(text: str) -> str:
    """Text as phrases are compared with it: lower case, one line, without continuation codes, addresses, wrappers."""
    if " - " in text:
        text = _WRAPPER.sub(" ", text)
    if "-" in text:
        text = _CONTINUED.sub(" ", text)
    if "@" in text:
        text = _without_addresses(text)
    if not text.isascii():
        text = _FOLDED_LETTER.sub(lambda found: _FOLDED[found[0]], text)
    return f" {' '.join(text.split()).lower()} "


def plain(text: str) -> str:
    """Latin letters without their marks, as servers write them whose replies may be ASCII only."""
    return text if text.isascii() else "".join(_UNMARKED.get(letter, letter) for letter in text)


def _unmarked(letter: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(each))


_UNMARKED = {letter: plainly for letter in map(chr, _LATIN) if (plainly := _unmarked(letter)) != letter} | dict(
    zip("ßæœøłđðıŋþÆŒØŁĐÐÞ", ["ss", "ae", "oe", *"olddin", "th", "AE", "OE", *"OLDD", "TH"], strict=True)
)
_FOLDED = _UNMARKED | _QUOTES
_FOLDED_LETTER = re.compile(f"[{''.join(_FOLDED)}]")


def _without_addresses(text: str) -> str:
    kept, end = [], 0
    for start, stop in addresses_in(text):
        if start >= end:
            kept.append(text[end : start - (text[start - 1 : start] == "<")])
            end = stop + (text[stop : stop + 1] == ">")
    return "<>".join([*kept, text[end:]])


def phrase_in(phrase: Phrase, text: str) -> bool:
    """Whether the pieces occur in this order and in one sentence, each at the start of a word and at most 80 characters
    after the last."""
    at = _find(phrase[0], text, 0, len(text))
    while at >= 0:
        end = at + len(phrase[0])
        for piece in phrase[1:]:
            at_piece = _find(piece, text, end, end + GAP_CHARACTERS + len(piece))
            if at_piece < 0 or text.find(". ", end, at_piece) >= 0:
                break
            end = at_piece + len(piece)
        else:
            return True
        at = _find(phrase[0], text, at + 1, len(text))
    return False


def _find(piece: str, text: str, start: int, end: int) -> int:
    """Where a piece stands at the beginning of a word, -1 if nowhere."""
    at = text.find(piece, start, end)
    while at > 0 and piece[0].isalnum() and text[at - 1].isascii() and text[at - 1].isalnum():
        at = text.find(piece, at + 1, end)
    return at


class PhraseIndex(Generic[Owner]):
    """An index of phrases by their last and first pieces, all of which are looked for in one pass over a text (Aho and
    Corasick). Each phrase has an owner, a name or number.
    """

    __slots__ = ("_by_pieces", "_pieces", "_whole")

    def __init__(self, phrases: Iterable[tuple[Owner, Phrase]]) -> None:
        self._whole: dict[str, list[tuple[int, Owner, Phrase]]] = {}
        self._by_pieces: dict[str, dict[str, list[tuple[int, Owner, Phrase]]]] = {}
        for number, (owner, phrase) in enumerate(phrases):
            first, last = phrase[0], phrase[-1]
            known = self._whole if len(phrase) == 1 else self._by_pieces.setdefault(last, {})
            known.setdefault(first, []).append((number, owner, phrase))
        firsts = {first for by_first in self._by_pieces.values() for first in by_first}
        self._pieces = Automaton()
        for piece in self._whole.keys() | self._by_pieces.keys() | firsts:
            self._pieces.add_word(piece, piece)
        self._pieces.make_automaton()

    def find(self, text: str) -> dict[Owner, list[Phrase]]:
        """The phrases whose first and last pieces stand somewhere in the folded text, by owner, in their order."""
        standing = {piece for _, piece in self._pieces.iter(text)} if self._pieces else ()
        if not standing:
            return {}
        phrases = [each for piece in self._whole.keys() & standing for each in self._whole[piece]]
        for last in self._by_pieces.keys() & standing:
            by_first = self._by_pieces[last]
            phrases += [each for first in by_first.keys() & standing for each in by_first[first]]
        phrases.sort()
        found: dict[Owner, list[Phrase]] = {}
        for _, owner, phrase in phrases:
            found.setdefault(owner, []).append(phrase)
        return found


def addresses_in(text: str) -> Iterator[tuple[int, int]]:
    """Where addresses stand in a text, as (start, end): what looks like one on both sides of an "@"."""
    for found in _AT_DOMAIN.finditer(text):  # most of a flood of "@" begins no domain, and costs nothing more
        at = found.start()
        local = _local_before(text[max(0, at - _LOCAL_CHARACTERS) : at])
        if local:
            yield at - local, found.end()


def _local_before(text: str) -> int:
    """How many characters at the end of a text may be a local part."""
    if not text.endswith('"'):
        found = _UNBROKEN.match(text[::-1])
        return found.end() if found else 0
    opening = text.rfind('"', 0, -2)
    return len(text) - opening if opening >= 0 and "\n" not in text[opening:] else 0
