"""Deliveries a day of each organization, and the cap on them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from homing.loop.model import OrganizationId
from homing.store import tables
from homing.store.dialect import insert
from homing.store.ids import day_of

_U = tables.usage
_O = tables.organization


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    organization: OrganizationId
    deliveries: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OverCap:
    cap: int
    resets_at: datetime


def count(conn: sa.Connection, wishes: Mapping[int, Wish]) -> dict[int, OverCap]:
    """Count the wishes, first come first served, and say which are over their cap: those count nothing.

    The row's lock lets no two transactions pass the cap together.
    """
    counted: dict[tuple[OrganizationId, int], list[int]] = {}
    for index, wish in wishes.items():
        counted.setdefault((wish.organization, day_of(wish.at)), []).append(index)
    caps = _daily_caps(conn, {wish.organization for wish in wishes.values()})
    over: dict[int, OverCap] = {}
    for (organization, day), indexes in sorted(counted.items()):
        asked = sum(wishes[index].deliveries for index in indexes)
        used = _use(conn, organization, day, asked) - asked
        refused = 0
        for index in indexes:
            if used + wishes[index].deliveries > caps[organization]:
                refused += wishes[index].deliveries
                over[index] = OverCap(cap=caps[organization], resets_at=_end_of(day))
            else:
                used += wishes[index].deliveries
        if refused:
            _use(conn, organization, day, -refused)
    return over


def _daily_caps(conn: sa.Connection, organizations: set[OrganizationId]) -> dict[OrganizationId, int]:
    return {row.id: row.daily_cap for row in conn.execute(_CAPS, {"wanted": list(organizations)})}


_CAPS = sa.select(_O.c.id, _O.c.daily_cap).where(_O.c.id.in_(sa.bindparam("wanted", expanding=True)))


def _use(conn: sa.Connection, organization: OrganizationId, day: int, deliveries: int) -> int:
    """The day's new total."""
    place = insert(conn, _U).values(organization=organization, day=day, deliveries=deliveries)
    total = place.on_conflict_do_update(
        index_elements=["organization", "day"], set_={"deliveries": _U.c.deliveries + place.excluded.deliveries}
    ).returning(_U.c.deliveries)
    return int(conn.execute(total).scalar_one())


def _end_of(day: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(days=day + 1)
