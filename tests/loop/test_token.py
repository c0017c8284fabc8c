"""Tokens: what we minted opens, and nothing else does."""

import os
from datetime import date, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.loop.token import Fault, Purpose, TokenKey, TokenRefused, Tokens

from .made import NOW

OLD = TokenKey(id=1, secret=b"o" * 32, since=NOW - timedelta(days=90))
NEW = TokenKey(id=2, secret=b"n" * 32, since=NOW)
TOKENS = Tokens([NEW, OLD])
SUBJECT = UUID(int=0x0190_C3A1_0000_7000_8000_0000_0000_0001)
LAST_DAY = date(2026, 4, 5)
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


def minted(purpose: Purpose = Purpose.ENVELOPE) -> str:
    return TOKENS.mint(purpose, SUBJECT, made=NOW, last_day=LAST_DAY)


def fault(text: str, purpose: Purpose = Purpose.ENVELOPE, now=NOW, tokens: Tokens = TOKENS) -> Fault:
    with pytest.raises(TokenRefused) as refused:
        tokens.open(purpose, text, now=now)
    return refused.value.fault


@given(st.uuids(), st.sampled_from(Purpose), st.dates(date(2026, 3, 1), date(2140, 1, 1)))
def test_round_trip_in_either_case_and_short_enough(subject, purpose, last_day) -> None:
    token = TOKENS.mint(purpose, subject, made=NOW, last_day=last_day)
    assert set(token) <= set(ALPHABET)
    assert len(f"b+{token}") <= 64
    assert TOKENS.open(purpose, token, now=NOW) == subject
    assert TOKENS.open(purpose, token.upper(), now=NOW) == subject
    assert token == TOKENS.mint(purpose, subject, made=NOW, last_day=last_day)


def test_a_token_of_one_purpose_is_refused_for_every_other() -> None:
    for purpose in set(Purpose) - {Purpose.ENVELOPE}:
        assert fault(minted(), purpose) is Fault.FORGED


def test_it_lives_through_its_last_day() -> None:
    end = NOW.replace(month=4, day=5, hour=23, minute=59)
    assert TOKENS.open(Purpose.ENVELOPE, minted(), now=end) == SUBJECT
    assert fault(minted(), now=end + timedelta(minutes=1)) is Fault.EXPIRED
    forever = TOKENS.mint(Purpose.MESSAGE_ID, SUBJECT, made=NOW)
    assert TOKENS.open(Purpose.MESSAGE_ID, forever, now=NOW + timedelta(days=36500)) == SUBJECT


def test_every_single_bit_change_is_refused() -> None:
    token = minted()
    for position in range(len(token)):
        value = ALPHABET.index(token[position])
        for bit in range(5):
            other = ALPHABET[value ^ (1 << bit)]
            assert fault(token[:position] + other + token[position + 1 :]) in {Fault.FORGED, Fault.UNKNOWN_KEY}


@pytest.mark.slow
def test_a_hundred_thousand_random_ones_are_refused() -> None:
    for _ in range(100_000):
        octets = os.urandom(48)
        text = "".join(ALPHABET[octet & 31] for octet in octets)
        with pytest.raises(TokenRefused):
            TOKENS.open(Purpose.ENVELOPE, text, now=NOW)


@pytest.mark.parametrize(
    "text", ["", "a" * 47, "a" * 49, "0" * 48, "é" * 48, "a" * 47 + "=", " " * 48, "ａ" * 48, "K" * 48]
)
def test_what_is_not_a_token_at_all(text: str) -> None:
    assert fault(text) in {Fault.MALFORMED, Fault.UNKNOWN_KEY, Fault.FORGED}


def test_keys_rotate_without_changing_the_token_of_a_delivery_on_its_way() -> None:
    before = Tokens([OLD])
    made = NOW - timedelta(days=1)
    token = before.mint(Purpose.ENVELOPE, SUBJECT, made=made, last_day=LAST_DAY)
    assert TOKENS.mint(Purpose.ENVELOPE, SUBJECT, made=made, last_day=LAST_DAY) == token
    assert TOKENS.open(Purpose.ENVELOPE, token, now=NOW) == SUBJECT
    assert minted() != token
    assert fault(minted(), tokens=before) is Fault.UNKNOWN_KEY


@given(st.uuids(), st.sampled_from(Purpose), st.integers(1, 10**6))
def test_a_short_token_lives_until_its_second(subject, purpose, seconds) -> None:
    until = NOW.replace(microsecond=0) + timedelta(seconds=seconds)
    token = TOKENS.mint_short(purpose, subject, until)
    assert len(token) == 64
    assert set(token) <= set(ALPHABET)
    last_moment = until - timedelta(microseconds=1)
    assert TOKENS.open_short(purpose, token, now=last_moment) == (subject, until)
    assert TOKENS.open_short(purpose, token.upper(), now=last_moment) == (subject, until)
    assert short_fault(token, purpose, now=until) is Fault.EXPIRED


def test_a_short_token_of_one_purpose_is_refused_for_every_other() -> None:
    token = TOKENS.mint_short(Purpose.STREAM, SUBJECT, NOW + timedelta(hours=1))
    for purpose in set(Purpose) - {Purpose.STREAM}:
        assert short_fault(token, purpose) is Fault.FORGED


def test_every_single_bit_change_of_a_short_token_is_refused() -> None:
    token = TOKENS.mint_short(Purpose.STREAM, SUBJECT, NOW + timedelta(hours=1))
    for position in range(len(token)):
        value = ALPHABET.index(token[position])
        for bit in range(5):
            other = token[:position] + ALPHABET[value ^ (1 << bit)] + token[position + 1 :]
            assert short_fault(other, Purpose.STREAM) in {Fault.FORGED, Fault.UNKNOWN_KEY}


def test_short_and_long_tokens_are_not_taken_for_each_other() -> None:
    assert short_fault(minted(Purpose.STREAM), Purpose.STREAM) is Fault.MALFORMED
    assert fault(TOKENS.mint_short(Purpose.STREAM, SUBJECT, NOW), Purpose.STREAM) is Fault.MALFORMED


def short_fault(text: str, purpose: Purpose, now=NOW) -> Fault:
    with pytest.raises(TokenRefused) as refused:
        TOKENS.open_short(purpose, text, now=now)
    return refused.value.fault
