"""Cases: which steps begin, and how one step's end leads to the next."""

from datetime import timedelta
from uuid import UUID

import pytest

from homing.loop.model import (
    Case,
    CaseKind,
    CaseState,
    EventType,
    FailurePolicy,
    NewCase,
    OrganizationId,
    State,
    Step,
    StepKind,
    StepState,
    Strength,
    Verdict,
    WhenPossiblyDelivered,
)
from homing.loop.policy import BUILTIN_DEFAULT, CaseOutcome, begin, escalate, failure_case, resolve

from .made import NOW, VERDICT, as_stored, delivery


def opened(
    *steps: Step, strength: Strength = Strength.STRONG, verdict: Verdict = VERDICT, **changes
) -> CaseOutcome[Case]:
    failed = delivery(State.BOUNCED, **changes)
    policy = FailurePolicy(name="test", steps=steps)
    begun = begin(failure_case(failed, verdict, strength=strength, policy=policy, now=NOW))
    return CaseOutcome(case=as_stored(begun.case), events=begun.events, actions=begun.actions)


def kinds(outcome: CaseOutcome[Case]) -> list[str]:
    return [action.kind.value for action in outcome.actions]


LIVE, LETTER = Step(kind=StepKind.LIVE), Step(kind=StepKind.LETTER)
SMS = Step(kind=StepKind.SMS, only_if_unheard=True, delay=timedelta(minutes=5))
ADMINISTRATOR = Step(kind=StepKind.ADMINISTRATOR, only_if_unheard=True)


def test_each_step_has_its_turn_and_then_the_failure_is_unheard() -> None:
    case = opened(LIVE, LETTER, SMS, ADMINISTRATOR)
    assert kinds(case) == ["live", "letter"]
    case = escalate(case.case, 0, StepState.DONE, NOW)
    assert kinds(case) == []
    case = escalate(case.case, 1, StepState.UNHEARD, NOW)
    assert kinds(case) == ["sms"]
    assert case.actions[0].due_at == NOW + timedelta(minutes=5)
    case = escalate(case.case, 2, StepState.UNHEARD, NOW)
    assert kinds(case) == ["administrator"]
    case = escalate(case.case, 3, StepState.UNHEARD, NOW)
    assert kinds(case) == []
    assert case.case.state is CaseState.UNHEARD
    assert [event.type for event in case.events] == [EventType.UNHEARD]


@pytest.mark.parametrize(
    ("first", "hoped_for"),
    [
        (StepKind.LETTER, True),
        (StepKind.SMS, True),
        (StepKind.WEBHOOK, True),
        (StepKind.ADMINISTRATOR, True),
        (StepKind.LIVE, False),
        (StepKind.LOG, False),
    ],
)
def test_a_step_waits_for_what_can_be_heard_and_for_nothing_else(first: StepKind, hoped_for: bool) -> None:
    """Nobody ever says that he saw a screen or a log: to wait for that would be to wait for ever."""
    case = opened(Step(kind=first), SMS)
    assert kinds(case) == ([first.value] if hoped_for else [first.value, "sms"])
    heard = escalate(case.case, 0, StepState.HEARD, NOW)
    assert heard.case.state is CaseState.NOTIFIED
    assert kinds(heard) == []


def test_a_letter_that_was_taken_and_then_answered_by_an_automaton_moves_the_case_on() -> None:
    case = escalate(opened(LETTER, SMS).case, 0, StepState.HEARD, NOW)
    assert (case.case.state, kinds(case)) == (CaseState.NOTIFIED, [])
    case = escalate(case.case, 0, StepState.UNHEARD, NOW)
    assert (case.case.state, kinds(case)) == (CaseState.OPEN, ["sms"])


def test_an_automaton_that_answers_before_the_250_keeps_its_word() -> None:
    case = escalate(opened(LETTER, SMS).case, 0, StepState.UNHEARD, NOW)
    again = escalate(case.case, 0, StepState.HEARD, NOW)
    assert again.case == case.case
    assert again.actions == ()


@pytest.mark.parametrize(
    ("step", "runs"),
    [
        (Step(kind=StepKind.SMS, kinds=frozenset({"mailbox_full"})), False),
        (Step(kind=StepKind.SMS, kinds=frozenset({"bounced"})), True),
        (Step(kind=StepKind.SMS, kinds=frozenset({"hard", "expired"})), True),
        (Step(kind=StepKind.SMS, kinds=frozenset({"late"})), False),
        (Step(kind=StepKind.SMS, min_evidence=Strength.STRONG), False),
        (Step(kind=StepKind.SMS, when_possibly_delivered=WhenPossiblyDelivered.HOLD), False),
        (Step(kind=StepKind.SMS, when_possibly_delivered=WhenPossiblyDelivered.ACT), True),
    ],
)
def test_a_step_runs_only_after_the_failures_it_is_meant_for(step: Step, runs: bool) -> None:
    case = opened(step, LIVE, strength=Strength.WEAK, possibly_delivered=True)
    assert kinds(case) == (["sms", "live"] if runs else ["live"])
    assert case.case.steps[0] is (StepState.RUNNING if runs else StepState.SKIPPED)


def test_a_policy_with_no_step_for_the_failure_is_unheard_at_once() -> None:
    case = opened()
    assert [event.type for event in case.events] == [EventType.OPENED_CASE, EventType.UNHEARD]


def test_a_policy_of_logs_alone_asks_for_no_more() -> None:
    case = escalate(opened(LIVE).case, 0, StepState.DONE, NOW)
    assert (case.case.state, case.events) == (CaseState.NOTIFIED, ())


def test_a_resolved_case_starts_nothing_more() -> None:
    case = resolve(opened(LETTER, SMS).case)
    assert escalate(case, 0, StepState.UNHEARD, NOW).actions == ()


def test_the_built_in_policy_is_live_event_letter_then_administrator() -> None:
    assert [step.kind.value for step in BUILTIN_DEFAULT.steps] == ["live", "letter", "administrator"]


def test_a_case_about_no_failure_takes_every_step_that_names_none() -> None:
    """What a step asks of a failure, its strength and its doubt, is no reason to leave it out where there is none."""
    strong = Step(
        kind=StepKind.LETTER, min_evidence=Strength.STRONG, when_possibly_delivered=WhenPossiblyDelivered.HOLD
    )
    policy = FailurePolicy(
        name="test", steps=(strong, Step(kind=StepKind.SMS, kinds=frozenset({"bounced", "immediate"})))
    )
    case = NewCase(
        organization=OrganizationId(UUID(int=2)), kind=CaseKind.ALARM, subject="x", policy=policy, opened_at=NOW
    )
    begun = begin(case)
    assert begun.case.steps == (StepState.RUNNING, StepState.SKIPPED)
    assert [(action.kind.value, action.case, action.step) for action in begun.actions] == [("letter", None, 0)]


def test_the_steps_that_follow_know_their_case() -> None:
    case = opened(LETTER, SMS).case
    assert [action.case for action in escalate(case, 0, StepState.UNHEARD, NOW).actions] == [case.id]
