"""Rows into the nouns of `loop.model`, and back."""

from typing import Any

import sqlalchemy as sa

from homing.loop.model import Case, CaseId, CaseKind, CaseState, Delivery, NewCase, Origin, State, Strength
from homing.store import tables
from homing.store.json_documents import (
    maybe_verdict_from_json,
    maybe_verdict_to_json,
    policy_from_json,
    policy_to_json,
    steps_from_json,
    steps_to_json,
)

_D = tables.delivery

DELIVERY = (
    _D.c.id,
    _D.c.organization,
    _D.c.message,
    _D.c.recipient,
    _D.c.state,
    _D.c.origin,
    _D.c.created_at,
    _D.c.expires_at,
    _D.c.epoch,
    _D.c.attempts,
    _D.c.silent_deaths,
    _D.c.next_attempt_at,
    _D.c.possibly_delivered,
    _D.c.bounced_late,
    _D.c.reports,
    _D.c.verdict,
    _D.c.case_id,
    _D.c.case_step,
    _D.c.receiver,
)
"""The columns that `to_delivery` reads."""


def to_delivery(row: sa.RowMapping) -> Delivery:
    return Delivery(
        id=row["id"],
        organization=row["organization"],
        message=row["message"],
        recipient=row["recipient"],
        state=State(row["state"]),
        origin=Origin(row["origin"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        epoch=row["epoch"],
        attempts=row["attempts"],
        silent_deaths=row["silent_deaths"],
        next_attempt_at=row["next_attempt_at"],
        possibly_delivered=row["possibly_delivered"],
        bounced_late=row["bounced_late"],
        reports=row["reports"],
        verdict=maybe_verdict_from_json(row["verdict"]),
        case=row["case_id"],
        step=row["case_step"],
        receiver=row["receiver"],
    )


def delivery_changes(delivery: Delivery) -> dict[str, Any]:
    """The columns that evidence may change."""
    return {
        "state": delivery.state.value,
        "possibly_delivered": delivery.possibly_delivered,
        "bounced_late": delivery.bounced_late,
        "epoch": delivery.epoch,
        "attempts": delivery.attempts,
        "silent_deaths": delivery.silent_deaths,
        "reports": delivery.reports,
        "next_attempt_at": delivery.next_attempt_at,
        "verdict": maybe_verdict_to_json(delivery.verdict),
        "receiver": delivery.receiver and delivery.receiver[:255],
    }


def to_case(row: sa.RowMapping) -> Case:
    """From a row that holds every column of `tables.case`."""
    return Case(
        id=row["id"],
        organization=row["organization"],
        kind=CaseKind(row["kind"]),
        subject=row["subject"],
        delivery=row["delivery"],
        failure=None if row["failure"] is None else State(row["failure"]),
        late=row["late"],
        possibly_delivered=row["possibly_delivered"],
        strength=None if row["strength"] is None else Strength(row["strength"]),
        verdict=maybe_verdict_from_json(row["verdict"]),
        policy=policy_from_json(row["policy"]),
        steps=steps_from_json(row["steps"]),
        state=CaseState(row["state"]),
        opened_at=row["opened_at"],
    )


def case_row(identifier: CaseId, case: NewCase) -> dict[str, Any]:
    return {
        "id": identifier,
        "organization": case.organization,
        "kind": case.kind.value,
        "subject": case.subject,
        "delivery": case.delivery,
        "failure": case.failure and case.failure.value,
        "late": case.late,
        "possibly_delivered": case.possibly_delivered,
        "strength": case.strength and case.strength.value,
        "verdict": maybe_verdict_to_json(case.verdict),
        "policy": policy_to_json(case.policy),
        "steps": steps_to_json(case.steps),
        "state": case.state.value,
        "opened_at": case.opened_at,
    }
