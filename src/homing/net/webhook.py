"""Events told to an application's own endpoint, signed as Standard Webhooks asks for.

At least once: the receiver recognizes repetitions by `webhook-id`. The octets posted are exactly those signed.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from standardwebhooks import Webhook

from homing.net.fetch import Fetcher, HttpAnswer, NoAnswer

RETRIES = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=10),
)
"""How long to wait after the first, second, … failure. After the last the endpoint is given up for this event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """`secrets` in the form `whsec_…`; while one is being replaced there are two, and both sign."""

    url: str
    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A 2xx answer: the application has the event."""

    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Any other answer. `text` is at most 1 KiB, readable, to be escaped. `retry_after` in seconds, at most a day."""

    status: int
    text: str
    retry_after: float | None = None

    @property
    def gone(self) -> bool:
        """410: the endpoint wants no more events, ever."""
        return self.status == 410


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """No answer, or an endpoint that we do not connect to."""

    why: str


async def post(
    fetcher: Fetcher, endpoint: Endpoint, event_json: str, *, event_id: str, timestamp: datetime
) -> Delivered | Refused | Unreachable:
    """One try. `event_id` is the same on every try of an event, `timestamp` is the time of this try."""
    answer = await fetcher.post(
        endpoint.url, event_json.encode(), sign(endpoint, event_json, event_id=event_id, timestamp=timestamp)
    )
    match answer:
        case NoAnswer(why=why):
            return Unreachable(why=why)
        case HttpAnswer(status=status) if 200 <= status < 300:
            return Delivered(status=status)
        case HttpAnswer():
            return Refused(status=answer.status, text=answer.text, retry_after=answer.retry_after)


def sign(endpoint: Endpoint, event_json: str, *, event_id: str, timestamp: datetime) -> dict[str, str]:
    """The headers that go with an event."""
    signatures = (Webhook(secret).sign(event_id, timestamp, event_json) for secret in endpoint.secrets)
    return {
        "Content-Type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(timestamp.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
