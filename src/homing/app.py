"""Wires the rooms together. The only place that reads settings, the clock and the dice.

`App` is one gateway in one process: the store, the workers that send, hear, act and tidy, and the doors. Several of
them may share one PostgreSQL.
"""

import asyncio
import json
import os
import secrets
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import structlog
import uvicorn

from homing.config import Settings
from homing.doors.api import ApiParts, create_api
from homing.doors.smtp.mx import MxDesk
from homing.doors.smtp.server import Limits, SmtpServer
from homing.doors.web import WebParts, web_router
from homing.flow.act import Actor
from homing.flow.bell import Bell
from homing.flow.deliver import Deliverer
from homing.flow.outgoing import Outgoing
from homing.flow.prove import Proving
from homing.flow.receive import Receiver
from homing.flow.sign import Signer
from homing.flow.submit import LARGEST_MESSAGE, Submission
from homing.flow.tidy import Tidier
from homing.loop.classify import Rules, load_rules
from homing.loop.token import TokenKey, Tokens
from homing.mail.dkim import SigningKey
from homing.net.dns import Resolver
from homing.net.fetch import Fetcher
from homing.net.route import Router
from homing.net.sms import GenericHttp, SmsSender, TwilioShaped
from homing.net.smtp_client import SmtpClient
from homing.store.database import Database

_log = structlog.get_logger()

SELECTOR = "h1"


class Clock:
    """The time, UTC. Tests and the demo may move it forward; nothing else does."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def advance(self, span: timedelta) -> None:
        self._ahead += span


@dataclass(slots=True, kw_only=True)
class App:
    """A gateway that is wired and not yet running. `running()` opens the store and starts workers and doors."""

    settings: Settings
    clock: Clock
    database: Database
    signer: Signer
    smtp_client: SmtpClient
    fetcher: Fetcher
    submission: Submission
    proving: Proving
    deliverer: Deliverer
    receiver: Receiver
    actor: Actor
    tidier: Tidier
    http: Any
    smtp_server: SmtpServer
    smtp_port: int = 0
    http_port: int = 0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @asynccontextmanager
    async def storing(self) -> AsyncIterator["App"]:
        """The store alone: enough for the API in this process, with nothing sent and nobody listening."""
        await self.database.start()
        try:
            await self.database.migrate()
            yield self
        finally:
            await self.database.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["App"]:
        """Everything. On the way out: doors close first, then the workers end what they have begun."""
        async with self.storing():
            await self.tidier.recover()
            self.smtp_port = await self.smtp_server.start(self.settings.smtp_host, self.settings.smtp_port)
            http = await self._serve_http()
            self._start(self.deliverer.run, self.receiver.run, self.actor.run, self.tidier.run)
            try:
                yield self
            finally:
                await self.smtp_server.close()
                http.should_exit = True
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                await self.smtp_client.close()
                await self.fetcher.close()
                self.signer.close()

    def _start(self, *workers: Callable[[], Coroutine[Any, Any, None]]) -> None:
        for worker in workers:
            self._tasks.append(asyncio.create_task(worker(), name=worker.__qualname__))

    async def _serve_http(self) -> uvicorn.Server:
        config = uvicorn.Config(
            self.http, log_config=None, access_log=False, proxy_headers=False, lifespan="off", timeout_graceful_shutdown=5
        )
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        listener = socket.create_server((self.settings.http_host, self.settings.http_port), backlog=512)
        listener.setblocking(False)
        self.http_port = listener.getsockname()[1]
        self._tasks.append(asyncio.create_task(server.serve(sockets=[listener])))
        while not server.started:
            await asyncio.sleep(0.01)
        return server


def build(settings: Settings, clock: Clock | None = None) -> App:
    """Wire a gateway. Makes the data folder and the keys in it where they are missing."""
    clock = clock or Clock()
    keys = Keys.in_folder(settings.data_dir, settings, clock())
    work, actions, returns, news = Bell(), Bell(), Bell(), Bell()
    database = Database.open(settings.database_url)
    tokens = Tokens(keys.tokens)
    rules = _rules()
    resolver = Resolver([_server(text) for text in settings.dns_servers] or None)
    fetcher = Fetcher(
        resolver,
        ports=frozenset(range(1, 65536)) if settings.lab_private_addresses else frozenset({443}),
        allow_private=settings.lab_private_addresses,
    )
    outgoing = Outgoing(
        tokens=tokens,
        operator=settings.operator,
        operator_name=settings.operator_name,
        lifetime=settings.lifetime,
        dice=_dice,
    )
    signer = Signer(keys.signing, settings.signer_threads or os.cpu_count() or 1)
    smtp_client = SmtpClient(settings.hostname)
    submission = Submission(database=database, outgoing=outgoing, clock=clock, work=work)
    proving = Proving(
        database=database,
        outgoing=outgoing,
        clock=clock,
        work=work,
        secret=lambda: secrets.token_bytes(32),
        url=settings.public_url,
    )
    router = Router(
        resolver,
        settings.lab_outbound_port,
        settings.lab_private_addresses,
        dice=lambda: secrets.randbelow(1 << 30) / (1 << 30),
        keep=0.0 if settings.lab_private_addresses else 60.0,
    )
    owner = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
    deliverer = Deliverer(
        database=database,
        outgoing=outgoing,
        signer=signer,
        router=router,
        client=smtp_client,
        rules=rules,
        clock=clock,
        dice=_dice,
        owner=owner,
        at_once=settings.deliveries_at_once,
        work=work,
        actions=actions,
        news=news,
    )
    receiver = Receiver(
        database=database,
        tokens=tokens,
        operator=settings.operator,
        rules=rules,
        clock=clock,
        dice=_dice,
        spool=settings.data_dir / "inbound",
        reply_retention=timedelta(days=settings.reply_retention_days),
        retention=timedelta(days=settings.content_retention_days),
        returns=returns,
        actions=actions,
        news=news,
    )
    sms = _sms(settings, fetcher)
    actor = Actor(
        database=database,
        outgoing=outgoing,
        fetcher=fetcher,
        sms=sms,
        clock=clock,
        administrator=settings.administrator,
        public_url=settings.public_url,
        actions=actions,
        work=work,
        news=news,
    )
    tidier = Tidier(
        database=database,
        clock=clock,
        owner=owner,
        alone=settings.database_url.startswith("sqlite"),
        content_retention=timedelta(days=settings.content_retention_days),
        work=work,
    )
    http = create_api(
        ApiParts(
            database=database,
            submission=submission,
            proving=proving,
            tokens=tokens,
            clock=clock,
        )
    )
    http.include_router(web_router(WebParts(database=database, submission=submission, proving=proving, tokens=tokens, clock=clock)))
    smtp_server = SmtpServer(
        MxDesk(settings.hostname, receiver),
        Limits(message_octets=LARGEST_MESSAGE * 3 // 2),
        _tls(settings),
        spool=settings.data_dir,
    )
    return App(
        settings=settings,
        clock=clock,
        database=database,
        signer=signer,
        smtp_client=smtp_client,
        fetcher=fetcher,
        submission=submission,
        proving=proving,
        deliverer=deliverer,
        receiver=receiver,
        actor=actor,
        tidier=tidier,
        http=http,
        smtp_server=smtp_server,
    )


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


def _dice() -> bytes:
    return os.urandom(10)


def _rules() -> Rules:
    return load_rules(resources.files("homing.loop").joinpath("rules.toml").read_text("utf-8"))


def _server(text: str) -> tuple[str, int]:
    ip, _, port = text.rpartition(":") if text.count(":") == 1 or "]" in text else (text, "", "53")
    return ip.strip("[]"), int(port)


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
                sender=settings.sms_sender,
            )
        case _:
            return None


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The secrets on disk: token keys, DKIM keys, the administrator's key of the command line. Each file is 0600."""

    tokens: tuple[TokenKey, ...]
    signing: tuple[SigningKey, ...]
    administrator: str

    @classmethod
    def in_folder(cls, folder: Path, settings: Settings, now: datetime) -> "Keys":
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "inbound").mkdir(mode=0o700, exist_ok=True)
        return cls(
            tokens=_token_keys(folder / "token-keys.json", now),
            signing=(_signing_key(folder / f"dkim-{settings.from_domain}-{SELECTOR}.pem", settings.from_domain),),
            administrator=_administrator_key(folder / "administrator.key", settings),
        )


def _token_keys(file: Path, now: datetime) -> tuple[TokenKey, ...]:
    if not file.exists():
        key = {"id": 1, "secret": secrets.token_hex(32), "since": now.isoformat()}
        _write_secret(file, json.dumps([key], indent=2).encode())
    return tuple(
        TokenKey(id=key["id"], secret=bytes.fromhex(key["secret"]), since=datetime.fromisoformat(key["since"]))
        for key in json.loads(file.read_text())
    )


def _signing_key(file: Path, domain: str) -> SigningKey:
    if not file.exists():
        _write_secret(file, SigningKey.generate(domain, SELECTOR).pem())
    return SigningKey.load(file.read_bytes(), domain, SELECTOR)


def _administrator_key(file: Path, settings: Settings) -> str:
    if settings.administrator_key is not None:
        return settings.administrator_key.get_secret_value()
    if not file.exists():
        _write_secret(file, f"homing_admin_{secrets.token_urlsafe(32)}\n".encode())
    return file.read_text().strip()


def _write_secret(file: Path, content: bytes) -> None:
    """Whole or not at all, and for the owner's eyes only."""
    fresh = file.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    fresh.rename(file)
