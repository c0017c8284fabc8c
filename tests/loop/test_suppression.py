"""Which failures take an address out of use, and which never do."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.loop import suppression
from homing.loop.evidence import ReportAction, RouteFault, Unroutable, Unsubscribed, What
from homing.loop.model import DeliveryId, EventType, State, Strength
from homing.loop.outcome import conclude
from homing.loop.policy import BUILTIN_DEFAULT
from homing.loop.reading.classify import CLASSES, HARD, kind_of
from homing.loop.suppression import Hearsay, PastHearsay, Suppress
from homing.mail.reply import Stage

from .made import NOW, VERDICT, answered, delivery, letter, reported

GONE = NOW + timedelta(days=30)

ANSWERS = [
    (Stage.RCPT_TO, "550 5.1.1 no such user", {}, Suppress(reason="invalid_recipient")),
    (Stage.RCPT_TO, "550 disabled", {"failure_class": "inactive_mailbox"}, Suppress(reason="inactive_mailbox")),
    (Stage.RCPT_TO, "550 x", {"failure_class": "invalid_domain"}, Suppress(reason="invalid_domain", expires_at=GONE)),
    (Stage.RCPT_TO, "450 5.1.1 no such user, perhaps", {}, None),
    (Stage.RCPT_TO, "550 4.1.1 no such user, for now", {"enhanced_status_code": "4.1.1"}, None),
    (Stage.RCPT_TO, "550 5.2.2 full", {"failure_class": "mailbox_full", "kind": "soft"}, None),
    (Stage.RCPT_TO, "550 5.7.1 too fast", {"failure_class": "rate_limited", "kind": "soft", "about_us": True}, None),
    (Stage.RCPT_TO, "550 5.7.1 listed", {"about_us": True}, None),
    (Stage.RCPT_TO, "550 5.2.1 disabled for a while", {"failure_class": "inactive_mailbox", "kind": "soft"}, None),
    (Stage.MAIL_FROM, "550 5.1.8 no", {}, None),
    (Stage.DATA, "554 5.1.1 no", {}, None),
    (Stage.DOT, "554 5.1.1 no", {}, None),
    (Stage.BANNER, "554 5.1.1 no", {}, None),
]


@pytest.mark.parametrize(("stage", "reply", "verdict", "suppress"), ANSWERS)
def test_after_an_answer(stage: Stage, reply: str, verdict: dict[str, object], suppress: Suppress | None) -> None:
    outcome = conclude(delivery(), answered(stage, reply, **verdict), BUILTIN_DEFAULT, NOW)
    assert outcome.suppress == suppress
    assert outcome.events[0].data.get("suppress") == (suppress.reason if suppress else None)


@pytest.mark.parametrize("state", [State.DELIVERED, State.DEFERRED, State.EXPIRED, State.SENDING])
def test_after_a_report(state: State) -> None:
    def of(*arguments: object, **named: object) -> Suppress | None:
        return conclude(delivery(state), reported(*arguments, **named), BUILTIN_DEFAULT, NOW).suppress  # type: ignore[arg-type]

    late = Suppress(reason="invalid_recipient", expires_at=GONE)
    assert of() == late
    assert of(ours=False) == late, "a report that names nobody came to its own token"
    assert of(strength=Strength.WEAK) is None
    assert of(ours=False, other=True) is None, "somebody to whom it was forwarded failed"
    assert of(What.DELAY, ReportAction.DELAYED) is None
    assert of(action=ReportAction.RELAYED) is None


def test_a_recipient_whom_his_house_writes_otherwise_is_not_suppressed() -> None:
    rewritten = replace(reported(), rewritten=True, at_envelope=True)
    for report in (rewritten, replace(rewritten, strength=Strength.WEAK)):
        outcome = conclude(delivery(State.DELIVERED), report, BUILTIN_DEFAULT, NOW)
        assert (outcome.delivery.state, outcome.suppress, outcome.hearsay) == (State.BOUNCED, None, None)


def test_words_alone_are_hearsay_where_they_came_home_and_name_the_recipient() -> None:
    weak = replace(reported(strength=Strength.WEAK), at_envelope=True)
    elsewhere, nameless = replace(weak, at_envelope=False), replace(weak, names_recipient=False)
    soft = replace(weak, verdict=replace(VERDICT, failure_class="mailbox_full", kind="soft"))
    about_us = replace(weak, verdict=replace(VERDICT, about_us=True))
    strong = replace(weak, strength=Strength.STRONG)
    outcomes = [
        conclude(delivery(State.DELIVERED), one, BUILTIN_DEFAULT, NOW)
        for one in (weak, elsewhere, nameless, soft, about_us, strong)
    ]
    dead = Suppress(reason="invalid_recipient")
    for_a_time = replace(dead, expires_at=GONE)
    words = Hearsay(suppress=for_a_time, strength=Strength.WEAK, rule=VERDICT.rule)
    structured = Hearsay(suppress=dead, strength=Strength.STRONG, rule=VERDICT.rule)
    assert [outcome.hearsay for outcome in outcomes] == [words, None, None, None, None, structured]
    assert [outcome.suppress for outcome in outcomes] == [None] * 5 + [for_a_time]
    assert conclude(letter(State.DELIVERED), weak, BUILTIN_DEFAULT, NOW).hearsay is None
    assert [suppression.after_hearsay(words, times) for times in (1, 2, 3)] == [None, for_a_time, for_a_time]
    assert [suppression.after_hearsay(structured, times) for times in (1, 2)] == [None, dead]


def test_weak_hearsay_makes_nothing_for_good_of_what_is_for_a_time() -> None:
    said = {one: Hearsay(suppress=Suppress(reason="x"), strength=one, rule="a") for one in Strength}
    strong, weak = said[Strength.STRONG], said[Strength.WEAK]
    assert (strong.within, strong.beside) == (timedelta(days=90), {Strength.STRONG})
    assert (weak.within, weak.beside) == (timedelta(days=30), {Strength.WEAK, Strength.STRONG})


S, W = Strength.STRONG, Strength.WEAK


@pytest.mark.parametrize(
    ("past", "wrong", "for_good", "rests"),
    [
        ([(S, 0, "wrong"), (S, 10, "last")], {0}, True, True),
        ([(S, 0, "wrong"), (S, 10, "last")], {0}, False, False),
        ([(S, 0, "right"), (S, 10, "last")], set(), True, False),
        ([(S, 0, "wrong"), (S, 5, "right"), (S, 10, "last")], {0}, True, False),
        ([(S, 0, "wrong"), (S, 5, "wrong"), (S, 10, "last")], {0, 1}, True, True),
        ([(S, 0, "right"), (S, 10, "last")], {1}, True, True),
        ([(W, 0, "wrong"), (S, 5, "right"), (S, 10, "last")], {0}, True, False),
        ([(S, 0, "wrong"), (S, 90, "last")], {0}, True, False),
        ([(W, 0, "wrong"), (W, 10, "last")], {0}, False, True),
        ([(S, 0, "wrong"), (W, 10, "last")], {0}, False, True),
        ([(W, 0, "wrong"), (W, 5, "right"), (W, 10, "last")], {0}, False, False),
        ([(W, 0, "wrong")], {0}, True, False),
        ([], set(), True, False),
    ],
)
def test_what_rests_on_hearsay_that_was_wrong(
    past: list[tuple[Strength, int, str]], wrong: set[int], for_good: bool, rests: bool
) -> None:
    """At the moment and by the rule of what was said last, unless that is of another kind."""
    ids = [DeliveryId(UUID(int=number)) for number in range(len(past))]
    said = [
        PastHearsay(delivery=one, said_at=NOW + timedelta(days=day), strength=strength, rule=rule)
        for one, (strength, day, rule) in zip(ids, past, strict=True)
    ]
    suppressed_at = NOW + timedelta(days=past[-1][1] if past else 0)
    found = suppression.rests_on({ids[number] for number in wrong}, said, suppressed_at, "last", for_good=for_good)
    assert found == rests


def test_after_a_complaint() -> None:
    complaint = reported(What.COMPLAINT, ReportAction.NONE)
    unsubscribe = replace(complaint, verdict=replace(VERDICT, failure_class="unsubscribe", kind="complaint"))
    weak = replace(complaint, strength=Strength.WEAK)
    told = [conclude(delivery(State.DELIVERED), one, BUILTIN_DEFAULT, NOW) for one in (complaint, unsubscribe, weak)]
    assert [outcome.suppress for outcome in told] == [
        Suppress(reason="complaint"),
        Suppress(reason="unsubscribe"),
        None,
    ]
    assert {outcome.events[0].type for outcome in told} == {EventType.COMPLAINED}


def test_a_complaint_is_heard_however_many_reports_came_before_it() -> None:
    complaint = reported(What.COMPLAINT, ReportAction.NONE)
    outcome = conclude(delivery(State.DELIVERED, reports=50), complaint, BUILTIN_DEFAULT, NOW)
    assert (outcome.suppress, outcome.events) == (Suppress(reason="complaint"), ())


def test_a_wish_to_leave_is_heard_each_time_and_told_a_few_times() -> None:
    wish, one = Unsubscribed(by="mail"), delivery(State.DELIVERED)
    told = []
    for _ in range(8):
        outcome = conclude(one, wish, BUILTIN_DEFAULT, NOW)
        assert outcome.suppress == Suppress(reason="unsubscribe")
        told += outcome.events
        one = outcome.delivery
    assert [event.type for event in told] == [EventType.COMPLAINED] * 5
    assert conclude(letter(State.DELIVERED), wish, BUILTIN_DEFAULT, NOW).suppress is None


def test_what_the_dns_says_suppresses_nobody() -> None:
    gone = Unroutable(fault=RouteFault.NO_SUCH_DOMAIN, detail="NXDOMAIN")
    outcome = conclude(delivery(), gone, BUILTIN_DEFAULT, NOW)
    assert (outcome.delivery.state, outcome.suppress) == (State.BOUNCED, None)


def test_a_letter_that_bounces_suppresses_nobody() -> None:
    outcome = conclude(letter(), answered(Stage.RCPT_TO, "550 5.1.1 no such user"), BUILTIN_DEFAULT, NOW)
    assert (outcome.delivery.state, outcome.suppress, outcome.full) == (State.BOUNCED, None, False)


FULL = {"failure_class": "mailbox_full", "kind": "soft"}


def test_a_full_mailbox_is_counted_when_the_message_has_failed_for_good() -> None:
    refused = answered(Stage.RCPT_TO, "552 5.2.2 over quota", **FULL)
    assert conclude(delivery(), refused, BUILTIN_DEFAULT, NOW).full
    later = answered(Stage.RCPT_TO, "452 4.2.2 over quota", **FULL)
    assert not conclude(delivery(), later, BUILTIN_DEFAULT, NOW).full
    weak = replace(reported(strength=Strength.WEAK), verdict=replace(VERDICT, **FULL))
    assert not conclude(delivery(State.DELIVERED), weak, BUILTIN_DEFAULT, NOW).full
    assert not conclude(delivery(possibly_delivered=True), refused, BUILTIN_DEFAULT, NOW).full


@pytest.mark.parametrize(
    ("times", "span", "suppressed"),
    [
        (5, timedelta(days=14), True),
        (8, timedelta(days=28), True),
        (4, timedelta(days=28), False),
        (10, timedelta(days=14, seconds=-1), False),
    ],
)
def test_often_enough_over_long_enough(times: int, span: timedelta, suppressed: bool) -> None:
    suppress = suppression.after_full_mailbox(times, NOW - span, NOW)
    expected = Suppress(reason="mailbox_full", expires_at=NOW + timedelta(days=30))
    assert suppress == (expected if suppressed else None)


@given(st.sampled_from(sorted(CLASSES)), st.booleans(), st.sampled_from(Stage), st.integers(200, 599))
def test_only_a_final_refusal_of_the_recipient_counts(
    failure_class: str, about_us: bool, stage: Stage, code: int
) -> None:
    evidence = answered(
        stage, f"{code} words", failure_class=failure_class, kind=kind_of(failure_class), about_us=about_us
    )
    suppress = conclude(delivery(), evidence, BUILTIN_DEFAULT, NOW).suppress
    dead = failure_class in HARD and not about_us and stage is Stage.RCPT_TO and code >= 500
    assert (suppress is not None) == dead
