"""The loop watch at work: whom the notice goes to and as whose, one round at a time, and what is told of its end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from math import isnan

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from homing.flow import watch_loop
from homing.flow.alarms import raise_alarm
from homing.flow.wakeup import WakeUp
from homing.flow.watch_loop import LoopWatch
from homing.lab.dns import DnsServer, Failing
from homing.loop.alarm import alarm
from homing.loop.watch import (
    AGAIN_AFTER,
    CONCLUDED_WITHIN,
    FIRST_AFTER,
    LEASE,
    STALE_AFTER,
    LoopFault,
    LoopProbe,
    LoopState,
    ProbeState,
)
from homing.mail.dsn import find_dsn
from homing.mail.mime import read_mail
from homing.net.dns import AS_PUBLISHED, Resolver
from homing.net.route import Router
from homing.net.smtp_client import SmtpClient
from homing.store import alarms, loop_probes, tables
from homing.store.database import Database
from tests.flow.act.made import OUTGOING
from tests.flow.clock import Clock
from tests.store.scenes import all_rows

RETURN_DOMAIN = "b.post.operator.example"
EVERY, SECOND = timedelta(hours=1), timedelta(seconds=1)


@dataclass
class Door:
    """A mail host that answers RCPT with `rcpt`, and takes what comes after. `breaks_tls`: it offers STARTTLS, and
    closes when a client wants it."""

    rcpt: bytes = b"250 2.1.5 ok"
    breaks_tls: bool = False
    commands: list[str] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx\r\n")
        while line := (await reader.readline()).decode().strip():
            self.commands.append(line)
            if line == "STARTTLS":
                writer.write(b"220 go\r\n")
                break
            if line.startswith("EHLO") and self.breaks_tls:
                writer.write(b"250-mx\r\n250 STARTTLS\r\n")
            elif line == "DATA":
                writer.write(b"354 go\r\n")
                self.contents.append(await reader.readuntil(b"\r\n.\r\n"))
                writer.write(b"250 2.0.0 kept\r\n")
            else:
                writer.write((self.rcpt if line.startswith("RCPT") else b"250 ok") + b"\r\n")
        writer.close()


@asynccontextmanager
async def opened(door: Door, ip: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    server = await asyncio.start_server(door.serve, ip, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def a_watch(database: Database, clock: Clock, dns: DnsServer, *, allow_private: bool = True) -> LoopWatch:
    resolver = Resolver(dns.servers, keep=AS_PUBLISHED, zone_port=dns.address[1], allow_private=True)
    return LoopWatch(
        database=database,
        outgoing=OUTGOING,
        router=Router(resolver, allow_private=allow_private, keep=0),
        client=SmtpClient("mx.operator.example"),
        clock=clock,
        hostname="mx.operator.example",
        port=1,
        every=EVERY,
        wake_up=WakeUp(),
    )


@pytest.fixture
async def watch(database: Database, clock: Clock, dns: DnsServer) -> AsyncIterator[LoopWatch]:
    dns.publish(RETURN_DOMAIN, "MX 10 mx.operator.example")
    dns.publish("mx.operator.example", "A 127.0.0.1")
    watch = a_watch(database, clock, dns)
    await watch.look()
    yield watch
    await watch.close()


async def newest(watch: LoopWatch) -> LoopProbe:
    probe = await watch.database.read(loop_probes.newest)
    assert probe is not None
    return probe


async def a_round(watch: LoopWatch, clock: Clock) -> LoopFault | None:
    """The next round that ends at once."""
    clock.now = (await newest(watch)).due_at
    with capture_logs():
        await watch.look()
    ended = (await watch.database.read(loop_probes.ended))[0]
    assert ended.ended_at == clock.now
    return ended.fault


async def test_the_notice_goes_to_the_return_address_from_the_null_sender(watch: LoopWatch, clock: Clock) -> None:
    probe = await newest(watch)
    assert (probe.round, probe.due_at) == (1, clock() + FIRST_AFTER)
    assert probe.envelope_sender.endswith(f"@{RETURN_DOMAIN}")
    door = Door()
    async with opened(door) as watch.port:
        clock.advance(FIRST_AFTER - SECOND)
        await watch.look()
        assert door.commands == []
        clock.advance(SECOND)
        await watch.look()
    assert (await newest(watch)).state is ProbeState.SENT
    assert [line.partition(" SIZE")[0] for line in door.commands[:4]] == [
        "EHLO mx.operator.example",
        "MAIL FROM:<>",
        f"RCPT TO:<{probe.envelope_sender}>",
        "DATA",
    ]
    mail = read_mail(door.contents[0])
    status = find_dsn(mail)
    assert status is not None
    assert status.recipients[0].final_recipient == "probe@loop-watch.invalid"
    (message,) = await watch.database.read(all_rows, tables.message)
    assert message["message_id"].encode() in door.contents[0], "the header of what failed"


async def test_a_private_address_is_none_that_a_stranger_reaches(
    watch: LoopWatch, database: Database, clock: Clock, dns: DnsServer
) -> None:
    outside = a_watch(database, clock, dns, allow_private=False)
    assert await a_round(outside, clock) == LoopFault.PRIVATE_MX


async def test_a_stranger_tries_the_next_host(watch: LoopWatch, clock: Clock, dns: DnsServer) -> None:
    dns.publish(RETURN_DOMAIN, "MX 10 gone.operator.example", "MX 20 mx.operator.example")
    dns.publish("gone.operator.example", "A 127.0.0.9")
    async with opened(Door()) as watch.port:
        clock.advance(FIRST_AFTER)
        await watch.look()
    assert (await newest(watch)).said == "mx.operator.example [127.0.0.1] accepted the notice"


async def test_the_first_host_says_what_is_wrong(watch: LoopWatch, clock: Clock, dns: DnsServer) -> None:
    dns.publish(RETURN_DOMAIN, "MX 10 mx.operator.example", "MX 20 gone.operator.example")
    dns.publish("gone.operator.example", "A 127.0.0.9")
    async with opened(Door(b"451 4.7.1 later")) as watch.port:
        assert await a_round(watch, clock) == LoopFault.DEFERRED


async def test_whoever_refuses_is_the_last_to_be_asked(watch: LoopWatch, clock: Clock, dns: DnsServer) -> None:
    dns.publish(RETURN_DOMAIN, "MX 10 mx.operator.example", "MX 20 backup.operator.example")
    dns.publish("backup.operator.example", "A 127.0.0.9")
    async with opened(Door(b"550 5.7.1 no")) as watch.port, opened(Door(), "127.0.0.9", watch.port):
        assert await a_round(watch, clock) == LoopFault.REFUSED


async def test_where_tls_fails_it_goes_on_in_clear(watch: LoopWatch, clock: Clock) -> None:
    door = Door(breaks_tls=True)
    async with opened(door) as watch.port:
        clock.advance(FIRST_AFTER)
        await watch.look()
    assert door.commands.count("STARTTLS") == 2
    assert len(door.contents) == 1


@pytest.mark.parametrize(
    ("rcpt", "fault"),
    [
        (b"550 5.1.1 no such address here", LoopFault.TOKEN_REFUSED),
        (b"550 5.7.1 relaying denied", LoopFault.REFUSED),
        (b"451 4.7.1 later", LoopFault.DEFERRED),
    ],
)
async def test_a_refusal_is_the_end_of_the_round(watch: LoopWatch, clock: Clock, rcpt: bytes, fault: LoopFault) -> None:
    async with opened(Door(rcpt)) as watch.port:
        assert await a_round(watch, clock) == fault
    assert (await newest(watch)).due_at == clock() + AGAIN_AFTER


async def test_a_second_failure_in_a_row_opens_an_alarm(watch: LoopWatch, clock: Clock, dns: DnsServer) -> None:
    dns.failing[RETURN_DOMAIN] = Failing.SERVFAIL
    assert await a_round(watch, clock) == LoopFault.LOOKUP_FAILED
    assert await watch.database.read(alarms.list_all) == []
    clock.now = (await newest(watch)).due_at
    with capture_logs() as logs:
        await watch.look()
    assert [log["event"] for log in logs] == ["alarm", "a notice to ourselves failed"]
    assert [alarm.cause for alarm in await watch.database.read(alarms.list_all)] == ["return-path-lookup-failed"]
    assert REGISTRY.get_sample_value("homing_return_path_ok") == 0


async def test_what_is_accepted_and_never_comes_is_lost(watch: LoopWatch, clock: Clock) -> None:
    async with opened(Door()) as watch.port:
        clock.advance(FIRST_AFTER)
        await watch.look()
        clock.advance(CONCLUDED_WITHIN - SECOND)
        await watch.look()
        assert (await newest(watch)).round == 1
        clock.advance(SECOND)
        await watch.look()
    (ended,) = await watch.database.read(loop_probes.ended)
    assert ended.fault is LoopFault.LOST
    assert (await watch.standing()).state is LoopState.DOUBTFUL


async def test_a_host_that_says_nothing_is_given_up(
    watch: LoopWatch, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    monkeypatch.setattr(watch_loop, "SENT_WITHIN", 0.1)
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    watch.port = server.sockets[0].getsockname()[1]
    assert await a_round(watch, clock) == LoopFault.UNREACHABLE
    server.close()


async def test_of_two_that_look_one_sends(watch: LoopWatch, database: Database, clock: Clock, dns: DnsServer) -> None:
    other, door = a_watch(database, clock, dns), Door()
    async with opened(door) as port:
        watch.port = other.port = port
        clock.advance(FIRST_AFTER)
        await asyncio.gather(watch.look(), other.look())
        await asyncio.gather(watch.look(), other.look())
    assert len(door.contents) == 1
    await other.close()


async def test_what_a_dead_process_began_is_sent_again(watch: LoopWatch, clock: Clock) -> None:
    door = Door()
    clock.advance(FIRST_AFTER)
    assert await watch.database.write(loop_probes.claim, await newest(watch), clock())
    async with opened(door) as watch.port:
        await watch.look()
        assert door.contents == []
        clock.advance(LEASE)
        await watch.look()
    assert len(door.contents) == 1


async def test_a_probe_that_waited_while_nobody_ran_is_replaced(watch: LoopWatch, clock: Clock) -> None:
    old = await newest(watch)
    clock.advance(FIRST_AFTER + STALE_AFTER)
    await watch.look()
    fresh = await newest(watch)
    assert (fresh.round, fresh.made_at) == (old.round + 1, clock())
    assert len(await watch.database.read(all_rows, tables.message)) == 1


async def test_a_round_on_demand_ends_within_the_time(watch: LoopWatch, clock: Clock) -> None:
    async with opened(Door(b"550 5.1.1 nobody")) as watch.port:
        with capture_logs():
            assert await watch.round_now(5)
    async with opened(Door()) as watch.port:
        assert not await watch.round_now(0.1), "it was accepted, and is not heard"


async def test_what_is_off_is_not_known(watch: LoopWatch, clock: Clock) -> None:
    with capture_logs():
        await raise_alarm(watch.database, alarm("return-path-no-mx", "no MX"), clock())
        await raise_alarm(watch.database, alarm("kept-unread", "a bug"), clock())
    watch.every = timedelta()
    await watch.run()
    assert [one.cause for one in await watch.database.read(alarms.list_all)] == ["kept-unread"]
    assert (await watch.standing()).state is LoopState.OFF
    await watch.look()
    value = REGISTRY.get_sample_value("homing_return_path_ok")
    assert value is not None
    assert isnan(value)
