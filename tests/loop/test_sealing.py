"""What is sealed opens with the same key at the same place, and nowhere else."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.loop.sealing import SealBroken, Sealer

SEALER = Sealer(b"k" * 32)
PLACES = st.tuples(*[st.text(max_size=20)] * 3)


@given(st.binary(max_size=200), PLACES, st.binary(min_size=12, max_size=12))
def test_it_opens_at_its_place(secret: bytes, place: tuple[str, ...], nonce: bytes) -> None:
    sealed = SEALER.seal(secret, place, nonce)
    assert SEALER.open(sealed, place) == secret
    assert len(sealed) == len(secret) + 5 + 12 + 16


@given(PLACES, PLACES)
def test_it_opens_at_no_other_place(place: tuple[str, ...], other: tuple[str, ...]) -> None:
    sealed = SEALER.seal(b"secret", place, bytes(12))
    if place != other:
        with pytest.raises(SealBroken, match="another place"):
            SEALER.open(sealed, other)


def test_words_of_a_place_do_not_run_together() -> None:
    sealed = SEALER.seal(b"secret", ("dkim", "ab", "c"), bytes(12))
    with pytest.raises(SealBroken):
        SEALER.open(sealed, ("dkim", "a", "bc"))


def test_another_key_is_told_apart_from_a_changed_octet() -> None:
    sealed = SEALER.seal(b"secret", ("a",), os.urandom(12))
    with pytest.raises(SealBroken, match="another secret key"):
        Sealer(b"x" * 32).open(sealed, ("a",))
    for at in range(5, len(sealed)):
        with pytest.raises(SealBroken):
            SEALER.open(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], ("a",))


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x02" + bytes(40), b"-----BEGIN PRIVATE KEY-----"])
def test_what_we_did_not_seal(sealed: bytes) -> None:
    with pytest.raises(SealBroken):
        SEALER.open(sealed, ("a",))


def test_the_secret_key_is_not_shown() -> None:
    assert "kkk" not in repr(Sealer(b"x" * 32, b"k" * 32))
    assert "kkk" not in repr(SEALER)


def test_the_key_before_opens_and_seals_no_more() -> None:
    sealed = SEALER.seal(b"secret", ("a",), bytes(12))
    later = Sealer(b"x" * 32, SEALER.key)
    assert later.open(sealed, ("a",)) == b"secret"
    assert (SEALER.sealed_now(sealed), later.sealed_now(sealed)) == (True, False)
    anew = later.seal(b"secret", ("a",), bytes(12))
    assert later.sealed_now(anew)
    with pytest.raises(SealBroken, match="another secret key"):
        SEALER.open(anew, ("a",))
    with pytest.raises(ValueError, match="32 octets"):
        Sealer(b"x" * 32, b"short")
