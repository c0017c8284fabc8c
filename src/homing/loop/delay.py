"""A delivery that is late: when somebody is told of it, and how.

It has not failed, so it is told quietly: by one step, at one moment, and never by a text message. That moment is known
when the delivery is put off beyond it; if the delivery no longer waits when it comes, nothing is said.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from homing.loop.lifecycle import TERMINAL
from homing.loop.model import (
    CaseKind,
    Delivery,
    FailurePolicy,
    NewCase,
    State,
    Step,
    StepKind,
    WhenPossiblyDelivered,
)
from homing.loop.subject import of_delivery

_CHANNELS = (StepKind.LETTER, StepKind.WEBHOOK)
"""The first of them that the failure policy has; a live event where it has neither."""


def delay_case(before: Delivery, after: Delivery, policy: FailurePolicy, now: datetime) -> NewCase | None:
    """The case of a delivery that was just deferred, if it will now certainly wait longer than its policy says."""
    if policy.delay_told_after is None or after.origin.ours or after.verdict is None:
        return None
    if before.state is not State.SENDING or after.state is not State.DEFERRED or after.next_attempt_at is None:
        return None
    if after.expires_at <= now:
        return None  # so says a clock that nobody believes
    told_at = after.created_at + policy.delay_told_after
    if after.next_attempt_at <= told_at:
        return None
    step = _step(policy, max(told_at - now, timedelta()))
    return NewCase(
        organization=after.organization,
        kind=CaseKind.DELAY,
        subject=of_delivery(after.id),
        delivery=after.id,
        possibly_delivered=after.possibly_delivered,
        verdict=after.verdict,
        policy=replace(policy, steps=(step,)),
        opened_at=now,
    )


def ends_delay(before: Delivery, after: Delivery) -> bool:
    """Whether a delivery that may have a delay case has come to its end. Only one that was deferred has a verdict while
    it waits, so nothing is looked for where the first attempt succeeds."""
    return before.state not in TERMINAL and after.state in TERMINAL and before.verdict is not None


def _step(policy: FailurePolicy, delay: timedelta) -> Step:
    """The policy's own step of that kind, within its budgets, for every delay alike."""
    own = {step.kind: step for step in reversed(policy.steps)}
    kind = next((kind for kind in _CHANNELS if kind in own), StepKind.LIVE)
    return replace(
        own.get(kind, Step(kind=kind)),
        kinds=frozenset(),
        only_if_unheard=False,
        when_possibly_delivered=WhenPossiblyDelivered.SAY_SO,
        delay=delay,
    )
