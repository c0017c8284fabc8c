"""Failure policies by name. The built-in one is given by the caller and stands in where nothing is stored."""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from homing.loop.model import FailurePolicy, OrganizationId
from homing.store import tables
from homing.store.dialect import insert
from homing.store.json_documents import policy_from_json, policy_to_json
from homing.store.room import require_room

MOST = 100
"""Failure policies of an organization."""

_T = tables.failure_policy

Named = tuple[OrganizationId, str]


def put(conn: sa.Connection, organization: OrganizationId, policy: FailurePolicy, now: datetime) -> None:
    """Cases that are open keep the policy that they were opened with. Raises LimitReached for one more than `MOST`."""
    document = policy_to_json(policy)
    there = _T.update().where(_T.c.organization == organization, _T.c.name == policy.name)
    if conn.execute(there.values(document=document)).rowcount:
        return
    require_room(conn, _T, organization, MOST)
    row = {"organization": organization, "name": policy.name, "document": document, "created_at": now}
    place = insert(conn, _T).values(row)
    conn.execute(place.on_conflict_do_update(index_elements=["organization", "name"], set_={"document": document}))


def get(conn: sa.Connection, organization: OrganizationId, name: str, builtin: FailurePolicy) -> FailurePolicy | None:
    """The organization's policy of that name; `builtin` under its own name unless the organization has another."""
    found = find(conn, [(organization, name)]).get((organization, name))
    if found is None and name == builtin.name:
        return builtin
    return found


def find(conn: sa.Connection, wanted: Collection[Named]) -> dict[Named, FailurePolicy]:
    """Those of the wanted ones that are stored."""
    if not wanted:
        return {}
    rows = conn.execute(_NAMED, {"wanted": list(wanted)})
    return {(row.organization, row.name): policy_from_json(row.document) for row in rows}


_NAMED = _T.select().where(sa.tuple_(_T.c.organization, _T.c.name).in_(sa.bindparam("wanted", expanding=True)))


def list_page(conn: sa.Connection, organization: OrganizationId, *, after: str = "", limit: int) -> list[FailurePolicy]:
    """In the order of their names, behind the name `after`."""
    query = sa.select(_T.c.document).where(_T.c.organization == organization, _T.c.name > after)
    return [policy_from_json(document) for document in conn.execute(query.order_by(_T.c.name).limit(limit)).scalars()]


def remove(conn: sa.Connection, organization: OrganizationId, name: str) -> bool:
    """False when there was none. Messages that name it are then judged by the built-in policy."""
    return conn.execute(_T.delete().where(_T.c.organization == organization, _T.c.name == name)).rowcount == 1
