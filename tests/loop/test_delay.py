"""A delivery that is late: when its case opens, by which step it is told, and when it is over."""

from dataclasses import replace
from datetime import timedelta

import pytest

from homing.loop.evidence import (
    CancelRequested,
    Evidence,
    HeldBack,
    LeaseLost,
    LeaseReleased,
    LifetimeOver,
    ReportAction,
    RouteFault,
    SuppressionFound,
    Unanswered,
    Unroutable,
)
from homing.loop.model import (
    ActionKind,
    CaseKind,
    CaseState,
    EventType,
    FailurePolicy,
    NewCase,
    Origin,
    State,
    Step,
    StepKind,
    StepState,
    Strength,
    WhenPossiblyDelivered,
)
from homing.loop.outcome import conclude
from homing.loop.policy import BUILTIN_DEFAULT, escalate
from homing.mail.reply import Stage

from .made import NOW, VERDICT, answered, as_stored, delivery, letter, reported

HOUR = timedelta(hours=1)
LATER = answered(Stage.RCPT_TO, "450 4.2.1 later", failure_class="mailbox_full", kind="soft")
SILENCE = Unanswered(stage=Stage.CONNECT, why="refused", host="mx")
HELD = HeldBack(receiver="corp.com", until=NOW + 5 * HOUR)


def late(evidence: Evidence = LATER, policy: FailurePolicy = BUILTIN_DEFAULT, **changes: object) -> NewCase | None:
    """The case that opens when a delivery, accepted at NOW, is put off once more 3¾ hours later."""
    waiting = delivery(State.SENDING, **{"attempts": 7, "verdict": VERDICT, **changes})
    outcome = conclude(waiting, evidence, policy, NOW + 3.75 * HOUR)
    opened = [event for event in outcome.events if event.type is EventType.OPENED_CASE]
    assert [event.data for event in opened] == (
        [{"failure_policy": policy.name, "kind": "delay"}] if outcome.case else []
    )
    assert len(outcome.actions) == len(opened)
    return outcome.case


def policy_of(*kinds: StepKind, **changes: object) -> FailurePolicy:
    return FailurePolicy(name="x", steps=tuple(Step(kind=kind) for kind in kinds), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "evidence",
    [LATER, SILENCE, HELD, LeaseLost(), Unroutable(fault=RouteFault.LOOKUP_FAILED, detail="")],
    ids=lambda evidence: type(evidence).__name__,
)
def test_whatever_it_waits_for_it_is_late(evidence: Evidence) -> None:
    case = late(evidence)
    assert case is not None
    assert (case.kind, case.failure, case.state) == (CaseKind.DELAY, None, CaseState.OPEN)
    assert case.verdict is not None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"attempts": 1}, "the next attempt comes before the time"),
        ({"origin": Origin.LETTER}, "a letter of ours"),
        ({"created_at": NOW + 3 * HOUR, "attempts": 6}, "it was accepted later"),
        ({"expires_at": NOW + HOUR}, "only a clock that is wrong says so"),
        ({"expires_at": NOW + 4 * HOUR}, "then its lifetime is over"),
    ],
)
def test_what_is_not_late(changes: dict[str, object], why: str) -> None:
    assert late(**changes) is None, why


def test_nothing_is_late_that_waits_for_no_answer() -> None:
    """Nothing of it was ever tried, so there is nothing to tell."""
    assert late(LeaseReleased()) is None
    assert late(LeaseLost(), verdict=None) is None


def test_the_policy_says_after_which_time_and_whether_at_all() -> None:
    never = replace(BUILTIN_DEFAULT, delay_told_after=None)
    assert late(policy=never) is None
    assert late(policy=replace(BUILTIN_DEFAULT, delay_told_after=24 * HOUR)) is None
    assert late(policy=replace(BUILTIN_DEFAULT, delay_told_after=HOUR), attempts=1) is not None


def test_it_is_told_when_the_time_has_come_and_at_once_when_that_is_past() -> None:
    for hours, due in ((3.75, 4.0), (6.0, 6.0)):
        now = NOW + hours * HOUR
        outcome = conclude(delivery(State.SENDING, attempts=7), LATER, BUILTIN_DEFAULT, now)
        [action] = outcome.actions
        assert (action.kind, action.due_at) == (ActionKind.LETTER, NOW + due * HOUR)


@pytest.mark.parametrize(
    ("kinds", "told_by"),
    [
        ([StepKind.LIVE, StepKind.LETTER, StepKind.SMS, StepKind.ADMINISTRATOR], StepKind.LETTER),
        ([StepKind.SMS, StepKind.LETTER, StepKind.WEBHOOK], StepKind.LETTER),
        ([StepKind.SMS, StepKind.LIVE, StepKind.WEBHOOK], StepKind.WEBHOOK),
        ([StepKind.LIVE], StepKind.LIVE),
        ([StepKind.SMS], StepKind.LIVE),
        ([StepKind.ADMINISTRATOR, StepKind.LOG], StepKind.LIVE),
    ],
)
def test_one_quiet_step_tells_it_and_no_text_message(kinds: list[StepKind], told_by: StepKind) -> None:
    case = late(policy=policy_of(*kinds))
    assert case is not None
    assert [step.kind for step in case.policy.steps] == [told_by]


def test_the_step_is_the_policys_own_but_for_what_is_about_failures() -> None:
    step = Step(
        kind=StepKind.LETTER,
        kinds=frozenset({"hard"}),
        min_evidence=Strength.STRONG,
        only_if_unheard=True,
        when_possibly_delivered=WhenPossiblyDelivered.HOLD,
        delay=timedelta(days=1),
        budget_organization=7,
    )
    case = late(policy=FailurePolicy(name="x", steps=(Step(kind=StepKind.LIVE), step)), possibly_delivered=True)
    assert case is not None
    assert case.steps == (StepState.RUNNING,)
    [told] = case.policy.steps
    assert (told.budget_organization, told.delay) == (7, HOUR / 4)


@pytest.mark.parametrize(
    ("before", "evidence"),
    [
        (State.SENDING, answered(Stage.DOT, "250 2.0.0 ok")),
        (State.SENDING, answered(Stage.RCPT_TO, "550 5.1.1 no")),
        (State.DEFERRED, LifetimeOver()),
        (State.DEFERRED, CancelRequested(by="key")),
        (State.DEFERRED, SuppressionFound(reason="complaint", since="")),
        (State.DEFERRED, reported()),
        (State.DEFERRED, reported(action=ReportAction.DELIVERED)),
    ],
)
def test_every_end_of_a_wait_ends_the_delay(before: State, evidence: Evidence) -> None:
    assert conclude(delivery(before, verdict=VERDICT), evidence, BUILTIN_DEFAULT, NOW).ends_delay


@pytest.mark.parametrize(
    ("before", "evidence", "verdict"),
    [
        (State.SENDING, answered(Stage.DOT, "250 2.0.0 ok"), None),
        (State.SENDING, LATER, VERDICT),
        (State.DELIVERED, reported(), VERDICT),
        (State.EXPIRED, reported(), VERDICT),
    ],
    ids=["at-once", "waits-on", "late-bounce", "was-over"],
)
def test_nobody_looks_for_a_delay_where_there_can_be_none(before: State, evidence: Evidence, verdict: object) -> None:
    assert not conclude(delivery(before, verdict=verdict), evidence, BUILTIN_DEFAULT, NOW).ends_delay


def test_a_letter_has_no_delay_to_end_but_its_step() -> None:
    assert conclude(letter(), answered(Stage.DOT, "250 ok"), BUILTIN_DEFAULT, NOW).step is StepState.HEARD


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (StepState.SKIPPED, CaseState.NOTIFIED),
        (StepState.HEARD, CaseState.NOTIFIED),
        (StepState.DONE, CaseState.NOTIFIED),
        (StepState.UNHEARD, CaseState.UNHEARD),
    ],
)
def test_who_knows_from_another_e_mail_is_not_unheard(result: StepState, state: CaseState) -> None:
    case = late()
    assert case is not None
    outcome = escalate(as_stored(case), 0, result, NOW)
    assert outcome.case.state is state
    assert bool(outcome.events) is (state is CaseState.UNHEARD)
