"""What we do about a failure. It is decided here and nowhere else.

A failure opens a case. Its policy's steps are taken in order: those before the first `only_if_unheard` step begin at
once; each `only_if_unheard` step waits until everything begun before it has ended without reaching anybody. A step
runs at most once. When none is left and nobody was reached, the failure is `unheard`, which an operator sees.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from homing.loop.evidence import Reported
from homing.loop.model import (
    ActionKind,
    Case,
    CaseId,
    CaseKind,
    CaseState,
    Delivery,
    EventType,
    FailurePolicy,
    NewAction,
    NewCase,
    NewEvent,
    Step,
    StepKind,
    StepState,
    Strength,
    Verdict,
    WhenPossiblyDelivered,
)
from homing.loop.subject import of_delivery, of_forwarding

REPORTS_WORKED_ON = 5
"""Reports per delivery that are worked on; of the rest only those that end it, and the others are counted."""

FORWARDING_ANEW_AFTER = timedelta(days=30)
"""Time after which a forwarding failure opens a case again, for the same recipient and the same address behind him."""

BUILTIN_DEFAULT = FailurePolicy(
    name="default",
    steps=(
        Step(kind=StepKind.LIVE),
        Step(kind=StepKind.LETTER),
        Step(kind=StepKind.ADMINISTRATOR, only_if_unheard=True),
    ),
)

REACHING = frozenset({StepKind.LETTER, StepKind.SMS, StepKind.WEBHOOK, StepKind.ADMINISTRATOR})
"""Steps that should reach a person or a program. `live` and `log` end as `done`: nobody confirms them."""

_HOPEFUL = frozenset({StepState.RUNNING, StepState.HEARD})


_C = TypeVar("_C", bound=NewCase)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseOutcome(Generic[_C]):
    case: _C
    events: tuple[NewEvent, ...] = ()
    actions: tuple[NewAction, ...] = ()


def failure_case(
    delivery: Delivery, verdict: Verdict, *, strength: Strength, policy: FailurePolicy, now: datetime
) -> NewCase:
    """The case of a delivery that just failed."""
    return NewCase(
        organization=delivery.organization,
        kind=CaseKind.FAILURE,
        subject=of_delivery(delivery.id),
        delivery=delivery.id,
        failure=delivery.state,
        late=delivery.bounced_late,
        possibly_delivered=delivery.possibly_delivered,
        strength=strength,
        verdict=verdict,
        policy=policy,
        opened_at=now,
    )


def forwarding_case(delivery: Delivery, report: Reported, *, policy: FailurePolicy, now: datetime) -> NewCase:
    """The case of an address behind our recipient's that failed: one for both addresses, whichever message it was."""
    return NewCase(
        organization=delivery.organization,
        kind=CaseKind.FORWARDING_FAILURE,
        subject=of_forwarding(delivery.recipient, report.final_recipient),
        delivery=delivery.id,
        late=True,
        strength=report.strength,
        verdict=report.verdict,
        policy=policy,
        opened_at=now,
    )


def begin(case: NewCase) -> CaseOutcome[NewCase]:
    """A case with its first steps begun."""
    states = tuple(StepState.WAITING if applies(step, case) else StepState.SKIPPED for step in case.policy.steps)
    opened = NewEvent(type=EventType.OPENED_CASE, data={"failure_policy": case.policy.name, "kind": case.kind.value})
    return _advance(replace(case, steps=states), None, case.opened_at, (opened,))


def escalate(case: Case, step: int, result: StepState, now: datetime) -> CaseOutcome[Case]:
    """How the case goes on when a step ends (done, heard, unheard, skipped), or when one that had been heard turns out
    not to have been (its letter bounced late, or an automaton answered it)."""
    if result is StepState.HEARD and case.steps[step] is StepState.UNHEARD:
        return CaseOutcome(case=case)  # an out-of-office reply came before the letter's own 250, and outweighs it
    states = tuple(result if index == step else state for index, state in enumerate(case.steps))
    case = replace(case, steps=states)
    if case.state is CaseState.RESOLVED:
        return CaseOutcome(case=case)
    return _advance(case, case.id, now, ())


def resolve(case: Case) -> Case:
    """Somebody dealt with it (corrected the address and sent again): waiting steps are no longer needed."""
    states = tuple(StepState.SKIPPED if state is StepState.WAITING else state for state in case.steps)
    return replace(case, steps=states, state=CaseState.RESOLVED)


def applies(step: Step, case: NewCase) -> bool:
    """Whether a step is meant for this failure, this evidence, and this much doubt. A step with `kinds` applies only to
    failures of deliveries."""
    if step.kinds and not step.kinds & _words(case):
        return False
    if step.min_evidence is Strength.STRONG and case.strength is Strength.WEAK:
        return False
    return not (case.possibly_delivered and step.when_possibly_delivered is WhenPossiblyDelivered.HOLD)


def _words(case: NewCase) -> frozenset[str]:
    if case.failure is None or case.verdict is None:
        return frozenset()
    when = "late" if case.late else "immediate"
    return frozenset({case.failure.value, case.verdict.failure_class, case.verdict.kind, when})


def _advance(case: _C, identifier: CaseId | None, now: datetime, events: tuple[NewEvent, ...]) -> CaseOutcome[_C]:
    states = list(case.steps)
    actions: list[NewAction] = []
    for index, step in enumerate(case.policy.steps):
        if states[index] is not StepState.WAITING:
            continue
        if step.only_if_unheard and _somebody_may_hear(case.policy, states):
            break
        states[index] = StepState.RUNNING
        actions.append(NewAction(kind=ActionKind(step.kind), due_at=now + step.delay, case=identifier, step=index))
    state = _state_of(states)
    if case.kind is CaseKind.DELAY and StepState.SKIPPED in states:
        state = CaseState.NOTIFIED  # told with another one of the same receiver
    if state is CaseState.UNHEARD and case.state is not CaseState.UNHEARD:
        events = (*events, NewEvent(type=EventType.UNHEARD))
    return CaseOutcome(case=replace(case, steps=tuple(states), state=state), events=events, actions=tuple(actions))


def _somebody_may_hear(policy: FailurePolicy, states: list[StepState]) -> bool:
    return any(step.kind in REACHING and state in _HOPEFUL for step, state in zip(policy.steps, states, strict=True))


def _state_of(states: list[StepState]) -> CaseState:
    if StepState.HEARD in states:
        return CaseState.NOTIFIED
    if StepState.RUNNING in states or StepState.WAITING in states:
        return CaseState.OPEN
    if StepState.DONE in states and StepState.UNHEARD not in states:
        return CaseState.NOTIFIED  # a policy of live events and logs alone asks for no more
    return CaseState.UNHEARD
