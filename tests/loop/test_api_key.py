"""API keys: what we mint has the form, what was changed has not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.loop.api_key import hash_key, is_key, mint_key


@given(st.binary(min_size=25, max_size=40), st.booleans())
def test_what_was_minted_has_the_form(secret, live) -> None:
    key = mint_key(secret, live=live)
    assert is_key(key)
    assert key.startswith("homing_live_" if live else "homing_test_")
    assert len(key) == 60
    assert set(key[12:]) <= set("abcdefghijklmnopqrstuvwxyz234567"), (
        "nothing that a URL, a shell or a double click splits"
    )
    assert len(hash_key(key)) == 64


def test_every_changed_character_breaks_the_checksum() -> None:
    key = mint_key(bytes(range(25)))
    for position in range(len(key)):
        for other in "b7_":
            if key[position] != other:
                assert not is_key(key[:position] + other + key[position + 1 :])


@pytest.mark.parametrize("text", ["", "homing_live_", "homing_live_" + "a" * 48, "é" * 60, "homing_live_" + "é" * 48])
def test_what_is_no_key(text) -> None:
    assert not is_key(text)


def test_upper_case_is_another_text_and_no_key() -> None:
    key = mint_key(bytes(range(25)))
    assert not is_key(key.upper())
    assert not is_key(key[:12] + key[12:].upper())


def test_too_few_dice() -> None:
    with pytest.raises(ValueError, match="25"):
        mint_key(bytes(24))
