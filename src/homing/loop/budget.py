"""How much is written for an organization and to a person within 24 hours, so that nobody can be flooded through us.

Whoever can make deliveries fail, with forged bounces above all, makes us write: to the organization's administrator, to
a telephone. Here is how often, where a failure policy says nothing of it. What is refused ends on record, and the case
goes on to its next step.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from homing.loop.model import ActionKind, Step, StepKind

SPAN = timedelta(days=1)
"""Budgets are for the last 24 hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Most actions of a kind within `SPAN`. `organization`: all of one organization; None: as many as it likes.
    `person`: those to one address or number, by one organization, or (`everybody`) by all of them together."""

    organization: int | None
    person: int
    everybody: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What counts against a budget already."""

    organization: int
    person: int


DEFAULTS: dict[ActionKind, Budget] = {
    ActionKind.SMS: Budget(organization=100, person=10, everybody=True),
    ActionKind.ADMINISTRATOR: Budget(organization=None, person=50),
}

_WORDS = {ActionKind.SMS: "text messages", ActionKind.ADMINISTRATOR: "e-mails about failures"}


def budget_of(kind: ActionKind | StepKind) -> Budget | None:
    """The budget for what a step of this kind writes; None: it has none. It holds beside the failure policy's own
    numbers, which can only be lower: a policy is the organization's, and a text message costs its operator money."""
    return DEFAULTS.get(ActionKind(kind))


def most_of_policy(kind: StepKind) -> int | None:
    """The highest `budget_organization` that a step of this kind can have; None: any."""
    budget = budget_of(kind)
    return None if budget is None else budget.organization


def capped(step: Step) -> Step:
    """A step as it holds, where its policy was written while it could ask for more."""
    most = most_of_policy(step.kind)
    if most is None or step.budget_organization is None or step.budget_organization <= most:
        return step
    return replace(step, budget_organization=most)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverBudget:
    """A budget is used up: its `name`, and `why` in words."""

    name: str
    why: str


def of_policy(whose: Literal["organization", "recipient"], most: int) -> OverBudget:
    """A failure policy's own budget is used up: for all of its organization, or for one recipient of messages."""
    told = {"organization": "the organization", "recipient": "this recipient's messages"}[whose]
    why = f"over budget: the failure policy allows {most} within 24 hours for {told}"
    return OverBudget(name=f"policy-{whose}", why=why)


def over(kind: ActionKind, budget: Budget, spent: Spent, to: str) -> OverBudget | None:
    """The budget that one more action to `to` would exceed, that of the person before that of the organization."""
    words = _WORDS[kind]
    if spent.person >= budget.person:
        why = f"over budget: {to} has had {budget.person} {words} within 24 hours"
        return OverBudget(name=f"{kind}-person", why=why)
    if budget.organization is not None and spent.organization >= budget.organization:
        why = f"over budget: the organization has had {budget.organization} {words} sent within 24 hours"
        return OverBudget(name=f"{kind}-organization", why=why)
    return None
