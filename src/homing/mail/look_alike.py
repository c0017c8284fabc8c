"""Letters that look alike: texts that a reader takes for the same have the same skeleton (after Unicode TS 39).

The table is a small one of our own: letters of Cyrillic, Greek, Armenian and Cherokee, small capitals, and digits and
signs that stand for letters, as far as a reader of a Latin alphabet takes one for the other.
"""

import re
import unicodedata
from functools import lru_cache

_PAIRS = """
    аaᴀa ɑa αa ɡg ɢg вb Вb ʙb Ьb ьb βb Βb сc Сc ϲc ᴄc ԁd ᴅd Ꭰd еe Еe ҽe ᴇe εe Εe Ꭼe ғf Ϝf гr ᴦr һh Һh нh Нh Ηh ʜh Ꮋh
    іi Іi ıi ιi Ιi ɪi ӏl Ӏl ʟl Ꮮl łl Łl јj Јj Ϳj ᴊj Ꭻj кk Кk κk Κk ᴋk Ꮶk мm Мm Μm ᴍm Ꮇm пn ηn Νn ոn ɴn оo Оo οo Οo
    օo ᴏo σo øo Øo рp Рp ρp Ρp ᴘp Ꮲp ԛq զq ʀr Ꮢr ѕs Ѕs ꜱs Ꮪs тt Тt τt Τt ᴛt Ꭲt υu սu ᴜu μu νv ѵv Ѵv ᴠv Ꮩv ԝw Ԝw ωw
    ᴡw Ꮃw хx Хx χx Χx уy Уy γy Υy үy Үy ʏy Ζz ᴢz Ꮓz Ꭺa Аa Αa Ꮯc đd Đd ſs ħh Ħh
    0o 3e 4a 5s 7t 8b $s €e £l
"""
_ALIKE = {pair[at]: pair[at + 1] for pair in _PAIRS.split() for at in range(0, len(pair), 2)}
_STROKES = frozenset("1|!")
"""Characters that can stand for an l or for an i."""
_HIDDEN_I = re.compile(r"(?<=[a-z])I")
"""A capital I after a small letter: it is meant as an l."""
_TOGETHER = (("rn", "m"), ("vv", "w"))


def plain(text: str) -> str:
    """The letters and digits of a text, in lower case and without accents: the text at face value."""
    return "".join(char for char in _without_marks(text).casefold() if char.isalnum())


@lru_cache(4096)
def skeletons(text: str) -> frozenset[str]:
    """The skeletons of a text, in `plain` letters: two if it has strokes that stand for an i or an l."""
    seen = "".join(_ALIKE.get(char, char) for char in unicodedata.normalize("NFKC", text))
    return frozenset(_skeleton(seen, stroke) for stroke in "il")


def _skeleton(seen: str, stroke: str) -> str:
    letters = "".join(stroke if char in _STROKES else char for char in _HIDDEN_I.sub(stroke, seen))
    skeleton = plain("".join(_ALIKE.get(char, char) for char in _without_marks(letters)))
    for two, one in _TOGETHER:
        skeleton = skeleton.replace(two, one)
    return skeleton


def _without_marks(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
