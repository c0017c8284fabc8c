"""A gateway's HTTP doors on a real store: two organizations with keys, one proved human sender, nothing sent."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from homing.doors.api import ApiParts, create_api
from homing.doors.api.tail import Tail
from homing.doors.peers import Peers
from homing.doors.web import WebParts, message_page, web_router
from homing.flow.accept import Acceptance
from homing.flow.address_proofs import AddressProofs
from homing.flow.deliver.sign import Signer
from homing.flow.doctor import Doctor
from homing.flow.identity_facts import IdentityFacts
from homing.flow.keyring import Keyring
from homing.flow.outgoing import Outgoing
from homing.flow.own_doctor import OwnDoctor
from homing.flow.own_names import OwnNames
from homing.flow.rotate_keys import KeyRotation, Selectors, terms_for
from homing.flow.sealed_secrets import SealedSecrets
from homing.flow.sessions import Sessions
from homing.flow.store_watch import StoreHold, StoreWatch
from homing.flow.verify_domains import DomainVerifier
from homing.flow.wakeup import Broadcast, WakeUp
from homing.flow.watch_loop import LoopWatch
from homing.loop import ids
from homing.loop.api_key import hash_key, mint_key
from homing.loop.domains.identity import OperatorIdentity
from homing.loop.domains.sending_domains import Delegation, RecordPurpose
from homing.loop.model import HumanSenderId, OrganizationId
from homing.loop.sealing import Sealer
from homing.loop.token import TokenKey, Tokens
from homing.net.dns import Resolver
from homing.net.fetch import Fetcher, check_url
from homing.net.route import Router
from homing.net.smtp_client import SmtpClient
from homing.store import human_senders, organizations
from homing.store.database import Database
from homing.store.human_senders import HumanSender
from homing.store.organizations import ApiKey, Organization
from tests.disks import roomy
from tests.migrated import migrated_database

ADMINISTRATOR = "the administrator key of the settings"
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
OPERATOR = OperatorIdentity(from_domain="post.operator.example", return_domain="b.post.operator.example")
DELEGATION = Delegation(
    operator_domain="operator.example",
    dkim_domain="dkim.operator.example",
    return_host="rp.operator.example",
    hostname="mx.operator.example",
    selectors=("operator1", "operator2"),
    reports_to="dmarc@post.operator.example",
)
SAFE = SealedSecrets(sealer=Sealer(b"k" * 32), secret=lambda: os.urandom(32))
ALL = ("send", "read", "manage")


@dataclass
class Clock:
    now: datetime = START

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    def advance(self, span: timedelta) -> None:
        self.now += span


@dataclass
class Member:
    """An organization with a key of every scope, and its proved human sender."""

    organization: Organization
    key: str
    sender: HumanSender

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


@dataclass
class Gateway:
    parts: ApiParts
    clock: Clock
    app: FastAPI
    client: httpx2.AsyncClient
    acme: Member
    other: Member
    sms: list[bytes] = field(default_factory=list)

    @property
    def database(self) -> Database:
        return self.parts.database

    @property
    def administrator(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {ADMINISTRATOR}"}

    async def call(self, method: str, path: str, who: Member | None = None, **more: Any) -> httpx2.Response:
        member = who or self.acme
        headers = member.headers | more.pop("headers", {})
        return await self.client.request(method, path, headers=headers, **more)

    async def send(self, who: Member | None = None, **changes: Any) -> dict[str, Any]:
        """A message that is accepted."""
        response = await self.call("POST", "/v1/messages", who, json=message(**changes))
        assert response.status_code == 202, response.text
        return response.json()


def message(**changes: Any) -> dict[str, Any]:
    return {
        "human_sender": {"name": "Janet Roe", "address": "janet@example.com"},
        "to": [{"name": "John Doe", "address": "john@example.org"}],
        "subject": "Our call this morning",
        "text": "Dear John,\n\nas promised, here are my notes.\n",
    } | changes


@asynccontextmanager
async def gateway(folder: Path, url: str = "") -> AsyncIterator[Gateway]:
    """`url`: of a migrated database; "": a SQLite file in the folder."""
    database = Database.open(url or f"sqlite:///{await migrated_database(folder / 'homing.db')}", durable=False)
    await database.start()
    clock = Clock()
    try:
        parts, sms = _parts(database, clock, folder)
        app = create_api(parts, message_page)
        app.include_router(web_router(_web_parts(parts)))
        acme = await _member(database, clock, "acme")
        other = await _member(database, clock, "other")
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False, client=("203.0.113.9", 4711))
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway.example") as client:
            yield Gateway(parts, clock, app, client, acme, other, sms)
    finally:
        await database.close()


def _parts(database: Database, clock: Clock, folder: Path) -> tuple[ApiParts, list[bytes]]:
    tokens = Tokens([TokenKey(id=1, secret=b"k" * 32, since=START - timedelta(days=1))])
    outgoing = Outgoing(
        tokens=tokens,
        operator=OPERATOR,
        operator_name="Operator",
        lifetime=timedelta(days=5),
        dice=lambda: os.urandom(10),
        url="http://gateway.example",
    )
    sms: list[bytes] = []
    news = Broadcast()

    async def sms_status(token: str, body: bytes) -> bool:
        sms.append(body)
        return body == b"known"

    domain_verifier = _domain_verifier(database, clock)
    parts = ApiParts(
        database=database,
        acceptance=Acceptance(
            database=database,
            disk=roomy(),
            outgoing=outgoing,
            clock=clock,
            work=WakeUp(),
            proved=IdentityFacts(
                database=database, operator=outgoing.operator, signing=lambda: RecordPurpose.DKIM_1, clock=clock
            ),
        ),
        address_proofs=AddressProofs(
            database=database,
            disk=roomy(),
            outgoing=outgoing,
            clock=clock,
            work=WakeUp(),
            secret=lambda: os.urandom(32),
            url="http://gateway.example",
        ),
        tokens=tokens,
        keyring=Keyring(database=database, clock=clock, administrator_key=ADMINISTRATOR),
        clock=clock,
        dice=lambda: os.urandom(10),
        secret=lambda: os.urandom(32),
        sealed_secrets=SAFE,
        news=news,
        tail=Tail(database, news, asyncio.Event()),
        check_url=check_url,
        sms_status=sms_status,
        peers=Peers((), "http://127.0.0.1:8025"),
        metrics=CollectorRegistry(),
        domain_verifier=domain_verifier,
        own_doctor=_own_doctor(database, clock, domain_verifier.signer),
        loop_watch=_loop_watch(database, outgoing, clock),
        store_watch=_store_watch(database, clock, folder),
    )
    return parts, sms


def _store_watch(database: Database, clock: Clock, folder: Path) -> StoreWatch:
    work, actions = WakeUp(), WakeUp()
    return StoreWatch(database=database, folder=folder, clock=clock, hold=StoreHold(), work=work, actions=actions)


def _loop_watch(database: Database, outgoing: Outgoing, clock: Clock) -> LoopWatch:
    """One that hears nothing from the DNS."""
    return LoopWatch(
        database=database,
        outgoing=outgoing,
        router=Router(Resolver([("127.0.0.1", 9)], timeout=0.05), keep=0),
        client=SmtpClient(DELEGATION.hostname),
        clock=clock,
        hostname=DELEGATION.hostname,
        port=25,
        every=timedelta(hours=1),
        wake_up=WakeUp(),
    )


def _domain_verifier(database: Database, clock: Clock) -> DomainVerifier:
    """One that hears nothing from the DNS: nobody listens at that port."""
    signer = Signer(database, SAFE.sealer, own=OPERATOR.from_domain, delegated=DELEGATION.dkim_domain, threads=1)
    resolver = Resolver([("127.0.0.1", 9)], timeout=0.05)
    rotation = KeyRotation(
        database=database,
        resolver=resolver,
        sealed_secrets=SAFE,
        signer=signer,
        clock=clock,
        dice=lambda: os.urandom(10),
        terms=terms_for(timedelta(days=5), timedelta(days=180)),
    )
    return DomainVerifier(
        database=database,
        resolver=resolver,
        rotation=rotation,
        signer=signer,
        own=Selectors(
            domain=OPERATOR.from_domain,
            rsa=("h1", "h2"),
            ed25519=None,
            record_name=lambda selector: f"{selector}._domainkey.{OPERATOR.from_domain}",
        ),
        delegated=Selectors(
            domain=DELEGATION.dkim_domain,
            rsa=DELEGATION.selectors,
            ed25519=None,
            record_name=DELEGATION.record_name,
        ),
        delegation=DELEGATION,
        clock=clock,
        spread=lambda: 0.0,
        news=Broadcast(),
        names=OwnNames(database=database, organization_addresses=False, clock=clock),
    )


def _own_doctor(database: Database, clock: Clock, signer: Signer) -> OwnDoctor:
    resolver = Resolver([("127.0.0.1", 9)], timeout=0.05)
    return OwnDoctor(
        doctor=Doctor(resolver=resolver, fetcher=Fetcher(resolver), hello="mx.operator.example", smtp_port=25),
        database=database,
        signer=signer,
        operator_domain="operator.example",
        identity=OPERATOR,
        hostname="mx.operator.example",
        delegation=DELEGATION,
        suffix_of=None,
        clock=clock,
    )


def _web_parts(parts: ApiParts) -> WebParts:
    return WebParts(
        database=parts.database,
        acceptance=parts.acceptance,
        address_proofs=parts.address_proofs,
        tokens=parts.tokens,
        keyring=parts.keyring,
        sessions=Sessions(
            database=parts.database, keyring=parts.keyring, clock=parts.clock, secret=lambda: os.urandom(32)
        ),
        peers=parts.peers,
        clock=parts.clock,
        news=parts.news,
        loop_watch=parts.loop_watch,
        hold=parts.store_watch.hold,
        public_url="http://gateway.example",
        operator_name="Operator",
        open_here=True,
    )


async def _member(database: Database, clock: Clock, name: str) -> Member:
    organization = Organization(
        id=OrganizationId(ids.new_id(clock(), os.urandom(10))),
        name=name,
        display_name=name.title(),
        created_at=clock(),
        rate_limit=1_000_000,
        daily_cap=1_000_000,
    )
    await database.write(organizations.create, organization)
    key = await make_key(database, clock, organization.id, ALL)
    sender = HumanSender(
        id=HumanSenderId(ids.new_id(clock(), os.urandom(10))),
        organization=organization.id,
        name="Janet Roe",
        address="janet@example.com",
        created_at=clock(),
    )
    await database.write(human_senders.create, sender)
    await database.write(human_senders.prove, organization.id, sender.id, clock())
    return Member(organization, key, sender)


async def make_key(
    database: Database, clock: Clock, organization: OrganizationId | None, scopes: tuple[str, ...]
) -> str:
    text = mint_key(os.urandom(32))
    key = ApiKey(
        id=ids.new_id(clock(), os.urandom(10)),
        organization=organization,
        name="test",
        hash=hash_key(text),
        last_four=text[-4:],
        scopes=frozenset(scopes),
        created_at=clock(),
    )
    await database.write(organizations.create_key, key)
    return text
