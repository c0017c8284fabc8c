"""Alarms: problems with this gateway, by cause. For administrators."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from homing.doors.api.authorization import Administrator
from homing.doors.api.body import JsonRoute
from homing.doors.api.parts import Parts
from homing.doors.api.problems import not_found
from homing.doors.api.responses import shown_id
from homing.loop.alarm import CAUSE, StandingAlarm
from homing.loop.letters.alarm_letter import advice
from homing.store import alarms

router = APIRouter(route_class=JsonRoute, tags=["alarms"])


class AlarmOut(BaseModel):
    """One cause. `text`: what was said last; `delivery`: the last that it met; `told_at`: when the administrator of the
    settings was last written to."""

    cause: str = Field(examples=["rate_limited gmail.unsolicited-rate google.com"])
    advice: str
    text: str
    organization: str | None
    delivery: str | None
    first_at: datetime
    last_at: datetime
    times: int
    told_at: datetime | None


class Alarms(BaseModel):
    alarms: list[AlarmOut]


@router.get("/v1/alarms", summary="List alarms")
async def list_alarms(_: Administrator, parts: Parts) -> Alarms:
    """The latest first, at most 200."""
    found = await parts.database.read(alarms.list_all)
    return Alarms(alarms=[_out(standing) for standing in found])


@router.delete("/v1/alarms", status_code=204, summary="Clear an alarm")
async def clear_alarm(
    _: Administrator, parts: Parts, cause: Annotated[str, Query(max_length=CAUSE, pattern=r"^\P{C}*$")]
) -> Response:
    """It has been dealt with: if it comes again, it is a new alarm."""
    if not await parts.database.write(alarms.clear, cause):
        raise not_found()
    return Response(status_code=204)


def _out(standing: StandingAlarm) -> AlarmOut:
    same = ("cause", "text", "first_at", "last_at", "times", "told_at")
    return AlarmOut(
        **{name: getattr(standing, name) for name in same},
        advice=advice(standing.cause),
        organization=shown_id("organization", standing.organization),
        delivery=shown_id("delivery", standing.delivery),
    )
