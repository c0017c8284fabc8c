"""Times and numbers in words."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

from homing.loop.letters.facts import moment


def test_a_moment_has_the_day_and_the_month_of_the_calendar() -> None:
    """As another writer of English dates has them, in each month, on each day of the week."""
    shown = set()
    for days in range(400):
        at = datetime(2026, 1, 1, 14, 5, tzinfo=UTC) + timedelta(days=days)
        weekday, day, month, year, *_ = format_datetime(at).replace(",", "").split()
        name, date, clock = moment(at).split(", ")
        assert (name[:3], date.split()[0], date.split()[1][:3], date.split()[2], clock) == (
            weekday,
            day.lstrip("0"),
            month,
            year,
            "14:05 UTC",
        )
        shown |= {name, date.split()[1]}
    assert {"Wednesday", "Saturday", "February", "September"} <= shown
    assert len(shown) == 7 + 12


def test_a_moment_is_told_in_one_time_for_all() -> None:
    at = datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert moment(at) == "Saturday, 28 February 2026, 23:30 UTC"
