"""Pages of long lists, newest first: each looks at a bounded number of rows, whatever is asked for.

An index leads to what is asked for most. Where a filter has none, a page ends after so many rows, perhaps with nothing
found, and says where to go on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

import sqlalchemy as sa

LOOKED_THROUGH = 5000
"""Rows that one page looks at."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """`further`: the next page is what comes before it; None: there is nothing older."""

    lines: Sequence[T]
    further: UUID | None


def floor(conn: sa.Connection, place: sa.Column[UUID], *of: sa.ColumnElement[bool]) -> UUID | None:
    """The last place that a page looks at, of those that an index finds; None: they all are looked at."""
    query = sa.select(place).where(*of).order_by(place.desc()).offset(LOOKED_THROUGH - 1).limit(1)
    return conn.execute(query).scalar()


def page(lines: Sequence[T], places: Sequence[UUID], limit: int, lowest: UUID | None) -> Page[T]:
    """`places`: of the lines; `lowest`: what `floor` said."""
    return Page(lines=lines, further=places[-1] if len(places) == limit else lowest)
