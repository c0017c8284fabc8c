"""Which cases a letter tells besides its own."""

from collections.abc import Collection

import sqlalchemy as sa

from homing.loop.model import CaseId, MessageId
from homing.store import tables

_T = tables.gathered_case


def add(conn: sa.Connection, letter: MessageId, case: CaseId, step: int) -> None:
    """The step of that case ends as the letter's delivery does."""
    conn.execute(_T.insert(), {"letter": letter, "case_id": case, "step": step})


def of_letters(conn: sa.Connection, letters: Collection[MessageId]) -> dict[MessageId, list[tuple[CaseId, int]]]:
    """The steps of other cases that these letters serve besides their own."""
    found: dict[MessageId, list[tuple[CaseId, int]]] = {}
    if letters:
        for row in conn.execute(_T.select().where(_T.c.letter.in_(letters))):
            found.setdefault(row.letter, []).append((row.case_id, row.step))
    return found
