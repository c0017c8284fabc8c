"""Which words a failure is told in."""

from dataclasses import replace

import pytest

from homing.loop.letters.phrases import CAUSES, CLASSES, NOT_FAILURES, cause, cause_key
from homing.loop.model import State, Verdict
from homing.loop.reading import rulebook
from tests.loop.letters.failures import UNKNOWN_PERSON
from tests.loop.reading.rules import RULES


def failed(failure_class: str, failure: State = State.BOUNCED, rule: str = "x", **more: object) -> str:
    verdict = Verdict(failure_class=failure_class, kind="soft", rule=rule, **more)  # type: ignore[arg-type]
    return cause_key(replace(UNKNOWN_PERSON, failure=failure, verdict=verdict))


def test_every_class_of_a_verdict_is_a_failure_or_none() -> None:
    assert CLASSES | NOT_FAILURES.keys() == rulebook.CLASSES
    assert not CLASSES & NOT_FAILURES.keys()


@pytest.mark.parametrize("failure_class", sorted(CLASSES - {"auth", "reputation", "undetermined"}))
def test_a_class_has_words_of_its_own(failure_class: str) -> None:
    """Whether a server said it at once, or as its last word before we gave up."""
    assert failed(failure_class, text="no") == failure_class
    silent = {"unreachable": "expired"}
    assert failed(failure_class, State.EXPIRED, text="later") == silent.get(failure_class, failure_class)


@pytest.mark.parametrize("failure_class", ["auth", "reputation"])
def test_what_is_about_us_is_told_as_our_fault(failure_class: str) -> None:
    assert failed(failure_class) == "about_us"


@pytest.mark.parametrize("failure_class", ["unreachable", "undetermined", "", "a class of tomorrow"])
def test_where_nobody_gave_a_reason_the_time_is_told(failure_class: str) -> None:
    assert failed(failure_class, State.EXPIRED) == "expired"


@pytest.mark.parametrize("rule", ["smtputf8-not-offered", "words.smtputf8", "code.6.7"])
def test_a_server_without_smtputf8_is_told_of_however_it_was_learnt(rule: str) -> None:
    """By its EHLO, by its words, by its code (RFC 6531 §3.5): only another address helps, and people can have one."""
    assert failed("policy", rule=rule) == "smtputf8"
    assert rule == "smtputf8-not-offered" or rule in RULES.ids


@pytest.mark.parametrize(
    ("failure_class", "more", "key"),
    [
        ("mailbox_full", {}, "delayed_mailbox_full"),
        ("unreachable", {}, "delayed_unreachable"),
        ("unreachable", {"rule": "no-answer-at-route"}, "delayed_by_us"),
        ("rate_limited", {}, "delayed_about_us"),
        ("reputation", {}, "delayed_about_us"),
        ("policy", {"about_us": True}, "delayed_about_us"),
        ("policy", {}, "delayed"),
        ("invalid_recipient", {}, "delayed"),
        ("a class of tomorrow", {}, "delayed"),
    ],
)
def test_what_waits_is_told_by_what_it_waits_for(failure_class: str, more: dict[str, object], key: str) -> None:
    """And no link invites anybody to send it a second time."""
    assert failed(failure_class, State.DEFERRED, **more) == key  # type: ignore[arg-type]
    assert CAUSES[key].resend == ""


@pytest.mark.parametrize(
    ("reason", "key"),
    [
        ("complaint", "suppressed_complaint"),
        ("unsubscribe", "suppressed_complaint"),
        ("mailbox_full", "suppressed_mailbox_full"),
        ("invalid_recipient", "suppressed"),
        ("manual", "suppressed"),
    ],
)
def test_a_suppressed_address_is_told_by_its_reason(reason: str, key: str) -> None:
    """Who wants no mail must not be asked for another try."""
    assert failed("inactive_mailbox", State.SUPPRESSED, matched=reason) == key
    assert (CAUSES[key].resend == "") is (key == "suppressed_complaint")


@pytest.mark.parametrize(
    ("failure_class", "failure", "asked"),
    [
        ("invalid_recipient", State.BOUNCED, True),
        ("unreachable", State.BOUNCED, True),
        ("unreachable", State.EXPIRED, True),
        ("undetermined", State.BOUNCED, True),
        ("mailbox_full", State.BOUNCED, False),
        ("content", State.BOUNCED, False),
        ("policy", State.BOUNCED, False),
    ],
)
@pytest.mark.parametrize("text", ["", "no"])
def test_a_likely_typing_mistake_is_asked_about_where_it_may_be_the_cause(
    failure_class: str, failure: State, asked: bool, text: str
) -> None:
    """Who took the message, or looked at it, was no stranger's server."""
    verdict = Verdict(failure_class=failure_class, kind="soft", rule="x", text=text)
    told = cause(replace(UNKNOWN_PERSON, failure=failure, verdict=verdict, suggestion="gmail.com"))
    assert told.next_step.startswith("Did you mean gmail.com? ") is asked
