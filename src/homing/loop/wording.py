"""Words as rules compare them: folded text, phrases with gaps, and an index that finds which of many can occur.

A phrase is a tuple of pieces in lower case that stand in this order, each at the start of a word and within a bounded
gap of the one before. Thousands of phrases are asked of every mail, so the index looks at the beginnings of a text's
words once, and only the phrases that begin so are compared.
"""

import re
from collections.abc import Iterable

Phrase = tuple[str, ...]

GAP_CHARACTERS = 80

_CONTINUED = re.compile(r"(?<![\d.])[245]\d\d-(?:[245]\.\d{1,3}\.\d{1,3}[ -])?")
_WRAPPER = re.compile(r"[45]\.\d\.\d - (?:Unknown address error|Other mail system problem)(?= [45]\d\d[-' ])")
_ADDRESS = re.compile(r"<?[\w.+=/'-]{1,64}@[\w.-]{1,255}>?")
_QUOTES = str.maketrans("’‘“”´`«»", "''\"\"''\"\"")
_KEY_CHARACTERS = 3
_WORD_BEGINNINGS = re.compile(r"(?<![a-z0-9])(?=([a-z0-9]..))")


def fold(text: str) -> str:
    """Text as phrases are compared with it: lower case, one line, without continuation codes, addresses, wrappers."""
    if " - " in text:
        text = _WRAPPER.sub(" ", text)
    text = _CONTINUED.sub(" ", text)
    if "@" in text:
        text = _ADDRESS.sub("<>", text)
    if not text.isascii():
        text = text.translate(_QUOTES)
    return f" {' '.join(text.split()).lower()} "


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
    """Phrases by how they begin. Each has an owner, a number that says whose phrase it is."""

    __slots__ = ("_beginning", "_foreign", "_unworded")

    def __init__(self, phrases: Iterable[tuple[int, Phrase]]) -> None:
        self._beginning: dict[str, list[tuple[int, int, Phrase]]] = {}
        self._unworded: list[tuple[int, int, Phrase]] = []
        self._foreign: list[tuple[int, int, Phrase]] = []
        for number, (owner, phrase) in enumerate(phrases):
            first = phrase[0]
            if not first.isascii():
                self._foreign.append((owner, number, phrase))
            elif len(first) >= _KEY_CHARACTERS and first[0].isalnum():
                self._beginning.setdefault(first[:_KEY_CHARACTERS], []).append((owner, number, phrase))
            else:
                self._unworded.append((owner, number, phrase))

    def find(self, text: str) -> dict[int, list[Phrase]]:
        """The phrases whose first piece stands in the folded text, by owner, in their order."""
        begun = self._beginning.keys() & set(_WORD_BEGINNINGS.findall(text))
        candidates = [each for key in begun for each in self._beginning[key]] + self._unworded
        if not text.isascii():
            candidates += self._foreign
        found: dict[int, list[Phrase]] = {}
        for owner, _, phrase in sorted(each for each in candidates if each[2][0] in text):
            found.setdefault(owner, []).append(phrase)
        return found
