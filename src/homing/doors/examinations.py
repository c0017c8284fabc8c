"""Examinations of domains that callers wait for: each takes a while, a connection and places at the DNS."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from homing.loop.problem import Problem, Rejected

OF_ORGANIZATION = 2
IN_ALL = 20
"""Examinations at once that organizations ask for; the operator may have as many beside them."""
_AGAIN_AFTER = 10


@dataclass(slots=True)
class Examinations:
    """Those under way, by organization; None stands for the operator."""

    _under_way: Counter[UUID | None] = field(default_factory=Counter)

    @property
    def under_way(self) -> int:
        return self._under_way.total()

    @contextmanager
    def one(self, holder: UUID | None) -> Iterator[None]:
        """One examination, within the context. Raises Rejected: 429 where the organization has as many under way as it
        may, 503 where all of them have."""
        self._check(holder)
        self._under_way[holder] += 1
        try:
            yield
        finally:
            self._under_way[holder] -= 1
            if not self._under_way[holder]:
                del self._under_way[holder]

    def _check(self, holder: UUID | None) -> None:
        if holder is not None and self._under_way[holder] >= OF_ORGANIZATION:
            title = f"An organization may have {OF_ORGANIZATION} examinations under way."
            problem = Problem(status=429, code="too-many-examinations", title=title, retry_after=_AGAIN_AFTER)
            raise Rejected(450, "4.7.0", problem)
        operators = self._under_way[None]
        if (operators if holder is None else self._under_way.total() - operators) >= IN_ALL:
            title = "There are too many examinations under way."
            problem = Problem(status=503, code="gateway-busy", title=title, retry_after=_AGAIN_AFTER)
            raise Rejected(452, "4.3.1", problem)
