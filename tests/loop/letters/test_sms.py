from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.loop.letters.facts import FailureFacts
from homing.loop.letters.sms import failure_sms, recipient_sms, septets
from tests.loop.letters.failures import FAILURES, UNKNOWN_PERSON
from tests.loop.letters.test_letters import HOSTILE, everywhere


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("", 0),
        ("plain", 5),
        ("@£$ é ü ß Ñ", 11),
        ("a{b}", 6),
        ("€", 2),
        ("`", None),
        ("ç", None),
        ("“", None),
        ("ж", None),
    ],
)
def test_places_in_the_alphabet(text: str, places: int | None) -> None:
    assert septets(text) == places


@pytest.mark.parametrize("kind", FAILURES)
def test_one_part_with_the_whole_address(kind: str) -> None:
    facts = FAILURES[kind]
    text = failure_sms(facts)
    assert (septets(text) or 999) <= 160
    assert facts.recipient in text
    assert ("may not have arrived" in text) == facts.possibly_delivered


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ("Résumé – “final” version…", 'Résumé - "final" version...'),
        ("Žluťoučký kůň", "Zlutoucky kun"),
        ("Прайс-лист", "Прайс-лист"),
        ("한국어", "한국어"),
        ("Win at http://e.example/x", "Win at (link)"),
    ],
)
def test_subject_in_the_alphabet_of_telephones(subject: str, shown: str) -> None:
    assert f'mail "{shown}" to' in failure_sms(replace(UNKNOWN_PERSON, message_subject=subject))


def test_an_address_is_never_simplified() -> None:
    assert "françois@example.com" in failure_sms(replace(UNKNOWN_PERSON, recipient="françois@example.com"))


def test_long_texts_are_cut_where_it_hurts_least() -> None:
    facts = replace(
        UNKNOWN_PERSON, message_subject="A very long subject " * 10, organization_name="A very long name " * 10
    )
    text = failure_sms(facts)
    assert (septets(text) or 999) <= 160
    assert facts.recipient in text
    assert "there is no such mailbox" in text


@pytest.mark.parametrize("recipient", ["a" * 240 + "@example.com", "ж" * 240 + "@example.com", HOSTILE])
def test_two_parts_at_most(recipient: str) -> None:
    text = failure_sms(replace(UNKNOWN_PERSON, recipient=recipient, message_subject="ж" * 300))
    assert len(text.encode("utf-16-be")) // 2 <= 134
    assert "there is no such mailbox" in text


def test_the_recipient_learns_who_wrote_and_how_to_answer() -> None:
    text = recipient_sms(UNKNOWN_PERSON)
    for needed in ("Janet Miller", "Bright Relations", "Our call of Monday", "janet@crm-customer.example"):
        assert needed in text
    assert (septets(text) or 999) <= 160
    assert "Somebody sent you" in recipient_sms(replace(UNKNOWN_PERSON, human_sender_name="", organization_name=""))


@pytest.mark.parametrize("write", [failure_sms, recipient_sms])
@given(hostile=st.text(st.characters(exclude_categories=()), max_size=300))
def test_any_text_fits(write: Callable[[FailureFacts], str], hostile: str) -> None:
    text = write(everywhere(hostile))
    places = septets(text)
    assert (places if places is not None else 2 * len(text.encode("utf-16-be")) // 2) <= 306
    assert len(text.splitlines()) == 1
