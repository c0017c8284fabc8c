"""A real Postfix on the other side: its answers, its bounces, its log, and what we make of them."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import trustme

from homing.lab.world import World
from homing.store import tables
from tests.patience import until
from tests.stories.gateway import Application, Story, a_story, plain_text

from .postfix import Plan, Postfix, a_postfix

JANET = "janet@example.com"
IP = "127.0.2.1"


@dataclass(slots=True)
class Scene:
    """A gateway, an application with a proved Janet, and a Postfix that serves late.com and strict.com."""

    story: Story
    application: Application
    postfix: Postfix

    async def inbound(self) -> list[sa.RowMapping]:
        """What came back so far, oldest first."""
        return await self.story.app.database.read(_inbound)

    async def attempts(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        message = await self.application.message(answer)
        return [attempt for delivery in message["deliveries"] for attempt in delivery["attempts"]]

    async def ended_attempt(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The only attempt, once its end is recorded: a bounce may outrun our own record of the 250."""

        async def ended() -> list[dict[str, Any]]:
            return [attempt for attempt in await self.attempts(answer) if attempt["ended_at"]]

        (attempt,) = await until(ended)
        return dict(attempt)

    async def last_words(self) -> str:
        """Hang up, and read what Postfix counted on the connection."""
        await self.story.app.deliverer.agent.client.close()
        return await self.postfix.logs(r"smtpd\[\d+\]: disconnect .* mail=")


def _inbound(conn: sa.Connection) -> list[sa.RowMapping]:
    return list(conn.execute(tables.inbound.select().order_by(tables.inbound.c.id)).mappings())


@asynccontextmanager
async def a_scene(
    folder: Path, *mailboxes: str, at_rcpt: str = "", settings: tuple[str, ...] = ()
) -> AsyncIterator[Scene]:
    certificate = trustme.CA().issue_cert("mx.acme-mail.com")
    pem, key = folder / "certificate.pem", folder / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(pem)
    certificate.private_key_pem.write_to_path(key)
    async with a_story(folder, tls_certificate=pem, tls_key=key) as story:
        publish(story.world, "late.com", "strict.com")
        plan = Plan(
            ip=IP,
            port=story.world.smtp_port,
            way_back=("127.0.0.1", story.app.smtp_port),
            mailboxes=mailboxes,
            at_rcpt=at_rcpt,
            settings=settings,
        )
        async with a_postfix(plan) as postfix:
            application = await story.application()
            await application.person("Janet Roe", JANET)
            yield Scene(story, application, postfix)


def publish(world: World, *domains: str) -> None:
    """Postfix's host is the MX of these domains."""
    world.dns.publish("mx.late.com", f"A {IP}")
    for domain in domains:
        world.dns.publish(domain, "MX 10 mx.late.com")


def per_message(dsn: Message) -> Message:
    """The per-message fields of a DSN (RFC 3464 §2.2); those of its recipients follow as further parts."""
    return _status(dsn)[0]


def per_recipient(dsn: Message) -> Message:
    (only,) = _status(dsn)[1:]
    return only


def _status(dsn: Message) -> list[Message]:
    (status,) = (part for part in dsn.walk() if part.get_content_type() == "message/delivery-status")
    blocks = status.get_payload()
    assert isinstance(blocks, list)
    return [block for block in blocks if isinstance(block, Message)]


async def test_says_250_and_bounces_later(tmp_path: Path) -> None:
    """The open loop, closed: a real 250, a real bounce over a socket, and Janet reads of it."""
    async with a_scene(tmp_path) as scene:
        answer = await scene.application.send(JANET, "john@late.com", subject="Our call")
        message = await scene.application.becomes(answer, "bounced")

        attempt = await scene.ended_attempt(answer)
        assert (attempt["stage"], attempt["reply_code"], attempt["enhanced_status_code"]) == ("dot", 250, "2.0.0")
        assert (attempt["host"], attempt["ip"], attempt["in_doubt"]) == ("mx.late.com", IP, False)
        assert attempt["tls"].startswith("TLSv1.3 ")
        queue_id = re.fullmatch(r"Ok: queued as (\w+)", attempt["text"])[1]

        postfix = scene.postfix
        assert postfix.logged(r"TLS connection established from unknown\[127\.0\.0\.1\]")
        assert re.search(
            r'dsn=5\.1\.1, status=bounced \(unknown user: "john@late\.com"\)',
            await postfix.logs(f"{queue_id}: to=<john@late.com>"),
        )
        notification = await postfix.logs(rf"{queue_id}: sender non-delivery notification: \w+")
        sent = await postfix.logs(rf"{notification.rpartition(' ')[2]}: to=<b\+[a-z2-7]+@b\.post\.acme-mail\.com>")
        door = rf"127\.0\.0\.1\[127\.0\.0\.1\]:{scene.story.app.smtp_port}"
        came_in = re.search(rf"relay={door}.*status=sent \(250 2\.0\.0 kept as inb_(\w+)", sent)[1]
        assert postfix.logged(f"TLS connection established to {door}")

        (row,) = await scene.inbound()
        assert row["id"].hex == came_in
        assert (row["envelope_sender"], row["what"], row["state"]) == (None, "bounce", "done")
        assert row["tls"].startswith("TLSv1.3 ")
        delivery = message["deliveries"][0]
        assert f"dlv_{row['delivery'].hex}" == delivery["id"]

        dsn = message_from_bytes(row["raw"])
        assert per_message(dsn)["Reporting-MTA"] == "dns; mx.late.com"
        assert per_message(dsn)["Original-Envelope-Id"] == answer["id"].removeprefix("msg_")
        assert per_message(dsn)["X-Postfix-Queue-ID"] == queue_id
        named = per_recipient(dsn)
        assert (named["Action"], named["Status"]) == ("failed", "5.1.1")
        assert named["Original-Recipient"] == "rfc822;john@late.com"
        assert named["Final-Recipient"] == "rfc822; john@late.com"
        assert dsn.get_payload()[2].get_content_type() == "text/rfc822-headers"  # RET=HDRS was heard

        ends = [word for word in await scene.application.types_of(answer) if word in {"delivered", "bounced"}]
        assert ends in (["delivered", "bounced"], ["bounced"])
        bounced = await scene.application.hears("bounced", answer)
        assert bounced["data"]["late"] is True
        assert bounced["data"]["strength"] == "strong"
        assert bounced["data"]["reporting_mta"] == "mx.late.com"
        assert bounced["data"]["failure_class"] == delivery["verdict"]["failure_class"]
        assert delivery["bounced"] == "late"

        await scene.application.hears("rerouted", answer)
        (letter,) = await scene.story.world.mx("example.com").wait_for(JANET)
        assert "john@late.com" in plain_text(letter)
        assert "Our call" in plain_text(letter)


async def test_refuses_an_unknown_user(tmp_path: Path) -> None:
    async with a_scene(tmp_path, "john@strict.com") as scene:
        answer = await scene.application.send(JANET, "nobody@strict.com")
        message = await scene.application.becomes(answer, "bounced")
        delivery = message["deliveries"][0]
        assert (delivery["bounced"], delivery["verdict"]["failure_class"]) == ("immediate", "invalid_recipient")
        (attempt,) = await scene.attempts(answer)
        assert (attempt["stage"], attempt["reply_code"], attempt["enhanced_status_code"]) == ("rcpt_to", 550, "5.1.1")
        assert "User unknown in virtual mailbox table" in attempt["text"]
        refused = await scene.postfix.logs(r"NOQUEUE: reject: RCPT .*550 5\.1\.1 <nobody@strict\.com>")
        assert "proto=ESMTP helo=<mx.acme-mail.com>" in refused
        assert (await scene.story.world.mx("example.com").wait_for(JANET))[0]
        assert not await scene.inbound()


@dataclass
class Greylist:
    """A greylist that Postfix asks at each RCPT, in its policy delegation protocol: no at first, then yes."""

    asked: list[str] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request: dict[str, str] = {}
        while line := (await reader.readline()).decode().rstrip("\n"):
            name, _, value = line.partition("=")
            request[name] = value
        if request:
            known = request["recipient"] in self.asked
            self.asked.append(request["recipient"])
            writer.write(b"action=dunno\n\n" if known else b"action=defer 4.7.1 Greylisted, come again in a minute\n\n")
            await writer.drain()
        writer.close()


async def test_greylists_and_takes_it_the_next_time(tmp_path: Path) -> None:
    greylist = Greylist()
    server = await asyncio.start_server(greylist.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    at_rcpt = f"check_policy_service inet:127.0.0.1:{port}"
    async with server, a_scene(tmp_path, "john@strict.com", at_rcpt=at_rcpt) as scene:
        answer = await scene.application.send(JANET, "john@strict.com")
        message = await scene.application.becomes(answer, "deferred")
        assert message["deliveries"][0]["possibly_delivered"] is False
        scene.story.advance(hours=2)
        await scene.application.becomes(answer, "delivered")
        first, second = await scene.attempts(answer)
        assert (first["stage"], first["reply_code"], first["enhanced_status_code"]) == ("rcpt_to", 450, "4.7.1")
        assert "Greylisted" in first["text"]
        assert (second["stage"], second["reply_code"]) == ("dot", 250)
        assert greylist.asked == ["john@strict.com"] * 2
        await scene.postfix.logs(r"to=<john@strict\.com>.*status=sent")
        assert len(scene.postfix.mails("john@strict.com")) == 1


async def test_warns_of_a_delay(tmp_path: Path) -> None:
    """A notice of delay is an event and no failure: nobody gets a letter, the state stays."""
    settings = (
        "transport_maps = inline:{ { busy@late.com = smtp:[127.0.0.1]:9 } }",
        "delay_warning_time = 1s",
        "queue_run_delay = 1s",
        "minimal_backoff_time = 1s",
        "maximal_backoff_time = 1s",
    )
    async with a_scene(tmp_path, settings=settings) as scene:
        answer = await scene.application.send(JANET, "busy@late.com")
        await scene.application.becomes(answer, "delivered")
        await scene.postfix.logs("sender delay notification")
        told = await scene.application.hears("deferred", answer)
        assert (told["data"]["what"], told["data"]["action"], told["data"]["changes"]) == (
            "delay",
            "delayed",
            "nothing",
        )
        (row, *_) = await scene.inbound()
        assert per_recipient(message_from_bytes(row["raw"]))["Action"] == "delayed"
        assert per_recipient(message_from_bytes(row["raw"]))["Will-Retry-Until"]
        assert await scene.application.states(answer) == ["delivered"]
        assert "opened_case" not in await scene.application.types_of(answer)
        assert not scene.story.world.inbox(JANET)


async def test_one_connection_carries_a_refusal_and_a_message(tmp_path: Path) -> None:
    """MAIL, RCPT and DATA leave together; after a refused RCPT the next message begins with RSET."""
    async with a_scene(tmp_path, "john@strict.com") as scene:
        refused = await scene.application.send(JANET, "nobody@strict.com")
        await scene.application.becomes(refused, "bounced")
        taken = await scene.application.send(JANET, "john@strict.com")
        await scene.application.becomes(taken, "delivered")
        counted = await scene.last_words()
        assert "ehlo=2 starttls=1 mail=2 rcpt=1/2 data=1/2 rset=1" in counted
        await scene.postfix.logs(r"to=<john@strict\.com>.*status=sent")
        assert len(scene.postfix.mails("john@strict.com")) == 1


async def test_takes_an_address_beyond_ascii(tmp_path: Path) -> None:
    async with a_scene(tmp_path, "jürgen@late.com") as scene:
        answer = await scene.application.send(JANET, "jürgen@late.com")
        await scene.application.becomes(answer, "delivered")
        await scene.postfix.logs(r"to=<jürgen@late\.com>.*status=sent")
        (mail,) = scene.postfix.mails("jürgen@late.com")
        assert "To: <jürgen@late.com>".encode() in mail or "To: jürgen@late.com".encode() in mail
        assert b"with UTF8SMTPS id" in mail


async def test_bounces_an_address_beyond_ascii(tmp_path: Path) -> None:
    """An internationalized bounce (RFC 6533) is matched like any other."""
    async with a_scene(tmp_path) as scene:
        answer = await scene.application.send(JANET, "jürgen@late.com")
        await scene.application.becomes(answer, "bounced")
        (row,) = await scene.inbound()
        assert b"message/global-delivery-status" in row["raw"]
        assert "smtputf8" in row["flags"]
        bounced = await scene.application.hears("bounced", answer)
        assert bounced["data"]["final_recipient"] == "jürgen@late.com"
        assert (await scene.application.message(answer))["deliveries"][0]["bounced"] == "late"


async def test_two_at_once(tmp_path: Path) -> None:
    """Each Postfix has its own folder, queue and port."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with a_scene(tmp_path / "one", "a@late.com") as one, a_scene(tmp_path / "two", "a@late.com") as two:
        for scene in (one, two):
            await scene.application.becomes(await scene.application.send(JANET, "a@late.com"), "delivered")
            await scene.postfix.logs(r"to=<a@late\.com>.*status=sent")
        assert [len(scene.postfix.mails("a@late.com")) for scene in (one, two)] == [1, 1]
