"""A store with mail that waits, an agent and a deliverer for it, and hosts of the lab that take it or do not."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from homing.flow.deliver import Deliverer, DeliveryAgent, Recorder
from homing.flow.deliver.sign import Signer
from homing.flow.identity_facts import IdentityFacts
from homing.flow.outgoing import Outgoing
from homing.flow.rules import reading_rules
from homing.flow.store_watch import StoreHold
from homing.flow.wakeup import WakeUp
from homing.lab.world import World
from homing.loop.domains.identity import OperatorIdentity
from homing.loop.domains.sending_domains import RecordPurpose
from homing.loop.domains.signing_keys import RSA, DkimKey, KeyState
from homing.loop.model import Delivery
from homing.loop.queue import Places
from homing.loop.sealing import Sealer
from homing.loop.throttle import Throttles
from homing.loop.token import TokenKey, Tokens
from homing.mail.address import parse_address
from homing.mail.compose import Draft, Mailbox, compose
from homing.mail.dkim import SigningKey
from homing.net.dns import AS_PUBLISHED, Resolver
from homing.net.route import Router
from homing.net.smtp_client import SmtpClient
from homing.net.suffix import suffix_list
from homing.store import dkim_keys, tables
from homing.store.accepted_messages import AcceptedMessage
from homing.store.claims import ClaimedDelivery
from homing.store.database import Database
from homing.store.dkim_keys import SealedKey
from homing.store.organizations import Organization
from tests.disks import roomy
from tests.migrated import migrated_database
from tests.store.scenes import IDENTITY, NOW, all_rows, an_organization, claimed, submitted, the_delivery

OPERATOR = OperatorIdentity(from_domain="post.example", return_domain="b.post.example")
SEALER = Sealer(b"k" * 32)
JOHN = "john@corp.com"


@dataclass
class Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass(slots=True, kw_only=True)
class Scene:
    world: World
    database: Database
    clock: Clock
    agent: DeliveryAgent
    deliverer: Deliverer
    organization: Organization
    actions: WakeUp = field(default_factory=WakeUp)

    async def waiting(self, recipient: str = JOHN, **more: Any) -> AcceptedMessage:
        """A message that was accepted and waits."""
        return await submitted(self.database, self.organization, recipient, content=content(), **more)

    async def claim(self, recipient: str = JOHN, **more: Any) -> ClaimedDelivery:
        await self.waiting(recipient, **more)
        (leased,) = await claimed(self.database, self.deliverer.owner, self.clock())
        return leased

    async def delivery(self, leased: ClaimedDelivery) -> Delivery:
        return await the_delivery(self.database, self.organization, leased.delivery.id)

    async def attempts(self) -> list[dict[str, Any]]:
        return await self.database.read(all_rows, tables.attempt)


def content(size: int = 0) -> bytes:
    """Of a message that the last gate lets pass."""
    to = Mailbox("", parse_address(JOHN))
    draft = Draft(
        subject="Your call",
        to=(to,),
        cc=(),
        date=NOW,
        message_id="1@post.example",
        text="Hello, thank you for your call.\n" + "x" * size,
        html=None,
        attachments=(),
        headers=(),
    )
    return compose(draft)


@asynccontextmanager
async def a_scene(folder: Path, *, key: bool = True) -> AsyncIterator[Scene]:
    """`key`: whether there is one that signs."""
    database = Database.open(f"sqlite:///{await migrated_database(folder / 'homing.db')}", durable=False)
    await database.start()
    if key:
        await _put_key(database)
    signer = Signer(database, SEALER, own=OPERATOR.from_domain, delegated="dkim.example", threads=1)
    await signer.reload()
    clock = Clock()
    async with World("acme-mail.com", hosts=3, tls=False) as world:
        actions = WakeUp()
        places = Places(8)
        agent = _agent(database, world, signer, clock, actions, places)
        deliverer = Deliverer(
            database=database,
            disk=roomy(),
            hold=StoreHold(),
            agent=agent,
            clock=clock,
            jumped_at=lambda: None,
            owner="this-process",
            places=places,
            work=WakeUp(),
            news=WakeUp(),
        )
        yield Scene(
            world=world,
            database=database,
            clock=clock,
            agent=agent,
            deliverer=deliverer,
            organization=await an_organization(database),
            actions=actions,
        )
        await agent.close()
    await database.close()


def _agent(
    database: Database, world: World, signer: Signer, clock: Clock, actions: WakeUp, places: Places
) -> DeliveryAgent:
    def dice() -> bytes:
        return os.urandom(10)

    outgoing = Outgoing(
        tokens=Tokens([TokenKey(id=1, secret=b"k" * 32, since=NOW - timedelta(days=1))]),
        operator=OPERATOR,
        operator_name="Operator",
        lifetime=timedelta(days=5),
        dice=dice,
        url="http://gateway.example",
    )
    resolver = Resolver(world.dns.servers, keep=AS_PUBLISHED)
    return DeliveryAgent(
        database=database,
        outgoing=outgoing,
        proved=IdentityFacts(database=database, operator=OPERATOR, signing=lambda: RecordPurpose.DKIM_1, clock=clock),
        signer=signer,
        router=Router(resolver, world.smtp_port, True, keep=0),
        client=SmtpClient("gateway.example"),
        throttles=Throttles(),
        places=places,
        suffix_of=suffix_list(),
        rules=reading_rules(),
        recorder=Recorder(database=database, clock=clock, actions=actions),
        clock=clock,
        dice=dice,
    )


async def _put_key(database: Database) -> None:
    """An Ed25519 key that passes for RSA: it is made at once."""
    private = SigningKey.generate_ed25519(IDENTITY.sending_domain, "h1")
    key = DkimKey(
        id=uuid4(),
        organization=None,
        domain=private.domain,
        selector=private.selector,
        algorithm=RSA,
        record_name=f"{private.selector}._domainkey.{private.domain}",
        record=private.dns_record(),
        state=KeyState.ACTIVE,
        created_at=NOW,
        published_at=NOW,
        activated_at=NOW,
    )
    sealed = SEALER.seal(private.pem(), key.place, bytes(12))
    assert await database.write(dkim_keys.add, SealedKey(key=key, sealed=sealed))
