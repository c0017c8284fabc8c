"""A backup is made while mail flows, the gateway killed, the backup restored: nothing goes out before the release."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from homing.app import SELECTOR, Clock, build
from homing.config import Settings
from homing.flow.store_watch import NOTE, read_note
from homing.lab.behaviour import Good, Slow
from homing.lab.mx import Site
from homing.lab.returned_mail import Failure, bounce
from homing.lab.world import World
from homing.loop.store_mark import StoreMark
from tests import postgres
from tests.cli.console import beside, environment
from tests.migrated import migrated_database
from tests.postgres import Cluster, durable_cluster

from .gateway import Application, Story, _pem, a_story, free_port, settings_in, until
from .rows import rows
from .storm import _as_environment

__all__ = ["durable_cluster"]

JOE = "joe@acme.com"
AT_ONCE = 10
RECIPIENTS = 20
"""Of each message."""
BACKLOG = 100
THINKS = 0.5
"""Seconds that the world takes for a message while the backup is made."""
LONG = 120.0
OLDEST_DUE = "homing_oldest_due_seconds"
_MANY_TRANSACTIONS = (
    "DO $$ BEGIN FOR i IN 1..5000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"  # one a round
)
_DELIVERIES = "SELECT id, recipient, state FROM delivery WHERE recipient LIKE '%@friend.com'"


# -- a gateway that can be killed ------------------------------------------------------------------------------------


def variables(settings: Settings) -> dict[str, str]:
    return _as_environment(settings.model_dump(mode="json", exclude_unset=True, exclude={"sms_adapter"}))


@asynccontextmanager
async def a_story_apart(folder: Path) -> AsyncIterator[Story]:
    """As `a_story`, with a gateway that runs in a process of its own, when it does (`serving`)."""
    async with World("acme-mail.com") as world:
        settings = settings_in(world, folder, smtp_port=free_port(), deliveries_at_once=AT_ONCE)
        settings.data_dir.mkdir()
        await migrated_database(settings.data_dir / "homing.db")
        (settings.data_dir / f"dkim-{settings.from_domain}-{SELECTOR}.pem").write_bytes(_pem())
        app = build(settings)
        world.gateway_is_at("127.0.0.1", settings.smtp_port)
        for key in app.keys.signing:
            world.publish_key(key.selector, key.dns_record())
        base = f"http://127.0.0.1:{settings.http_port}"
        async with httpx2.AsyncClient(base_url=base, timeout=60) as http:
            yield Story(world, app, Clock(), http)


@asynccontextmanager
async def serving(story: Story) -> AsyncIterator[subprocess.Popen[bytes]]:
    """`homing serve`, until it is killed at the end."""
    settings = story.app.settings
    with (settings.data_dir.parent / "gateway.log").open("ab") as log:
        command = [sys.executable, "-m", "homing", "serve"]
        process = subprocess.Popen(command, env=environment(variables(settings)), stderr=log, start_new_session=True)

    async def answers() -> bool:
        assert process.poll() is None, "the gateway ended by itself"
        with suppress(httpx2.TransportError):
            return (await story.http.get("/healthz")).status_code == 200
        return False

    try:
        await until(answers, 120)
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def restore(backup: Path, data: Path) -> None:
    """As the runbook has it; what the node has noted of the store it had stays as it is."""
    for file in data.glob("homing.db*"):
        file.unlink()
    shutil.copyfile(backup / "homing.db", data / "homing.db")


# -- questions -------------------------------------------------------------------------------------------------------


async def ask(story: Story, path: str) -> dict[str, Any]:
    found = await story.http.get(path, headers=story.administrator)
    assert found.status_code == 200, found.text
    return dict(found.json())


async def refusal(crm: Application, path: str) -> tuple[int, str]:
    found = await crm.call("GET", path)
    return found.status_code, found.json().get("code", "")


async def metric(story: Story, name: str) -> float:
    shown = (await story.http.get("/metrics")).text
    return float(next(line for line in shown.splitlines() if line.startswith(f"{name} ")).split()[1])


async def last_cursor(crm: Application) -> str:
    """The place behind all events."""
    cursor, more = "", True
    while more:
        page = (await crm.call("GET", f"/v1/events?limit=500{cursor}")).json()
        cursor, more = f"&cursor={page['cursor']}", bool(page["events"])
    return cursor.removeprefix("&cursor=")


async def all_since(crm: Application, moment: str) -> list[dict[str, Any]]:
    """The events since then, read to their end as a consumer would who begins anew."""
    found, asked = [], f"since={moment}"
    while True:
        page = (await crm.call("GET", f"/v1/events?limit=500&{asked}")).json()
        if not page["events"]:
            return found
        found += page["events"]
        asked = f"cursor={page['cursor']}"


def copies(site: Site) -> Counter[str]:
    return Counter(mail.recipient for mail in site.mails)


# -- stories ---------------------------------------------------------------------------------------------------------


async def send_on(crm: Application, friend: Site) -> None:
    """So much that there is always something that waits, until the gateway is gone."""
    sent = 0
    with suppress(httpx2.TransportError):
        while True:
            await crm.send(JOE, *(f"customer{sent + number}@friend.com" for number in range(RECIPIENTS)))
            sent += RECIPIENTS
            while len(friend.mails) < sent - BACKLOG:
                await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_backup_is_restored_under_load(tmp_path: Path) -> None:
    async with a_story_apart(tmp_path) as story:
        data, backup = story.app.settings.data_dir, tmp_path / "backup"
        friend = story.world.mx("friend.com").behaves(None, Slow(THINKS))
        async with serving(story):
            crm = await story.application()
            await crm.person("Joe", JOE)
            load = asyncio.create_task(send_on(crm, friend))
            await until(lambda: len(friend.mails) >= 20, LONG)
            made = (await beside("backup", str(backup), **variables(story.app.settings))).document()
            assert {"homing.db", NOTE, "token-keys.json"} <= set(made["files"])
            known = {row["recipient"]: row["state"] for row in rows(f"sqlite:///{backup}/homing.db", _DELIVERIES)}
            waiting = {recipient for recipient, state in known.items() if state == "queued"}
            recorded = {recipient for recipient, state in known.items() if state == "delivered"}
            assert len(waiting) > 10 <= len(recorded), "it was made under load"
            begun, cursor = (await crm.events())[0]["at"], await last_cursor(crm)
            friend.behaves(None, Good())
            await until(lambda: copies(friend).keys() - known, LONG)
            await until(lambda: note_of(data) >= note_of(backup), LONG)
            load.cancel()
        await asyncio.sleep(THINKS)  # until the world has done what it has begun
        before = copies(friend)

        restore(backup, data)
        async with serving(story):
            await is_held(story)
            assert await refusal(crm, f"/v1/events?cursor={cursor}") == (410, "cursor-outdated")
            assert await refusal(crm, "/v1/events") == (503, "store-held")
            new = await crm.send(JOE, "new@friend.com")
            await a_report_comes_that_belongs_to_nothing(story, set(known))
            due = await metric(story, OLDEST_DUE)
            while await metric(story, OLDEST_DUE) < due + 5.0:
                await asyncio.sleep(0.2)
            assert copies(friend) == before, "nothing leaves"
        async with serving(story):
            assert (await story.http.get("/healthz")).json()["store"] == "held", "a restart changes nothing"
            released = (await beside("store", "release", **variables(story.app.settings))).document()
            assert released["state"] == "ok"
            assert released["deliveries"] > len(waiting)
            await until(lambda: all_that_was_queued_is_gone(story), LONG)
            await crm.becomes(new, "delivered")
            assert (await story.http.get("/healthz")).json()["store"] == "ok"
            after = copies(friend)
            assert known.keys() | {"new@friend.com"} <= after.keys(), "nothing is lost"
            assert {one: after[one] for one in recorded if after[one] > 1} == {}, (
                "what was recorded as sent is not again"
            )
            assert await refusal(crm, f"/v1/events?cursor={cursor}") == (410, "cursor-outdated")
            record = {f"dlv_{row['id']}": row["state"] for row in rows(story.app.settings.database_url, _DELIVERIES)}
            told = await all_since(crm, begun)
            assert len({event["id"] for event in told}) == len(told)
            told_delivered = {event["delivery"] for event in told if event["type"] == "delivered"}
            delivered = {one for one, state in record.items() if state == "delivered"}
            assert delivered <= told_delivered, "events flow"
            # What was under way when the backup was made may have gone out, and is tried again a little later.
            assert len(record.keys() - delivered) <= AT_ONCE


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_backup_is_restored_elsewhere(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """With its folder, to another machine; and the dump to another server, which has counted fewer transactions."""
    backup, elsewhere = tmp_path / "backup", tmp_path / "elsewhere"
    async with AsyncExitStack() as stack:
        url = ""
        if kind == "postgresql":
            server: Cluster = request.getfixturevalue("durable_cluster")
            await server.execute(_MANY_TRANSACTIONS)
            url = await stack.enter_async_context(server.database())
        story = await stack.enter_async_context(a_story(tmp_path, database_url=url))
        crm = await story.application()
        await crm.person("Joe", JOE)
        friend = story.world.mx("friend.com").refuses("waits@friend.com", "451 4.3.0 later")
        early, waits = await crm.send(JOE, "early@friend.com"), await crm.send(JOE, "waits@friend.com")
        await crm.becomes(early, "delivered")
        await crm.becomes(waits, "deferred")
        (await beside("backup", str(backup), **variables(story.app.settings))).document()
        late = await crm.send(JOE, "late@friend.com")
        await crm.becomes(late, "delivered")
        cursor = await last_cursor(crm)
        begun = (await crm.events())[0]["at"]

        shutil.copytree(backup, elsewhere / "homing")
        if kind == "postgresql":
            url = await stack.enter_async_context(stack.enter_context(another_server()).database())
            restored = ["pg_restore", "--no-owner", f"--dbname={url}", str(backup / "homing.dump")]
            await asyncio.to_thread(subprocess.run, restored, check=True)
        friend.behaves("waits@friend.com", Good())
        story.advance(hours=1)
        await crm.becomes(waits, "delivered")
        app = build(settings_in(story.world, elsewhere, database_url=url), story.clock)
        await stack.enter_async_context(app.running())
        story.http.base_url, story.app = f"http://127.0.0.1:{app.http_port}", app
        assert (await story.http.get("/healthz")).json()["store"] == "held"
        assert await refusal(crm, f"/v1/events?cursor={cursor}") == (410, "cursor-outdated")
        new = await crm.send(JOE, "new@friend.com")
        assert not await app.deliverer._claim()
        assert copies(friend) == {"early@friend.com": 1, "late@friend.com": 1, "waits@friend.com": 1}

        assert (await story.http.post("/v1/store/release", headers=story.administrator)).is_success
        await crm.becomes(new, "delivered")
        await crm.becomes(waits, "delivered")
        assert (await crm.call("GET", f"/v1/messages/{late['id']}")).status_code == 404
        assert copies(friend)["early@friend.com"] == 1
        told = await until(lambda: delivered_since(crm, begun, 4))  # the first is the e-mail that asked Joe
        assert told[1] == early["id"], "what is old comes first"
        assert set(told[2:]) == {new["id"], waits["id"]}
        again = await last_cursor(crm)
        await crm.send(JOE, "last@friend.com")
        await until(lambda: goes_on(crm, again))


def note_of(folder: Path) -> StoreMark:
    found = read_note(folder)
    assert found is not None
    return found


@contextmanager
def another_server() -> Iterator[Cluster]:
    """A PostgreSQL that has counted fewer transactions."""
    binaries = postgres._binaries()
    assert binaries is not None
    state = postgres._start(binaries, postgres._DURABLE)
    try:
        yield Cluster(str(state["url"]))
    finally:
        postgres._stop(int(str(state["pid"])), Path(str(state["folder"])))


def all_that_was_queued_is_gone(story: Story) -> bool:
    states = {row["state"] for row in rows(story.app.settings.database_url, _DELIVERIES)}
    return not states & {"queued", "sending"}


async def delivered_since(crm: Application, moment: str, count: int) -> list[str] | None:
    told = [event["message"] for event in await all_since(crm, moment) if event["type"] == "delivered"]
    return told if len(told) >= count else None


async def goes_on(crm: Application, cursor: str) -> bool:
    return bool((await crm.call("GET", f"/v1/events?cursor={cursor}")).json()["events"])


async def is_held(story: Story) -> None:
    """It says so wherever an operator looks."""
    assert (await story.http.get("/healthz")).json()["store"] == "held"
    shown = await ask(story, "/v1/store")
    assert (shown["state"], shown["deliveries"] > 0) == ("held", True)
    assert "store-held" in await causes(story)
    assert await metric(story, "homing_store_held") == 1.0
    signed_in = await story.http.post("/sign_in", data={"key": story.app.keys.administrator})
    assert signed_in.status_code == 303, signed_in.text
    for path in ("/", "/health"):
        assert "Nothing is sent at the moment" in (await story.http.get(path)).text
    story.http.cookies.clear()


async def causes(story: Story) -> list[str]:
    return [alarm["cause"] for alarm in (await ask(story, "/v1/alarms"))["alarms"]]


async def a_report_comes_that_belongs_to_nothing(story: Story, known: set[str]) -> None:
    """About a copy that went out after the backup was made."""
    mail = next(mail for mail in reversed(story.world.mx("friend.com").mails) if mail.recipient not in known)
    failure = Failure(final_recipient=mail.recipient)
    back = bounce(mail.hostname, str(mail.envelope_sender), mail.content, failure)
    assert (await story.world.writes(None, str(mail.envelope_sender), back)).accepted

    async def alarms() -> list[dict[str, Any]]:
        return [one for one in (await ask(story, "/v1/alarms"))["alarms"] if one["cause"] == "missing-from-store"]

    [alarm] = await until(alarms)
    [kept] = (await ask(story, "/v1/inbound?what=bounce"))["inbound"]
    assert kept["id"] in alarm["text"], "it can be found"
    assert kept["kept"]
    assert "homing store hold" in alarm["advice"]
