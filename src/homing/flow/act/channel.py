"""A channel carries out one action of a case and returns how that ended; the worker stores the end."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from homing.flow import metrics
from homing.loop.alarm import Alarm
from homing.loop.budget import OverBudget
from homing.loop.letters.facts import FailureFacts
from homing.loop.model import ActionKind, ActionState, CaseKind, EventType, NewEvent, Step, StepState
from homing.store.accepted_messages import AcceptedMessage
from homing.store.actions import Action, Finished
from homing.store.case_context import CaseContext
from homing.store.gathered_letters import Gathered
from homing.store.told_delays import Delay


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The action is over. `step`: how its case's step ended by that; None: the delivery of the letter tells later.
    `letter` goes out in the transaction that writes the end; one that tells of a `delay`, if nobody told it before.
    `gathered`: what the letter tells besides. `alarm`: what the operator must hear of besides."""

    state: ActionState
    result: str
    step: StepState | None = None
    events: tuple[NewEvent, ...] = ()
    letter: AcceptedMessage | None = None
    delay: Delay | None = None
    gathered: tuple[Gathered, ...] = ()
    provider_id: str | None = None
    alarm: Alarm | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """The action did not work and certainly had no effect: it is tried again after `wait`."""

    wait: timedelta
    why: str


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """Another worker holds the lease of the action by now; nothing was done."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing was done yet, and the action is due again then: somebody has just been written to."""

    until: datetime


End = Ended | Again | Waiting | LeaseLost


@dataclass(frozen=True, slots=True)
class Assignment:
    """An action, the case that it tells of, and the step of the failure policy that asks for it."""

    action: Action
    context: CaseContext
    step: Step


Channel = Callable[[Assignment], Awaitable[End]]

TOLD = frozenset({CaseKind.FAILURE, CaseKind.FORWARDING_FAILURE, CaseKind.DELAY})
"""The kinds of cases for which there are texts."""

FactsOf = Callable[[CaseContext], FailureFacts]
"""Raises NoText."""


class NoText(Exception):  # noqa: N818 - it says what is the case
    """No text for people or programs exists yet for cases of this kind."""

    def __init__(self, kind: CaseKind) -> None:
        super().__init__(f"there is no text for a case of the kind {kind.value}")


def failed(kind: ActionKind, why: str, state: ActionState = ActionState.FAILED) -> Ended:
    """Nobody was reached, and trying again would not help."""
    event = NewEvent(type=EventType.ACTION_FAILED, data={"channel": kind.value, "why": why})
    return Ended(state=state, result=why, step=StepState.UNHEARD, events=(event,))


def over_budget(kind: ActionKind, found: OverBudget) -> Ended:
    """Nobody was written to, so that nobody is flooded."""
    metrics.BUDGET_REFUSALS.labels(found.name).inc()
    event = NewEvent(type=EventType.ACTION_FAILED, data={"channel": kind.value, "why": found.why, "budget": found.name})
    return Ended(state=ActionState.FAILED, result=found.why, step=StepState.UNHEARD, events=(event,))


def finished(action: Action, ended: Ended, now: datetime, *, counted: bool = True) -> Finished:
    """The end as the store writes it; counted, unless the store has a say in it."""
    if counted:
        metrics.ACTIONS.labels(action.kind, ended.state).inc()
    return Finished(
        action=action.id,
        epoch=action.epoch,
        state=ended.state,
        result=ended.result,
        now=now,
        events=ended.events,
        step=ended.step,
        provider_id=ended.provider_id,
        alarm=ended.alarm,
    )
