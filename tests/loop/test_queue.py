"""Places: nobody crowds out the others, and nothing that was given back is held."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.loop.model import OrganizationId
from homing.loop.queue import LETTERS_CLASS, STREAM_CLASSES, Line, Place, Places, queue_of
from homing.loop.request import LETTERS

A, B, C = (OrganizationId(UUID(int=number)) for number in (1, 2, 3))


def taken(places: Places, organization: OrganizationId, domain: str, line: Line = Line.FIRST, octets: int = 0) -> int:
    """How many places somebody gets who takes all he can."""
    number = 0
    while places.has_room(line) and places.has_room_for(organization) and places.has_room_towards(domain):
        places.take(organization, domain, line, octets)
        number += 1
    return number


def test_who_is_alone_has_most_of_them_and_who_comes_next_finds_room() -> None:
    places = Places(200)
    assert [taken(places, one, f"{one}.example") for one in (A, B, C)] == [100, 50, 25]
    assert taken(places, A, "another.example") == 0, "it holds more than twice what is free"
    assert taken(places, B, "another.example") == 0


def test_an_organization_has_two_thirds_and_a_receiver_half() -> None:
    places = Places(300)
    assert taken(places, A, "one.example") == 150
    assert taken(places, A, "two.example") == 50
    assert taken(places, B, "one.example") == 0, "whose mail it is does not matter to the receiver"
    assert taken(places, B, "three.example") == 50


def test_later_attempts_have_half_of_all() -> None:
    places = Places(100)
    assert sum(taken(places, A, f"{n}.example", Line.LATER) for n in range(3)) == 50
    assert not places.has_room(Line.LATER)
    assert places.has_room(Line.FIRST)


@pytest.mark.parametrize("line", list(Line))
def test_a_single_place_can_be_taken(line: Line) -> None:
    assert taken(Places(1), A, "one.example", line) == 1


def test_octets_are_shared_as_places_are() -> None:
    places = Places(1000, octets=90)
    assert taken(places, A, "one.example", octets=10) == 7
    assert taken(places, B, "two.example", octets=10) == 2
    assert not places.has_room(Line.FIRST)
    assert taken(Places(10, octets=5), A, "one.example", octets=1000) == 1, "one always fits"


def test_domains_of_one_receiver_share_its_places() -> None:
    places = Places(8)
    for domain in ("one.example", "two.example"):
        places.settle(places.take(A, domain, Line.FIRST), "provider.example")
    assert (taken(places, B, "one.example"), taken(places, B, "two.example")) == (2, 0)
    assert taken(places, B, "elsewhere.example") > 0


holds = st.tuples(st.sampled_from([A, B, C]), st.sampled_from("abc"), st.sampled_from(list(Line)), st.integers(0, 9))


@given(st.lists(holds), st.data())
def test_what_is_given_back_is_free_again(
    wishes: list[tuple[OrganizationId, str, Line, int]], data: st.DataObject
) -> None:
    places = Places(50, octets=100)
    held: list[Place] = []
    for organization, domain, line, octets in wishes:
        held.append(places.take(organization, domain, line, octets))
        if data.draw(st.booleans()):
            places.settle(data.draw(st.sampled_from(held)), data.draw(st.sampled_from("abxy")))
    before = places.copy()
    for place in held:
        places.give_back(place)
    assert (places.taken, places.octets_taken, places.full_organizations()) == (0, 0, [])
    assert all(places.has_room_towards(domain) for domain in "abcxy")
    assert (before.taken, before.octets_taken) == (len(held), sum(place.octets for place in held))


def test_a_queue_is_the_same_for_the_same_and_another_for_others() -> None:
    names = [(A, "x", "one.example"), (B, "x", "one.example"), (A, "x", "two.example"), (A, LETTERS, "one.example")]
    assert len({queue_of(*name).id for name in names}) == len(names)
    assert queue_of(A, "x", "One.Example") == queue_of(A, "x", "one.example")


def test_more_streams_are_no_more_turns() -> None:
    classes = {queue_of(A, f"stream-{n}", "one.example").stream_class for n in range(500)}
    assert classes == set(range(STREAM_CLASSES))
    assert queue_of(A, LETTERS, "one.example").stream_class == LETTERS_CLASS not in classes
