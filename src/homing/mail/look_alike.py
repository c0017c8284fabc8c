"""Letters that look alike: texts that a reader takes for the same have the same skeleton (after Unicode TS 39).

Letters with accents, strokes, hooks and tails, small capitals and letters in a box are the plain letter that their name
in the Unicode data says. Beyond that the table is a small one of our own: letters of Cyrillic, Greek, Armenian and
Cherokee, and digits and signs that stand for letters, as far as a reader of a Latin alphabet takes one for the other.
"""

import re
import unicodedata
from functools import lru_cache
from itertools import product

_PAIRS = """
    аa ɑa αa ɡg ɢg вb Вb Ьb ьb βb Βb сc Сc ϲc ԁd Ꭰd еe Еe ҽe εe Εe ɛe Ɛe Ꭼe ғf Ϝf гr ᴦr һh Һh нh Нh Ηh Ꮋh
    іi Іi ıi ιi Ιi ӏl Ӏl Ꮮl јj Јj Ϳj Ꭻj ȷj кk Кk κk Κk Ꮶk мm Мm Μm Ꮇm пn ηn Νn ոn оo Оo οo Οo
    օo σo рp Рp ρp Ρp Ꮲp ԛq զq Ꮢr ѕs Ѕs Ꮪs тt Тt τt Τt Ꭲt υu սu μu νv ѵv Ѵv Ꮩv ԝw Ԝw ωw
    Ꮃw хx Хx χx Χx уy Уy γy Υy үy Үy Ζz Ꮓz Ꭺa Аa Αa Ꮯc ſs
    0o 3e 4a 5s 7t 8b $s €e £l
"""
_ALIKE = {pair[at]: pair[at + 1] for pair in _PAIRS.split() for at in range(0, len(pair), 2)}
_STROKES = "1|!ǀǃ∣"
"""Characters that can stand for an l or for an i."""
_EITHER = re.compile(
    f"[{re.escape(_STROKES)}]"
    "|(?<=[a-z])I"  # a capital I after a small letter is meant as an l
    "|(?<=[A-Z])l(?=[A-Z])|(?<=[A-Z][A-Z])l(?![a-z])"  # a small l among capitals is meant as an I,
    "|(?<![A-Za-z])l(?![aeiouyAEIOUY])(?=[A-Za-z])"  # and so is one that no word begins with
)
_MOST_EITHER = 4
"""How many characters of a text are read in both ways, each by itself; of more all are read alike."""
_TOGETHER = (("rn", "m"), ("vv", "w"))

_DRAWN = re.compile(
    r"LATIN (?P<small>SMALL LETTER |LETTER SMALL CAPITAL )?(?:CAPITAL LETTER )?"
    r"(?:(?:AFRICAN|BARRED|BLACKLETTER|DOTLESS|INSULAR|SCRIPT|TAILLESS) )?(?P<letter>[A-Z])(?: BAR)?(?: WITH .+)?"
)
"""The name of a letter that is another one with something to it, or in another hand."""
_WITH = re.compile(r"((?:LATIN|CYRILLIC|GREEK) .+?) WITH .+")
_MODIFIER = "MODIFIER LETTER "
"""Apostrophes, rings and the like that Unicode counts as letters, as in Hawaiʻi."""
_BOXED = re.compile(r"(?:CROSSED )?(?:NEGATIVE )?(?:CIRCLED|SQUARED) (?:LATIN (?:CAPITAL|SMALL) LETTER )?([A-Z]{1,4})")
_FLAG = "REGIONAL INDICATOR SYMBOL LETTER "


def plain(text: str) -> str:
    """The letters and digits of a text, in lower case, without accents, strokes and hooks: the text at face value."""
    return "".join(char for char in _bare(text).casefold() if char.isalnum())


def unboxed(text: str) -> str:
    """The text with plain letters for those that stand in a box or make up a flag, which are signs to Unicode."""
    return text if text.isascii() else "".join(map(_out_of_its_box, text))


@lru_cache(4096)
def skeletons(text: str) -> frozenset[str]:
    """The skeletons of a text, in `plain` letters: several if it has characters that stand for an i or an l."""
    seen = "".join(_ALIKE.get(char, char) for char in unicodedata.normalize("NFKC", text))
    bare = "".join(_ALIKE.get(char, char) for char in _bare(seen))
    pieces = _EITHER.split("".join(char for char in bare if char.isalnum() or char in _STROKES))
    either = len(pieces) - 1
    readings = product("il", repeat=either) if either <= _MOST_EITHER else ("i" * either, "l" * either)
    return frozenset(_skeleton(pieces, reading) for reading in map("".join, readings))


def _skeleton(pieces: list[str], reading: str) -> str:
    skeleton = plain("".join(map("".join, zip(pieces, [*reading, ""], strict=True))))
    for two, one in _TOGETHER:
        skeleton = skeleton.replace(two, one)
    return skeleton


def _bare(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    if decomposed.isascii():
        return decomposed
    return "".join(_base(char) for char in decomposed if not unicodedata.combining(char))


@lru_cache(4096)
def _base(char: str) -> str:
    """The letter without what Unicode's name says behind "WITH", and in the usual hand; others as they are."""
    name = unicodedata.name(char, "")
    if drawn := _DRAWN.fullmatch(name):
        return drawn["letter"].lower() if drawn["small"] else drawn["letter"]
    if found := _WITH.fullmatch(name):
        try:
            return unicodedata.lookup(found[1])
        except KeyError:
            return char
    return "" if name.startswith(_MODIFIER) else char


def _out_of_its_box(char: str) -> str:
    name = unicodedata.name(char, "") if unicodedata.category(char) == "So" else ""
    found = _BOXED.fullmatch(name)
    return found[1] if found else name.removeprefix(_FLAG) if name.startswith(_FLAG) else char
