"""Characters that nobody sees, and letters of two alphabets within a word: where they are meant, where they deceive.

An invisible character makes two texts look alike, a bidirectional one turns a text round (UAX 9 §2). Two invisible ones
are part of how words are spelt, U+200C and U+200D: Persian and the scripts of India are written with them (RFC 5892
appendices A.1 and A.2, which let them into domain names too; UTS 39 §3.1.1), and emoji are joined by U+200D and told
apart by tags (UTS 51 §1.4.9). Anywhere else they are as hidden as the others.
"""

import re
import unicodedata
from dataclasses import dataclass

import idna

HINTS = "\u00ad\u061c\u200e\u200f"
"""Soft hyphen and direction marks: they hint at how a line is laid out, and no word is another one without them."""

# Invisible although Unicode calls them letters or marks (Default_Ignorable_Code_Point beyond category Cf).
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_JOINERS = "\u200c\u200d"
_VARIATION = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_PRINTABLE_AND_HIDDEN = re.compile(f"[{''.join(_INVISIBLE)}\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_VIRAMA = 9
"""The combining class of signs that silence a vowel."""
_PICTURE = "[\u2190-\u21ff\u2300-\u23ff\u25a0-\u27bf\u2b00-\u2bff\U0001f000-\U0001f3fa\U0001f400-\U0001faff]"
_JOINED = re.compile(
    f"(?:(?<={_PICTURE})|(?<={_PICTURE}[\ufe0f\U0001f3fb-\U0001f3ff]))\u200d(?={_PICTURE})"  # UTS 51 ED-16
    "|\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f"  # UTS 51 ED-14a: flags of regions
)

_EAST_ASIAN = frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO", "LATIN"})
_NO_SCRIPT = frozenset({"MODIFIER", "FEMININE", "MASCULINE", "MICRO", "IDEOGRAPHIC"})
_MICRO = "\u00b5"
"""The micro sign, of no alphabet (Script=Common), although NFKC makes a Greek letter of it."""
_SIGNS = "ΩΦΨδλπφψ" + _MICRO
"""Greek letters that nobody takes for a Latin one: they may stand before or behind a Latin word, as in a trade name."""
_PIECES = re.compile(r"[^\s.@/&+,:;()\[\]«»“”\"\u2010-\u2015-]+")


@dataclass(frozen=True, slots=True)
class Found:
    """A character and its place in a text: the first one has number 1. As text: "U+200B ZERO WIDTH SPACE, character
    4"."""

    char: str
    number: int

    def __str__(self) -> str:
        known = f"U+{ord(self.char):04X} {unicodedata.name(self.char, '')}".rstrip()
        return f"{known}, character {self.number}"


def find_hidden(
    text: str, spared: frozenset[str] = frozenset(), *, skipped: str = "", name: bool = False
) -> Found | None:
    """The first character that a reader cannot see or that changes how others are shown; None if there is none.

    Control, bidirectional, zero-width, private and unassigned characters, lone surrogates, and every kind of space
    but the ordinary one; `spared` Unicode categories and `skipped` characters are let through. `name`: the text is no
    part of an address, so that emoji may be in it.
    """
    if text.isprintable() and not _PRINTABLE_AND_HIDDEN.search(text):
        return None
    joined = {place for found in _JOINED.finditer(text) for place in range(*found.span())} if name else set[int]()
    for index, char in enumerate(text):
        if " " <= char <= "~" or char in skipped:
            continue
        category = unicodedata.category(char)
        hidden = char in _INVISIBLE or (category[0] in "CZ" and category not in spared)
        meant = hidden and (index in joined or _is_meant(text, index, name))
        if (hidden and not meant) or _varies_nothing(text, index):
            return Found(char, index + 1)
    return None


def without_hints(text: str) -> str:
    """A name as it is kept and sent: without soft hyphens and direction marks."""
    return text.translate(_NO_HINTS)


_NO_HINTS = dict.fromkeys(map(ord, HINTS))


def mixed_script(text: str) -> bool:
    """Whether one word of an address mixes alphabets, as look-alikes do ("p\\u0430ypal" with a Cyrillic a; UTS 39).
    "." and "@" end a word."""
    return any(_mixes(_scripts(word)) for word in re.split(r"[\s.@]+", text) if not word.isascii())


def odd_letter(name: str) -> Found | None:
    """The first letter of a name that is of another alphabet than its word begins with; None if no word mixes them.

    A person may write one name in two alphabets, and a firm join two words by a hyphen, so words are judged one by one.
    """
    for found in _PIECES.finditer(name):
        word = found[0]
        if not word.isascii() and _mixes(_scripts(word)) and set(_scripts(word.strip(_SIGNS))) != {"LATIN"}:
            return _odd(word, found.start())
    return None


def _odd(word: str, start: int) -> Found:
    first = _scripts(word)[0]
    index = next(index for index, char in enumerate(word) if {first, *_scripts(char)} != {first})
    return Found(word[index], start + index + 1)


def _mixes(scripts: list[str]) -> bool:
    return len(set(scripts)) > 1 and not set(scripts) <= _EAST_ASIAN


def _scripts(word: str) -> list[str]:
    """The alphabet of each letter, by the first word of its name."""
    letters = unicodedata.normalize("NFKC", word.replace(_MICRO, ""))
    names = (unicodedata.name(char, "").split(" ")[0] for char in letters if char.isalpha())
    return [script for script in names if script not in _NO_SCRIPT]


def _is_meant(text: str, index: int, name: bool) -> bool:
    """Whether the hidden character at this place belongs to the word around it."""
    return text[index] in _JOINERS and (_in_context(text, index) or (name and _before_virama(text, index)))


def _in_context(text: str, index: int) -> bool:
    try:
        return idna.valid_contextj(text, index)
    except ValueError:  # a neighbour that Unicode does not know
        return False


def _before_virama(text: str, index: int) -> bool:
    """As Bengali and Kannada write some conjuncts (Unicode, chapter 12): a consonant, the joiner, the virama."""
    around = text[max(index - 1, 0) : index + 2]
    return len(around) == 3 and around[0].isalpha() and unicodedata.combining(around[2]) == _VIRAMA


def _varies_nothing(text: str, index: int) -> bool:
    """Whether the character is a variation selector with nothing to vary: they are for symbols and ideographs."""
    before = text[index - 1] if index else " "
    return _VARIATION.match(text[index]) is not None and before.isascii() and (before.isalpha() or before == " ")
