"""The retry schedule: when a delivery is attempted again, for how long, and when no more.

RFC 5321 §4.5.4.1 leaves the schedule to the sender, and asks for waits that grow and for patience of some days.
"""

import hashlib
from datetime import datetime, timedelta

from homing.loop.model import Delivery

RETRY_AFTER: tuple[timedelta, ...] = (
    timedelta(minutes=1),  # greylisting often forgives after one minute
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(minutes=30),
    timedelta(hours=1),
    timedelta(hours=2),
    timedelta(hours=4),  # and so on until the lifetime is over
)
RETRY_IN_DOUBT = timedelta(minutes=15)
"""A message that may have arrived is not sent again sooner: each try may be another copy."""

LONGEST_WAIT = RETRY_AFTER[-1] * 2 * 1.2
"""The longest wait that `retry_at` gives: a longer one was set by a clock that was ahead."""

RETRY_SLOWED_DOWN = timedelta(minutes=15)
"""The shortest wait after a server found us too fast; a longer one is twice the usual wait."""

ASKED_AGAIN = 6
"""Attempts, some hours in all, after which a permanent refusal that seemed to be temporary is believed."""

LIFETIME = timedelta(days=5)
"""RFC 5321 §4.5.4.1 asks for at least 4–5 days."""

BELIEVED_AFTER = timedelta(days=1)
"""Time after a clock jump until the clock is believed again."""

TOOK_MAIL_WITHIN = timedelta(days=30)
DNS_PATIENCE = timedelta(days=1)
"""A domain that took mail `TOOK_MAIL_WITHIN` is tried for that long before what the DNS denies is believed: a zone may
be broken for an hour, and a domain's renewal forgotten for a day."""

SILENT_DEATHS = 5
"""After so many claims that ended without any answer we stop: something in the message kills the worker."""


def retry_at(delivery: Delivery, now: datetime, *, slow_down: bool = False) -> datetime:
    """The next attempt, not after the lifetime's end, unless that is past and nobody believes it.

    ±20 % jitter, from the delivery's id, so that a crowd that failed together does not come back together and the same
    delivery gets the same answer twice. `slow_down`: the server asked us to.
    """
    wait = RETRY_AFTER[min(delivery.attempts, len(RETRY_AFTER)) - 1] if delivery.attempts else RETRY_AFTER[0]
    if delivery.possibly_delivered:
        wait = max(wait, RETRY_IN_DOUBT / 0.8)  # not sooner, whatever the jitter
    if slow_down:
        wait = max(2 * wait, RETRY_SLOWED_DOWN / 0.8)
    dice = hashlib.blake2b(delivery.id.bytes + delivery.attempts.to_bytes(4), digest_size=4).digest()
    spread = int.from_bytes(dice) / 0xFFFFFFFF  # 0 … 1
    return in_lifetime(delivery, now + wait * (0.8 + 0.4 * spread), now)


def in_lifetime(delivery: Delivery, at: datetime, now: datetime) -> datetime:
    """That moment, or the lifetime's end if it comes first; an end that is past, and that nobody believes, is none."""
    return at if delivery.expires_at <= now else min(at, delivery.expires_at)


def is_disputed(jumped_at: datetime | None, now: datetime) -> bool:
    """Whether the last clock jump still counts. The time did not really pass, so no lifetime ends until a day has been
    lived through without another jump."""
    return jumped_at is not None and now - jumped_at < BELIEVED_AFTER
