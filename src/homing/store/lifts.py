"""How suppressions are lifted: one, all that a rule caused, or all for one reason; and what is remembered of it.

A wrong rule also said things that suppress nobody yet, or did so only together with what another rule said. Both are
taken back with what it caused itself, as a second part of the same list.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from homing.loop.model import DeliveryId, OrganizationId, Strength
from homing.loop.suppression import PastHearsay, rests_on
from homing.store import pages, tables
from homing.store.dialect import insert_all
from homing.store.ids import fresh
from homing.store.suppressions import Listed, Suppression, columns, counts, find, fold, forget_counts
from homing.store.tidy import forget

KEPT = timedelta(days=400)
"""As long as complaints about a message are understood, so long it can be told why an address was written to again."""

_T = tables.suppression
_L = tables.lifted_suppression
_H = tables.hearsay
_LISTED_AT = (_H.c.organization, _H.c.stream, _H.c.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """Which suppressions are meant: those that a rule caused, of one organization or (None) of all; or those of an
    organization for one reason. `since` and `until` bound when they came onto the list; `until` itself is beyond it."""

    organization: OrganizationId | None
    rule: str | None = None
    reason: str | None = None
    stream: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.rule is None and (self.reason is None or self.organization is None):
            raise ValueError("name a rule, or an organization and a reason")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ends: of suppressions in the order in which they came onto the list or, behind those, of `hearsay`
    in the order in which it was said, by its delivery."""

    created_at: datetime
    id: UUID
    hearsay: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page. `further`: where the next one begins; None: there is none. It may be short, or empty, before that.
    `hearsay`: of how many deliveries the rule's hearsay counts, or (lifted) counts no more."""

    suppressions: Sequence[Suppression]
    further: Place | None
    hearsay: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifted:
    """A suppression that was lifted. `why` says so in words."""

    id: UUID
    organization: OrganizationId
    stream: str
    address: str
    reason: str
    evidence: str
    rule: str | None
    suppressed_at: datetime
    lifted_at: datetime
    why: str


def matching(
    conn: sa.Connection, criteria: Criteria, now: datetime, *, after: Place | None = None, limit: int = 100
) -> Found:
    """Live suppressions of that kind, the oldest first; then those that rest on the rule's hearsay. A page looks at a
    bounded number of rows, all of that rule or reason and of that organization, so that `further` tells nothing of
    another one's."""
    found = Found(suppressions=[], further=None)
    if after is None or not after.hearsay:
        rows, further = _page(conn, criteria, now, after, limit, lock=False)
        found = Found(suppressions=[_suppression(row) for row in rows], further=further)
        after = None
    if found.further or criteria.rule is None:
        return found
    said = _said(conn, criteria, after, limit - len(found.suppressions))
    resting = _resting(conn, criteria, said, now)
    return Found(suppressions=[*found.suppressions, *resting], further=said.further, hearsay=len(said.about))


def lift_matching(
    conn: sa.Connection, criteria: Criteria, why: str, now: datetime, *, after: Place | None = None, limit: int = 500
) -> Found:
    """Lift a page of `matching`, and return what was lifted of it. Ask again from `further` until that is None."""
    found = Found(suppressions=[], further=None)
    if after is None or not after.hearsay:
        rows, further = _page(conn, criteria, now, after, limit, lock=True)
        lifted = _lift(conn, _T.c.id.in_([row["id"] for row in rows]), why, now) if rows else []
        found = Found(suppressions=lifted, further=further)
        after = None
    if found.further or criteria.rule is None:
        return found
    said = _said(conn, criteria, after, limit - len(found.suppressions))
    resting = [(one.organization, one.stream, one.address) for one in _resting(conn, criteria, said, now)]
    if resting:
        lifted = _lift(conn, sa.tuple_(_T.c.organization, _T.c.stream, _T.c.address).in_(resting), why, now)
        found = Found(suppressions=[*found.suppressions, *lifted], further=None)
    if said.about:
        keys = [(*place, delivery) for place, delivery in said.about]
        conn.execute(_H.delete().where(sa.tuple_(*_LISTED_AT, _H.c.delivery).in_(keys)))
    return Found(suppressions=found.suppressions, further=said.further, hearsay=len(said.about))


def lift(
    conn: sa.Connection, organization: OrganizationId, stream: str, address: str, *, now: datetime, why: str = ""
) -> bool:
    """False when the address was not on the list."""
    wanted = (_T.c.organization == organization) & (_T.c.stream == stream) & (_T.c.address == fold(address))
    return bool(_lift(conn, wanted, why, now))


def rule_named(conn: sa.Connection, rule: str, organization: OrganizationId | None) -> bool:
    """Whether a suppression, one that was lifted, or hearsay names this rule; of one organization or (None) of all."""
    named = (sa.exists().where(_by_rule(table, rule, organization)) for table in (_T, _L, _H))
    return bool(conn.execute(sa.select(sa.or_(*named))).scalar())


def list_lifted(
    conn: sa.Connection, organization: OrganizationId, *, before: UUID | None = None, limit: int = 100
) -> list[Lifted]:
    """What was lifted, the latest first."""
    query = sa.select(_L).where(_L.c.organization == organization)
    if before is not None:
        query = query.where(_L.c.id < before)
    rows = conn.execute(query.order_by(_L.c.id.desc()).limit(limit)).mappings()
    return [Lifted(**row) for row in rows]


def forget_lifted(conn: sa.Connection, now: datetime, limit: int = 1000) -> int:
    """Erase what is remembered of lifts long ago."""
    return forget(conn, _L, _L.c.lifted_at < now - KEPT, limit)


def _page(
    conn: sa.Connection, criteria: Criteria, now: datetime, after: Place | None, limit: int, *, lock: bool
) -> tuple[Sequence[sa.RowMapping], Place | None]:
    indexed = _indexed(criteria)
    if after is not None:
        indexed &= sa.tuple_(_T.c.created_at, _T.c.id) > _literal(after)
    order = (_T.c.created_at, _T.c.id)
    floor = conn.execute(
        sa.select(*order).where(indexed).order_by(*order).offset(pages.LOOKED_THROUGH - 1).limit(1)
    ).one_or_none()
    last = Place(*floor) if floor else None
    if last is not None:
        indexed &= sa.tuple_(_T.c.created_at, _T.c.id) <= _literal(last)
    query = sa.select(_T.c.id, *columns()).where(indexed, _meant(criteria, now)).order_by(*order).limit(limit)
    rows = conn.execute(query.with_for_update() if lock else query).mappings().all()
    return rows, Place(rows[-1]["created_at"], rows[-1]["id"]) if len(rows) == limit else last


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """A page of a rule's hearsay: about which addresses, by which deliveries."""

    about: Collection[tuple[Listed, DeliveryId]]
    further: Place | None


def _said(conn: sa.Connection, criteria: Criteria, after: Place | None, limit: int) -> _Said:
    assert criteria.rule is not None
    found = _by_rule(_H, criteria.rule, criteria.organization)
    if criteria.since is not None:
        found &= _H.c.said_at >= criteria.since
    if criteria.until is not None:
        found &= _H.c.said_at < criteria.until
    order = (_H.c.said_at, _H.c.delivery)
    if after is not None:
        found &= sa.tuple_(*order) > _literal(after)
    rows = conn.execute(sa.select(_H).where(found).order_by(*order).limit(limit)).mappings().all()
    meant = [row for row in rows if criteria.stream in (None, row["stream"])]
    return _Said(
        about=[((row["organization"], row["stream"], row["address"]), row["delivery"]) for row in meant],
        further=Place(rows[-1]["said_at"], rows[-1]["delivery"], hearsay=True) if len(rows) == limit else None,
    )


def _resting(conn: sa.Connection, criteria: Criteria, said: _Said, now: datetime) -> list[Suppression]:
    """Suppressions by other rules that would not be there without what this one said: each with the first of it."""
    pages_own = {delivery for _, delivery in said.about}
    there = find(conn, {place for place, _ in said.about}, now)
    past = _past(conn, there)
    found = []
    for place, entry in there.items():
        wrong = [one for one in past[place] if one.rule == criteria.rule and _within(criteria, one.said_at)]
        first = min(wrong, key=lambda one: (one.said_at, one.delivery), default=None)
        listed_before = entry.rule == criteria.rule and _within(criteria, entry.created_at)
        if listed_before or first is None or first.delivery not in pages_own:
            continue
        deliveries = {one.delivery for one in wrong}
        if rests_on(deliveries, past[place], entry.created_at, entry.rule, for_good=entry.expires_at is None):
            found.append(entry)
    return sorted(found, key=lambda entry: (entry.created_at, entry.address))


def _past(conn: sa.Connection, places: Collection[Listed]) -> Mapping[Listed, list[PastHearsay]]:
    found: dict[Listed, list[PastHearsay]] = defaultdict(list)
    if places:
        for row in conn.execute(sa.select(_H).where(sa.tuple_(*_LISTED_AT).in_(sorted(places)))).mappings():
            one = PastHearsay(
                delivery=row["delivery"],
                said_at=row["said_at"],
                strength=Strength(row["strength"]),
                rule=row["rule"],
            )
            found[row["organization"], row["stream"], row["address"]].append(one)
    return found


def _within(criteria: Criteria, moment: datetime) -> bool:
    since, until = criteria.since, criteria.until
    return (since is None or moment >= since) and (until is None or moment < until)


def _indexed(criteria: Criteria) -> sa.ColumnElement[bool]:
    """What an index finds: nothing of another organization, since a page may end at any of these rows."""
    if criteria.rule is not None:
        found = _by_rule(_T, criteria.rule, criteria.organization)
    else:
        found = (_T.c.organization == criteria.organization) & (_T.c.reason == criteria.reason)
    if criteria.since is not None:
        found &= _T.c.created_at >= criteria.since
    if criteria.until is not None:
        found &= _T.c.created_at < criteria.until
    return found


def _by_rule(table: sa.Table, rule: str, organization: OrganizationId | None) -> sa.ColumnElement[bool]:
    found = (table.c.rule == rule) & table.c.rule.is_not(None)
    return found if organization is None else found & (table.c.organization == organization)


def _meant(criteria: Criteria, now: datetime) -> sa.ColumnElement[bool]:
    """The rest, which rows are looked at for."""
    named = {name: getattr(criteria, name) for name in ("organization", "rule", "reason", "stream")}
    return sa.and_(counts(now), *(_T.c[name] == value for name, value in named.items() if value is not None))


def _literal(place: Place) -> sa.ColumnElement[Any]:
    return sa.tuple_(sa.literal(place.created_at, tables.Moment), sa.literal(place.id, sa.Uuid))


def _lift(conn: sa.Connection, wanted: sa.ColumnElement[bool], why: str, now: datetime) -> list[Suppression]:
    """Whoever lifts a suppression says that what led to it was wrong, so nothing that was counted for it counts on."""
    rows = conn.execute(_T.delete().where(wanted).returning(*columns())).mappings().all()
    found = sorted((_suppression(row) for row in rows), key=lambda entry: (entry.created_at, entry.address))
    same = ("organization", "stream", "address", "reason", "evidence", "rule")
    insert_all(
        conn,
        _L,
        [
            {name: getattr(entry, name) for name in same}
            | {"id": fresh(conn, now), "suppressed_at": entry.created_at, "lifted_at": now, "why": why}
            for entry in found
        ],
    )
    forget_counts(conn, {(entry.organization, entry.stream, entry.address) for entry in found})
    return found


def _suppression(row: sa.RowMapping) -> Suppression:
    return Suppression(**{name: row[name] for name in Suppression.__dataclass_fields__})
