"""One attempt: which hosts are asked, what they are sent, and what the store knows before they are."""

import asyncio
import errno
import ssl
from base64 import b64encode
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from structlog.testing import capture_logs

from homing.flow.deliver.attempt import NO_SIGNING_KEY
from homing.loop.model import State
from homing.loop.retry import ASKED_AGAIN
from homing.store import tables
from tests.flow.deliver.scene import JOHN, Scene, a_scene
from tests.net.tls_servers import Handshake, demanding, dislikes_tls_1_3, drops_tls_1_3_late, fails
from tests.store.scenes import NOW, a_statement, all_rows, claimed


async def test_what_is_taken_is_signed_and_has_a_return_address_of_its_own(scene: Scene) -> None:
    site = scene.world.mx("corp.com")
    leased = await scene.claim()
    await scene.agent.deliver(leased)
    assert (await scene.delivery(leased)).state is State.DELIVERED
    (mail,) = site.mails
    assert mail.recipient == JOHN
    assert mail.envelope_sender is not None
    assert mail.envelope_sender.startswith("b+")
    assert mail.envelope_sender.endswith("@b.post.example")
    assert mail.content.startswith(b"DKIM-Signature:")
    (attempt,) = await scene.attempts()
    assert (attempt["host"], attempt["stage"], attempt["reply_code"]) == ("mx.corp.com", "dot", 250)
    assert (attempt["receiver"], attempt["egress_ip"]) == ("corp.com", "127.0.0.1")
    assert attempt["dialogue"] is None


async def test_the_hash_of_the_body_that_was_kept_is_what_is_signed(scene: Scene) -> None:
    site = scene.world.mx("corp.com")
    await scene.agent.deliver(await scene.claim(body_hash=bytes(32)))
    (mail,) = site.mails
    assert b"bh=" + b64encode(bytes(32)) in mail.content


async def test_every_attempt_sends_the_same_bytes(scene: Scene) -> None:
    site = scene.world.mx("corp.com").closes_after_dot(JOHN)
    leased = await scene.claim()
    await scene.agent.deliver(leased)
    assert (await scene.delivery(leased)).possibly_delivered
    scene.clock.now = scene.clock.now.replace(hour=20)
    (again,) = await claimed(scene.database, scene.deliverer.owner, scene.clock())
    assert again.selector == "h1"
    await scene.agent.deliver(again)
    (_, second) = await scene.attempts()
    assert second["reply_code"] == 250
    (mail,) = site.mails
    assert f"t={int(NOW.timestamp())};".encode() in mail.content, "the time of its first signature"


async def test_a_refusal_asks_no_other_host_and_a_host_that_is_not_there_does(scene: Scene) -> None:
    site = scene.world.mx("corp.com").refuses(JOHN)
    (good,) = scene.world.dns.zones["mx.corp.com"]
    scene.world.dns.publish("corp.com", "MX 10 mx1.corp.com", "MX 20 mx2.corp.com", "MX 30 mx3.corp.com")
    for name, record in {"mx1": "A 127.0.9.1", "mx2": good, "mx3": good}.items():
        scene.world.dns.publish(f"{name}.corp.com", record)
    leased = await scene.claim()
    await scene.agent.deliver(leased)
    assert (await scene.delivery(leased)).state is State.BOUNCED
    first, second = sorted(await scene.attempts(), key=lambda one: str(one["host"]))
    assert (first["host"], first["text"]) == ("mx1.corp.com", "refused")
    assert (second["host"], second["stage"], second["reply_code"]) == ("mx2.corp.com", "rcpt_to", 550)
    assert first["dialogue"] is None, "nobody said anything"
    said = second["dialogue"].splitlines()
    assert said[0].startswith("= connected to mx2.corp.com [127.0.1.1]:")
    assert any(line.startswith(f"> RCPT TO:<{JOHN}>") for line in said)
    assert any(line.startswith("< 550 5.1.1") for line in said)
    assert "thank you for your call" not in second["dialogue"]
    assert site.mails == []


@pytest.mark.parametrize(
    ("handshake", "protocols"),
    [
        (fails(1), ["TLSv1.2"]),
        (dislikes_tls_1_3, ["TLSv1.2"]),
        (drops_tls_1_3_late, ["TLSv1.2"]),
        (fails(2), ["", "TLSv1.3"]),
    ],
    ids=["fails-once", "dislikes-1.3", "drops-1.3-late", "fails-twice"],
)
async def test_tls_that_fails_for_a_moment_fails_no_message(
    scene: Scene, handshake: Handshake, protocols: list[str]
) -> None:
    scene.world.dns.publish("corp.com", "MX 10 mx.corp.com")
    scene.world.dns.publish("mx.corp.com", "A 127.0.9.40")
    leased = await scene.claim()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("mx.corp.com").configure_cert(context)
    with demanding(handshake, context, "127.0.9.40", scene.world.smtp_port):
        for protocol in protocols:
            await scene.agent.deliver(leased)
            delivery = await scene.delivery(leased)
            assert (delivery.state, delivery.case) == (State.DELIVERED if protocol else State.DEFERRED, None)
            if not protocol:
                scene.clock.now += timedelta(hours=5)
                (leased,) = await claimed(scene.database, scene.deliverer.owner, scene.clock())
    (taken,) = [one for one in await scene.attempts() if one["reply_code"] == 250]
    assert taken["tls"].startswith(protocols[-1])


async def test_clear_text_that_is_refused_is_never_final_where_tls_was_offered(scene: Scene) -> None:
    scene.world.dns.publish("corp.com", "MX 10 mx.corp.com")
    scene.world.dns.publish("mx.corp.com", "A 127.0.9.41")
    leased = await scene.claim()
    with demanding(fails(10**6), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "127.0.9.41", scene.world.smtp_port):
        for _ in range(ASKED_AGAIN + 2):
            await scene.agent.deliver(leased)
            assert (await scene.delivery(leased)).state is State.DEFERRED
            scene.clock.now += timedelta(hours=10)
            (leased,) = await claimed(scene.database, scene.deliverer.owner, scene.clock())


@pytest.fixture
def without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a machine says that has no address of that family, whatever this one has."""
    connect = asyncio.BaseEventLoop.create_connection

    async def create(loop: asyncio.BaseEventLoop, protocol: Any, host: str, port: int) -> Any:
        if ":" in host:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        return await connect(loop, protocol, host, port)

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", create)


@pytest.mark.parametrize(
    ("preferred", "attempts"),
    [
        ({"a": [f"A 127.0.9.{number}" for number in range(1, 7)]}, 2),
        ({f"m{number}": [f"A 127.0.9.{number}", f"A 127.0.9.1{number}"] for number in range(1, 4)}, 2),
        ({f"m{number}": [f"A 127.0.9.{number}"] for number in range(1, 13)}, 3),
        ({f"m{number}": [f"A 127.0.9.{number}", f"AAAA 2001:db8::{number}"] for number in range(1, 4)}, 1),
        ({"a": [f"AAAA 2001:db8::{number}" for number in range(1, 8)]}, 1),
        ({"a": [f"AAAA 2a0{number}::1" for number in range(1, 8)]}, 1),
    ],
    ids=["six-addresses", "three-of-two", "twelve", "half-without-a-route", "no-route", "no-route-to-many-networks"],
)
@pytest.mark.usefixtures("without_ipv6")
async def test_every_address_has_its_turn(scene: Scene, preferred: dict[str, list[str]], attempts: int) -> None:
    scene.world.mx("corp.com")
    for name, records in preferred.items():
        scene.world.dns.publish(f"{name}.corp.com", *records)
    wanted = [f"MX {rank} {name}.corp.com" for rank, name in enumerate(preferred, 1)]
    scene.world.dns.publish("corp.com", *wanted, "MX 99 mx.corp.com")
    leased = await scene.claim()
    for number in range(1, attempts + 1):
        await scene.agent.deliver(leased)
        state = (await scene.delivery(leased)).state
        assert state is (State.DELIVERED if number == attempts else State.DEFERRED)
        if number < attempts:
            scene.clock.now += timedelta(hours=5)
            (leased,) = await claimed(scene.database, scene.deliverer.owner, scene.clock())


async def test_one_network_without_a_route_is_not_the_whole_family(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prefix may be withdrawn, or refused by a firewall, while the rest of the Internet is there."""
    connect = asyncio.BaseEventLoop.create_connection

    async def create(loop: asyncio.BaseEventLoop, protocol: Any, host: str, port: int) -> Any:
        if host == "127.1.0.1":
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        return await connect(loop, protocol, host, port)

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", create)
    scene.world.mx("corp.com")
    scene.world.dns.publish("a.corp.com", "A 127.1.0.1")
    scene.world.dns.publish("corp.com", "MX 10 a.corp.com", "MX 20 mx.corp.com")
    leased = await scene.claim()
    await scene.agent.deliver(leased)
    assert (await scene.delivery(leased)).state is State.DELIVERED


@pytest.mark.usefixtures("without_ipv6")
async def test_where_there_is_no_route_at_all_the_attempt_says_so(scene: Scene) -> None:
    scene.world.dns.publish("corp.com", "MX 10 mx.corp.com")
    scene.world.dns.publish("mx.corp.com", "AAAA 2001:db8::1", "AAAA 2001:db8::2")
    leased = await scene.claim()
    await scene.agent.deliver(leased)
    assert (await scene.delivery(leased)).state is State.DEFERRED
    (attempt,) = await scene.attempts()
    assert attempt["ip"].startswith("2001:db8::")
    assert attempt["text"] == "no_route"


async def test_a_host_that_greylists_is_asked_again_though_there_are_others(scene: Scene) -> None:
    site = scene.world.mx("corp.com").greylists(JOHN)
    (record,) = scene.world.dns.zones["mx.corp.com"]
    names = [f"m{number}" for number in range(1, 8)]
    scene.world.dns.publish("corp.com", "MX 1 mx.corp.com", *(f"MX 10 {name}.corp.com" for name in names))
    for number, name in enumerate(names, 1):
        scene.world.dns.publish(f"{name}.corp.com", f"A 127.0.9.{number}")
    leased = await scene.claim()
    await scene.agent.deliver(leased)
    scene.clock.now += timedelta(hours=5)
    (again,) = await claimed(scene.database, scene.deliverer.owner, scene.clock())
    await scene.agent.deliver(again)
    assert (await scene.delivery(leased)).state is State.DELIVERED
    assert record.removeprefix("A ") in {attempt["ip"] for attempt in await scene.attempts()}
    assert len(site.mails) == 1


async def test_without_the_lease_nothing_is_sent(scene: Scene) -> None:
    site = scene.world.mx("corp.com")
    leased = await scene.claim()
    await scene.database.write(a_statement("UPDATE delivery SET epoch = epoch + 1"))
    await scene.agent.deliver(leased)
    assert site.mails == []
    assert await scene.attempts() == []


async def test_the_receiver_is_whoever_runs_the_host_that_decides(scene: Scene) -> None:
    scene.world.mx("corp.com")
    scene.world.dns.publish("corp.com", "MX 20 mx.corp.com", "MX 10 mx1.eu.post.co.uk")
    scene.world.dns.publish("mx1.eu.post.co.uk", "A 127.0.9.1")
    leased = await scene.claim()
    await scene.agent.deliver(leased)
    delivery = await scene.delivery(leased)
    assert (delivery.state, delivery.receiver) == (State.DELIVERED, "corp.com")
    assert {attempt["host"]: attempt["receiver"] for attempt in await scene.attempts()} == {
        "mx1.eu.post.co.uk": "post.co.uk",
        "mx.corp.com": "corp.com",
    }


async def test_where_the_host_has_no_telling_name_the_recipients_domain_does(scene: Scene) -> None:
    scene.world.mx("corp.com")
    (record,) = scene.world.dns.zones["mx.corp.com"]
    scene.world.dns.publish("corp.com", "MX 10 mailhost")
    scene.world.dns.publish("mailhost", record)
    leased = await scene.claim()
    await scene.agent.deliver(leased)
    assert (await scene.delivery(leased)).receiver == "corp.com"


async def test_a_domain_that_is_not_there_bounces_at_once(scene: Scene) -> None:
    leased = await scene.claim("john@nowhere.com")
    await scene.agent.deliver(leased)
    assert (await scene.delivery(leased)).state is State.BOUNCED
    (attempt,) = await scene.attempts()
    assert (attempt["stage"], attempt["text"]) == ("route", "no_such_domain")


async def test_a_domain_that_took_mail_lately_is_given_a_day(scene: Scene) -> None:
    scene.world.mx("corp.com")
    await scene.agent.deliver(await scene.claim())
    del scene.world.dns.zones["corp.com"], scene.world.dns.zones["mx.corp.com"]
    scene.clock.now += timedelta(days=2)
    leased = await scene.claim("ann@corp.com")
    states = []
    for hours in (0, 10, 13.9, 1):
        scene.clock.now += timedelta(hours=hours)
        if hours:
            (leased,) = await claimed(scene.database, scene.deliverer.owner, scene.clock())
        await scene.agent.deliver(leased)
        states.append((await scene.delivery(leased)).state)
    assert states == [State.DEFERRED, State.DEFERRED, State.DEFERRED, State.BOUNCED]
    later = await scene.claim("joe@corp.com")
    await scene.agent.deliver(later)
    assert (await scene.delivery(later)).state is State.BOUNCED, "the day is the domain's and not each message's"


async def test_nothing_goes_out_unsigned(tmp_path: Path) -> None:
    async with a_scene(tmp_path, key=False) as scene:
        site = scene.world.mx("corp.com")
        leased = await scene.claim()
        with capture_logs() as logs:
            await scene.agent.deliver(leased)
        assert site.mails == []
        assert (await scene.delivery(leased)).state is State.DEFERRED
        (attempt,) = await scene.attempts()
        assert attempt["text"] == NO_SIGNING_KEY
        assert any(log["event"] == "alarm" for log in logs)


async def test_whoever_finds_us_too_fast_is_left_alone(scene: Scene) -> None:
    scene.world.mx("corp.com").refuses(None, "421 4.7.28 Our system has detected an unusual rate of unsolicited mail")
    with capture_logs():
        await scene.agent.deliver(await scene.claim())
    held = await scene.claim("ann@corp.com")
    await scene.agent.deliver(held)
    delivery = await scene.delivery(held)
    assert (delivery.state, delivery.attempts) == (State.DEFERRED, 0), "nobody tried"
    assert delivery.receiver == "corp.com"
    assert len(await scene.attempts()) == 1


async def test_whoever_finds_us_too_fast_is_left_alone_though_another_host_comes_first(scene: Scene) -> None:
    site = scene.world.mx("corp.com").refuses(
        None, "421 4.7.28 Our system has detected an unusual rate of unsolicited mail"
    )
    scene.world.dns.publish("corp.com", "MX 10 www.else.com", "MX 20 mx.corp.com", "MX 30 mx.post.com")
    scene.world.dns.publish("www.else.com", "A 127.0.9.1")
    scene.world.mx("else.com")
    scene.world.mx("post.com")
    with capture_logs():
        await scene.agent.deliver(await scene.claim())
    site.accepts_all()
    leased = await scene.claim("ann@corp.com")
    await scene.agent.deliver(leased)
    assert (await scene.delivery(leased)).state is State.DEFERRED
    assert site.mails == []
    seen = {(one["host"], one["text"], one["receiver"]) for one in await scene.attempts()}
    assert seen >= {("mx.corp.com", "held-back", "corp.com"), ("www.else.com", "refused", "else.com")}
    assert "mx.post.com" not in {host for host, *_ in seen}, "nobody goes round it"
    other = await scene.claim("eve@else.com")
    await scene.agent.deliver(other)
    assert (await scene.delivery(other)).state is State.DELIVERED
    assert scene.agent.throttles.slowed == 1


async def test_an_attempt_has_an_end(scene: Scene) -> None:
    scene.agent.longest = 0.1
    scene.agent.router = _Endless()  # type: ignore[assignment]
    leased = await scene.claim()
    await scene.agent.deliver(leased)
    (attempt,) = await scene.attempts()
    assert (attempt["text"], attempt["in_doubt"]) == ("deadline", False), "as the log of attempts has always called it"


async def test_what_was_said_before_an_attempt_was_given_up_is_kept(scene: Scene) -> None:
    scene.agent.longest = 3
    scene.world.mx("corp.com").is_slow(JOHN, 30)
    leased = await scene.claim()
    await scene.agent.deliver(leased)
    (attempt,) = await scene.attempts()
    assert (attempt["text"], attempt["in_doubt"], attempt["egress_ip"]) == ("deadline", True, "127.0.0.1")
    assert attempt["dialogue"].splitlines()[-1].startswith("> (a message of ")


async def test_the_connection_comes_back_when_the_attempt_cannot_be_opened(scene: Scene) -> None:
    scene.world.mx("corp.com")
    leased = await scene.claim()

    def broken() -> bytes:
        raise LookupError("dice")

    dice, scene.agent.dice = scene.agent.dice, broken
    with pytest.raises(LookupError):
        await scene.agent.deliver(leased)
    assert all(pool.idle for pool in scene.agent.client._pools.values())
    scene.agent.dice = dice
    await scene.agent.deliver(leased)
    assert (await scene.delivery(leased)).state is State.DELIVERED


class _Endless:
    async def route(self, domain: str) -> None:
        await asyncio.Event().wait()


@pytest.mark.parametrize(("stage", "in_doubt"), [("RCPT", False), ("DATA", False), ("dot", True)])
async def test_a_clean_stop_leaves_nothing_in_doubt_whose_dot_was_not_sent(
    scene: Scene, stage: str, in_doubt: bool
) -> None:
    """A server that falls silent at that command, and a worker that is stopped while it waits."""
    reached = asyncio.Event()
    lines: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(writer)
        writer.write(b"220 hi\r\n")
        answers = {"EHLO": b"250 hi\r\n", "MAIL": b"250 ok\r\n", "RCPT": b"250 ok\r\n", "DATA": b"354 go\r\n"}
        while command := (await reader.readline())[:4].decode():
            if command == stage:
                break
            writer.write(answers[command])
            if command == "DATA":
                await reader.readuntil(b"\r\n.\r\n")
                break
        reached.set()

    server = await asyncio.start_server(serve, "127.0.9.50", scene.world.smtp_port)
    scene.world.dns.publish("corp.com", "MX 10 mx.corp.com")
    scene.world.dns.publish("mx.corp.com", "A 127.0.9.50")
    scene.deliverer.patience = 0.05
    await scene.waiting()
    working = asyncio.create_task(scene.deliverer.run())
    await reached.wait()
    await asyncio.sleep(0.1)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    server.close()
    for line in lines:
        line.transport.abort()
    (attempt,) = await scene.attempts()
    (row,) = await scene.database.read(all_rows, tables.delivery)
    assert (attempt["in_doubt"], attempt["ended_at"] is None) == (in_doubt, False)
    assert (row["state"], row["silent_deaths"]) == ("deferred" if in_doubt else "queued", 0)
