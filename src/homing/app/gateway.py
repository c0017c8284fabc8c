"""One gateway in one process: the store, the workers that send, hear, act, tidy, warn, examine and watch; the doors.

Several of them may share one PostgreSQL.
"""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import cast

import structlog
from fastapi import FastAPI

from homing.app.clock import Clock
from homing.app.descriptors import places
from homing.app.http_door import http_door, make_http
from homing.app.key_files import Keys, exposed
from homing.app.shared import Shared
from homing.app.smtp_door import smtp_door, tls_of
from homing.app.workers import (
    SMTP_PORT,
    make_actor,
    make_deliverer,
    make_examiner,
    make_loop_watch,
    make_receiver,
    make_store_watch,
    make_tidier,
    make_warner,
)
from homing.config import BadSettings, Settings
from homing.doors.api import ApiParts
from homing.doors.http_connection import HttpLimits
from homing.flow.act import Actor
from homing.flow.alarms import AlarmNotifier
from homing.flow.deliver import Deliverer
from homing.flow.disk_space import DiskWatch
from homing.flow.receive import Receiver
from homing.flow.sealed_secrets import seal_anew
from homing.flow.store_watch import NOTE, StoreWatch
from homing.flow.tidy import Tidier
from homing.flow.verify_domains import DomainVerifier
from homing.flow.watch_loop import LoopWatch
from homing.loop.problem import Fault
from homing.loop.sealing import SealBroken
from homing.store import wall_clock
from homing.store.database import Database

_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True, repr=False)
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
    disk_watch: DiskWatch
    store_watch: StoreWatch
    alarm_notifier: AlarmNotifier
    domain_verifier: DomainVerifier
    loop_watch: LoopWatch
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
        """Adopt the signing key that was in a file at the first start, and seal all secrets in the store under the
        current secret key."""
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
        """The whole gateway. At the end the doors close first, then the workers finish what they have begun. Raises
        BadSettings and CannotListen before anything is sent."""
        tls = tls_of(self.settings)
        async with self.storing(), AsyncExitStack() as workers, AsyncExitStack() as doors:
            self.clock.resume(*await self.database.read(wall_clock.last_seen))
            await self.disk_watch.look()
            await self._compare()
            await self.tidier.recover()
            await self.domain_verifier.names.learn()
            workers.push_async_callback(self._close_connections)
            room = places(self.settings)
            self.smtp_port = await doors.enter_async_context(smtp_door(self.settings, self.receiver, tls, room.mx))
            if self.settings.lab_outbound_port != SMTP_PORT:
                self.loop_watch.port = self.smtp_port  # in a lab, strangers find us at whatever port is ours
            cast("ApiParts", self.http.state.api).bound(room.http)
            self.http_port = await doors.enter_async_context(
                http_door(self.settings, self.http, self.stopping, HttpLimits(connections=room.http))
            )
            for worker in (
                self.deliverer,
                self.receiver,
                self.actor,
                self.tidier,
                self.disk_watch,
                self.store_watch,
                self.alarm_notifier,
                self.domain_verifier,
                self.loop_watch,
            ):
                workers.push_async_callback(_ended, asyncio.create_task(worker.run()))
            yield self

    async def _compare(self) -> None:
        """See before anything is sent whether the store is the one that this node knows."""
        try:
            await self.store_watch.look()
        except ValueError as error:
            path = str(self.store_watch.folder / NOTE)
            message = f"It tells how far this node has seen the database, and is damaged: {error}. Move it away."
            raise BadSettings(Fault(path, "setting-invalid", message)) from None

    async def _close_connections(self) -> None:
        await self.deliverer.agent.close()
        await self.loop_watch.close()
        await self.actor.fetcher.close()


def build(settings: Settings, clock: Clock | None = None) -> App:
    """Wire a gateway. Makes the data folder and the keys in it where they are missing."""
    shared = Shared.of(settings, clock or Clock())
    actor = make_actor(shared)
    domain_verifier = make_examiner(shared)
    loop_watch, store_watch = make_loop_watch(shared), make_store_watch(shared)
    stopping = asyncio.Event()
    return App(
        settings=settings,
        clock=shared.clock,
        keys=shared.keys,
        database=shared.database,
        deliverer=make_deliverer(shared),
        receiver=make_receiver(shared),
        actor=actor,
        tidier=make_tidier(shared),
        disk_watch=DiskWatch(disk=shared.disk, database=shared.database, clock=shared.clock),
        store_watch=store_watch,
        alarm_notifier=make_warner(shared),
        domain_verifier=domain_verifier,
        loop_watch=loop_watch,
        http=make_http(shared, actor, domain_verifier, loop_watch, store_watch, stopping),
        stopping=stopping,
    )


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    if warning := exposed(settings.data_dir):
        _log.warning(warning)
    for lab_setting in settings.lab_settings():
        _log.warning("THIS IS A LAB SETTING: never run it on the Internet", setting=lab_setting)
    async with build(settings).running() as app:
        freeze_startup_objects()
        _log.info("homing is ready", http=app.http_port, smtp=app.smtp_port, url=settings.public_url)
        await stop.wait()


def freeze_startup_objects() -> None:
    """Exempt from garbage collection what the start of this process made: it lives as long as the process does, and
    each full pass over it would stop all threads for 0.1 to 0.2 s."""
    gc.collect()
    gc.freeze()


async def _ended(worker: "asyncio.Task[None]") -> None:
    """Stop a worker; an exception that it did not catch is a bug, and is logged here."""
    worker.cancel()
    try:
        await worker
    except asyncio.CancelledError:
        pass
    except Exception:  # noqa: BLE001 - the end of a worker
        _log.exception("a worker broke")
