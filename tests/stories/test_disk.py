"""A disk that fills up: nothing is taken and nothing begun, what runs is recorded, and it goes on without a restart."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homing.flow.disk_space import BALLAST
from homing.lab.behaviour import Good
from tests.stories.gateway import Application, a_story, until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")]
MIB = 1024 * 1024
JANET, JOHN, MARY = "janet@example.net", "john@corp.com", "mary@corp.com"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 48 MiB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


async def said_to_mail_from(port: int) -> str:
    """The codes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for command in (b"", b"HELO mx.corp.com\r\n", b"MAIL FROM:<>\r\n"):
            writer.write(command)
            line = await reader.readline()
        return line[:9].decode()
    finally:
        writer.close()


def fill(disk: Path, leave: float) -> None:
    """Another program takes all room but for so many MiB."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    room = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, int(room.f_bavail * room.f_frsize - leave * MIB))


async def an_attempt_of(crm: Application, sent: dict[str, Any]) -> bool:
    """Whether one is open: its result must find room."""
    return bool((await crm.message(sent))["deliveries"][0]["attempts"])


async def test_a_full_disk_loses_nothing_sends_nothing_twice_and_needs_no_restart(small_disk: Path) -> None:
    async with a_story(small_disk, disk_reserve_mib=16) as story:
        crm = await story.application()
        await crm.person("Janet Roe", JANET)
        corp = story.world.mx("corp.com")
        ballast = small_disk / "homing" / BALLAST
        assert ballast.stat().st_size == 4 * MIB
        corp.refuses(JOHN, "451 4.3.0 later").is_slow(MARY, seconds=3)
        waiting = await crm.send(JANET, JOHN)
        await crm.becomes(waiting, "deferred")
        under_way = await crm.send(JANET, MARY)
        await until(lambda: an_attempt_of(crm, under_way))

        fill(small_disk, leave=0)
        disk = story.app.disk_watch.disk
        await until(lambda: disk.is_low and not ballast.exists())
        await crm.becomes(under_way, "delivered")
        body = {"human_sender": {"address": JANET}, "to": [JOHN], "subject": "Hi", "text": "Hello."}
        refused = await crm.call("POST", "/v1/messages", body)
        assert (refused.status_code, refused.json()["code"], refused.headers["Retry-After"]) == (503, "disk-full", "60")
        assert (await story.http.get("/healthz")).json()["disk"] == "low"
        assert "homing_disk_low 1.0" in (await story.http.get("/metrics")).text
        alarms = await story.http.get("/v1/alarms", headers=story.administrator)
        assert [alarm["cause"] for alarm in alarms.json()["alarms"]] == ["disk-low"]
        assert await said_to_mail_from(story.app.smtp_port) == "452 4.3.1"
        corp.behaves(JOHN, Good())
        story.advance(hours=3)
        assert await crm.states(waiting) == ["deferred"]
        assert corp.inbox(JOHN) == []

        (small_disk / "filler").unlink()
        await crm.becomes(waiting, "delivered")
        assert [len(corp.inbox(who)) for who in (JOHN, MARY)] == [1, 1]
        assert (await story.http.get("/healthz")).json()["disk"] == "ok"
        await until(ballast.exists)
