"""What the API needs; `app.http_door` passes it in."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from homing.doors.api.tail import Tail
from homing.doors.examinations import Examinations
from homing.doors.peers import Peers
from homing.doors.shares import Shares
from homing.flow.accept import Acceptance
from homing.flow.address_proofs import AddressProofs
from homing.flow.keyring import Keyring
from homing.flow.large_work import Locks
from homing.flow.outgoing import Clock, Dice
from homing.flow.own_doctor import OwnDoctor
from homing.flow.sealed_secrets import SealedSecrets
from homing.flow.store_watch import StoreWatch
from homing.flow.verify_domains import DomainVerifier
from homing.flow.wakeup import Broadcast
from homing.flow.watch_loop import LoopWatch
from homing.loop.token import Tokens
from homing.net.fetch import Complaint
from homing.store.database import Database

LARGEST_BODY = 25 * 1024 * 1024
SMALL_BODY = 1024 * 1024
"""Octets; the last quarter of the room for all bodies is for those that are not larger."""
_ALL_BODIES = 4 * LARGEST_BODY
"""One organization has half of the room at most. So whatever it sends, a quarter is there for a largest body of another
one, and a quarter for small ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    """`secret` gives 32 random octets a call. `news` tells when events were written. `check_url` tells what is wrong
    with a webhook's address. `sms_status` takes the token and the body of a provider's callback and says whether it was
    one."""

    database: Database
    acceptance: Acceptance
    address_proofs: AddressProofs
    tokens: Tokens
    keyring: Keyring
    clock: Clock
    dice: Dice
    secret: Callable[[], bytes]
    sealed_secrets: SealedSecrets
    news: Broadcast
    check_url: Callable[[str], list[Complaint]]
    sms_status: Callable[[str, bytes], Awaitable[bool]]
    metrics: CollectorRegistry
    peers: Peers
    domain_verifier: DomainVerifier
    own_doctor: OwnDoctor
    loop_watch: LoopWatch
    store_watch: StoreWatch
    tail: Tail
    examinations: Examinations = field(default_factory=Examinations)
    bodies: Shares = field(default_factory=lambda: Shares(_ALL_BODIES, least=LARGEST_BODY + SMALL_BODY))
    """Octets: what bodies of requests take up in memory until they are answered."""
    large_bodies: Locks = field(default_factory=Locks)
    """Each organization's large bodies are worked on one after the other."""
    uploads: Shares = field(default_factory=lambda: Shares(500))
    """Requests with a key of which the body is still to come."""
    streams: Shares = field(default_factory=lambda: Shares(500))
    """Live streams at once."""

    def bound(self, connections: int) -> None:
        """Live streams and bodies that are still to come each take up half of the door's connections at most."""
        self.streams.whole = self.uploads.whole = connections // 2


def parts_of(request: Request) -> ApiParts:
    return cast("ApiParts", request.app.state.api)


Parts = Annotated[ApiParts, Depends(parts_of)]
