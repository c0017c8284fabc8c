"""The texts that people read. Golden texts first, then what must hold of every one of them."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homing.loop.letters.facts import moment
from homing.loop.letters.failures_page import failures_page
from homing.loop.letters.layout import WIDTH
from homing.loop.letters.letters import (
    FailureFacts,
    Text,
    administrator_letter,
    administrator_proof_letter,
    administrators_letter,
    cause,
    failure_letter,
    failure_sms,
    failures_letter,
    live_text,
    oops_answer,
    proof_letter,
    recipient_sms,
)
from homing.loop.letters.phrases import CAUSES, CLASSES, NOT_FAILURES
from homing.loop.model import State, StepState, Verdict
from tests.data import HOSTILE_INPUTS
from tests.loop.letters.failures import CASE, FAILURES, LINK, UNKNOWN_PERSON

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parents[3]
CODES = re.compile(r"\b[245]\d\d\b|\d\.\d\.\d")
FOLD = "-" * WIDTH
PROOF = proof_letter("joe@bloggs-plumbing.example", LINK.replace("correct", "prove"), "Ledgerly")
SEVERAL = failures_letter(
    [UNKNOWN_PERSON, FAILURES["possibly_delivered"], FAILURES["delayed"]], ["ann@example.com", "bob@example.com"]
)
ADMINISTRATOR_SEVERAL = administrators_letter(
    [(UNKNOWN_PERSON, CASE), (FAILURES["delayed"], CASE)], ["ann@example.com", "bob@example.com"]
)
ADMINISTRATOR_PROOF = administrator_proof_letter("it@bloggs.example", LINK.replace("correct", "prove"), "Ledgerly")
OOPS = oops_answer("Joe Bloggs", "joe@bloggs-plumbing.example", "Re: Invoice for February")
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)
HOSTILE = (
    "Hi\r\nBcc: evil@e.example\r\n\r\n\x1b[2J\x1b]8;;http://e.example\x07\u202egnp.exe\u2028"
    "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{0.__class__}%s\ud800"
)


def in_full(text: Text) -> str:
    return f"Subject: {text.subject}\n\n{text.body}"


def in_short() -> str:
    lines = []
    for kind, facts in FAILURES.items():
        shown = live_text(facts)
        lines += [
            f"[{kind}]",
            *(() if facts.failure is State.DEFERRED else (failure_sms(facts), recipient_sms(facts))),
            shown.title,
            shown.sentence,
            f"suggestion: {shown.suggestion}",
            "",
        ]
    return "\n".join(lines)


GOLDEN_TEXTS = {
    **{f"{kind}.txt": in_full(failure_letter(facts)) for kind, facts in FAILURES.items()},
    "administrator.txt": in_full(administrator_letter(FAILURES["late"], CASE)),
    "proof.txt": in_full(PROOF),
    "administrator_proof.txt": in_full(ADMINISTRATOR_PROOF),
    "several.txt": in_full(SEVERAL),
    "administrator_several.txt": in_full(ADMINISTRATOR_SEVERAL),
    "oops.txt": in_full(OOPS),
    "sms_and_live.txt": in_short(),
    "unknown_person.html": failure_letter(UNKNOWN_PERSON).html,
}


@pytest.mark.parametrize("name", GOLDEN_TEXTS)
def test_golden(name: str) -> None:
    """A changed text writes a `.got` file beside its golden one: read it aloud, then rename it."""
    golden, got = GOLDEN / name, GOLDEN / f"{name}.got"
    written = (GOLDEN_TEXTS[name] or "").encode()
    if golden.exists() and golden.read_bytes() == written:
        got.unlink(missing_ok=True)
        return
    got.write_bytes(written)
    pytest.fail(f"{golden.name} differs; see {got}")


def test_no_golden_text_is_left_over() -> None:
    assert {path.name for path in GOLDEN.iterdir() if path.suffix != ".got"} == GOLDEN_TEXTS.keys()


@pytest.mark.parametrize("kind", FAILURES)
def test_above_the_fold_stands_what_a_person_needs_and_no_codes(kind: str) -> None:
    facts = FAILURES[kind]
    letter = failure_letter(facts)
    above, fold, below = letter.body.partition(FOLD)
    words = " ".join(above.split())
    why = cause(facts)
    assert fold
    end = facts.tried_until or facts.failed_at
    for needed in (facts.recipient, facts.message_subject, moment(facts.sent_at), moment(end)):
        assert needed in words
    for said in (why.headline, why.explanation, why.next_step):
        assert said in words
    assert (LINK in above.splitlines()) == bool(CAUSES[why.key].resend)
    assert not CODES.search(above)
    assert not CODES.search(letter.subject)
    assert facts.message_subject in letter.subject
    assert facts.recipient in letter.subject
    assert ("may not have arrived" in words) == facts.possibly_delivered
    assert ("came back later" in words) == (facts.late and facts.failure is not None)
    assert facts.verdict.enhanced_status_code in below
    assert facts.verdict.remote_mta in below


@pytest.mark.parametrize(
    "text",
    [
        *map(failure_letter, FAILURES.values()),
        administrator_letter(UNKNOWN_PERSON, CASE),
        SEVERAL,
        ADMINISTRATOR_SEVERAL,
        PROOF,
        OOPS,
    ],
)
def test_lines_are_short_but_for_links(text: Text) -> None:
    for line in text.body.splitlines():
        assert len(line) <= WIDTH or line.startswith("https://")
        assert line == line.rstrip()
    assert len(text.subject) <= 180
    assert text.body.endswith("\n")


@pytest.mark.parametrize("failure", sorted({State.BOUNCED, State.EXPIRED, State.SUPPRESSED, State.FAILED}))
@pytest.mark.parametrize("failure_class", sorted(CLASSES | NOT_FAILURES.keys() | {"", "a class of tomorrow"}))
@pytest.mark.parametrize("in_doubt", [False, True])
def test_every_failure_has_its_words(failure: State, failure_class: str, in_doubt: bool) -> None:
    verdict = Verdict(failure_class=failure_class, kind="soft", rule="x")
    told = cause(replace(UNKNOWN_PERSON, failure=failure, verdict=verdict, possibly_delivered=in_doubt, late=False))
    for sentence in (told.headline, told.explanation, told.next_step):
        assert sentence[0].isupper()
        assert sentence.endswith((".", "?"))
        assert not CODES.search(sentence)
        assert "{" not in sentence
    assert "{" not in told.short


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({}, "invalid_recipient"),
        ({"failure": State.EXPIRED}, "invalid_recipient"),
        ({"failure": State.FAILED, "possibly_delivered": True}, "failed_in_doubt"),
        ({"failure": State.SUPPRESSED}, "suppressed"),
        ({"verdict": Verdict(failure_class="policy", kind="soft", rule="x", about_us=True)}, "about_us"),
        ({"verdict": Verdict(failure_class="rate_limited", kind="soft", rule="x", about_us=True)}, "rate_limited"),
        ({"verdict": Verdict(failure_class="auth", kind="soft", rule="x")}, "about_us"),
        ({"verdict": Verdict(failure_class="undetermined", kind="soft", rule="x")}, "unexplained"),
        ({"verdict": Verdict(failure_class="undetermined", kind="soft", rule="x", text="no")}, "undetermined"),
        (
            {"verdict": Verdict(failure_class="invalid_domain", kind="hard", rule="x"), "suggestion": "a.example"},
            "invalid_domain_typo",
        ),
    ],
)
def test_which_words(changes: dict[str, object], key: str) -> None:
    assert cause(replace(UNKNOWN_PERSON, **changes)).key == key  # type: ignore[arg-type]


def test_a_failure_that_is_not_the_senders_says_so() -> None:
    assert "not your fault" in " ".join(failure_letter(FAILURES["about_us"]).body.split())
    assert "Did you mean gmail.com?" in " ".join(failure_letter(FAILURES["typo"]).body.split())


def test_where_sending_again_would_be_wrong_there_is_no_link() -> None:
    for kind in ("suppressed_complaint", "content", "too_big"):
        text = failure_letter(FAILURES[kind])
        assert "https://" not in text.body.partition(FOLD)[0]
        assert "<a " not in (text.html or "")


def test_without_a_link_none_is_offered() -> None:
    body = failure_letter(replace(UNKNOWN_PERSON, correct_link=None)).body
    assert "Here you can" not in body
    assert "None" not in body


def test_the_administrator_learns_who_knows() -> None:
    unheard = administrator_letter(UNKNOWN_PERSON, CASE)
    assert "does not know of it yet" in " ".join(unheard.body.split())
    assert "out-of-office" in unheard.body
    assert CASE.case in unheard.body
    heard = replace(CASE, steps=tuple(replace(step, state=StepState.HEARD) for step in CASE.steps))
    assert "A notice has been delivered" in " ".join(administrator_letter(UNKNOWN_PERSON, heard).body.split())


# -- hostile texts ----------------------------------------------------------------------------------------------------

_ALLOWED_TAGS = {"html", "head", "meta", "title", "body", "div", "p", "h2", "table", "tr", "th", "td", "ul", "li"} | {
    *("a", "blockquote", "br", "hr"),
}
_ALLOWED_ATTRIBUTES = {"lang", "charset", "style", "scope", "dir", "role", "href"}


class _Reader(HTMLParser):
    """Reads a page as a mail program does, and refuses whatever we never write."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str | None] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _ALLOWED_TAGS
        for name, value in attrs:
            assert name in _ALLOWED_ATTRIBUTES
            if name == "href":
                self.links.append(value)
            if name == "style":
                assert "url(" not in (value or "")

    def handle_comment(self, data: str) -> None:
        pytest.fail(f"a comment: {data}")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def everywhere(text: str) -> FailureFacts:
    """The same hostile text in every field that a stranger fills."""
    return replace(
        UNKNOWN_PERSON,
        message_subject=text,
        recipient=text,
        human_sender_name=text,
        human_sender_address=text,
        organization_name=text,
        suggestion=text,
        resent_from=text,
        verdict=Verdict(
            failure_class="undetermined", kind="soft", rule="x", text=text, remote_mta=text, enhanced_status_code=text
        ),
    )


def test_html_shows_every_payload_as_text() -> None:
    for payload in json.loads((HOSTILE_INPUTS / "api" / "xss.json").read_text()):
        facts = everywhere(payload)
        steps = tuple(replace(step, target=payload, detail=payload) for step in CASE.steps)
        for text, links in (
            (failure_letter(facts), [LINK]),
            (administrator_letter(facts, replace(CASE, case=payload, policy=payload, steps=steps)), [CASE.page]),
            (proof_letter(payload, LINK, payload), [LINK]),
            (administrator_proof_letter(payload, LINK, payload), [LINK]),
            (failures_letter([facts, facts], [payload]), [LINK, LINK]),
            (administrators_letter([(facts, CASE)], [payload]), []),
        ):
            reader = _Reader()
            reader.feed(text.html or "")
            reader.close()
            assert reader.links == links
            assert " ".join(payload.split()) in " ".join(" ".join(reader.words).split())


def test_a_hostile_subject_is_neutralised() -> None:
    letter = failure_letter(replace(UNKNOWN_PERSON, message_subject=HOSTILE))
    for text in (letter.subject, letter.body, letter.html or ""):
        assert not set(text) & set("\r\x1b\x07\u202e\u2028\ud800")
    assert "\n" not in letter.subject
    assert "\nBcc:" not in letter.body
    assert "<script" not in (letter.html or "")


def test_strangers_words_are_marked_line_by_line() -> None:
    posing = "no\n\nHello Janet,\nyour password has expired: http://e.example/login\n" + "y" * 3000 + "\nz" * 50
    facts = replace(FAILURES["undetermined"], verdict=replace(FAILURES["undetermined"].verdict, text=posing))
    above, _, below = failure_letter(facts).body.partition(FOLD)
    for line in (above + below).splitlines():
        if "password" in line or "yyy" in line or line.startswith("Hello Janet,"):
            assert line.startswith("> ")
    assert "> your password has expired: (link)" in below
    assert len(below) < 6000


@pytest.mark.parametrize("link", ["https://e.example/x", "ht\u200btps://e.example", "www.e.example", "e.example/login"])
def test_no_letter_carries_a_link_in_the_words_of_a_server(link: str) -> None:
    """Neither above the fold nor below, neither from a mail server nor from a program that an action spoke to."""
    said = f"550 5.7.1 Blocked, see {link} for help"
    verdict = replace(FAILURES["undetermined"].verdict, text=said, remote_mta=link)
    facts = replace(FAILURES["undetermined"], verdict=verdict)
    steps = tuple(replace(step, detail=said) for step in CASE.steps)
    for letter in (failure_letter(facts), administrator_letter(facts, replace(CASE, steps=steps))):
        for text in (letter.body, letter.html or ""):
            assert "e.example" not in text
            assert "Blocked, see (link) for help" in " ".join(text.replace("> ", "").split())


@given(ANY_TEXT)
@example("0" * 48)  # a name that fills its heading
def test_any_text_anywhere(text: str) -> None:
    facts = everywhere(text)
    letters = (
        failure_letter(facts),
        administrator_letter(facts, CASE),
        proof_letter(text, LINK, text),
        administrator_proof_letter(text, LINK, text),
        failures_letter([facts, facts], [text]),
        administrators_letter([(facts, CASE)], [text]),
        oops_answer(text, text, text),
    )
    for letter in letters:
        for part in (letter.subject, letter.body, letter.html or ""):
            part.encode()
            assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]", part)
        assert len(letter.subject.splitlines()) == 1
        for line in letter.body.split("\n"):
            assert len(line) <= WIDTH or line.startswith("https://")
    shown = live_text(facts)
    assert len((shown.title + shown.sentence).splitlines()) == 1


# -- several at once -------------------------------------------------------------------------------------------------


def test_one_letter_tells_each_of_several_with_a_link_of_its_own() -> None:
    several = [
        replace(UNKNOWN_PERSON, recipient=f"j{number}@example.com", correct_link=f"{LINK}{number}")
        for number in range(3)
    ]
    letter = failures_letter(several)
    assert letter.subject == "Not delivered: 3 of your messages"
    above, _, below = letter.body.partition(FOLD)
    for number in range(3):
        assert f"j{number}@example.com" in above
        assert f"{LINK}{number}" in above.splitlines()
        assert f"j{number}@example.com" in below
    assert letter.body.count(FOLD) == 1
    assert not CODES.search(above)


def test_what_fails_in_different_ways_is_told_under_one_subject() -> None:
    assert SEVERAL.subject == "Not delivered, or late: 5 of your messages"
    assert "ann@example.com, bob@example.com" in SEVERAL.body


def test_ten_thousand_make_no_longer_letter_than_a_person_can_read() -> None:
    letter = failures_letter([UNKNOWN_PERSON] * 20, ["a" * 64 + "@example.com"] * 9_980)
    assert "10000 of your messages" in letter.subject
    assert "and 9880 others" in " ".join(letter.body.split())
    assert len(letter.body) < 40_000


# -- proof, Oops!, pages ----------------------------------------------------------------------------------------------


def test_the_proof_says_what_happens_either_way() -> None:
    words = " ".join(PROOF.body.split())
    for needed in (
        "joe@bloggs-plumbing.example",
        "Ledgerly",
        "24 hours",
        "do nothing",
        "Opening the page alone changes nothing",
    ):
        assert needed in words
    assert PROOF.body.count("https://") == 1


def test_the_oops_answer_names_the_right_person_and_carries_no_strangers_link() -> None:
    answer = oops_answer("Joe Bloggs", "joe@bloggs.example", "Win!\r\nBcc: x@e.example http://e.example/ " + "x" * 500)
    assert answer.html is None
    assert answer.subject.startswith("Auto: ")  # RFC 3834 §3.1.5
    assert "http" not in answer.subject + answer.body
    assert "\n" not in answer.subject
    assert len(answer.subject) < 140
    assert "joe@bloggs.example" in answer.body
    assert "Joe Bloggs" in answer.body


def test_the_page_of_failures_is_up_to_date_and_complete() -> None:
    page = (ROOT / "docs" / "failures.md").read_text()
    assert page == failures_page()
    for word in CLASSES | NOT_FAILURES.keys() | CAUSES.keys() | {"expired", "suppressed", "failed", "bounced"}:
        assert f"`{word}`" in page
