"""Failure policies: which steps follow a failure, in order, and when a delay is told."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field, StrictBool, StrictInt

from homing.doors.api.authorization import ManageAccess, ReadAccess
from homing.doors.api.body import JsonRoute
from homing.doors.api.fields import AskedNumber, Strict
from homing.doors.api.message_input import PolicyName
from homing.doors.api.parts import Parts
from homing.doors.api.problems import invalid, not_found, refused
from homing.loop.budget import capped, most_of_policy
from homing.loop.model import (
    DELAY_TOLD_AFTER,
    FailurePolicy,
    Step,
    StepKind,
    Strength,
    WhenPossiblyDelivered,
)
from homing.loop.model import (
    Reader as StepReader,
)
from homing.loop.policy import BUILTIN_DEFAULT
from homing.loop.problem import Fault
from homing.store import policies
from homing.store.room import LimitReached

router = APIRouter(route_class=JsonRoute, tags=["failure policies"])

STEPS = 20
KINDS = 60
"""Words in `kinds` of all steps together: every case has a copy of its policy."""
LONGEST_DELAY = 30 * 24 * 3600

Name = Annotated[PolicyName, Path()]
Word = Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")]
Budget = Annotated[StrictInt | None, Field(ge=0, le=1_000_000_000)]


class StepShown(Strict):
    """One step. `kinds`: states, classes or kinds of failure after which it applies (bounced, expired, mailbox_full,
    hard, late, …); none means all. `only_if_unheard`: wait until all earlier steps have ended without reaching anybody.
    """

    kind: StepKind
    kinds: list[Word] = Field([], max_length=40)
    min_evidence: Strength = Strength.WEAK
    when_possibly_delivered: WhenPossiblyDelivered = WhenPossiblyDelivered.SAY_SO
    only_if_unheard: StrictBool = False
    reader: StepReader = Field(StepReader.HUMAN_SENDER, description="Who gets the text message of an SMS step.")
    delay_seconds: StrictInt = Field(0, ge=0, le=LONGEST_DELAY, description="From the moment its turn comes.")
    budget_organization: Budget = Field(
        None, description="Actions of this kind a day for the organization. It lowers what holds anyway."
    )
    budget_recipient: Budget = Field(None, description="The same for one recipient.")


DelayToldAfter = Annotated[
    int | None,
    Field(
        ge=60,
        le=LONGEST_DELAY,
        description="A delivery that waits longer opens a case of the kind `delay`. It is told by one e-mail for each "
        "person and receiver, or by webhook or live event where the policy has no e-mail. null: nothing is told.",
    ),
]


class PolicyIn(Strict):
    steps: list[StepShown] = Field(min_length=1, max_length=STEPS)
    delay_told_after_seconds: DelayToldAfter = int(DELAY_TOLD_AFTER.total_seconds())


class PolicyOut(BaseModel):
    name: str = Field(examples=["default"])
    builtin: bool = Field(description="True for `default` where the organization has no policy of that name.")
    steps: list[StepShown]
    delay_told_after_seconds: DelayToldAfter


class Policies(BaseModel):
    """In the order of their names, the built-in one first. `cursor` leads to the next page; null on the last."""

    failure_policies: list[PolicyOut]
    cursor: str | None


class WhichPolicies(Strict):
    """Which failure policies."""

    limit: AskedNumber = Field(50, ge=1, le=100)
    cursor: str | None = Field(None, max_length=64, pattern=r"^\P{C}*$")


@router.get("/v1/failure_policies", summary="List failure policies")
async def list_policies(question: Annotated[WhichPolicies, Query()], access: ReadAccess, parts: Parts) -> Policies:
    """With the built-in one, `default`: live event and e-mail, then the administrator if nobody was reached."""
    after, limit = question.cursor or "", question.limit
    found = await parts.database.read(policies.list_page, access.id, after=after, limit=limit)
    shown = [_out(policy) for policy in found]
    default = await parts.database.read(policies.get, access.id, BUILTIN_DEFAULT.name, BUILTIN_DEFAULT)
    if default is BUILTIN_DEFAULT and not after:
        shown.insert(0, _out(BUILTIN_DEFAULT, builtin=True))
    return Policies(failure_policies=shown, cursor=found[-1].name if len(found) == limit else None)


@router.get("/v1/failure_policies/{name}", summary="Look up a failure policy")
async def get_policy(name: Name, access: ReadAccess, parts: Parts) -> PolicyOut:
    policy = await parts.database.read(policies.get, access.id, name, BUILTIN_DEFAULT)
    if policy is None:
        raise not_found()
    return _out(policy, builtin=policy is BUILTIN_DEFAULT)


@router.put("/v1/failure_policies/{name}", summary="Set a failure policy")
async def put_policy(name: Name, body: PolicyIn, access: ManageAccess, parts: Parts) -> PolicyOut:
    """For failures from now on; open cases keep the policy that they were opened with. An organization has 100 at most
    (409 `limit-reached`), and the steps of one name 60 kinds together."""
    if body.steps[0].only_if_unheard:
        message = "The first step has no step before it that could have reached nobody."
        raise invalid([Fault("/steps/0/only_if_unheard", "step-order", message)])
    if faults := _budget_faults(body.steps):
        raise invalid(faults)
    if sum(len(step.kinds) for step in body.steps) > KINDS:
        message = f"The steps of a failure policy name at most {KINDS} kinds together."
        raise invalid([Fault("/steps", "too-many-items", message)])
    after = body.delay_told_after_seconds
    policy = FailurePolicy(
        name=name,
        steps=tuple(_step(step) for step in body.steps),
        delay_told_after=None if after is None else timedelta(seconds=after),
    )
    try:
        await parts.database.write(policies.put, access.id, policy, parts.clock())
    except LimitReached:
        title = f"An organization has at most {policies.MOST} failure policies."
        raise refused(409, "limit-reached", title) from None
    return _out(policy)


@router.delete("/v1/failure_policies/{name}", status_code=204, summary="Remove a failure policy")
async def remove_policy(name: Name, access: ManageAccess, parts: Parts) -> Response:
    """Messages that name it are judged by the built-in one from then on."""
    if not await parts.database.write(policies.remove, access.id, name):
        raise not_found()
    return Response(status_code=204)


def _budget_faults(steps: Sequence[StepShown]) -> list[Fault]:
    faults = []
    for number, step in enumerate(steps):
        most = most_of_policy(step.kind)
        if most is not None and step.budget_organization is not None and step.budget_organization > most:
            message = f"An organization has at most {most} actions of this kind a day; a policy can only lower that."
            faults.append(Fault(f"/steps/{number}/budget_organization", "budget-too-large", message))
    return faults


def _step(shown: StepShown) -> Step:
    return Step(
        kind=shown.kind,
        kinds=frozenset(shown.kinds),
        min_evidence=shown.min_evidence,
        when_possibly_delivered=shown.when_possibly_delivered,
        only_if_unheard=shown.only_if_unheard,
        reader=shown.reader,
        delay=timedelta(seconds=shown.delay_seconds),
        budget_organization=shown.budget_organization,
        budget_recipient=shown.budget_recipient,
    )


def _out(policy: FailurePolicy, *, builtin: bool = False) -> PolicyOut:
    steps = [
        StepShown(
            kind=step.kind,
            kinds=sorted(step.kinds),
            min_evidence=step.min_evidence,
            when_possibly_delivered=step.when_possibly_delivered,
            only_if_unheard=step.only_if_unheard,
            reader=step.reader,
            delay_seconds=int(step.delay.total_seconds()),
            budget_organization=step.budget_organization,
            budget_recipient=step.budget_recipient,
        )
        for step in map(capped, policy.steps)
    ]
    after = policy.delay_told_after
    seconds = None if after is None else int(after.total_seconds())
    return PolicyOut(name=policy.name, builtin=builtin, steps=steps, delay_told_after_seconds=seconds)
