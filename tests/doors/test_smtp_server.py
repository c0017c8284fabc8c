import asyncio
import json
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from email.message import EmailMessage

import aiosmtplib
import psutil
import pytest
import structlog
import trustme
import uvloop

from homing.doors.smtp.body import Budget, NoRoomError, Spool
from homing.doors.smtp.server import Limits, Received
from homing.mail.reply import Reply
from tests.data import HOSTILE_INPUTS
from tests.doors.smtp_handler import RecordingDesk, listening
from tests.patience import until

ENVELOPE = b"MAIL FROM:<a@a.example>\r\nRCPT TO:<token@b.example>\r\nDATA\r\n"
MANY = Limits(connections_per_network=1000)


class Talk:
    """A client that writes octets and reads replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def hear(self) -> int:
        """The next reply's code; 0 when the connection is closed."""
        while True:
            try:
                line = await asyncio.wait_for(self.reader.readline(), 30)
            except ConnectionError:  # reset: what came before it is still to be read
                line, _, rest = bytes(self.reader._buffer).partition(b"\n")
                self.reader._buffer[:] = rest
            if not line:
                return 0
            if line[3:4] == b" ":
                return int(line[:3])

    async def say(self, data: bytes, replies: int = 1) -> list[int]:
        self.writer.write(data)
        return [await self.hear() for _ in range(replies)]

    async def open(self) -> "Talk":
        assert await self.hear() == 220
        assert await self.say(b"EHLO c.example\r\n") == [250]
        return self

    async def begin(self) -> "Talk":
        await self.open()
        assert await self.say(ENVELOPE, 3) == [250, 250, 354]
        return self

    async def ended(self) -> bool:
        """Whether the server closes, after whatever it still has to say."""
        for _ in range(2000):
            if await self.hear() == 0:
                return True
        return False


@asynccontextmanager
async def talk(port: int) -> AsyncIterator[Talk]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Talk(reader, writer)
    finally:
        writer.transport.abort()


async def deliver(port: int, body: bytes = b"Subject: x\r\n\r\nbody\r\n") -> int:
    async with talk(port) as client:
        await client.begin()
        [code] = await client.say(body + b".\r\n")
        return code


async def test_a_message_reaches_the_desk_as_it_was_sent() -> None:
    async with listening() as (handler, _, port), talk(port) as client:
        await client.begin()
        assert await client.say(b"Subject: x\r\n\r\n..dot\rbare\r\n.\r\nQUIT\r\n", 2) == [250, 221]
        assert await client.ended()
    [received], [peer] = handler.received_all, handler.peers
    assert handler.bodies == [b"Subject: x\r\n\r\n.dot\rbare\r\n"]
    assert (received.envelope_sender, received.recipients) == ("a@a.example", ("token@b.example",))
    assert received.flags == {"bare_cr"}
    assert (peer.ip, peer.helo, peer.tls) == ("127.0.0.1", "c.example", "")


async def test_pipelined_commands_wait_for_a_slow_desk() -> None:
    async with listening(RecordingDesk(seconds=0.1)) as (handler, _, port), talk(port) as client:
        await client.begin()
        assert await client.say(b"one\r\n.\r\n" + ENVELOPE, 4) == [250, 250, 250, 354]
        assert await client.say(b"two\r\n.\r\nNOOP\r\n", 2) == [250, 250]
    assert handler.bodies == [b"one\r\n", b"two\r\n"]


async def test_a_desk_that_fails_costs_nobody_the_message() -> None:
    def fail(_: Received) -> Reply:
        raise RuntimeError("disk on fire")

    with structlog.testing.capture_logs() as logs:
        async with listening(RecordingDesk(answers_message=fail)) as (_, _, port):
            assert await deliver(port) == 451
    assert [entry["event"] for entry in logs] == ["smtp_session_failed"]


async def test_a_desk_may_hang_up_without_a_word() -> None:
    async with listening(RecordingDesk(answers_message=lambda _: None)) as (handler, _, port), talk(port) as client:
        await client.begin()
        assert await client.say(b"x\r\n.\r\n") == [0]
    assert len(handler.bodies) == 1


@pytest.mark.parametrize("greeting", [Reply(554, "5.7.1", "not you"), Reply(421, "4.3.2", "not now"), None])
async def test_a_desk_may_refuse_to_greet(greeting: Reply | None) -> None:
    async with listening(RecordingDesk(greets_with=greeting)) as (_, _, port), talk(port) as client:
        assert await client.hear() == (greeting.reply_code if greeting else 0)
        assert await client.ended()


async def test_a_desk_may_refuse_a_sender() -> None:
    handler = RecordingDesk(
        answers_sender=lambda mail_from: Reply(550, "5.7.1", "no") if mail_from else Reply(250, "", "ok")
    )
    async with listening(handler) as (_, _, port), talk(port) as client:
        await client.open()
        assert await client.say(b"MAIL FROM:<a@a.example>\r\nMAIL FROM:<>\r\n", 2) == [550, 250]


async def test_a_client_that_leaves_does_not_cut_the_desk_short() -> None:
    async with listening(RecordingDesk(seconds=0.2)) as (handler, server, port):
        async with talk(port) as client:
            await client.begin()
            client.writer.write(b"x\r\n.\r\n")
            await handler.began.wait()
        assert not handler.bodies, "it left while the handler was at work"
        await until(lambda: not server._connections)
        assert handler.bodies == [b"x\r\n"]


async def test_a_half_message_is_no_message() -> None:
    async with listening() as (handler, _server, port):
        async with talk(port) as client:
            await client.begin()
            client.writer.write(b"Subject: half")
            client.writer.write_eof()
            assert await client.hear() == 0
        assert not handler.bodies


async def test_who_half_closes_reads_the_answers() -> None:
    async with listening() as (_, _, port), talk(port) as client:
        await client.open()
        client.writer.write(b"NOOP\r\nRSET\r\n")
        client.writer.write_eof()
        assert [await client.hear() for _ in range(3)] == [250, 250, 0]


# --- TLS ---


def certified() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("mx.b.example", "127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    return server, client


async def test_starttls() -> None:
    server_side, client_side = certified()
    async with listening(tls_context=server_side) as (handler, _, port), talk(port) as client:
        await client.open()
        assert await client.say(b"STARTTLS\r\n") == [220]
        await client.writer.start_tls(client_side, server_hostname="mx.b.example")
        assert await client.say(b"MAIL FROM:<a@a.example>\r\n") == [503]
        assert await client.say(b"EHLO c.example\r\n") == [250]
        assert await client.say(b"STARTTLS\r\n") == [503]
        assert await client.say(ENVELOPE, 3) == [250, 250, 354]
        assert await client.say(b"secret\r\n" * 100_000 + b".\r\n") == [250]
        assert await client.say(b"QUIT\r\n") == [221]
    assert handler.peers[0].tls.startswith("TLSv1.3")
    assert len(handler.bodies[0]) == 800_000


async def test_what_is_injected_before_tls_is_never_obeyed() -> None:
    async with listening(tls_context=certified()[0]) as (handler, _, port), talk(port) as client:
        await client.open()
        assert await client.say(b"STARTTLS\r\n" + ENVELOPE + b"injected\r\n.\r\n", 2) == [554, 0]
    assert not handler.bodies


async def test_a_handshake_that_never_comes_is_not_waited_for() -> None:
    limits = Limits(command_seconds=1)
    async with listening(limits=limits, tls_context=certified()[0]) as (_, _, port), talk(port) as client:
        await client.open()
        assert await client.say(b"STARTTLS\r\n", 2) == [220, 0]


# --- peers ---


@pytest.mark.parametrize("tls", [False, True])
async def test_against_aiosmtplib(tls: bool) -> None:
    server_side, client_side = certified()
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@a.example", "token@b.example", "Grüße"
    message.set_content("Ein Punkt:\n.\n..\nEnde\n")
    async with listening(tls_context=server_side if tls else None) as (handler, _, port):
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=tls, tls_context=client_side)
        async with client:
            for _ in range(3):
                refused, text = await client.send_message(message, recipients=["token@b.example", "no@b.example"])
                assert refused["no@b.example"].code == 550
                assert text == "2.0.0 ok"
    assert len(handler.bodies) == 3
    assert all(b"\r\n.\r\n..\r\nEnde\r\n" in body for body in handler.bodies)
    assert bool(handler.peers[0].tls) is tls


# --- bad dialogues, over real sockets ---

DIALOGUES = json.loads((HOSTILE_INPUTS / "smtp" / "dialogs.json").read_text())
TOKENS = {b"<TOKEN>": b"<token@b.example>", b"<TOKEN2>": b"<token@b.example>", b"<UPPER_TOKEN>": b"<TOKEN@B.EXAMPLE>",
          b"<FORGED_TOKEN>": b"<forged@b.example>", b"<EXPIRED_TOKEN>": b"<expired@b.example>",
          b"@OURDOMAIN": b"@b.example"}  # fmt: skip
IMPATIENT = Limits(
    connections_per_network=50, command_seconds=1, body_grace_seconds=1, body_rate=1000, message_octets=2**20
)
KILO = {"MB": 2**20, "KB": 2**10}


def special(step: str, wish: str | None) -> tuple[bytes, float]:
    """Octets, and the pause between them, that a step such as `~DRIP:EHLO x:10` stands for; pauses shortened."""
    kind, *rest = step.removeprefix("~").split(":")
    match kind, rest:
        case "REPEAT", ["RCPT", count]:
            return b"RCPT TO:<token@b.example>\r\n" * int(count), 0
        case "REPEAT" | "NOREAD", [verb, count]:
            return f"{verb}\r\n".encode() * int(count), 0
        case "RAW", [octet, size]:
            return octet.encode() * (int(size[:-2]) * KILO[size[-2:]]), 0
        case "BIG", [size]:
            return b"x" * 78 + b"\r\n" + (b"x" * 78 + b"\r\n") * (int(size[:-2]) * KILO[size[-2:]] // 80), 0
        case "DRIP", [text, _]:
            return text.encode(), 0.1
    return b"", 0


async def enact(client: Talk, steps: list[list[str | None]], client_tls: ssl.SSLContext) -> list[tuple[str, str]]:
    """What was wished and what came, for each step with a wish."""
    outcome = []
    for step, wish in steps:
        if step == "~TLS" and not client.reader.at_eof():
            with suppress(OSError, ConnectionError):
                await client.writer.start_tls(client_tls, server_hostname="mx.b.example")
        data, pause = special(step, wish) if step.startswith("~") else (bytes.fromhex(step), 0.0)
        for placeholder, value in TOKENS.items():
            data = data.replace(placeholder, value)
        for piece in [bytes([octet]) for octet in data] if pause else [data]:
            client.writer.write(piece)
            await asyncio.sleep(pause)
        if wish is not None:
            code = await client.hear()
            while step.startswith("~REPEAT") and code == 250:
                code = await client.hear()
            closed = "close" in wish and (code == 0 or await client.ended())
            outcome.append((wish, "close" if closed else str(code)[0]))
    return outcome


@pytest.mark.parametrize("name", DIALOGUES)
async def test_dialogue(name: str) -> None:
    server_side, client_side = certified()
    steps = DIALOGUES[name]
    async with listening(limits=IMPATIENT, tls_context=server_side) as (handler, server, port):
        async with talk(port) as client:
            if steps[0][0] != "~NOWAIT":
                assert await client.hear() == 220
            else:
                client.writer.write(bytes.fromhex(steps[1][0]))
                steps = [["", steps[1][1]]]
                assert await client.hear() in {220, 554}
            outcome = await enact(client, steps, client_side)
        if name == "starttls_inject":  # hung up on at once: stricter than to go on and forget
            assert outcome[:2] == [("2", "2"), ("2", "5")]
        else:
            assert all(came in wish.replace("or", " ").split() for wish, came in outcome), outcome
        assert not handler.bodies
        await asyncio.wait_for(server.close(grace=1), 30)
        assert not server._connections


# --- bounds ---


async def test_connections_from_one_network_and_in_all() -> None:
    limits = Limits(connections=3, connections_per_network=2)
    async with listening(limits=limits) as (_, server, port):
        async with talk(port) as one, talk(port) as two, talk(port) as three:
            assert [await client.hear() for client in (one, two, three)] == [220, 220, 421]
        await until(lambda: not server.networks._connections)
        assert await deliver(port) == 250


async def test_connections_in_all() -> None:
    limits = Limits(connections=2, connections_per_network=9)
    async with listening(limits=limits) as (_, _, port), talk(port) as one, talk(port) as two, talk(port) as three:
        assert [await client.hear() for client in (one, two, three)] == [220, 220, 421]


async def test_a_network_that_sent_too_much_waits_and_may_finish_what_it_began() -> None:
    limits = Limits(octets_per_network=30_000, network_octets_per_second=1_000_000)
    async with listening(limits=limits) as (handler, server, port):
        stopped = time.monotonic()
        server.networks._now = lambda: stopped
        assert await deliver(port, b"x" * 60_000 + b"\r\n") == 250
        async with talk(port) as client:
            await client.open()
            assert await client.say(b"MAIL FROM:<b@b.example>\r\n") == [451]
        server.networks._now = lambda: stopped + 1
        assert await deliver(port) == 250
    assert len(handler.bodies) == 2


async def test_a_network_pays_for_the_work_on_its_mail() -> None:
    async with listening() as (handler, _, port):
        assert await deliver(port) == 250
        handler.charges[0](1000.0)
        async with talk(port) as client:
            await client.open()
            assert await client.say(b"MAIL FROM:<b@b.example>\r\n") == [451]


async def test_time_for_a_command_and_for_the_session() -> None:
    async with listening(limits=Limits(command_seconds=1)) as (_, _, port), talk(port) as client:
        await client.open()
        assert await client.say(b"NOO") == [421]
        assert await client.ended()
    async with listening(limits=Limits(session_seconds=1)) as (_, _, port), talk(port) as client:
        await client.open()
        assert await client.say(b"NOOP\r\n", 2) == [250, 421]


async def test_a_message_that_drips_is_cut_off() -> None:
    limits = Limits(body_grace_seconds=0.3, body_rate=1000)
    async with listening(limits=limits) as (handler, _, port), talk(port) as client:
        await client.begin()
        started = time.monotonic()
        while not client.reader._buffer and time.monotonic() - started < 20:
            client.writer.write(b"x")
            await asyncio.sleep(0.02)
        assert await client.hear() == 421
        assert time.monotonic() - started > 0.25
    assert not handler.bodies


async def test_a_steady_message_is_not_cut_off() -> None:
    limits = Limits(body_grace_seconds=0.2, body_rate=1000)
    async with listening(limits=limits) as (handler, _, port), talk(port) as client:
        await client.begin()
        for _ in range(20):
            client.writer.write(b"x" * 998 + b"\r\n")
            await asyncio.sleep(0.03)
        assert await client.say(b".\r\n") == [250]
    assert len(handler.bodies[0]) == 20_000


async def test_memory_of_all_connections_together() -> None:
    limits = Limits(memory_octets=100_000, spool_above=10**9, connections_per_network=9)
    async with listening(limits=limits) as (handler, server, port), talk(port) as one, talk(port) as two:
        await one.begin()
        one.writer.write(b"x" * 60_000)
        await until(lambda: server.budget.used > 50_000)
        await two.begin()
        assert await two.say(b"y" * 60_000 + b"\r\n.\r\n") == [452]
        assert await one.say(b"x\r\n.\r\n") == [250]
        assert await two.say(ENVELOPE, 3) == [250, 250, 354]
        assert await two.say(b"y" * 60_000 + b"\r\n.\r\n") == [250]
    assert [len(body) for body in handler.bodies] == [60_003, 60_002]


async def test_a_full_memory_refuses_data_itself() -> None:
    async with listening(limits=Limits(memory_octets=0)) as (_, _, port), talk(port) as client:
        await client.open()
        assert await client.say(ENVELOPE, 3) == [250, 250, 452]


async def test_a_full_disk_is_transient(tmp_path) -> None:
    async with listening(spool=tmp_path / "is not there") as (handler, _server, port):
        assert await deliver(port, (b"x" * 70 + b"\r\n") * 8000) == 452
        assert await deliver(port, b"small\r\n") == 250
    assert handler.bodies == [b"small\r\n"]


async def test_large_messages_go_to_disk_and_leave_nothing(tmp_path) -> None:
    body = b"".join(b"%09d\r\n" % number for number in range(100_000))
    async with listening(spool=tmp_path, limits=Limits(memory_octets=400_000)) as (handler, _, port):
        assert await deliver(port, body) == 250
    assert handler.bodies == [body]
    assert not handler.received_all[0].body.in_memory
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [10, 11, 600_000])
async def test_spooled_bodies_read_alike(tmp_path, size: int) -> None:
    budget = Budget(10_000_000)
    spool = Spool(budget, tmp_path, 10)
    octets = bytes(range(250)) * (size // 250) + b"x" * (size % 250)
    for start in range(0, size, 7919):
        await spool.write(octets[start : start + 7919])
    body = await spool.finish()
    assert body.in_memory is (size == 10)
    assert (body.size, body.head(5), body.read(), b"".join(body.chunks())) == (size, octets[:5], octets, octets)
    spool.discard()
    assert budget.used == 0


async def test_a_budget_is_met_exactly() -> None:
    spool = Spool(Budget(10), None, 100)
    await spool.write(b"x" * 10)
    with pytest.raises(NoRoomError):
        await spool.write(b"x")


async def test_who_reads_nothing_is_not_answered_for_ever() -> None:
    limits = Limits(fruitless_commands=10**9, command_seconds=0.5, linger_seconds=0.3)
    async with listening(limits=limits) as (_, server, port), talk(port) as client:
        await client.open()
        client.writer.transport.pause_reading()
        sent = 0
        with pytest.raises(ConnectionError):
            while True:
                client.writer.write(b"NOOP\r\n" * 10_000)
                await client.writer.drain()
                sent += 10_000
        assert sent < 2_000_000
        await until(lambda: not server._connections)


async def test_going_down() -> None:
    async with listening(RecordingDesk(seconds=0.2)) as (handler, server, port), talk(port) as idle, talk(port) as busy:
        await idle.open()
        await busy.begin()
        busy.writer.write(b"x\r\n.\r\n")
        await handler.began.wait()
        await server.close(grace=20)
        assert [await idle.hear(), await idle.hear()] == [421, 0]
        assert [await busy.hear() for _ in range(3)] == [250, 421, 0]
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", port)
    assert handler.bodies == [b"x\r\n"]


async def test_slow_clients_do_not_hold_up_a_real_one() -> None:
    async with listening(limits=MANY) as (_, server, port):
        drips = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
        for _, writer in drips:
            writer.write(b"E")
        assert await deliver(port) == 250  # each line of it within seconds, while the others have minutes
        for _, writer in drips:
            writer.transport.abort()
        await until(lambda: not server._connections)


def test_on_uvloop(tmp_path) -> None:
    async def story() -> None:
        body = b"".join(b"%09d\r\n" % number for number in range(100_000))
        async with listening(spool=tmp_path, tls_context=certified()[0]) as (handler, _, port):
            assert await deliver(port, body) == 250
            assert handler.bodies == [body]
            async with talk(port) as client:
                await client.open()
                client.writer.write(b"NOOP\r\n")
                client.writer.write_eof()
                assert [await client.hear(), await client.hear()] == [250, 0]

    uvloop.run(story())


# --- 100 MB without a line end, twenty times over ---

SERVE = """
import asyncio, sys
from homing.doors.smtp.server import Limits, SmtpServer
from tests.doors.smtp_handler import RecordingDesk
async def main():
    server = SmtpServer(RecordingDesk(), Limits(connections_per_network=100))
    print(await server.start("127.0.0.1", 0), flush=True)
    await asyncio.sleep(300)
asyncio.run(main())
"""


@pytest.fixture
def process() -> Iterator[tuple[psutil.Process, int]]:
    with subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True) as child:
        yield psutil.Process(child.pid), int(child.stdout.readline())
        child.kill()


async def _pour(port: int, octets: int) -> int:
    async with talk(port) as client:
        await client.begin()
        sent, chunk = 0, b"A" * 65536
        try:
            while sent < octets:
                client.writer.write(chunk)
                await client.writer.drain()
                sent += len(chunk)
        except ConnectionError:
            pass
        return sent


@pytest.mark.parametrize("in_body", [True, False])
async def test_a_hundred_megabytes_without_a_line_end(process: tuple[psutil.Process, int], in_body: bool) -> None:
    server, port = process
    assert await deliver(port) == 250
    before = most = server.memory_info().rss

    async def pour() -> int:
        if in_body:
            return await _pour(port, 100_000_000)
        async with talk(port) as client:
            assert await client.hear() == 220
            return len(await client.say(b"A" * 10_000_000))

    pouring = asyncio.gather(*(pour() for _ in range(20)))
    while not pouring.done():
        assert await deliver(port) == 250  # each line of it within seconds
        most = max(most, server.memory_info().rss)
    sent = await pouring
    assert most - before < 40_000_000
    if in_body:  # the message limit and what is on its way; nobody came to the end of his hundred
        assert max(sent) < 25_000_000
