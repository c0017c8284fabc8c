"""Identifiers, as applications keep them: a word for the kind, and 32 digits."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from homing.loop.ids import PREFIXES, new_id, read, show

NUMBER = UUID("0190c3b6-5a7c-7d0e-8f1a-2b3c4d5e6f70")
KEPT = {
    "organization": "org",
    "api_key": "key",
    "human_sender": "snd",
    "message": "msg",
    "delivery": "dlv",
    "attempt": "att",
    "event": "evt",
    "inbound": "inb",
    "case": "cas",
    "action": "act",
    "suppression": "sup",
    "dkim_key": "dkm",
    "sending_domain": "dom",
}
"""Applications have stored ids with these words, and links in letters hold them: none may ever change."""


@pytest.mark.parametrize("kind", KEPT)
def test_an_id_that_was_given_out_is_known_for_ever(kind: str) -> None:
    kept = f"{KEPT[kind]}_0190c3b65a7c7d0e8f1a2b3c4d5e6f70"
    assert (show(kind, NUMBER), read(kind, kept)) == (kept, NUMBER)
    assert [other for other in KEPT if read(other, kept)] == [kind], "an id of one kind is none of another"


def test_every_kind_is_kept() -> None:
    assert KEPT.keys() == PREFIXES.keys()


@pytest.mark.parametrize("text", ["", "msg_", "msg_0190", f"msg_{'g' * 32}", "0190c3b65a7c7d0e8f1a2b3c4d5e6f70", "msg"])
def test_what_is_no_id(text: str) -> None:
    assert read("message", text) is None


def test_ids_sort_by_their_millisecond() -> None:
    """RFC 9562 §5.7, whatever the dice show."""
    moments = [datetime(2026, 3, 1, 9, 0, 0, milliseconds * 1000, tzinfo=UTC) for milliseconds in (1, 2, 3)]
    made = [new_id(at, dice * 10) for at, dice in zip(moments, (b"\xff", b"\x80", b"\0"), strict=True)]
    assert made == sorted(made)
    assert {(one.version, one.variant) for one in made} == {(7, "specified in RFC 4122")}
