"""Names as people bear them, and names that hide or disguise something: which character, and where."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.mail.characters import HINTS, find_hidden, without_hints
from homing.mail.field_checks import check_display_name, check_filename, check_recipient_name

_FROM = """
    IT-отдел Ромашка;SMS-сервис;VIP-клиент;Web-студия;PR-агентство;3D-студия;ТОВ Ромашка-IT;Σ-Team;α-Bank;AΩ Consulting;
    Müller-Ζαχαρίας;µTorrent;Dr.Müller;Hans.Peter;Acme Co.Ltd;GmbH & Co.KG;Prof.Dr.Müller;J.R.R.Tolkien;Acme Pty.Ltd;
    ООО (ACME);IT/отдел;R&D/Отдел;Ψ Clinic;О’Нил-Smith;東京 Tower店;Ωmega
"""
_JOINED = [
    "علی\u200cرضا",
    "നിവര്\u200d",
    "പ്രവീണ്\u200d",
    "ශ්\u200dරී",
    "র\u200d্যাব",
    "👨\u200d👩\u200d👧 Family",
    "👩🏽\u200d💻",
    "葛\U000e0100城 太郎",
    "1\ufe0f\u20e3 Shop",
    "❤️\u200d🔥 Joe",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f FC",
]
_HIDDEN = {
    "Joe\u200dBloggs": "U+200D ZERO WIDTH JOINER, character 4",
    "Joe\u200cBloggs": "U+200C ZERO WIDTH NON-JOINER, character 4",
    "Joe \u200d👩": "U+200D ZERO WIDTH JOINER, character 5",
    "👩\u200d": "U+200D ZERO WIDTH JOINER, character 2",
    "👩\u200dJoe": "U+200D ZERO WIDTH JOINER, character 2",
    "علی\u200c": "U+200C ZERO WIDTH NON-JOINER, character 4",
    "Joe\u202egnp": "U+202E RIGHT-TO-LEFT OVERRIDE, character 4",
    "Joe\u2066x": "U+2066 LEFT-TO-RIGHT ISOLATE, character 4",
    "Joe\u200bBloggs": "U+200B ZERO WIDTH SPACE, character 4",
    "\ufeffJoe": "U+FEFF ZERO WIDTH NO-BREAK SPACE, character 1",
    "Joe\U000e0062": "U+E0062 TAG LATIN SMALL LETTER B, character 4",
    "Joe\U000e0100": "U+E0100 VARIATION SELECTOR-17, character 4",
    "Pay\ufe0fPal": "U+FE0F VARIATION SELECTOR-16, character 4",
    "\ue000": "U+E000, character 1",
}
_MIXED = {
    "p\u0430ypal": "U+0430 CYRILLIC SMALL LETTER A, character 2",
    "Joe P\u0430ypal": "U+0430 CYRILLIC SMALL LETTER A, character 6",
    "Pay-P\u0430l": "U+0430 CYRILLIC SMALL LETTER A, character 6",
    "Σберbank": "U+0431 CYRILLIC SMALL LETTER BE, character 2",
    "NΣTFLIX": "U+03A3 GREEK CAPITAL LETTER SIGMA, character 2",
    "RΩLEX": "U+03A9 GREEK CAPITAL LETTER OMEGA, character 2",
    "Αpple": "U+0070 LATIN SMALL LETTER P, character 2",
    "Micrοsoft": "U+03BF GREEK SMALL LETTER OMICRON, character 5",
}


@pytest.mark.parametrize("name", [*(name.strip() for name in _FROM.split(";")), *_JOINED], ids=ascii)
def test_everyday_names_may_stand_in_from(name: str) -> None:
    assert check_display_name(name) == []
    assert check_recipient_name(name) == []
    assert check_filename(name.replace("/", "")) == []


@pytest.mark.parametrize("name", ["שלום\u200f", "\u200fשלום", "דוד\u200e"], ids=ascii)
def test_marks_around_a_name_are_dropped(name: str) -> None:
    assert check_display_name(name) == []
    assert not set(HINTS) & set(without_hints(name))


@pytest.mark.parametrize("name", ["\u200fדוח.pdf", "Ältere\u00adname", "שלום\u200f"], ids=ascii)
def test_marks_within_the_name_of_a_recipient_or_a_file_are_dropped(name: str) -> None:
    assert check_recipient_name(name) == check_filename(name) == []


@pytest.mark.parametrize("name", [*HINTS, f" {HINTS}"], ids=ascii)
def test_marks_alone_are_no_name(name: str) -> None:
    assert [code for code, _ in check_display_name(name)] == ["display-name-empty"]
    assert [code for code, _ in check_filename(name)] == ["filename-invalid"]


@pytest.mark.parametrize(("name", "place"), _HIDDEN.items(), ids=ascii)
def test_a_hidden_character_is_named_with_its_place(name: str, place: str) -> None:
    for check in (check_display_name, check_recipient_name, check_filename):
        [(code, message)] = check(name)
        assert code == "hidden-character"
        assert message.endswith(f": {place}.")


def test_marks_before_a_name_count_in_the_place() -> None:
    [(_, message)] = check_display_name("\u200f\u200fJoe\u200bB")
    assert message.endswith(": U+200B ZERO WIDTH SPACE, character 6.")


@pytest.mark.parametrize(("name", "place"), _MIXED.items(), ids=ascii)
def test_the_letter_of_another_alphabet_is_named_with_its_place(name: str, place: str) -> None:
    [(code, message)] = check_display_name(name)
    assert code == "display-name-scripts"
    assert place in message


@pytest.mark.parametrize(
    ("name", "code", "place"),
    [
        ("Joe (ﬁ joe＠x)", "display-name-address", "U+FF20 FULLWIDTH COMMERCIAL AT, character 11"),
        ("Joe xn--pypal-4ve", "display-name-punycode", "character 5"),
        ("Bank of paypal.com", "display-name-domain", '"paypal.com", from character 9 on,'),
        ("ﬁ Paypal.Com", "display-name-domain", '"Paypal.Com", from character 3 on,'),
        ("Joe\nB", "control-character", "U+000A, character 4"),
    ],
)
def test_other_faults_are_named_with_their_place(name: str, code: str, place: str) -> None:
    [(found, message)] = check_display_name(name)
    assert found == code
    assert place in message


@pytest.mark.parametrize(
    "name",
    ["Paypal.Com", "PayPal.Support", "Acme.Bank", "APPLE.COM", "Joe.com", "hans.Peter", "Evil.Co.Ltd", "Joe.Ford"],
)
def test_capitals_make_no_name_of_a_domain(name: str) -> None:
    assert [code for code, _ in check_display_name(name)] == ["display-name-domain"]


_LETTERS = st.text("abcXYZéß019 ", min_size=1, max_size=8)


@given(_LETTERS, st.sampled_from(sorted("\u200c\u200d\u200b\u2060\u202a\u202e\u2066\ufeff")), _LETTERS)
def test_nothing_hides_between_latin_letters(before: str, char: str, after: str) -> None:
    found = find_hidden(before + char + after, name=True)
    assert found is not None
    assert (found.char, found.number) == (char, len(before) + 1)


@given(st.text())
def test_any_text_is_read_and_the_place_is_right(text: str) -> None:
    found = find_hidden(text, skipped=HINTS, name=True)
    if found is not None:
        assert text[found.number - 1] == found.char
    for code, message in check_display_name(text):
        assert code
        assert all(int(number) <= len(text) for number in re.findall(r"character (\d+)", message))
