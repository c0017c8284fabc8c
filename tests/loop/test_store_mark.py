"""Which store was restored, and which number the next generation bears."""

from datetime import UTC, datetime

import pytest

from homing.loop.store_mark import StoreMark, next_generation, why_held

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOW_IN_MICROSECONDS = int(NOW.timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("store", "seen", "held"),
    [
        ((5, 100), None, False),  # a new node has seen nothing
        ((5, 100), (5, 100), False),
        ((5, 101), (5, 100), False),
        ((5, 99), (5, 100), True),
        ((4, 900), (5, 100), True),  # a backup from before the last release
        ((6, 1), (5, 100), False),  # it was released while this node was away
        ((0, 0), (0, 1), True),
    ],
)
def test_a_store_that_stands_behind_was_restored(
    store: tuple[int, int], seen: tuple[int, int] | None, held: bool
) -> None:
    known = None if seen is None else StoreMark(*seen)
    assert bool(why_held(StoreMark(*store), known, moved=False)) is held
    assert "another server" in why_held(StoreMark(*store), None, moved=True)


def test_no_generation_comes_twice() -> None:
    early, late = StoreMark(0, 7), StoreMark(NOW_IN_MICROSECONDS + 60_000_000, 9)
    assert next_generation(NOW, early, None) == NOW_IN_MICROSECONDS
    assert next_generation(NOW, early, late) == late.generation + 1, "the clock is slow"
    assert next_generation(NOW, late, early) == late.generation + 1
