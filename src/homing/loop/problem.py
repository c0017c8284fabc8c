"""A caller's mistake: one exception, which each door renders once (an SMTP reply, problem+json).

Codes are stable words that programs may test; `docs/problems.md` lists them all.
"""

from collections.abc import Sized
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. `path` is a JSON pointer into the request, "" for the request as a whole."""

    path: str
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Everything that is wrong with one request (RFC 9457). `status` is the HTTP status code."""

    status: int
    code: str
    title: str
    detail: str = ""
    faults: tuple[Fault, ...] = ()
    retry_after: int | None = None


SHOWN_FAULTS = 100
"""Faults of one problem that are told."""


def how_many(faults: Sized, shown: int | None = None) -> str:
    """The detail of a problem that lists its faults. `shown`: so many of them at most."""
    if shown is not None and len(faults) >= shown:
        return f"{shown} faults or more; `errors` describes the first of them."
    return "1 fault; `errors` describes it." if len(faults) == 1 else f"{len(faults)} faults; `errors` describes each."


class Rejected(Exception):  # noqa: N818 - the word of the field
    """The caller is wrong, or must wait: nothing was stored."""

    def __init__(self, reply_code: int, enhanced_status_code: str, problem: Problem) -> None:
        super().__init__(f"{problem.code}: {problem.detail or problem.title}")
        self.reply_code = reply_code
        self.enhanced_status_code = enhanced_status_code
        self.problem = problem
