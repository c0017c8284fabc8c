"""Pages of long lists, newest first: each looks at a bounded number of rows, whatever the filter.

The most frequent filters have an index. With any other, a page ends after so many rows, perhaps with nothing found, and
gives the place to continue.
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
    """`further`: the place before which the next page begins; None: there is nothing older."""

    lines: Sequence[T]
    further: UUID | None


def floor(conn: sa.Connection, place: sa.Column[UUID], *of: sa.ColumnElement[bool]) -> UUID | None:
    """The last place that a page looks at, among the rows of an index; None: it looks at all of them."""
    query = sa.select(place).where(*of).order_by(place.desc()).offset(LOOKED_THROUGH - 1).limit(1)
    return conn.execute(query).scalar()


def page(lines: Sequence[T], places: Sequence[UUID], limit: int, lowest: UUID | None) -> Page[T]:
    """`places`: of the lines; `lowest`: what `floor` said."""
    return Page(lines=lines, further=places[-1] if len(places) == limit else lowest)
