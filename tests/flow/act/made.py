"""A failed delivery as the channels see it, with everything at a default."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from homing.flow.act.channel import Assignment
from homing.flow.act.facts import failure_facts
from homing.flow.act.letter import Post
from homing.flow.outgoing import Outgoing
from homing.loop.domains.identity import OperatorIdentity
from homing.loop.model import (
    OPERATOR,
    ActionId,
    ActionKind,
    ActionState,
    Case,
    CaseId,
    CaseKind,
    DeliveryId,
    FailurePolicy,
    NewCase,
    OrganizationId,
    State,
    Step,
    StepKind,
    StepState,
    Strength,
    Verdict,
)
from homing.loop.token import TokenKey, Tokens
from homing.store.actions import Action
from homing.store.case_context import CaseContext, Sent
from homing.store.organizations import Organization

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
URL = "https://post.operator.example"
TOKENS = Tokens([TokenKey(id=1, secret=b"t" * 32, since=NOW - timedelta(days=9))])
OUTGOING = Outgoing(
    tokens=TOKENS,
    operator=OperatorIdentity(from_domain="post.operator.example", return_domain="b.post.operator.example"),
    operator_name="Operator",
    lifetime=timedelta(days=5),
    dice=partial(os.urandom, 10),
    url=URL,
)
FACTS_OF = partial(failure_facts, tokens=TOKENS, public_url=URL)
VERDICT = Verdict(failure_class="invalid_recipient", kind="hard", rule="5.1.1", text="no such user")
ORGANIZATION = Organization(id=OrganizationId(UUID(int=2)), name="crm", display_name="CRM", created_at=NOW)
CASE = Case(
    id=CaseId(UUID(int=7)),
    organization=ORGANIZATION.id,
    kind=CaseKind.FAILURE,
    subject=UUID(int=4).hex,
    delivery=DeliveryId(UUID(int=4)),
    failure=State.BOUNCED,
    strength=Strength.STRONG,
    verdict=VERDICT,
    policy=FailurePolicy(name="default", steps=(Step(kind=StepKind.LETTER),)),
    steps=(StepState.RUNNING,),
    opened_at=NOW,
)
CONTEXT = CaseContext(
    case=CASE,
    organization=ORGANIZATION,
    sent=Sent(
        message_subject="Your call",
        message_id="1@post.operator.example",
        recipient="john@corp.com",
        human_sender_name="Janet Roe",
        human_sender_address="janet@example.net",
        sent_at=NOW,
        expires_at=NOW + timedelta(days=5),
        attempts=1,
        resent_from=None,
        receiver="corp.com",
    ),
    letter_to="janet@example.net",
    human_sender_phone="+442079460001",
    recipient_phone="+442079460002",
    actions=(),
)
ALARM = replace(
    CONTEXT,
    case=replace(CASE, kind=CaseKind.ALARM, subject="x", delivery=None, failure=None, strength=None, verdict=None),
    organization=None,
    sent=None,
    letter_to=None,
    human_sender_phone=None,
    recipient_phone=None,
)
"""A case of the operator's, about no delivery."""
DELAY = replace(
    CONTEXT,
    case=replace(
        CASE,
        kind=CaseKind.DELAY,
        failure=None,
        strength=None,
        verdict=Verdict(failure_class="rate_limited", kind="soft", rule="4.7.1", text="<b>later</b>"),
    ),
)
"""A case of a delivery that waits."""


def new_case(policy: FailurePolicy) -> NewCase:
    """An alarm of the operator's, to be opened."""
    return NewCase(organization=OPERATOR, kind=CaseKind.ALARM, subject="x", policy=policy, opened_at=NOW)


def clock() -> datetime:
    return NOW


POST = Post(OUTGOING, clock)


def an_action(kind: ActionKind, **changes: Any) -> Action:
    made = Action(
        id=ActionId(UUID(int=5)),
        organization=ORGANIZATION.id,
        kind=kind,
        case_id=CASE.id,
        step=0,
        delivery=CASE.delivery,
        recipient="john@corp.com",
        data={},
        state=ActionState.RUNNING,
        tries=1,
        due_at=NOW,
        epoch=1,
        provider_id=None,
        result="",
        created_at=NOW,
        ended_at=None,
    )
    return replace(made, **changes)


def assigned(kind: ActionKind, context: CaseContext = CONTEXT, step: Step | None = None, **action: Any) -> Assignment:
    return Assignment(an_action(kind, **action), context, step or Step(kind=StepKind(kind.value)))
