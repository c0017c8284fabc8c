"""Words as rules compare them: folded text, phrases with gaps, and an index that finds which of many can occur.

A phrase is a tuple of pieces in lower case that stand in this order, each at the start of a word and within a bounded
gap of the one before. Thousands of phrases are asked of every mail, so the index looks at the beginnings of a text's
words once, and only the phrases that begin so are compared.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

Phrase = tuple[str, ...]

GAP_CHARACTERS = 80

_CONTINUED = re.compile(r"[245](?<![\d.].)\d\d-(?:[245]\.\d{1,3}\.\d{1,3}[ -])?")
_WRAPPER = re.compile(r"[45]\.\d\.\d - (?:Unknown address error|Other mail system problem)(?= [45]\d\d[-' ])")
_QUOTES = str.maketrans("’‘“”´`«»", "''\"\"''\"\"")
_BEGINNING = 4
_TO_SPACES = str.maketrans({number: " " for number in range(128) if not chr(number).isalnum()})
_WORD = re.compile(r"[a-z0-9]+")
_LOCAL_CHARACTERS = 64
_BREAKS = re.compile(r"[\s<>()\[\]:;,\"'@\\|：，；（）【】「」、]")
_DOMAIN = re.compile(r"[A-Za-z0-9][\w.-]{1,252}\w")

_Owned = tuple[int, int, Phrase]


def fold(text: str) -> str:
    """Text as phrases are compared with it: lower case, one line, without continuation codes, addresses, wrappers."""
    if " - " in text:
        text = _WRAPPER.sub(" ", text)
    text = _CONTINUED.sub(" ", text)
    if "@" in text:
        text = _without_addresses(text)
    if not text.isascii():
        text = text.translate(_QUOTES)
    return f" {' '.join(text.split()).lower()} "


def _without_addresses(text: str) -> str:
    kept, end = [], 0
    for start, stop in addresses_in(text):
        if start >= end:
            kept.append(text[end : start - (text[start - 1 : start] == "<")])
            end = stop + (text[stop : stop + 1] == ">")
    return "<>".join([*kept, text[end:]])


def phrase_in(phrase: Phrase, text: str) -> bool:
    """Whether the pieces occur in this order, each at the start of a word and at most 80 characters after the last."""
    at = _find(phrase[0], text, 0, len(text))
    while at >= 0:
        end = at + len(phrase[0])
        for piece in phrase[1:]:
            at_piece = _find(piece, text, end, end + GAP_CHARACTERS + len(piece))
            if at_piece < 0:
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


class PhraseIndex:
    """Phrases by one of their words, the rarest. Each has an owner, a number that says whose phrase it is.

    A word that a piece ends with may go on in the text ("throttl" in "throttled"), so it is known by how it begins.
    """

    __slots__ = ("_by_beginning", "_by_word", "_foreign", "_size", "_unworded")

    def __init__(self, phrases: Iterable[tuple[int, Phrase]]) -> None:
        self._by_word: dict[str, list[_Owned]] = {}
        self._by_beginning: dict[str, list[_Owned]] = {}
        self._unworded: list[_Owned] = []
        self._foreign: list[_Owned] = []
        listed = [(owner, number, phrase) for number, (owner, phrase) in enumerate(phrases)]
        self._size = len(listed)
        common = Counter(key for _, _, phrase in listed for key in set(_keys(phrase)))
        for owned in listed:
            key = min(_keys(owned[2]), key=lambda each: (common[each], each), default=None)
            if key is not None:
                (self._by_word if key[1] else self._by_beginning).setdefault(key[0], []).append(owned)
            elif any(not piece.isascii() for piece in owned[2]):
                self._foreign.append(owned)
            else:
                self._unworded.append(owned)

    def find(self, text: str) -> dict[int, list[Phrase]]:
        """The phrases that may stand in the folded text, and whose first piece does, by owner, in their order."""
        if not self._size:
            return {}
        words = set(_words_of(text))
        beginnings = self._by_beginning.keys() & {word[:_BEGINNING] for word in words}
        candidates = [each for word in self._by_word.keys() & words for each in self._by_word[word]]
        candidates += [each for beginning in beginnings for each in self._by_beginning[beginning]]
        candidates += self._unworded
        if not text.isascii():
            candidates += self._foreign
        found: dict[int, list[Phrase]] = {}
        for owner, _, phrase in sorted([each for each in candidates if each[2][0] in text]):
            found.setdefault(owner, []).append(phrase)
        return found


def _keys(phrase: Phrase) -> Iterator[tuple[str, bool]]:
    """The words by which a phrase may be known: (word, True), or (its beginning, False) where it may go on."""
    for piece in phrase:
        words = _WORD.findall(piece)
        for number, word in enumerate(words):
            if number < len(words) - 1 or not piece.endswith(word):
                yield word, True
            elif len(word) >= _BEGINNING:
                yield word[:_BEGINNING], False


def _words_of(text: str) -> list[str]:
    """The runs of ASCII letters and digits."""
    return text.translate(_TO_SPACES).split() if text.isascii() else _WORD.findall(text)


def addresses_in(text: str) -> Iterator[tuple[int, int]]:
    """Where addresses stand in a text, as (start, end): what looks like one on both sides of an "@"."""
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1)
        before = text[max(0, at - _LOCAL_CHARACTERS) : at]
        local = _quoted(before) or _BREAKS.split(before)[-1]
        if domain and local:
            yield at - len(local), domain.end()
        at = text.find("@", domain.end() if domain else at + 1)


def _quoted(before: str) -> str:
    if not before.endswith('"'):
        return ""
    opening = before.rfind('"', 0, -2)
    return before[opening:] if opening >= 0 and "\n" not in before[opening:] else ""
