"""Commands beside a running gateway, each a process of its own: found by the settings, or by URL and key."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from homing.cli.exits import ExitCode
from homing.store.sqlite import driver
from tests.patience import PATIENCE, until
from tests.stories.gateway import Story, a_story

from .console import Ended, beside, environment

FOLDER_SETTINGS = ("HOMING_OPERATOR_DOMAIN", "HOMING_DATA_DIR", "HOMING_HTTP_PORT")


def own_settings(story: Story) -> dict[str, str]:
    settings = story.app.settings
    values = (settings.operator_domain, str(settings.data_dir), str(settings.http_port))
    return dict(zip(FOLDER_SETTINGS, values, strict=True))


@asynccontextmanager
async def acme(folder: Path) -> AsyncIterator[tuple[Story, dict[str, str]]]:
    """A running gateway with the organization acme, whose Joe has proved his address, and how commands find it."""
    async with a_story(folder) as story:
        await (await story.application("acme")).person("Joe", "joe@acme.com")
        yield story, own_settings(story) | {"HOMING_ORG": "acme"}


def lines(ended: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.splitlines()]


async def test_the_return_path_of_a_gateway_that_runs(tmp_path: Path) -> None:
    async with acme(tmp_path) as (_, ours):
        tested = (await beside("loop", "test", **ours)).document()
        shown = (await beside("loop", "show", **ours)).document()
    assert (tested["state"], [one["fault"] for one in tested["rounds"]]) == ("ok", [None])
    assert shown == tested


async def test_waiting_for_a_message_to_be_delivered(tmp_path: Path) -> None:
    async with acme(tmp_path) as (story, ours):
        site = story.world.mx("friend.com")
        message = ("--from-person", "joe@acme.com", "--to", "ann@friend.com", "--subject", "Hi", "--text", "Hello")
        found = (await beside("send", *message, "--wait", **ours)).document()
        assert [one["state"] for one in found["deliveries"]] == ["delivered"]
        assert [event["type"] for event in found["timeline"]] == ["queued", "delivered"]
        assert len(site.inbox("ann@friend.com")) == 1


async def test_waiting_for_a_message_that_bounces(tmp_path: Path) -> None:
    async with acme(tmp_path) as (story, ours):
        story.world.mx("friend.com").refuses("ann@friend.com")
        message = ("--from-person", "joe@acme.com", "--to", "ann@friend.com", "--text", "Hello", "--wait")
        ended = await beside("send", *message, **ours)
        assert ended.code == ExitCode.NOT_DELIVERED, ended.err
        found = json.loads(ended.out)
        assert found["deliveries"][0]["verdict"]["failure_class"] == "invalid_recipient"
        types = [event["type"] for event in found["timeline"]]
        assert {"bounced", "opened_case", "rerouted", "notified"} <= set(types)


async def test_a_gateway_elsewhere_and_a_key_of_its_own(tmp_path: Path) -> None:
    async with acme(tmp_path) as (story, ours):
        key = (await beside("key", "create", "--org", "acme", **ours)).document()["key"]
        there = {"HOMING_URL": f"http://127.0.0.1:{story.app.http_port}", "HOMING_KEY": key}
        assert (await beside("org", "show", **there)).document()["name"] == "acme"
        refused = await beside("policy", "create", "quiet", "--step", "log", **there)
        assert (refused.code, refused.error["code"]) == (ExitCode.AUTH, "scope-missing")
        made = await beside("org", "create", "other", "--display-name", "Other Ltd", **ours)
        assert made.document()["name"] == "other"
        ann = ("sender", "create", "--org", "other", "--name", "Ann", "--address", "ann@other.com", "--proved")
        assert (await beside(*ann, **ours)).document()["proved_at"]


async def test_the_database_is_not_opened_twice(tmp_path: Path) -> None:
    async with acme(tmp_path) as (_, ours):
        ended = await beside("org", "list", **ours | {"HOMING_HTTP_PORT": "9"})
        assert (ended.code, ended.error["code"]) == (ExitCode.NETWORK, "database-in-use")
        assert str(os.getpid()) in ended.error["title"]
        second = await beside("serve", **ours | {"HOMING_HTTP_PORT": "9"})
        assert (second.code, second.error["code"]) == (ExitCode.OTHER, "database-in-use")


async def test_events_are_printed_as_they_happen(tmp_path: Path) -> None:
    async with acme(tmp_path) as (story, ours):
        story.world.mx("friend.com")
        following = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "homing", "events", "follow", "--limit", "2"),
            env=environment(ours),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            await until(lambda: story.app.http.state.api.streams.used == 1)
            message = ("--from-person", "joe@acme.com", "--to", "ann@friend.com", "--text", "Hello")
            sent = (await beside("send", *message, **ours)).document()
            async with asyncio.timeout(PATIENCE):
                out, _ = await following.communicate()
        finally:
            if following.returncode is None:
                following.kill()
        assert following.returncode == 0
        heard = lines(out)
        assert [event["message"] for event in heard] == [sent["id"]] * 2
        assert heard[0]["type"] == "queued"
        later = (await beside("events", "list", "--cursor", heard[0]["cursor"], **ours)).document()["events"]
        assert later[0]["id"] == heard[1]["id"]


async def test_a_broken_line_is_taken_up_where_it_broke(tmp_path: Path) -> None:
    """Before the first event, and after one."""
    asked: list[str] = []
    parts = [
        b"retry: 2000\nid: start\n\n",
        b'id: one\nevent: queued\ndata: {"type": "queued", "text": "\xe2\x80\xa8"}\n\n',
        b'id: two\nevent: delivered\ndata: {"type": "delivered"}\n\n',
    ]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode())
        part = parts[len(asked) - 1]
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head + b"%x\r\n%s\r\n" % (len(part), part))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        there = {"HOMING_URL": f"http://127.0.0.1:{port}", "HOMING_KEY": "key"}
        ended: Ended = await beside("events", "follow", "--limit", "2", **there)
    assert ended.code == 0, ended.err
    heard = lines(ended.out.encode())
    assert [(event["cursor"], event["type"]) for event in heard] == [("one", "queued"), ("two", "delivered")]
    assert [path.partition("?")[2] for path in asked] == ["", "cursor=start", "cursor=one"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
async def test_a_gateway_that_cannot_listen_says_why(tmp_path: Path) -> None:
    async with acme(tmp_path) as (story, ours):
        other = ours | {"HOMING_DATA_DIR": str(tmp_path / "other"), "HOMING_SMTP_HOST": "127.0.0.1"}
        ended = await beside("serve", **other | {"HOMING_SMTP_PORT": str(story.app.smtp_port)})
        assert (ended.code, ended.error["code"]) == (ExitCode.OTHER, "cannot-listen")


async def test_a_version_that_is_older_than_its_database_does_not_start(tmp_path: Path) -> None:
    """Neither `serve`, nor a command that opens the database itself."""
    ours = {"HOMING_OPERATOR_DOMAIN": "acme-mail.com", "HOMING_DATA_DIR": str(tmp_path), "HOMING_HTTP_PORT": "1"}
    (await beside("org", "list", **ours)).document()
    connection = driver().connect(str(tmp_path / "homing.db"), isolation_level=None)
    connection.execute("UPDATE alembic_version SET version_num = 'from-tomorrow'")
    connection.close()
    for command in (("serve",), ("org", "list")):
        ended = await beside(*command, **ours | {"HOMING_SMTP_HOST": "127.0.0.1", "HOMING_SMTP_PORT": "0"})
        assert (ended.code, ended.error["code"]) == (ExitCode.OTHER, "database-newer")
        assert "has schema from-tomorrow" in ended.error["detail"]
