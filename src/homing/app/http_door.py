"""The HTTP door: the API and the pages, its limits, and how it is opened and closed."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import cast

import uvicorn
from fastapi import FastAPI
from prometheus_client import REGISTRY

from homing.app.descriptors import BACKLOG
from homing.app.listening import listening
from homing.app.shared import Shared, dice, secret, webhook_ports
from homing.config import Settings
from homing.doors.api import ApiParts, create_api
from homing.doors.api.tail import Tail
from homing.doors.http_connection import HttpConnections, HttpLimits
from homing.doors.peers import Peers
from homing.doors.web import WebParts, message_page, web_router
from homing.flow.accept import Acceptance
from homing.flow.act import Actor
from homing.flow.address_proofs import AddressProofs
from homing.flow.doctor import Doctor
from homing.flow.keyring import Keyring
from homing.flow.own_doctor import OwnDoctor
from homing.flow.sessions import Sessions
from homing.flow.store_watch import StoreWatch
from homing.flow.verify_domains import DomainVerifier
from homing.flow.watch_loop import LoopWatch
from homing.net.fetch import check_url
from homing.net.suffix import suffix_list


@asynccontextmanager
async def http_door(
    settings: Settings, http: FastAPI, stopping: asyncio.Event, limits: HttpLimits
) -> AsyncIterator[int]:
    """The door, open within the context; yields its port. Raises CannotListen. At the end `stopping` is set, and
    requests have five seconds to end."""
    with listening("http_port", settings.http_host, settings.http_port):
        listener = socket.create_server((settings.http_host, settings.http_port), backlog=BACKLOG)
    # Whom it accepts inherits it: head and body of an answer are written apart, and the second must not wait for an
    # acknowledgement of the first (RFC 1122 §4.2.3.4). asyncio itself would not set it, since the protocol is unnamed.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connections = HttpConnections(limits, dice, Peers(settings.trusted_proxies, settings.public_url))
    config = uvicorn.Config(
        http,
        http=cast("type[asyncio.Protocol]", connections.protocol),
        ws="none",
        backlog=BACKLOG,
        log_config=None,
        log_level="error",  # what it warns of is what strangers send, as often as they like
        access_log=False,
        proxy_headers=False,
        lifespan="off",
        timeout_graceful_shutdown=5,
    )
    server = _HttpServer(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    watching = asyncio.create_task(connections.watch())
    try:
        await server.listening.wait()
        yield listener.getsockname()[1]
    finally:
        stopping.set()
        server.should_exit = True
        await serving
        watching.cancel()


class _HttpServer(uvicorn.Server):
    """uvicorn inside our own loop: it says when it listens, and leaves the signals to us."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def make_http(
    shared: Shared,
    actor: Actor,
    domain_verifier: DomainVerifier,
    loop_watch: LoopWatch,
    store_watch: StoreWatch,
    stopping: asyncio.Event,
) -> FastAPI:
    """API and pages. `stopping` is set when the door closes; live streams end then."""
    acceptance = Acceptance(
        database=shared.database,
        disk=shared.disk,
        outgoing=shared.outgoing,
        clock=shared.clock,
        work=shared.work,
        proved=shared.proved,
    )
    address_proofs = AddressProofs(
        database=shared.database,
        disk=shared.disk,
        outgoing=shared.outgoing,
        clock=shared.clock,
        work=shared.work,
        secret=secret,
        url=shared.settings.public_url,
    )
    keyring = Keyring(database=shared.database, clock=shared.clock, administrator_key=shared.keys.administrator)
    settings = shared.settings
    peers = Peers(settings.trusted_proxies, settings.public_url)
    check = partial(check_url, ports=webhook_ports(settings), allow_private=settings.lab_private_addresses)
    parts = ApiParts(
        database=shared.database,
        acceptance=acceptance,
        address_proofs=address_proofs,
        tokens=shared.tokens,
        keyring=keyring,
        clock=shared.clock,
        dice=dice,
        secret=secret,
        sealed_secrets=shared.sealed_secrets,
        news=shared.news,
        check_url=check,
        sms_status=actor.sms_status,
        metrics=REGISTRY,
        peers=peers,
        tail=Tail(shared.database, shared.news, stopping),
        domain_verifier=domain_verifier,
        own_doctor=_own_doctor(shared),
        loop_watch=loop_watch,
        store_watch=store_watch,
    )
    http = create_api(parts, message_page)
    http.include_router(web_router(_pages(shared, parts)))
    return http


def _pages(shared: Shared, api: ApiParts) -> WebParts:
    sessions = Sessions(database=shared.database, keyring=api.keyring, clock=shared.clock, secret=secret)
    return WebParts(
        database=shared.database,
        acceptance=api.acceptance,
        address_proofs=api.address_proofs,
        tokens=shared.tokens,
        keyring=api.keyring,
        sessions=sessions,
        clock=shared.clock,
        news=shared.news,
        loop_watch=api.loop_watch,
        hold=shared.hold,
        public_url=shared.settings.public_url,
        peers=api.peers,
        operator_name=shared.settings.operator_name,
        open_here=shared.settings.open_pages_here,
    )


def _own_doctor(shared: Shared) -> OwnDoctor:
    settings = shared.settings
    doctor = Doctor(
        resolver=shared.askers.examining,
        fetcher=shared.fetcher,
        hello=settings.hostname,
        smtp_port=settings.lab_outbound_port,
        allow_private=settings.lab_private_addresses,
    )
    return OwnDoctor(
        doctor=doctor,
        database=shared.database,
        signer=shared.signer,
        operator_domain=settings.operator_domain,
        identity=settings.operator,
        hostname=settings.hostname,
        delegation=settings.delegation,
        suffix_of=suffix_list(),
        clock=shared.clock,
    )
