"""Who was told of which delay: one e-mail for a person and a receiver, until the last case that it stands for is over.

A case has a row from the moment it was to be told until it is resolved, so there are no more rows than cases that are
open.
"""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from homing.loop.model import CaseId, HumanSenderId
from homing.store import tables
from homing.store.dialect import insert

_T = tables.told_delay
_PERSON = tables.human_sender


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """A case of a delay, the person to be told of it, and whose mail hosts are waited for."""

    case: CaseId
    human_sender: HumanSenderId
    receiver: str


def told_by(conn: sa.Connection, delay: Delay) -> CaseId | None:
    """The case whose e-mail has told this person of this receiver; None: nobody has been told. The person is locked, so
    that two cases do not both find nobody; messages and other people are not."""
    conn.execute(sa.select(_PERSON.c.id).where(_PERSON.c.id == delay.human_sender).with_for_update(key_share=True))
    standing = sa.select(_T.c.told_by).where(_T.c.human_sender == delay.human_sender, _T.c.receiver == delay.receiver)
    return conn.execute(standing.limit(1)).scalar()


def note(conn: sa.Connection, delay: Delay, by: CaseId) -> None:
    """This delay has been told, by the e-mail of that case."""
    row = {"case_id": delay.case, "human_sender": delay.human_sender, "receiver": delay.receiver, "told_by": by}
    conn.execute(insert(conn, _T).values(row).on_conflict_do_nothing())


def forget(conn: sa.Connection, resolved: Collection[CaseId]) -> None:
    """These cases are over."""
    if resolved:
        conn.execute(_T.delete().where(_T.c.case_id.in_(resolved)))
