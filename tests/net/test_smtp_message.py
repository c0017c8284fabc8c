"""A message on its way to a server: what has left, what was taken, and what nobody can know."""

import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop

from homing.mail.reply import Reply, Stage
from homing.mail.smtp_client import Silence
from homing.net.smtp_client import Timeouts
from tests.doors.smtp_handler import listening
from tests.net.smtp_hosts import (
    IMPATIENT,
    UP_TO_DATA,
    Stubborn,
    attempt,
    certified,
    client,
    envelope,
    home,
    remote,
    script,
    script_until_data,
)
from tests.net.tls_servers import accepts, demanding


@pytest.mark.parametrize("lines", [10, 5_000])
async def test_a_server_may_think_as_long_as_it_likes_within_its_time(lines: int) -> None:
    with demanding(accepts, certified(), thinks=1.3) as host:
        async with client(Timeouts(body_rate=10**7)) as ours:
            transcript = await attempt(ours, host, envelope(content=(b"x" * 70 + b"\r\n") * lines))
    assert (transcript.stage, transcript.reply) == (Stage.DOT, Reply(250, "2.0.0", "taken"))


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("lines", [500, 1_500, 3_400])
def test_what_was_taken_is_taken_though_the_server_closes_at_once(run: Callable[..., None], lines: int) -> None:
    async def story() -> None:
        with demanding(accepts, certified(), closes=True) as host:
            async with client() as ours:
                connection = await ours.acquire(host)
                line = connection._line.wire._socket.get_extra_info("socket")
                line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                transcript = await connection.send(envelope(content=(b"x" * 70 + b"\r\n") * lines))
        assert (transcript.stage, transcript.reply) == (Stage.DOT, Reply(250, "2.0.0", "taken"))

    run(story())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.slow
@pytest.mark.parametrize("octets", [196_908, 200_000])
def test_a_slow_server_has_the_time_that_its_rate_allows(run: Callable[..., None], octets: int) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await script_until_data(reader, writer)
        tail = b""
        while not tail.endswith(b"\r\n.\r\n"):
            tail = (tail + await reader.read(4_000))[-5:]
            await asyncio.sleep(0.05)
        writer.write(b"250 taken\r\n")

    async def story() -> None:
        async with remote(handler) as host, client(Timeouts(body_rate=20_000)) as ours:
            connection = await ours.acquire(host)
            line = connection._line.wire.transport.get_extra_info("socket")
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            content = b"x" * 70 + b"\r\n"
            transcript = await connection.send(envelope(content=content * (octets // len(content))))
        assert transcript.reply == Reply(250, "", "taken")

    run(story())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_line_that_breaks_while_the_end_waits_is_no_fault_of_ours(run: Callable[..., None]) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await script_until_data(reader, writer)
        reader._transport.pause_reading()
        await asyncio.sleep(0.5)

    async def story() -> None:
        async with remote(handler) as host, client() as ours:
            connection = await ours.acquire(host)
            line = connection._line.wire.transport.get_extra_info("socket")
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            transcript = await connection.send(envelope(content=(b"x" * 70 + b"\r\n") * 1_700))
        assert (transcript.stage, transcript.silence) == (Stage.DATA, Silence.CLOSED)

    run(story())


async def _never_reads_the_message(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await script(*UP_TO_DATA)(Stubborn(reader), writer)


async def test_a_message_that_does_not_leave_is_not_in_doubt() -> None:
    large = b"x" * 70 + b"\r\n"
    async with remote(_never_reads_the_message) as host, client(IMPATIENT) as ours:
        transcript = await attempt(ours, host, envelope(content=large * 300_000))
    assert (transcript.stage, transcript.silence) == (Stage.DATA, Silence.TIMEOUT)


@pytest.mark.parametrize("closes", [False, True])
async def test_a_refusal_while_the_message_leaves_ends_it(closes: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await script_until_data(reader, writer)
        await reader.readexactly(1_000_000)
        writer.write(b"552 5.3.4 too big\r\n")
        if closes:
            writer.close()
        else:
            await asyncio.sleep(5)

    async with remote(handler) as host, client() as ours:
        transcript = await attempt(ours, host, envelope(content=(b"x" * 70 + b"\r\n") * 300_000))
    assert (transcript.stage, transcript.reply) == (Stage.DATA, Reply(552, "5.3.4", "too big"))
    assert "socket.send() raised exception" not in caplog.text


async def test_a_dot_that_never_left_is_not_in_doubt() -> None:
    """The end of the message is in our own buffer when the server goes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await script_until_data(Stubborn(reader), writer)
        await asyncio.sleep(0.5)

    async with remote(handler) as host, client() as ours:
        connection = await ours.acquire(host)
        ours_of_it = connection._line.wire.transport.get_extra_info("socket")
        ours_of_it.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        transcript = await connection.send(envelope(content=(b"x" * 70 + b"\r\n") * 1_700))
    assert (transcript.stage, transcript.silence) == (Stage.DATA, Silence.CLOSED)


async def test_a_large_message_arrives_whole() -> None:
    content = b"".join(b".%07d %s\r\n" % (number, b"x" * 60) for number in range(100_000))
    async with listening() as (desk, _, port), client(Timeouts()) as ours:
        transcript = await attempt(ours, home(port), envelope(content=content))
    assert transcript.reply == Reply(250, "2.0.0", "ok")
    assert desk.bodies == [content]
    assert not desk.received_all[0].body.in_memory
