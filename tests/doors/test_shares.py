"""What organizations share: whoever comes finds room, and nobody has all of it."""

from uuid import UUID

import pytest

from homing.doors.budget import NoRoomError
from homing.doors.shares import NoShareError, Shares

A, B, C, D = (UUID(int=number) for number in range(1, 5))


def fill(shares: Shares, holder: UUID, **more: int) -> int:
    """Takes as much as can be had; returns how much that was."""
    taken = 0
    try:
        while True:
            shares.take(holder, **more)
            taken += 1
    except NoRoomError:
        return taken


def test_one_alone_has_half_and_whoever_comes_half_of_what_is_left() -> None:
    shares = Shares(500)
    assert [fill(shares, holder) for holder in (A, B, C)] == [250, 125, 62]
    assert shares.used == 437


def test_to_the_last_place_somebody_new_finds_one() -> None:
    shares = Shares(4)
    assert [fill(shares, holder) for holder in (A, B, C)] == [2, 1, 1]
    with pytest.raises(NoRoomError) as full:
        shares.take(D)
    assert not isinstance(full.value, NoShareError)
    shares.give_back(A)
    with pytest.raises(NoShareError):
        shares.take(A)
    shares.take(D)


def test_the_least_is_everybodys_as_long_as_there_is_room() -> None:
    shares = Shares(100, least=40)
    assert [fill(shares, holder) for holder in (A, B, C)] == [50, 40, 10]


def test_what_is_to_be_left_is_nobodys_share() -> None:
    shares = Shares(100, least=10)
    assert fill(shares, A, leaving=20) == 40
    assert fill(shares, B, leaving=20) == 20
    assert fill(shares, B) == 10
    assert fill(shares, C) == 15


def test_what_was_given_back_is_there_for_all_and_nothing_of_the_holder_is_kept() -> None:
    shares = Shares(100)
    shares.take(A, 30)
    shares.take(A, 20)
    with pytest.raises(NoShareError):
        shares.take(A)
    shares.give_back(A, 20)
    shares.take(A, 20)
    shares.give_back(A, 50)
    assert shares == Shares(100)
    assert not shares._held
