import json
import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.mail.text import clean, clean_lines, quoted, quoted_lines, shorten, without_links
from tests.data import HOSTILE_INPUTS

ANY_TEXT = st.text(st.characters(exclude_categories=()))
BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("Call\r\nBcc: evil@e.example", "Call Bcc: evil@e.example"),
        ("a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x00h", "a b c d e f g h"),
        ("\x1b[2J\x1b[1;1Hcleared", "cleared"),
        ("\x1b]8;;http://e.example\x07click\x1b]8;;\x07", "click"),
        ("\x9b31mred\x9b0m", "red"),
        ("\u202egnp.exe", "gnp.exe"),
        ("a\u200bb\ufeffc\u00add", "abcd"),
        ("\ud800x", "x"),
        ("  a \t\u00a0 b  ", "a b"),
        ("\t", ""),
        ("Müller & Søn “x” 株式会社 שלום", "Müller & Søn “x” 株式会社 שלום"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("pay\u200dpal", "paypal"),
        ("<b>&amp;</b> {0.__class__} %s", "<b>&amp;</b> {0.__class__} %s"),
    ],
)
def test_what_acts_goes_and_what_reads_stays(hostile: str, shown: str) -> None:
    assert clean(hostile, 60) == shown


@given(ANY_TEXT, st.integers(1, 80))
def test_one_bounded_readable_line(text: str, limit: int) -> None:
    shown = clean(text, limit)
    assert len(shown) <= limit
    assert shown == clean(shown, limit)
    assert len(shown.splitlines()) <= 1
    assert not set(shown) & set(BIDI)
    assert shown.isprintable() or set(shown) <= {*filter(str.isprintable, shown), "\u200c", "\u200d"}
    shown.encode()


@pytest.mark.parametrize("name", ["header_injection.json", "log_injection.json"])
def test_payloads_of_the_corpus_are_harmless(name: str) -> None:
    document = json.loads((HOSTILE_INPUTS / "api" / name).read_text())
    for payload in document["payloads"] if isinstance(document, dict) else document:
        shown = clean(payload, 100)
        assert len(shown) <= 100
        assert "".join(filter(str.isprintable, shown)) == shown


def test_a_megabyte_costs_no_more_than_a_line() -> None:
    began = time.process_time()
    for _ in range(20):
        clean("\x1b]" * 500_000, 100)
        clean_lines("\x1b[" * 500_000, width=400, lines=8)
        without_links(clean("a-." * 500_000, 400))
        quoted("a" * 500_000, 400)
    assert time.process_time() - began < 2


def test_lines_are_kept_apart_and_counted() -> None:
    assert clean_lines("550 no\r\n\r\n\x1b[1muser\x1b[0m here\n", width=40, lines=3) == ("550 no", "user here")
    assert clean_lines("a\nb\nc", width=40, lines=2) == ("a", "b", "…")
    assert clean_lines("", width=40, lines=2) == ()
    assert clean_lines("x" * 50, width=10, lines=2) == ("xxxxxxxxx…",)


def test_shorten() -> None:
    assert shorten("as it is", 8) == "as it is"
    assert shorten("cut at a space", 8) == "cut at…"


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("win at http://e.example/x now", "win at (link) now"),
        ("HTTPS://E.EXAMPLE", "(link)"),
        ("see www.e.example.", "see (link)"),
        ("e.example/login please", "(link) please"),
        ("javascript://x", "(link)"),
        ("mail to john@e.example and/or call", "mail to john@e.example and/or call"),
        ("version 3.14 of 2025", "version 3.14 of 2025"),
        ("Blocked: 192.0.2.0/24 (mx.e.example)", "Blocked: 192.0.2.0/24 (mx.e.example)"),
        ("5.1.1/5.2.0", "5.1.1/5.2.0"),
        ("is it john@e.example? No", "is it john@e.example? No"),
        ("e.example?u=1 e.example:8080/x e.example./x e.example#x", "(link) (link) (link) (link)"),
        ("_http://e.example 1www.e _www.e.example", "_(link) 1www.e _(link)"),
        ("http:\\\\e.example", "(link)"),
        ("http：／／e。example", "(link)"),
        ("e。example/login", "(link)"),
        ("bücher.example/x", "(link)"),
        ("tel:+4420 sms:+4420 mailto:j@e.example", "(link) (link) (link)"),
    ],
)
def test_links(text: str, without: str) -> None:
    assert without_links(text) == without


@pytest.mark.parametrize(
    "hidden",
    [
        "ht\u200btp://e.example/x",
        "http:\u00ad//e.example",
        "w\u2060ww.e.example",
        "\x1b]8;;http://e.example\x07http\x1b[0m://e.example",
        "e\ufeff.example\u200d/login",
        "h\ud800ttp://e.example",
    ],
)
def test_what_an_invisible_character_hides_is_a_link_all_the_same(hidden: str) -> None:
    assert quoted(f"see {hidden} now", 100) == "see (link) now"
    assert quoted_lines(f"no\nsee {hidden}", width=100, lines=4) == ("no", "see (link)")


CLICKED = re.compile(r"[a-z]{2,}://[^\s(]|\bwww\.[^\s(]|\b[a-z0-9-]+\.[a-z]{2,}(?::\d+)?[/?#][^\s]|\b(?:mailto|tel):\S")
"""What a mail reader makes clickable, in the plain letters that it sees."""

PIECES = st.sampled_from(
    [
        *"./?#:。ｗ…é@-_ \n\u200b\u00ad\u202e\u200d",
        "http",
        "https",
        "://",
        "www",
        "e",
        "example",
        "8080",
        "550",
        "mailto:",
        "tel:",
        "(link)",
        "\x1b[0m",
    ]
)


@given(st.lists(PIECES | ANY_TEXT, max_size=24).map("".join), st.integers(8, 400))
def test_no_words_of_a_stranger_can_be_clicked(text: str, limit: int) -> None:
    for line in (quoted(text, limit), *quoted_lines(text, width=limit, lines=5)):
        assert len(line) <= limit
        assert not CLICKED.search(unicodedata.normalize("NFKC", line.replace("(link)", " ")).lower().replace("。", "."))
        assert quoted(line, limit) == line
