"""Calls that wait for a transaction: how several of them share one, and how each gets its own answer.

Waiting calls of the same grouped function become one call of it with all their items. When anything raises, the
transaction is rolled back and each call runs again alone, so that only the culprit fails.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

Grouped = Callable[[sa.Connection, list[Any]], Sequence[Any]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """One caller's wish. With `grouped`, `fn` takes a list of items and `work` is this caller's item."""

    fn: Callable[..., Any]
    work: Any
    grouped: bool
    answer: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class Failed:
    error: Exception


Answer = tuple[Call, Any]


def run_together(conn: sa.Connection, calls: Sequence[Call]) -> list[Answer]:
    """All of them in the running transaction; raises what the first culprit raises."""
    answers: list[Answer] = []
    for group in _groups(calls):
        first = group[0]
        if first.grouped:
            results = first.fn(conn, [call.work for call in group])
            answers.extend(zip(group, results, strict=True))
        else:
            answers.append((first, first.work(conn)))
    return answers


def settle(answers: Iterable[Answer]) -> None:
    """Give each caller his result, or his error. In the event loop's thread, after the commit."""
    for call, result in answers:
        if call.answer.done():  # the caller was canceled meanwhile; what was written stays written
            continue
        if isinstance(result, Failed):
            call.answer.set_exception(result.error)
        else:
            call.answer.set_result(result)


def _groups(calls: Sequence[Call]) -> list[list[Call]]:
    groups: list[list[Call]] = []
    of_function: dict[Callable[..., Any], list[Call]] = {}
    for call in calls:
        if call.grouped and call.fn in of_function:
            of_function[call.fn].append(call)
            continue
        group = [call]
        groups.append(group)
        if call.grouped:
            of_function[call.fn] = group
    return groups
