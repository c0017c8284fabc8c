"""A receiver that finds us too fast is left alone, and then tried gently."""

from datetime import datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from homing.loop.model import DeliveryId, Verdict
from homing.loop.throttle import Permit, Throttles, too_fast

from .made import NOW

ONE, TWO = DeliveryId(UUID(int=1)), DeliveryId(UUID(int=2))


def pace() -> Throttles:
    return Throttles()


def slowed() -> Throttles:
    made = pace()
    assert made.slow_down("corp.com", NOW) == NOW + timedelta(minutes=5)
    return made


def test_only_a_complaint_about_our_pace_counts() -> None:
    verdict = Verdict(failure_class="rate_limited", kind="soft", rule="x", about_us=True)
    assert too_fast(verdict)
    assert not too_fast(None)
    assert not too_fast(Verdict(failure_class="rate_limited", kind="soft", rule="greylisting"))
    assert not too_fast(Verdict(failure_class="reputation", kind="soft", rule="x", about_us=True))


def test_nobody_waits_for_a_receiver_that_does_not_complain() -> None:
    made = slowed()
    assert all(isinstance(made.begin("other.com", ONE, NOW), Permit) for _ in range(1000))


def test_it_rests_and_then_takes_one_at_a_time_and_more_with_each_that_goes_well() -> None:
    made = slowed()
    later = made.begin("corp.com", ONE, NOW + timedelta(minutes=4, seconds=59))
    assert isinstance(later, datetime)
    assert NOW + timedelta(minutes=5) <= later <= NOW + timedelta(minutes=10)
    after = NOW + timedelta(minutes=5)
    for wide in range(1, 17):
        begun = [made.begin("corp.com", ONE, after) for _ in range(wide + 1)]
        turns = [one for one in begun if isinstance(one, Permit)]
        assert len(turns) == wide
        for number, permit in enumerate(turns):
            made.end(permit, well=number == 0)
    assert made.slowed == 0


def test_what_had_begun_before_the_complaint_tells_nothing_of_the_pace_since() -> None:
    """Hundreds are on their way when the first one is told to slow down."""
    made = pace()
    before = [made.begin("corp.com", ONE, NOW) for _ in range(200)]
    made.slow_down("corp.com", NOW)
    for permit in before:
        assert isinstance(permit, Permit)
        made.end(permit, well=True)
    after = NOW + timedelta(minutes=5)
    probe = made.begin("corp.com", ONE, after)
    assert isinstance(probe, Permit)
    assert isinstance(made.begin("corp.com", TWO, after), datetime)
    made.slow_down("corp.com", after)
    made.end(probe, well=True)
    opened = after + timedelta(minutes=10)
    assert isinstance(made.begin("corp.com", ONE, opened), Permit)
    assert isinstance(made.begin("corp.com", TWO, opened), datetime)


def test_who_is_turned_away_together_does_not_come_back_together() -> None:
    made = slowed()
    moments = {made.begin("corp.com", DeliveryId(UUID(int=number)), NOW) for number in range(50)}
    assert len(moments) == 50


def test_who_is_turned_away_as_a_rest_ends_comes_back_half_a_minute_later() -> None:
    made, opened = slowed(), NOW + timedelta(minutes=5)
    assert isinstance(made.begin("corp.com", ONE, opened), Permit)
    moments = [made.begin("corp.com", DeliveryId(UUID(int=number)), opened) for number in range(200)]
    waits = [moment - opened for moment in moments if isinstance(moment, datetime)]
    assert len(waits) == 200
    assert timedelta(seconds=30) <= min(waits) < timedelta(seconds=40)


def test_it_rests_twice_as_long_each_time_it_complains_again() -> None:
    made, now, rests = slowed(), NOW, [timedelta(minutes=5)]
    assert made.slow_down("corp.com", NOW + timedelta(seconds=10)) is None, "what was on its way tells nothing new"
    for _ in range(8):
        now += rests[-1]
        until = made.slow_down("corp.com", now)
        assert until is not None
        rests.append(until - now)
    assert rests[1] == timedelta(minutes=10)
    assert rests[-1] == timedelta(hours=1)


@given(st.lists(st.tuples(st.sampled_from(("begin", "well", "badly", "slow")), st.integers(0, 900))))
def test_never_more_at_once_than_went_well(steps: list[tuple[str, int]]) -> None:
    made, now, running, well = pace(), NOW, list[Permit](), 0
    made.slow_down("corp.com", now)
    for step, seconds in steps:
        now += timedelta(seconds=seconds)
        match step:
            case "begin":
                permit = made.begin("corp.com", ONE, now)
                running += [permit] if isinstance(permit, Permit) else []
            case "slow":
                made.slow_down("corp.com", now)
            case _ if running:
                well += step == "well"
                made.end(running.pop(), well=step == "well")
        assert made.slowed == 0 or len(running) <= 1 + well
