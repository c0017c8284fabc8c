"""Values for tests of the loop, with everything at a default."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from homing.loop.evidence import Answered, ReportAction, Reported, What
from homing.loop.model import (
    Case,
    CaseId,
    Delivery,
    DeliveryId,
    InboundId,
    MessageId,
    NewCase,
    OrganizationId,
    Origin,
    State,
    Strength,
    Verdict,
)
from homing.mail.reply import Reply, Stage

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)

VERDICT = Verdict(failure_class="invalid_recipient", kind="hard", rule="test")


def delivery(state: State = State.SENDING, **changes: object) -> Delivery:
    made = Delivery(
        id=DeliveryId(UUID(int=1)),
        organization=OrganizationId(UUID(int=2)),
        message=MessageId(UUID(int=3)),
        recipient="john@corp.com",
        state=state,
        origin=Origin.API,
        created_at=NOW,
        expires_at=NOW + timedelta(days=5),
        epoch=1,
        attempts=1,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def letter(state: State = State.SENDING, **changes: object) -> Delivery:
    return delivery(state, origin=Origin.LETTER, case=CaseId(UUID(int=9)), step=1, **changes)


def as_stored(case: NewCase) -> Case:
    return Case(id=CaseId(UUID(int=8)), **{name: getattr(case, name) for name in NewCase.__dataclass_fields__})


def answered(stage: Stage, reply: str, **verdict: object) -> Answered:
    code, _, text = reply.partition(" ")
    said = Reply.of(int(code), text)
    return Answered(stage=stage, reply=said, host="mx.corp.com", verdict=replace(VERDICT, **verdict))  # type: ignore[arg-type]


def reported(
    what: What = What.BOUNCE,
    action: ReportAction = ReportAction.FAILED,
    strength: Strength = Strength.STRONG,
    *,
    ours: bool = True,
    other: bool = False,
) -> Reported:
    return Reported(
        what=what,
        action=action,
        strength=strength,
        names_recipient=ours,
        names_other=other,
        proved=True,
        verdict=VERDICT,
        inbound=InboundId(UUID(int=7)),
    )
