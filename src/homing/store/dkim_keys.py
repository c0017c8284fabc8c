"""DKIM keys: their public side, their states, and their private halves, sealed."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from homing.loop.domains.signing_keys import SIGNING, DkimKey, KeyState, move_key
from homing.store import tables
from homing.store.dialect import insert

_K = tables.dkim_key
_PUBLIC = tuple(column for column in _K.c if column.name != "sealed")


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedKey:
    """A key with its private half, which only the holder of the secret key can open."""

    key: DkimKey
    sealed: bytes = field(repr=False)


def add(conn: sa.Connection, new: SealedKey) -> bool:
    """False when another key stands under that name already."""
    row = {column.name: getattr(new.key, column.name) for column in _PUBLIC} | {"sealed": new.sealed}
    row["state"] = new.key.state.value
    placed = insert(conn, _K).values(row).on_conflict_do_nothing().returning(_K.c.id)
    return conn.execute(placed).first() is not None


def list_all(conn: sa.Connection, domain: str | None = None) -> list[DkimKey]:
    """Oldest first; the ended ones too. `domain` None: those of all domains."""
    query = sa.select(*_PUBLIC).order_by(_K.c.created_at, _K.c.selector)
    if domain is not None:
        query = query.where(_K.c.domain == domain)
    return [_key(row) for row in conn.execute(query).mappings()]


def get(conn: sa.Connection, key: UUID) -> DkimKey | None:
    row = conn.execute(sa.select(*_PUBLIC).where(_K.c.id == key)).mappings().first()
    return None if row is None else _key(row)


def signing(conn: sa.Connection) -> list[SealedKey]:
    """All keys that may sign, oldest first."""
    states = sorted(state.value for state in SIGNING)
    return _sealed(conn, _K.select().where(_K.c.state.in_(states)))


def sealed(conn: sa.Connection) -> list[SealedKey]:
    """All keys, the ended ones too, to be sealed anew."""
    return _sealed(conn, _K.select().with_for_update())


def seal_anew(conn: sa.Connection, key: UUID, sealed: bytes) -> None:
    conn.execute(_K.update().where(_K.c.id == key).values(sealed=sealed))


def domains(conn: sa.Connection) -> set[str]:
    """All domains that ever had a key of their own."""
    return set(conn.execute(sa.select(_K.c.domain).distinct()).scalars())


def version(conn: sa.Connection) -> tuple[object, ...]:
    """A value that changes whenever a key is added or moved."""
    latest = (sa.func.max(_K.c[name]) for name in ("created_at", *_MOMENTS))
    return tuple(conn.execute(sa.select(sa.func.count(), *latest)).one())


def move(conn: sa.Connection, moves: Iterable[tuple[DkimKey, KeyState]], now: datetime) -> bool:
    """All of these moves, or none: False when one of the keys is no longer as it is said to be. Raises ValueError for a
    move that no key makes."""
    wanted = [(key, move_key(key, state, now)) for key, state in moves]
    rows = conn.execute(_K.select().where(_K.c.id.in_([key.id for key, _ in wanted])).with_for_update()).mappings()
    states = {row["id"]: row["state"] for row in rows}
    if any(states.get(key.id) != key.state for key, _ in wanted):
        return False
    for key, moved in wanted:
        moments = {name: getattr(moved, name) for name in _MOMENTS}
        conn.execute(_K.update().where(_K.c.id == key.id).values(state=moved.state.value, **moments))
    return True


def _sealed(conn: sa.Connection, query: sa.Select[Any]) -> list[SealedKey]:
    rows = conn.execute(query.order_by(_K.c.created_at, _K.c.selector)).mappings()
    return [
        SealedKey(
            key=_key({name: value for name, value in row.items() if name != "sealed"}),
            sealed=row["sealed"],
        )
        for row in rows
    ]


_MOMENTS = ("published_at", "activated_at", "draining_at", "retired_at", "revoked_at")


def _key(row: sa.RowMapping | dict[str, object]) -> DkimKey:
    known = dict(row)
    return DkimKey(**{**known, "state": KeyState(known["state"])})
