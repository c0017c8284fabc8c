"""Suppressions that are known from elsewhere, a batch at a time."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field, StrictBool

from homing.doors.api.authorization import ManageAccess
from homing.doors.api.body import JsonRoute
from homing.doors.api.fields import Moment, Strict
from homing.doors.api.parts import Parts
from homing.doors.api.problems import invalid
from homing.doors.api.setting_checks import text_faults
from homing.doors.api.suppression_shapes import REASON, RULE, StreamName
from homing.loop.model import OrganizationId
from homing.loop.problem import Fault
from homing.loop.suppression_import import CLOCKS_DIFFER, EARLIEST
from homing.mail.address import AddressError, parse_address
from homing.store import suppressions
from homing.store.suppressions import Merged, Suppression

router = APIRouter(route_class=JsonRoute, tags=["suppressions"])

AT_ONCE = 1000
_MANY = 20
"""Suppressions from which on they are read beside the loop."""


class ImportedIn(Strict):
    address: str = Field(examples=["john@example.org"])
    stream: StreamName = "default"
    reason: str = Field(pattern=REASON, examples=["invalid_recipient"])
    evidence: str = Field("", description="In words: what was seen, and by whom.")
    created_at: Moment | None = Field(None, description="When it came onto the other list. Null: now.")
    expires_at: Moment | None = Field(None, description="Null: for ever.")
    rule: str | None = Field(None, description="The rule of ours that gave the reason.", pattern=RULE)


class ImportIn(Strict):
    suppressions: Annotated[list[ImportedIn], Field(max_length=AT_ONCE)]
    strict: StrictBool = Field(False, description="Import nothing if one of them has a fault (422).")


class FaultOut(BaseModel):
    pointer: str = Field(examples=["/suppressions/3/address"])
    code: str
    message: str


class ImportOut(BaseModel):
    """How many were `added`, how many took the place of a weaker one (`strengthened`), and how many were not needed
    since what is there is at least as strong (`kept`). Those with `faults` are left out."""

    added: int
    strengthened: int
    kept: int
    faults: list[FaultOut]


@router.post("/v1/suppressions/import", summary="Import suppressions")
async def import_suppressions(body: ImportIn, access: ManageAccess, parts: Parts) -> ImportOut:
    """At most 1,000 at once. To repeat it does no harm. No suppression is weakened: one that lasts longer is stronger,
    and of two that last equally long a complaint or an unsubscription."""
    parts.acceptance.disk.require_room()
    many = len(body.suppressions) > _MANY
    good, faults = await parts.acceptance.large_work.do(access.id, many, _read_all, access.id, body, parts.clock())
    if faults and body.strict:
        raise invalid(faults)
    merged = await parts.database.write(suppressions.merge, good) if good else Merged(added=0, strengthened=0, kept=0)
    told = [FaultOut(pointer=one.path, code=one.code, message=one.message) for one in faults]
    return ImportOut(added=merged.added, strengthened=merged.strengthened, kept=merged.kept, faults=told)


def _read_all(organization: OrganizationId, body: ImportIn, now: datetime) -> tuple[list[Suppression], list[Fault]]:
    """Those without faults, and all faults."""
    read = [_read(organization, one, f"/suppressions/{index}", now) for index, one in enumerate(body.suppressions)]
    return [one for one, wrong in read if one and not wrong], [fault for _, wrong in read for fault in wrong]


def _read(
    organization: OrganizationId, given: ImportedIn, pointer: str, now: datetime
) -> tuple[Suppression | None, list[Fault]]:
    faults = text_faults(f"{pointer}/evidence", given.evidence, 500)
    if given.expires_at is not None and given.expires_at <= now:
        faults.append(Fault(f"{pointer}/expires_at", "moment-past", "This moment has passed."))
    seen = given.created_at or now
    if not EARLIEST <= seen <= now + CLOCKS_DIFFER:
        message = "This moment lies in the future, or before 1990."
        faults.append(Fault(f"{pointer}/created_at", "moment-unlikely", message))
        seen = now
    try:
        address = parse_address(given.address).folded
    except AddressError as error:
        return None, [*faults, Fault(f"{pointer}/address", error.code, str(error))]
    entry = Suppression(
        organization=organization,
        stream=given.stream,
        address=address,
        reason=given.reason,
        evidence=given.evidence,
        created_at=min(seen, now),
        expires_at=given.expires_at,
        rule=given.rule,
    )
    return entry, faults
