"""Lifting suppressions: all that a rule caused, or all for one reason; and what was lifted."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, StrictInt

from homing.doors.api.authorization import ManagedOrganization, ReadAccess
from homing.doors.api.body import JsonRoute
from homing.doors.api.fields import AskedNumber
from homing.doors.api.parts import Parts
from homing.doors.api.problems import invalid
from homing.doors.api.setting_checks import text_faults
from homing.doors.api.suppression_shapes import (
    CriteriaIn,
    SuppressionOut,
    criteria_of,
    cursor_invalid,
    cursor_of,
    place_at,
    shown,
)
from homing.loop import ids
from homing.store import lifts

router = APIRouter(route_class=JsonRoute, tags=["suppressions"])


class LiftIn(CriteriaIn):
    """Which suppressions to lift; all that is given must hold. `limit`: how many at most, at once."""

    why: str = Field("", description="In words, for the record. By default what `rule` says: that it was wrong.")
    limit: StrictInt = Field(500, ge=1, le=500)
    cursor: str | None = Field(None, description="Of the last answer.", max_length=100)


class LiftOut(BaseModel):
    """What was lifted. `hearsay`: of how many deliveries besides late reports, read by this
    rule, count no more. `cursor`: send
    it to lift more; null when all is lifted."""

    lifted: int
    suppressions: list[SuppressionOut]
    hearsay: int
    cursor: str | None


class LiftedOut(BaseModel):
    address: str
    stream: str
    reason: str
    evidence: str
    rule: str | None
    suppressed_at: datetime
    lifted_at: datetime
    why: str


class LiftedPage(BaseModel):
    lifted: list[LiftedOut]
    cursor: str | None


@router.post("/v1/suppressions/lift", summary="Lift suppressions")
async def lift_suppressions(body: LiftIn, organization: ManagedOrganization, parts: Parts) -> LiftOut:
    """All that a rule caused, or all for one reason, a page at a time: ask again with the `cursor` until it is null.
    What a rule caused, an administrator may lift without naming an organization: of all. Late reports that it read
    count no more, and what another rule caused only together with it is lifted too. To repeat it does no harm. See
    first what it would be: `GET /v1/suppressions` takes the same words."""
    faults = text_faults("/why", body.why, 500)
    if faults:
        raise invalid(faults)
    criteria = await criteria_of(parts, organization, body)
    why = body.why or (f"rule {body.rule} was wrong" if body.rule else "")
    after = place_at(body.cursor, "/cursor")
    page = await parts.database.write(lifts.lift_matching, criteria, why, parts.clock(), after=after, limit=body.limit)
    found = [shown(one) for one in page.suppressions]
    return LiftOut(lifted=len(found), suppressions=found, hearsay=page.hearsay, cursor=cursor_of(page.further))


@router.get("/v1/suppressions/lifted", summary="List lifted suppressions")
async def list_lifted(
    access: ReadAccess,
    parts: Parts,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[AskedNumber, Query(ge=1, le=500)] = 100,
) -> LiftedPage:
    """The latest first, for 400 days."""
    before = None if cursor is None else ids.read("suppression", cursor)
    if cursor is not None and before is None:
        raise cursor_invalid("/query:cursor")
    found = await parts.database.read(lifts.list_lifted, access.id, before=before, limit=limit)
    out = [LiftedOut.model_validate({name: getattr(one, name) for name in LiftedOut.model_fields}) for one in found]
    return LiftedPage(lifted=out, cursor=ids.show("suppression", found[-1].id) if len(found) == limit else None)
