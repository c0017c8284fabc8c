"""Stores that earlier versions left in the middle of their work, and the gateway of today on one of them."""

import gzip
import json
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import asyncpg
import httpx2

from homing.app import Clock, build
from homing.lab.world import World
from tests.postgres import Cluster
from tests.stories.gateway import Application, Story, settings_in

FOLDER = Path(__file__).parents[1] / "data" / "upgrades"
STORE, DUMP, FACTS = "store.db.gz", "store.sql.gz", "facts.json"


@dataclass(frozen=True)
class Kept:
    """A folder of `tests/data/upgrades`: a store with the secrets and the facts that belong to it."""

    folder: Path

    def __str__(self) -> str:
        return f"{self.folder.parent.name}-{self.folder.name}"

    @property
    def on_postgresql(self) -> bool:
        return (self.folder / DUMP).exists()

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What was done to it; see make_store.py."""
        return dict(json.loads((self.folder / FACTS).read_text()))

    @asynccontextmanager
    async def opened(self, folder: Path, cluster: Cluster | None) -> AsyncIterator[str]:
        """The URL of a copy, with its secrets in the data folder `folder`."""
        folder.mkdir(exist_ok=True)
        for file in self.folder.iterdir():
            if file.name not in {STORE, DUMP, FACTS}:
                shutil.copyfile(file, folder / file.name)
        if cluster is None:
            database = folder / "homing.db"
            database.write_bytes(gzip.decompress((self.folder / STORE).read_bytes()))
            yield f"sqlite:///{database}"
            return
        async with cluster.database() as url:
            await _load(url, gzip.decompress((self.folder / DUMP).read_bytes()).decode())
            yield url


KEPT = [Kept(facts.parent) for facts in sorted(FOLDER.glob(f"*/*/{FACTS}"))]


async def _load(url: str, dump: str) -> None:
    """What a dump says; and as on the server that it comes from, its transactions are of the past."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(dump)
        last = await connection.fetchval("SELECT coalesce(max(txid), 0) FROM event")
        now = int(await connection.fetchval("SELECT pg_current_xact_id()::text::bigint"))
        passing = "BEGIN FOR i IN 1..{} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END"
        await connection.execute(f"DO $$ {passing.format(max(last - now, 0))} $$")
    finally:
        await connection.close()


def a_clock(at: str) -> Clock:
    """Time goes on where it stood when the store was copied."""
    begun, start = time.monotonic(), datetime.fromisoformat(at)
    return Clock(wall=lambda: start + timedelta(seconds=time.monotonic() - begun))


@asynccontextmanager
async def a_world(kept: Kept) -> AsyncIterator[World]:
    """What was outside of the gateway then, with all hosts well again; the one that was mute speaks now."""
    facts = kept.facts
    async with World("acme-mail.com") as world:
        for domain in (*facts["sites"], "mute.example"):
            world.mx(domain)
        world.dns.zones = facts["zones"] | world.dns.zones
        yield world


@asynccontextmanager
async def started(kept: Kept, folder: Path, world: World, url: str) -> AsyncIterator[Story]:
    """The gateway of today on this copy of a store, in that world."""
    facts = kept.facts
    more = {"database_url": url} if kept.on_postgresql else {}
    clock = a_clock(facts["at"])
    app = build(settings_in(world, folder, **more), clock)
    async with app.running():
        world.gateway_is_at("127.0.0.1", app.smtp_port)
        base = f"http://127.0.0.1:{app.http_port}"
        async with httpx2.AsyncClient(base_url=base, timeout=30) as http:
            story = Story(world, app, clock, http)
            for name, key in facts["keys"].items():
                story.applications[name] = Application(story, facts["organizations"][name], key)
            yield story
