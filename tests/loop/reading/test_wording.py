"""Phrases among words: the index misses none that stands in a text, however they are written."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homing.loop.reading.rulebook import Form
from homing.loop.reading.wording import PhraseIndex, addresses_in, fold, phrase_in
from tests.loop.reading.rules import RULES

WORDS = ["no", "not", "user", "users", "5.1.1", "(#5", "t-line", "não", "存在", "不存在"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join) | st.lists(
    st.sampled_from([*WORDS, "-", ", ", "\n", f" {'x' * 90} "]), max_size=20
).map("".join)
PIECES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=2).map(lambda words: fold(" ".join(words)).strip())
PHRASES = st.lists(PIECES, min_size=1, max_size=3).map(tuple)


@given(st.lists(PHRASES, max_size=8), TEXTS.map(fold))
@example([("no",)], " not ")
@example([("user",)], " users ")
@example([("no user",)], " no userid ")
@example([("存在",)], " 不存在 ")
def test_the_index_finds_every_phrase_that_stands_in_a_text(phrases: list[tuple[str, ...]], text: str) -> None:
    found = PhraseIndex(enumerate(phrases)).find(text)
    assert list(found) == sorted(found)
    for number, phrase in enumerate(phrases):
        assert not phrase_in(phrase, text) or found.get(number) == [phrase]
        assert number not in found or (phrase[0] in text and phrase[-1] in text)


@pytest.mark.parametrize("entry", RULES.worded, ids=lambda entry: entry.id)
def test_the_index_finds_each_phrase_of_each_rule_alone(entry) -> None:  # type: ignore[no-untyped-def]
    index = PhraseIndex((phrase, phrase) for phrase in entry.words)
    for phrase in entry.words[:400]:
        assert phrase in index.find(f" {' '.join(phrase)} ")


@pytest.mark.parametrize("form", [form for form in RULES.forms if form.phrase[0].isascii()], ids=lambda form: form.id)
def test_a_form_is_found_by_its_first_words(form: Form) -> None:
    assert form.id in RULES.prose_index.find(fold(form.example))


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("Réponse à l’Élève", "reponse a l'eleve"),
        ("Größe, Øre, Łódź, Þór, Œuvre", "grosse, ore, lodz, thor, oeuvre"),
        ("İstanbul, ılık", "istanbul, ilik"),
        ("Hộp thư đã đầy", "hop thu da day"),
        ("„Postfach“ «plein»", '„postfach" "plein"'),
        ("不存在 нет", "不存在 нет"),
    ],
)
def test_letters_lose_their_marks_and_other_scripts_nothing(written: str, folded: str) -> None:
    """Servers and people leave marks out as they like; rules are written once."""
    assert fold(written).strip() == folded


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("To: <joe@corp.example>, 'ann@corp.example'", ["joe@corp.example", "ann@corp.example"]),
        ('"joe b"@corp.example', ['"joe b"@corp.example']),
        ('say "hi\nto"@corp.example', []),
        ("@corp.example joe@ a@b", []),
        ("收件人：joe@corp.example。", ["joe@corp.example"]),
        (f"{'x' * 90}@corp.example", [f"{'x' * 64}@corp.example"]),
    ],
)
def test_where_addresses_stand(text: str, addresses: list[str]) -> None:
    assert [text[start:end] for start, end in addresses_in(text)] == addresses
