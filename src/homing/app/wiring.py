"""Wires the rooms together. The only place that reads settings, the clock and the dice.

`App` is one gateway in one process: the store, the workers that send, hear, act and tidy, and the doors. Several of
them may share one PostgreSQL.
"""

import asyncio
import os
import random
import secrets
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import lru_cache, partial

import structlog
import uvicorn
from fastapi import FastAPI
from prometheus_client import REGISTRY

from homing.app.clock import Clock
from homing.app.key_files import SELECTOR, Keys
from homing.config import BadSettings, Settings, server_of
from homing.doors.api import ApiParts, create_api
from homing.doors.smtp.mx import MxHandler
from homing.doors.smtp.server import Limits, SmtpServer
from homing.doors.web import WebParts, web_router
from homing.flow.accept import LARGEST_MESSAGE, Acceptance
from homing.flow.act import Actor
from homing.flow.address_proofs import AddressProofs
from homing.flow.alarms import AlarmNotifier
from homing.flow.authenticate_inbound import InboundAuthentication
from homing.flow.deliver import Deliverer
from homing.flow.doctor import Doctor
from homing.flow.identity_facts import IdentityFacts
from homing.flow.keyring import Keyring
from homing.flow.outgoing import Outgoing
from homing.flow.own_doctor import OwnDoctor
from homing.flow.own_names import OwnNames
from homing.flow.receive import Receiver
from homing.flow.rotate_keys import KeyRotation, Selectors, terms_for
from homing.flow.rules import reading_rules
from homing.flow.sealed_secrets import SealedSecrets, seal_anew
from homing.flow.sign import Signer
from homing.flow.tidy import Tidier
from homing.flow.verify_domains import DomainVerifier
from homing.flow.wakeup import Broadcast, WakeUp
from homing.loop.problem import Fault
from homing.loop.reading.rulebook import Rules
from homing.loop.sealing import SealBroken, Sealer
from homing.loop.throttle import Throttles
from homing.loop.token import Tokens
from homing.net.dns import AS_PUBLISHED, Keep, Resolver
from homing.net.fetch import Fetcher, check_url
from homing.net.route import Router
from homing.net.sms import GenericHttp, SmsSender, TwilioShaped
from homing.net.smtp_client import SmtpClient
from homing.net.suffix import suffix_list
from homing.store.database import Database

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Base:
    """What several rooms share."""

    settings: Settings
    clock: Clock
    keys: Keys
    database: Database
    tokens: Tokens
    outgoing: Outgoing
    proved: IdentityFacts
    rules: Rules
    resolver: Resolver
    sealed_secrets: SealedSecrets
    signer: Signer
    rotation: KeyRotation
    names: OwnNames
    fetcher: Fetcher
    owner: str
    work: WakeUp = field(default_factory=WakeUp)
    actions: WakeUp = field(default_factory=WakeUp)
    returns: WakeUp = field(default_factory=WakeUp)
    news: Broadcast = field(default_factory=Broadcast)

    @classmethod
    def of(cls, settings: Settings, clock: Clock) -> "_Base":
        keys = Keys.in_folder(settings.data_dir, settings, clock())
        tokens = Tokens(keys.tokens)
        lab = settings.lab_private_addresses
        servers = [server_of(text) for text in settings.dns_servers] or None
        resolver = Resolver(
            servers,
            keep=AS_PUBLISHED if lab else Keep(),
            allow_private=lab,
            zone_port=servers[0][1] if lab and servers else 53,
        )
        ports = frozenset(range(1, 65536)) if lab else WEBHOOK_PORTS
        database = Database.open(settings.database_url)
        sealer = Sealer(keys.secret, keys.secret_before)
        sealed_secrets = SealedSecrets(sealer=sealer, secret=_secret)
        threads = settings.signer_threads or os.cpu_count() or 1
        delegated = settings.delegation.dkim_domain
        signer = Signer(database, sealer, own=settings.from_domain, delegated=delegated, threads=threads)
        return cls(
            settings=settings,
            clock=clock,
            keys=keys,
            database=database,
            sealed_secrets=sealed_secrets,
            signer=signer,
            names=OwnNames(database=database, organization_addresses=settings.organization_addresses),
            rotation=KeyRotation(
                database=database,
                resolver=resolver,
                sealed_secrets=sealed_secrets,
                signer=signer,
                clock=clock,
                dice=_dice,
                terms=terms_for(settings.lifetime, timedelta(days=settings.dkim_rotation_days)),
            ),
            tokens=tokens,
            outgoing=Outgoing(
                tokens=tokens,
                operator=settings.operator,
                operator_name=settings.operator_name,
                lifetime=settings.lifetime,
                dice=_dice,
                url=settings.public_url,
            ),
            proved=IdentityFacts(
                database=database,
                operator=settings.operator,
                signing=lambda: settings.delegation.purpose_of(signer.delegated_selector),
                clock=clock,
                organization_addresses=settings.organization_addresses,
            ),
            rules=reading_rules(),
            resolver=resolver,
            fetcher=Fetcher(resolver, ports=ports, allow_private=lab),
            owner=f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}",
        )


@dataclass(slots=True, kw_only=True)
class App:
    """A gateway that is wired and not yet running. `running()` opens the store and starts workers and doors."""

    settings: Settings
    clock: Clock
    keys: Keys
    database: Database
    deliverer: Deliverer
    receiver: Receiver
    actor: Actor
    tidier: Tidier
    alarm_notifier: AlarmNotifier
    domain_verifier: DomainVerifier
    http: FastAPI
    stopping: asyncio.Event
    smtp_port: int = 0
    http_port: int = 0

    @asynccontextmanager
    async def storing(self) -> AsyncIterator["App"]:
        """The store alone: enough for the API in this process, with nothing sent and nobody listening."""
        await self.database.start()
        try:
            await self.database.migrate()
            await self._take_keys()
            yield self
        finally:
            await self.database.close()

    async def _take_keys(self) -> None:
        """What is sealed in the store under the secret key of now, and the signing key that lay in a file at the first
        start."""
        for private, since in self.keys.signing_since:
            await self.domain_verifier.rotation.adopt(private, since)
        try:
            anew = await self.database.write(seal_anew, self.domain_verifier.rotation.sealed_secrets)
            await self.domain_verifier.signer.reload()
        except SealBroken as error:
            message = f"It does not open the secrets in the database: {error}."
            raise BadSettings(Fault("secret_key", "setting-invalid", message)) from None
        if anew:
            _log.warning("secrets in the database were sealed anew with the secret key of now", count=anew)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["App"]:
        """Everything. On the way out the doors close first, then the workers end what they have begun. Raises
        BadSettings and CannotListen before anything is sent."""
        tls = _tls(self.settings)
        async with self.storing(), AsyncExitStack() as workers, AsyncExitStack() as doors:
            await self.tidier.recover()
            await self.domain_verifier.names.learn()
            workers.push_async_callback(self._close_connections)
            await self._open_smtp(doors, tls)
            await self._open_http(doors)
            for worker in (
                self.deliverer,
                self.receiver,
                self.actor,
                self.tidier,
                self.alarm_notifier,
                self.domain_verifier,
            ):
                workers.push_async_callback(_ended, asyncio.create_task(worker.run()))
            yield self

    async def _open_smtp(self, doors: AsyncExitStack, tls: ssl.SSLContext | None) -> None:
        settings = self.settings
        server = SmtpServer(
            MxHandler(settings.hostname, self.receiver), _smtp_limits(settings), tls, spool=settings.data_dir
        )
        with _listening("smtp_port", settings.smtp_host, settings.smtp_port):
            self.smtp_port = await server.start(settings.smtp_host, settings.smtp_port)
        doors.push_async_callback(server.close)

    async def _open_http(self, doors: AsyncExitStack) -> None:
        settings = self.settings
        with _listening("http_port", settings.http_host, settings.http_port):
            listener = socket.create_server((settings.http_host, settings.http_port), backlog=512)
        self.http_port = listener.getsockname()[1]
        config = uvicorn.Config(
            self.http,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            lifespan="off",
            timeout_graceful_shutdown=5,
        )
        server = _HttpServer(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        doors.push_async_callback(self._close_http, server, serving)
        await server.listening.wait()

    async def _close_http(self, server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
        self.stopping.set()
        server.should_exit = True
        await serving

    async def _close_connections(self) -> None:
        await self.deliverer.client.close()
        await self.actor.fetcher.close()
        self.deliverer.signer.close()


class CannotListen(Exception):  # noqa: N818 - it says what is the case
    """A door's address cannot be had; `setting` names its port."""

    def __init__(self, setting: str, host: str, port: int, reason: str) -> None:
        super().__init__(f"cannot listen at {host}:{port}: {reason}")
        self.setting, self.host, self.port, self.reason = setting, host, port, reason


@contextmanager
def _listening(setting: str, host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise CannotListen(setting, host, port, reason) from None


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


def build(settings: Settings, clock: Clock | None = None) -> App:
    """Wire a gateway. Makes the data folder and the keys in it where they are missing."""
    base = _Base.of(settings, clock or Clock())
    actor = _actor(base)
    domain_verifier = _domain_verifier(base)
    stopping = asyncio.Event()
    return App(
        settings=settings,
        clock=base.clock,
        keys=base.keys,
        database=base.database,
        deliverer=_deliverer(base),
        receiver=_receiver(base),
        actor=actor,
        tidier=_tidier(base),
        alarm_notifier=_alarm_notifier(base),
        domain_verifier=domain_verifier,
        http=_http(base, actor, domain_verifier, stopping),
        stopping=stopping,
    )


def _deliverer(base: _Base) -> Deliverer:
    settings = base.settings
    lab = settings.lab_private_addresses
    router = Router(
        base.resolver,
        settings.lab_outbound_port,
        lab,
        own_name=settings.hostname,
        dice=random.SystemRandom().random,
        keep=0.0 if lab else 60.0,
    )
    return Deliverer(
        database=base.database,
        outgoing=base.outgoing,
        proved=base.proved,
        signer=base.signer,
        router=router,
        client=SmtpClient(settings.hostname),
        throttles=Throttles(receiver_of=_receiver_of),
        rules=base.rules,
        clock=base.clock,
        jumped_at=base.clock.jumped_at,
        dice=_dice,
        owner=base.owner,
        at_once=settings.deliveries_at_once,
        work=base.work,
        actions=base.actions,
        news=base.news,
    )


@lru_cache(4096)
def _receiver_of(host: str) -> str:
    """Who runs a mail host: the registered domain of its name, such as google.com."""
    name = host.rstrip(".").lower()
    suffix_of = suffix_list()
    suffix = suffix_of(name)
    labels = name.removesuffix(suffix).rstrip(".").rpartition(".")[2]
    return f"{labels}.{suffix}" if labels else name


def _receiver(base: _Base) -> Receiver:
    return Receiver(
        database=base.database,
        tokens=base.tokens,
        operator=base.settings.operator,
        rules=base.rules,
        clock=base.clock,
        dice=_dice,
        spool=base.settings.data_dir / "inbound",
        reply_retention=timedelta(days=base.settings.reply_retention_days),
        retention=timedelta(days=base.settings.content_retention_days),
        inbound_authentication=InboundAuthentication(resolver=base.resolver, suffix_of=suffix_list(), clock=base.clock),
        feedback_domains=frozenset(base.settings.feedback_domains),
        returns=base.returns,
        actions=base.actions,
        news=base.news,
        names=base.names,
    )


def _actor(base: _Base) -> Actor:
    return Actor(
        database=base.database,
        outgoing=base.outgoing,
        fetcher=base.fetcher,
        sealed_secrets=base.sealed_secrets,
        sms=_sms(base.settings, base.fetcher),
        clock=base.clock,
        administrator=base.settings.administrator,
        public_url=base.settings.public_url,
        actions=base.actions,
        work=base.work,
        news=base.news,
    )


def _alarm_notifier(base: _Base) -> AlarmNotifier:
    return AlarmNotifier(
        database=base.database,
        outgoing=base.outgoing,
        clock=base.clock,
        administrator=base.settings.administrator,
        public_url=base.settings.public_url,
        work=base.work,
    )


def _tidier(base: _Base) -> Tidier:
    return Tidier(
        database=base.database,
        clock=base.clock,
        jumped_at=base.clock.jumped_at,
        owner=base.owner,
        alone=base.settings.database_url.startswith("sqlite"),
        content_retention=timedelta(days=base.settings.content_retention_days),
        spool=base.settings.data_dir / "inbound",
        work=base.work,
    )


def _domain_verifier(base: _Base) -> DomainVerifier:
    domain, delegation = base.settings.from_domain, base.settings.delegation
    return DomainVerifier(
        database=base.database,
        resolver=base.resolver,
        rotation=base.rotation,
        signer=base.signer,
        own=Selectors(
            domain=domain,
            rsa=(SELECTOR, "h2"),
            ed25519=("e1", "e2") if base.settings.dkim_ed25519 else None,
            record_name=lambda selector: f"{selector}._domainkey.{domain}",
        ),
        delegated=Selectors(
            domain=delegation.dkim_domain,
            rsa=delegation.selectors,
            ed25519=None,
            record_name=delegation.record_name,
        ),
        delegation=delegation,
        clock=base.clock,
        spread=random.SystemRandom().random,
        news=base.news,
        names=base.names,
        organization_selectors=base.settings.organization_selectors,
    )


def _own_doctor(base: _Base) -> OwnDoctor:
    settings = base.settings
    doctor = Doctor(
        resolver=base.resolver,
        fetcher=base.fetcher,
        hello=settings.hostname,
        smtp_port=settings.lab_outbound_port,
        allow_private=settings.lab_private_addresses,
    )
    return OwnDoctor(
        doctor=doctor,
        database=base.database,
        signer=base.signer,
        operator_domain=settings.operator_domain,
        identity=settings.operator,
        hostname=settings.hostname,
        delegation=settings.delegation,
        suffix_of=suffix_list(),
        clock=base.clock,
    )


def _http(base: _Base, actor: Actor, domain_verifier: DomainVerifier, stopping: asyncio.Event) -> FastAPI:
    acceptance = Acceptance(
        database=base.database,
        outgoing=base.outgoing,
        clock=base.clock,
        work=base.work,
        proved=base.proved,
    )
    address_proofs = AddressProofs(
        database=base.database,
        outgoing=base.outgoing,
        clock=base.clock,
        work=base.work,
        secret=_secret,
        url=base.settings.public_url,
    )
    keyring = Keyring(database=base.database, clock=base.clock, administrator_key=base.keys.administrator)
    lab = base.settings.lab_private_addresses
    check = partial(check_url, ports=frozenset(range(1, 65536)) if lab else WEBHOOK_PORTS, allow_private=lab)
    parts = ApiParts(
        database=base.database,
        acceptance=acceptance,
        address_proofs=address_proofs,
        tokens=base.tokens,
        keyring=keyring,
        clock=base.clock,
        dice=_dice,
        secret=_secret,
        sealed_secrets=base.sealed_secrets,
        news=base.news,
        check_url=check,
        sms_status=actor.sms_status,
        metrics=REGISTRY,
        stopping=stopping,
        domain_verifier=domain_verifier,
        own_doctor=_own_doctor(base),
    )
    http = create_api(parts)
    pages = WebParts(
        database=base.database,
        acceptance=acceptance,
        address_proofs=address_proofs,
        tokens=base.tokens,
        keyring=keyring,
        clock=base.clock,
        news=base.news,
        public_url=base.settings.public_url,
        operator_name=base.settings.operator_name,
        open_here=base.settings.open_pages_here,
    )
    http.include_router(web_router(pages))
    return http


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    for lab_setting in settings.lab_settings():
        _log.warning("THIS IS A LAB SETTING: never run it on the Internet", setting=lab_setting)
    async with build(settings).running() as app:
        _log.info("homing is ready", http=app.http_port, smtp=app.smtp_port, url=settings.public_url)
        await stop.wait()


WEBHOOK_PORTS = frozenset({443})


def _dice() -> bytes:
    return os.urandom(10)


def _secret() -> bytes:
    return secrets.token_bytes(32)


async def _ended(worker: "asyncio.Task[None]") -> None:
    """Stop a worker; what it did not catch is a bug and is told here."""
    worker.cancel()
    try:
        await worker
    except asyncio.CancelledError:
        pass
    except Exception:  # noqa: BLE001 - the end of a worker
        _log.exception("a worker broke")


def _smtp_limits(settings: Settings) -> Limits:
    """One delivery's token a transaction; in a lab the whole world shares one network."""
    limits = Limits(message_octets=LARGEST_MESSAGE * 3 // 2, recipients=1)
    return replace(limits, connections_per_network=limits.connections) if settings.lab_private_addresses else limits


def _sms(settings: Settings, fetcher: Fetcher) -> SmsSender | None:
    match settings.sms_adapter:
        case "generic":
            return GenericHttp(
                fetcher=fetcher,
                url=settings.sms_url,
                template=settings.sms_template,
                headers={"Authorization": f"Bearer {settings.sms_secret.get_secret_value()}"},
            )
        case "twilio":
            return TwilioShaped(
                fetcher=fetcher,
                base_url=settings.sms_url,
                account_sid=settings.sms_account,
                auth_token=settings.sms_secret.get_secret_value(),
                from_number=settings.sms_sender,
            )
        case _:
            return None


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except OSError as error:
        message = f"Cannot be used with tls_key: {error.strerror or error}. Both are PEM files that belong together."
        raise BadSettings(Fault("tls_certificate", "setting-invalid", message)) from None
    return context
