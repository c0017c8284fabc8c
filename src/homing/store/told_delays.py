"""Who was told of which delay: one e-mail to an address about a receiver, until the last case it stands for is over.

A case has a row from the moment it was to be told until it is resolved, so there are no more rows than cases that are
open. The index allows one row of those that told, so that of two at once only one does.
"""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from homing.loop.model import CaseId, OrganizationId
from homing.store import tables
from homing.store.dialect import insert

_T = tables.told_delay


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """The case of a delay, the address to be told of it, and whose mail hosts are waited for."""

    case: CaseId
    organization: OrganizationId
    address: str
    receiver: str


def claim(conn: sa.Connection, delay: Delay) -> CaseId:
    """The case whose e-mail tells this address of this receiver: this one, unless another has told already."""
    case = told_by(conn, delay)
    if case is None and _note(conn, delay, delay.case):
        return delay.case
    case = case or told_by(conn, delay) or delay.case
    if case != delay.case:
        _note(conn, delay, case)
    return case


def forget(conn: sa.Connection, resolved: Collection[CaseId]) -> None:
    """These cases are over."""
    if resolved:
        conn.execute(_T.delete().where(_T.c.case_id.in_(resolved)))


def told_by(conn: sa.Connection, delay: Delay) -> CaseId | None:
    """The case whose e-mail has told this address of this receiver."""
    told = sa.select(_T.c.told_by).where(
        _T.c.organization == delay.organization,
        _T.c.address == delay.address.lower(),
        _T.c.receiver == delay.receiver,
    )
    return conn.execute(told.limit(1)).scalar()


def _note(conn: sa.Connection, delay: Delay, case: CaseId) -> bool:
    """False: somebody was faster."""
    row = {
        "case_id": delay.case,
        "organization": delay.organization,
        "address": delay.address.lower(),
        "receiver": delay.receiver,
        "told_by": case,
    }
    noted = insert(conn, _T).values(row).on_conflict_do_nothing().returning(_T.c.case_id)
    return conn.execute(noted).scalar() is not None
