"""What the API needs; `app.http_door` passes it in."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, cast
from uuid import UUID

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from homing.doors.budget import Budget
from homing.doors.peers import Peers
from homing.flow.accept import Acceptance
from homing.flow.address_proofs import AddressProofs
from homing.flow.keyring import Keyring
from homing.flow.large_work import Turns
from homing.flow.outgoing import Clock, Dice
from homing.flow.own_doctor import OwnDoctor
from homing.flow.sealed_secrets import SealedSecrets
from homing.flow.verify_domains import DomainVerifier
from homing.flow.wakeup import Broadcast
from homing.flow.watch_loop import LoopWatch
from homing.loop.token import Tokens
from homing.net.fetch import Complaint
from homing.store.database import Database

_BODIES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    """`secret` gives 32 random octets a call. `news` tells when events were written; `stopping` is set when the process
    ends, so that live streams end too. `check_url` tells what is wrong with a webhook's address. `sms_status` takes the
    token and the body of a provider's callback and says whether it was one."""

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
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    bodies: Budget = field(default_factory=lambda: Budget(_BODIES))
    """What bodies of requests take up in memory until they are answered."""
    large_bodies: Turns = field(default_factory=Turns)
    """Each organization's large bodies are worked on one after the other."""
    streams: int = 500
    """Live streams at once, of all organizations."""
    listeners: Counter[UUID] = field(default_factory=Counter)
    """Open live streams of each organization."""


def parts_of(request: Request) -> ApiParts:
    return cast("ApiParts", request.app.state.api)


Parts = Annotated[ApiParts, Depends(parts_of)]
