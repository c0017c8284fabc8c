"""Canonical bodies that come in pieces, with dkimpy's as the reference: the same hash, in linear time."""

from hashlib import sha256
from itertools import pairwise

import dkim.canonicalization as dkimpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.mail.dkim_body import BodyDigest, relaxed_body

BITS = [b"\r\n", b"\r", b"\n", b" ", b"\t", b"a", b" \r\n", b"\r\n\r\n", b"  ", b" \r"]
PIECES = st.lists(st.lists(st.sampled_from(BITS), max_size=6).map(b"".join), max_size=6).map(
    lambda pieces: [*pieces, b"\r\n"] if any(pieces) else []
)
"""As they come by SMTP, where each line has an end."""
FORMS = {"simple": dkimpy.Simple, "relaxed": dkimpy.Relaxed}


@pytest.mark.parametrize("form", FORMS)
@given(pieces=PIECES)
def test_a_body_in_pieces_has_the_hash_of_the_whole(form: str, pieces: list[bytes]) -> None:
    digest = BodyDigest(relaxed=form == "relaxed")
    for piece in pieces:
        digest.feed(piece)
    assert digest.finish() == sha256(FORMS[form].canonicalize_body(b"".join(pieces))).digest()


@given(pieces=PIECES)
def test_the_whole_is_made_as_others_make_it(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    assert relaxed_body(body) == dkimpy.Relaxed.canonicalize_body(body)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("body", [b"\r\n" * 4_000, b"x\n" + b"\r\n" * 4_000, b" " * 7_000, b"\r" * 7_000])
def test_runs_longer_than_a_piece(form: str, body: bytes) -> None:
    digest = BodyDigest(relaxed=form == "relaxed")
    for start, end in pairwise([*range(0, len(body), 999), len(body)]):
        digest.feed(body[start:end])
    digest.feed(b"end")
    assert digest.finish() == sha256(FORMS[form].canonicalize_body(body + b"end")).digest()
