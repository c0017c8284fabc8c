"""A token bucket: how many deliveries an organization may still hand in now."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True)
class Bucket:
    """Holds a minute's worth of `per_minute` at most, and fills evenly."""

    per_minute: int
    level: float
    at: datetime

    @classmethod
    def full(cls, per_minute: int, now: datetime) -> "Bucket":
        return cls(per_minute, float(per_minute), now)

    def take(self, amount: int, now: datetime) -> float:
        """Takes `amount` and returns 0, or takes nothing and returns the seconds until it could. More than a full
        bucket at once passes when the bucket is full, so that no request must wait for ever."""
        elapsed = max(0.0, (now - self.at).total_seconds())
        self.level = min(float(self.per_minute), self.level + elapsed * self.per_minute / 60)
        self.at = now
        wanted = min(amount, self.per_minute)
        if self.level >= wanted:
            self.level -= amount
            return 0.0
        return (wanted - self.level) * 60 / self.per_minute
