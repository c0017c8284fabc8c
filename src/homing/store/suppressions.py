"""Addresses that an organization's stream no longer sends to."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from homing.loop.model import DeliveryId, OrganizationId
from homing.loop.suppression import COMPLAINTS, FULL_FORGOTTEN_AFTER, LATE_WITHIN, Hearsay
from homing.store import tables
from homing.store.dialect import insert
from homing.store.ids import fresh
from homing.store.tidy import forget

_T = tables.suppression
_F = tables.full_mailbox
_H = tables.hearsay

_CHANGES = ("reason", "evidence", "created_at", "expires_at", "rule")
_AT_ONCE = 250
"""Rows of one statement: databases bound how many values it may have."""
_FOR_EVER = 2**62

Listed = tuple[OrganizationId, str, str]
"""Organization, stream, folded address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """`evidence` says in words what was seen, `rule` which rule's verdict led to it (None: no rule did); `expires_at`
    None: for ever. `address` is folded to lower case."""

    organization: OrganizationId
    stream: str
    address: str
    reason: str
    evidence: str
    created_at: datetime
    expires_at: datetime | None = None
    rule: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What became of suppressions from elsewhere: `added`, put in the place of a weaker one (`strengthened`), or not
    needed, since what was there is at least as strong (`kept`)."""

    added: int
    strengthened: int
    kept: int


def fold(address: str) -> str:
    """The form in which addresses are compared: lower case as a whole."""
    return address.lower()


def add(conn: sa.Connection, suppressions: Iterable[Suppression]) -> None:
    """An entry that is there already and still counts stays, except that a complaint or an unsubscription takes the
    place of any other reason, and one for good that of one that expires; one that has expired is replaced."""
    for entry in suppressions:
        row = _row(conn, entry)
        news = {name: row[name] for name in _CHANGES}
        place = insert(conn, _T).values(row)
        conn.execute(
            place.on_conflict_do_update(
                index_elements=["organization", "stream", "address"],
                set_=news,
                where=_weaker(entry),
            )
        )


def _weaker(entry: Suppression) -> sa.ColumnElement[bool]:
    """Whether what is there makes place for an entry of ours."""
    expired = _T.c.expires_at <= entry.created_at
    other_reason = _T.c.reason.not_in(sorted(COMPLAINTS))
    if entry.reason in COMPLAINTS:
        return sa.or_(expired, other_reason)
    return sa.or_(expired, sa.and_(_T.c.expires_at.is_not(None), other_reason)) if entry.expires_at is None else expired


def merge(conn: sa.Connection, suppressions: Iterable[Suppression]) -> Merged:
    """Add what is known from elsewhere, a bounded batch. None takes the place of a stronger one: the one that lasts
    longer is stronger, and of two that last equally long a complaint or an unsubscription."""
    given = list(suppressions)
    strongest: dict[Listed, Suppression] = {}
    for entry in given:
        place = (entry.organization, entry.stream, fold(entry.address))
        if place not in strongest or _strength(entry) > _strength(strongest[place]):
            strongest[place] = entry
    rows = [_row(conn, strongest[place]) for place in sorted(strongest)]
    written: set[UUID] = set()
    for first in range(0, len(rows), _AT_ONCE):
        put = insert(conn, _T).values(rows[first : first + _AT_ONCE])
        new = put.excluded
        stronger = _lasts(new) > _lasts(_T.c), (_lasts(new) == _lasts(_T.c)) & (_complains(new) > _complains(_T.c))
        changes = {name: new[name] for name in _CHANGES}
        key = ["organization", "stream", "address"]
        put = put.on_conflict_do_update(index_elements=key, set_=changes, where=sa.or_(*stronger))
        written |= set(conn.execute(put.returning(_T.c.id)).scalars())
    added = len(written.intersection(row["id"] for row in rows))
    return Merged(added=added, strengthened=len(written) - added, kept=len(given) - len(written))


def find(conn: sa.Connection, wanted: Collection[Listed], now: datetime) -> dict[Listed, Suppression]:
    """Those of the wanted ones that are suppressed now."""
    if not wanted:
        return {}
    rows = conn.execute(_LISTED, {"wanted": list(wanted), "now": now}).mappings()
    found = (Suppression(**row) for row in rows)
    return {(entry.organization, entry.stream, entry.address): entry for entry in found}


def note_full(conn: sa.Connection, place: Listed, now: datetime) -> tuple[int, datetime]:
    """Count one more message that failed because this mailbox is full; returns how many in a row, and when the first
    one failed."""
    organization, stream, address = place
    row = {"organization": organization, "stream": stream, "address": address, "last_at": now}
    forgotten = _F.c.last_at < now - FULL_FORGOTTEN_AFTER
    noted = (
        insert(conn, _F)
        .values(**row, times=1, first_at=now)
        .on_conflict_do_update(
            index_elements=["organization", "stream", "address"],
            set_={
                "times": sa.case((forgotten, 1), else_=_F.c.times + 1),
                "first_at": sa.case((forgotten, sa.literal(now, tables.Moment)), else_=_F.c.first_at),
                "last_at": now,
            },
        )
        .returning(_F.c.times, _F.c.first_at)
    )
    times, first_at = conn.execute(noted).one()
    return times, first_at


def no_longer_full(conn: sa.Connection, places: Collection[Listed]) -> None:
    """Messages to these mailboxes were delivered."""
    if places:
        names = ("b_organization", "b_stream", "b_address")
        conn.execute(_EMPTIED, [dict(zip(names, place, strict=True)) for place in sorted(places)])


def forget_full(conn: sa.Connection, now: datetime, limit: int = 1000) -> int:
    """Erase counts of full mailboxes that are too old to be continued."""
    return forget(conn, _F, _F.c.last_at < now - FULL_FORGOTTEN_AFTER, limit)


def forget_counts(conn: sa.Connection, places: Collection[Listed]) -> None:
    """What was counted against these addresses, full mailboxes and hearsay, counts no more."""
    if places:
        no_longer_full(conn, places)
        names = ("b_organization", "b_stream", "b_address")
        conn.execute(_NO_HEARSAY, [dict(zip(names, place, strict=True)) for place in sorted(places)])


def forget_expired(conn: sa.Connection, now: datetime, limit: int = 1000) -> int:
    """Erase expired entries."""
    return forget(conn, _T, _T.c.expires_at <= now, limit)


def note_hearsay(conn: sa.Connection, place: Listed, delivery: DeliveryId, said: Hearsay, now: datetime) -> int:
    """Count one more delivery whose address a report calls dead; returns how many count beside it, this one included.
    A delivery counts once, however many reports name it."""
    row = dict(zip(("organization", "stream", "address"), place, strict=True))
    news = {"delivery": delivery, "said_at": now, "strength": said.strength.value, "rule": said.rule}
    conn.execute(insert(conn, _H).values(row | news).on_conflict_do_nothing())
    of_this = sa.tuple_(_H.c.organization, _H.c.stream, _H.c.address) == sa.tuple_(*place)
    beside = _H.c.strength.in_(sorted(said.beside)), _H.c.said_at > now - said.within
    return conn.execute(sa.select(sa.func.count()).where(of_this, *beside)).scalar_one()


def forget_hearsay(conn: sa.Connection, now: datetime, limit: int = 1000) -> int:
    """Erase hearsay that is too old to count."""
    return forget(conn, _H, _H.c.said_at <= now - LATE_WITHIN, limit)


def list_page(
    conn: sa.Connection,
    organization: OrganizationId,
    now: datetime,
    *,
    after: tuple[str, str] = ("", ""),
    limit: int = 100,
) -> list[Suppression]:
    """Live entries in the order of (address, stream), beginning behind `after`."""
    beyond = sa.tuple_(_T.c.address, _T.c.stream) > sa.tuple_(*after)
    query = sa.select(*columns()).where(_T.c.organization == organization, beyond, counts(now))
    rows = conn.execute(query.order_by(_T.c.address, _T.c.stream).limit(limit))
    return [Suppression(**row) for row in rows.mappings()]


def counts(now: datetime | sa.BindParameter[datetime]) -> sa.ColumnElement[bool]:
    return _T.c.expires_at.is_(None) | (_T.c.expires_at > now)


def _row(conn: sa.Connection, entry: Suppression) -> dict[str, Any]:
    row = {name: getattr(entry, name) for name in Suppression.__dataclass_fields__}
    return row | {"id": fresh(conn, entry.created_at), "address": fold(entry.address)}


def _strength(entry: Suppression) -> tuple[bool, float, bool]:
    until = entry.expires_at
    return until is None, until.timestamp() if until else 0.0, entry.reason in COMPLAINTS


def _lasts(columns: sa.sql.base.ReadOnlyColumnCollection[str, Any]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.type_coerce(columns["expires_at"], sa.BigInteger), _FOR_EVER)


def _complains(columns: sa.sql.base.ReadOnlyColumnCollection[str, Any]) -> sa.ColumnElement[int]:
    return sa.case((columns["reason"].in_(sorted(COMPLAINTS)), 1), else_=0)


def columns() -> list[sa.Column[object]]:
    return [_T.c[name] for name in Suppression.__dataclass_fields__]


# Asked for every message, at submission and at claim: built once.
_LISTED = sa.select(*columns()).where(
    sa.tuple_(_T.c.organization, _T.c.stream, _T.c.address).in_(sa.bindparam("wanted", expanding=True)),
    counts(sa.bindparam("now", type_=tables.Moment)),
)

_EMPTIED = _F.delete().where(
    _F.c.organization == sa.bindparam("b_organization"),
    _F.c.stream == sa.bindparam("b_stream"),
    _F.c.address == sa.bindparam("b_address"),
)

_NO_HEARSAY = _H.delete().where(
    _H.c.organization == sa.bindparam("b_organization"),
    _H.c.stream == sa.bindparam("b_stream"),
    _H.c.address == sa.bindparam("b_address"),
)
