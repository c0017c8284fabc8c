"""A clock that the test holds."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.store.scenes import NOW


@dataclass
class Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, span: timedelta) -> None:
        self.now += span
