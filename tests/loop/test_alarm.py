"""Alarms: one cause for all that have it, and a letter that an operator can act on."""

from dataclasses import replace
from datetime import timedelta

import pytest

from homing.loop.alarm import StandingAlarm, about_us, due
from homing.loop.letters.alarm_letter import MOST, advice, alarm_letter
from homing.loop.model import Verdict
from homing.loop.reading.rulebook import ABOUT_US
from tests.loop.letters.test_letters import HOSTILE

from .made import NOW, delivery

SLOW = Verdict(
    failure_class="rate_limited",
    kind="soft",
    rule="gmail.unsolicited-rate",
    about_us=True,
    text="421 4.7.28 unusual rate",
    remote_mta="alt1.gmail-smtp-in.l.google.com",
)
STANDING = StandingAlarm(
    cause="rate_limited gmail.unsolicited-rate google.com",
    text=SLOW.text,
    organization=delivery().organization,
    delivery=delivery().id,
    first_at=NOW,
    last_at=NOW,
    times=1,
    told_at=None,
)
PAGE = "https://mail.example.com/alarms"


def cause(receiver: str | None, named: str = "") -> str:
    alarm = about_us(delivery(recipient="john@corp.com", receiver=receiver), SLOW, named)
    assert alarm is not None
    return alarm.cause.rpartition(" ")[2]


def test_all_hosts_of_a_receiver_are_one_cause() -> None:
    assert cause("google.com") == "google.com"
    assert cause("google.com", "post.co.uk") == "post.co.uk", "a report names who said so"


def test_where_no_receiver_is_known_the_recipient_says_whose_it_is() -> None:
    assert cause(None) == "corp.com"


def test_what_is_not_about_us_raises_none() -> None:
    assert about_us(delivery(), None) is None
    assert about_us(delivery(), replace(SLOW, about_us=False)) is None


def test_a_cause_is_bounded() -> None:
    alarm = about_us(delivery(), replace(SLOW, rule="r" * 1000))
    assert alarm is not None
    assert len(alarm.cause) == 255
    assert len(about_us(delivery(), replace(SLOW, text="t" * 9999)).text) == 2000  # type: ignore[union-attr]


def test_it_is_told_once_and_again_a_day_later_if_it_goes_on() -> None:
    assert due(STANDING, NOW)
    told = replace(STANDING, told_at=NOW)
    later = NOW + timedelta(days=1)
    assert not due(told, later), "it has not come again"
    assert not due(replace(told, last_at=NOW + timedelta(hours=1)), later - timedelta(seconds=1))
    assert due(replace(told, last_at=NOW + timedelta(hours=1)), later)


@pytest.mark.parametrize(
    ("cause", "advised"),
    [
        ("auth code.7.26 google.com", "homing doctor"),
        ("reputation words.blocklist corp.com", "how to get off it"),
        ("policy code.7.1 corp.com", "ask its postmaster"),
        ("rate_limited gmail.unsolicited-rate google.com", "slows down by itself"),
        ("content words.spam corp.com", "Look at who sends them"),
        ("killed-its-worker", "keep it, and report it"),
        ("no-signing-key post.example", "Publish what `homing dkim zone` prints"),
        ("key-not-published h1._domainkey.post.example", "Publish what `homing dkim zone` prints"),
        ("kept-unread", "It is kept: look at it"),
        ("disk-low", "Make room"),
        ("role-mail-refused", "See who"),
        ("returned-mail-refused crm", "come again tomorrow"),
        ("what nobody foresaw", "Read the reply below"),
    ],
)
def test_each_cause_has_advice_that_can_be_followed(cause: str, advised: str) -> None:
    assert advised in advice(cause)


def test_every_class_that_is_about_us_has_its_advice() -> None:
    advised = {advice(f"{failure_class} rule host") for failure_class in ABOUT_US}
    assert len(advised - {advice("what nobody foresaw")}) == len(ABOUT_US)


def test_a_letter_says_what_how_often_in_whose_words_and_what_to_do() -> None:
    letter = alarm_letter([STANDING], PAGE)
    assert letter.subject == "Homing needs your attention: an alarm"
    for words in (STANDING.cause, "421 4.7.28 unusual rate", "slows down by itself", PAGE):
        assert words in " ".join(letter.body.split())


def test_a_letter_stays_short_and_hostile_words_are_words() -> None:
    many = [replace(STANDING, cause=f"{HOSTILE} {number}", text=HOSTILE) for number in range(MOST + 5)]
    letter = alarm_letter(many, PAGE)
    assert letter.subject == f"Homing needs your attention: {MOST + 5} alarms"
    assert "And 5 more." in letter.body
    assert letter.html is not None
    assert "<script>" not in letter.html
    for hostile in ("\x1b", "\u202e", "\r"):
        assert hostile not in letter.body + letter.html
    assert "\nBcc:" not in letter.body
