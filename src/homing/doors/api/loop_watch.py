"""The loop watch: whether notices of failure find their way back to this gateway. For administrators."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from homing.doors.api.authorization import Administrator
from homing.doors.api.body import JsonRoute
from homing.doors.api.parts import ApiParts, Parts
from homing.loop.watch import CURES, LoopFault, LoopProbe, LoopState
from homing.store import loop_probes

router = APIRouter(route_class=JsonRoute, tags=["operations"])

ROUNDS = 20
ROUND_WITHIN = 30.0
"""Seconds that a caller waits for a round to end."""


class RoundOut(BaseModel):
    """A round that ended. `fault` null: the notice was received and concluded; `said`: by which server, in whose
    words."""

    round: int
    ended_at: datetime | None
    fault: LoopFault | None
    said: str
    cure: str


class LoopWatchOut(BaseModel):
    """`concluded_at`: when a round ended well last. `rounds`: the latest first."""

    state: LoopState = Field(
        description="`doubtful`: the last round failed in a way that may pass, the next one decides; "
        "`unknown`: no round has ended yet; `off`: by the settings."
    )
    concluded_at: datetime | None
    rounds: list[RoundOut]


@router.get("/v1/loop_watch", summary="Show the loop watch")
async def show_loop_watch(_: Administrator, parts: Parts) -> LoopWatchOut:
    """How the return path stands, and the latest rounds, at most 20."""
    return await _out(parts)


@router.post("/v1/loop_watch", summary="Test the return path now")
async def test_return_path(_: Administrator, parts: Parts) -> LoopWatchOut:
    """Begin a round at once, and wait for its end, at most half a minute."""
    if parts.loop_watch.every:
        await parts.loop_watch.round_now(ROUND_WITHIN)
    return await _out(parts)


async def _out(parts: ApiParts) -> LoopWatchOut:
    standing = await parts.loop_watch.standing()
    rounds = await parts.database.read(loop_probes.ended, ROUNDS)
    return LoopWatchOut(
        state=standing.state, concluded_at=standing.concluded_at, rounds=[_round(one) for one in rounds]
    )


def _round(probe: LoopProbe) -> RoundOut:
    return RoundOut(
        round=probe.round,
        ended_at=probe.ended_at,
        fault=probe.fault,
        said=probe.said,
        cure="" if probe.fault is None else CURES[probe.fault],
    )
