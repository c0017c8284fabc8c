import asyncio
import socket
import time
from contextlib import suppress

import psutil
import pytest
import uvloop
from aiosmtpd.controller import UnthreadedController
from aiosmtpd.smtp import SMTP, Session
from aiosmtpd.smtp import Envelope as PeerEnvelope

from homing.mail.reply import Reply, Stage
from homing.mail.smtp_client import Envelope, Silence, Transcript
from homing.net.route import Host
from homing.net.smtp_client import PoolLimits, Timeouts, Tls
from tests.doors.smtp_handler import RecordingDesk, listening
from tests.net.smtp_hosts import (
    CONTENT,
    IMPATIENT,
    OPEN,
    UP_TO_DATA,
    Handler,
    attempt,
    certified,
    client,
    envelope,
    home,
    remote,
    script,
)
from tests.net.tls_servers import Handshake, accepts, demanding, dislikes_tls_1_3, drops_tls_1_3_late, fails
from tests.patience import PATIENCE, until


async def test_one_connection_carries_many_messages() -> None:
    async with listening() as (desk, _, port), client() as ours:
        for recipient in ["token@b.example", "other@b.example", "token@b.example"]:
            transcript = await attempt(ours, home(port), envelope(recipient))
        assert (transcript.stage, transcript.reply, transcript.silence) == (Stage.DOT, Reply(250, "2.0.0", "ok"), None)
        assert (transcript.host, transcript.ip, transcript.tls) == ("mx.b.example", "127.0.0.1", "")
        assert desk.bodies == [CONTENT, CONTENT]
        assert len({peer.port for peer in desk.peers}) == 1


async def test_the_transcript_is_the_dialogue_without_the_message() -> None:
    async with listening() as (_, _, port), client() as ours:
        first = await attempt(ours, home(port))
        second = await attempt(ours, home(port), envelope("other@b.example"))
    assert first.log.lines[0] == f"= connected to mx.b.example [127.0.0.1]:{port}"
    assert "> RCPT TO:<token@b.example>" in first.log.lines
    assert first.log.lines[-2:] == (f"> (a message of {len(CONTENT)} octets)", "< 250 2.0.0 ok")
    assert second.log.lines[0] == "= message 2 on this connection"
    assert second.reply == Reply(550, "5.1.1", "no such recipient")


async def test_tls_where_offered_and_not_where_unwanted() -> None:
    async with listening(tls_context=certified()) as (desk, _, port), client() as ours:
        secure = await attempt(ours, home(port))
        clear = await attempt(ours, home(port), tls=Tls.NONE)
        again = await attempt(ours, Host("127.0.0.1", "127.0.0.1", port))
    assert secure.tls.startswith("TLSv1.3 TLS_")
    assert clear.tls == ""
    assert again.tls == secure.tls
    assert [peer.tls for peer in desk.peers] == [secure.tls, "", secure.tls]
    assert desk.bodies == [CONTENT] * 3


@pytest.mark.parametrize(
    ("after", "silence"),
    [(b"220 go\r\n250 injected\r\n", Silence.TLS_INJECTION), (b"220 go\r\n", Silence.TLS_FAILED)],
)
async def test_tls_that_fails_or_is_injected_into(after: bytes, silence: Silence) -> None:
    handler = script(b"250-hi\r\n250 STARTTLS\r\n", after, b"what is this\r\n", banner=b"220 hi\r\n")
    async with remote(handler) as host, client(IMPATIENT) as ours:
        transcript = await attempt(ours, host)
    assert (transcript.stage, transcript.silence) == (Stage.TLS, silence)


async def test_a_server_that_offers_tls_and_has_none_is_spoken_to_in_clear() -> None:
    answers = [b"250-hi\r\n250 STARTTLS\r\n", b"454 4.7.0 not now\r\n", b"250 ok\r\n", b"550 5.1.1 nobody\r\n"]
    async with remote(script(*answers)) as host, client(IMPATIENT) as ours:
        transcript = await attempt(ours, host)
    assert (transcript.stage, transcript.tls) == (Stage.RCPT_TO, "")


@pytest.mark.parametrize(
    ("handshake", "newest", "older"),
    [
        (fails(1), "", "TLSv1.2"),
        (dislikes_tls_1_3, "", "TLSv1.2"),
        (drops_tls_1_3_late, "", "TLSv1.2"),
        (accepts, "TLSv1.3", "TLSv1.2"),
    ],
    ids=["fails-once", "dislikes-1.3", "drops-1.3-late", "sound"],
)
async def test_a_server_is_asked_for_less_when_its_tls_fails(handshake: Handshake, newest: str, older: str) -> None:
    with demanding(handshake, certified()) as host:
        async with client() as ours:
            first = await attempt(ours, host)
            second = await attempt(ours, host, tls=Tls.AT_MOST_1_2)
            clear = await attempt(ours, host, tls=Tls.NONE)
    if newest:
        assert (first.stage, first.tls[:7]) == (Stage.DOT, newest)
    else:
        assert (first.stage, first.silence) == (Stage.TLS, Silence.TLS_FAILED)
    assert (second.stage, second.tls[:7], second.fell_back) == (Stage.DOT, older, False)
    assert (clear.stage, clear.reply.reply_code, clear.fell_back) == (Stage.MAIL_FROM, 530, True)


DSN = b"250-hi\r\n250-PIPELINING\r\n250 DSN\r\n"


@pytest.mark.parametrize("refusal", [b"555 5.5.4 unsupported", b"501 syntax error", b"504 5.5.4 no such parameter"])
@pytest.mark.parametrize("at", ["MAIL", "RCPT"])
async def test_parameters_that_are_offered_and_refused_are_left_out(refusal: bytes, at: str) -> None:
    said = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        taken = {"MAIL": False, "RCPT": False}
        while line := (await reader.readline()).decode():
            said.append(line.rstrip())
            command = line[:4].upper()
            if command == "EHLO":
                writer.write(DSN)
            elif command in taken:
                odd = command == at and line.rstrip()[-1] != ">"
                taken[command] = not odd and (command == "MAIL" or taken["MAIL"])
                writer.write(b"250 ok\r\n" if taken[command] else refusal + b"\r\n")
            elif command == "DATA" and taken["RCPT"]:
                writer.write(b"354 go\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 taken\r\n")
            else:
                writer.write(b"250 ok\r\n" if command == "RSET" else b"503 no\r\n")

    async with remote(handler) as host, client() as ours:
        first = await attempt(ours, host)
        again = await attempt(ours, host)
    assert [first.reply, again.reply] == [Reply(250, "", "taken")] * 2
    assert [line for line in said if "ORCPT" in line or "ENVID" in line or "NOTIFY" in line][1:] == []
    assert any(line.startswith("< 5") for line in first.log.lines), "the refusal is in the dialogue"


async def test_an_address_that_is_refused_is_not_asked_for_again() -> None:
    answers = [DSN, b"250 ok\r\n", b"501 5.1.3 bad address\r\n", b"503 no\r\n"]
    async with remote(script(*answers)) as host, client(IMPATIENT) as ours:
        transcript = await attempt(ours, host)
    assert (transcript.stage, transcript.reply.reply_code) == (Stage.RCPT_TO, 501)


async def test_a_server_that_loses_what_is_pipelined_is_sent_one_command_at_a_time_from_then_on() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        await reader.readline()
        writer.write(b"250-hi\r\n250 PIPELINING\r\n")
        for answer in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            await reader.readline()
            reader._buffer.clear()
            writer.write(answer)
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(b"250 taken\r\n")

    async with remote(handler) as host, client(IMPATIENT) as ours:
        first = await attempt(ours, host)
        second = await attempt(ours, host)
    assert (first.stage, first.silence) == (Stage.RCPT_TO, Silence.TIMEOUT)
    assert second.reply == Reply(250, "", "taken")


async def _endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 hi\r\n")
    await reader.readline()
    while True:
        writer.write(b"250-more\r\n" * 1000)
        await writer.drain()


async def _trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"2")
        await asyncio.sleep(0.05)


async def _hang_up_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says nothing at all."""


@pytest.mark.parametrize(
    ("handler", "stage", "silence"),
    [
        (_hang_up_at_once, Stage.BANNER, Silence.CLOSED),
        (_trickle, Stage.BANNER, Silence.TIMEOUT),
        (script(banner=b""), Stage.BANNER, Silence.TIMEOUT),
        (script(banner=b"\x00\xff\x00\xff\r\n"), Stage.BANNER, Silence.GARBLED),
        (script(banner=b"220 " + b"x" * 1_000_000), Stage.BANNER, Silence.GARBLED),
        (script(banner=b"220 hi\r\n250 early\r\n"), Stage.EHLO, Silence.GARBLED),
        (_endless, Stage.EHLO, Silence.GARBLED),
        (script(), Stage.EHLO, Silence.TIMEOUT),
        (script(OPEN), Stage.MAIL_FROM, Silence.TIMEOUT),
        (script(OPEN, None), Stage.MAIL_FROM, Silence.CLOSED),
        (script(OPEN, b"250 ok\r\n250 early\r\n"), Stage.RCPT_TO, Silence.GARBLED),
        (script(*UP_TO_DATA[:3]), Stage.DATA, Silence.TIMEOUT),
        (script(*UP_TO_DATA[:3], b"354 go\r\n250 early\r\n"), Stage.DATA, Silence.GARBLED),
        (script(*UP_TO_DATA, b"DOT "), Stage.DOT, Silence.TIMEOUT),
        (script(*UP_TO_DATA, b"DOT 25"), Stage.DOT, Silence.TIMEOUT),
        (script(*UP_TO_DATA, b"DOT hello\r\n"), Stage.DOT, Silence.GARBLED),
        (script(*UP_TO_DATA, None), Stage.DOT, Silence.CLOSED),
    ],
)
async def test_hostile_servers(handler: Handler, stage: Stage, silence: Silence) -> None:
    before = psutil.Process().memory_info().rss
    async with remote(handler) as host, client(IMPATIENT) as ours:
        started = time.monotonic()
        transcript = await attempt(ours, host)
        assert time.monotonic() - started < 30
    assert (transcript.stage, transcript.reply, transcript.silence) == (stage, None, silence)
    assert psutil.Process().memory_info().rss - before < 20_000_000


async def test_421_before_a_command_is_its_answer() -> None:
    async with remote(script(banner=b"220 hi\r\n421 going down\r\n")) as host, client() as ours:
        transcript = await attempt(ours, host)
    assert (transcript.stage, transcript.reply) == (Stage.EHLO, Reply(421, "", "going down"))


async def test_nobody_listens() -> None:
    async with remote(_trickle) as host:
        pass
    async with client() as ours:
        transcript = await attempt(ours, host)
    assert (transcript.stage, transcript.silence) == (Stage.CONNECT, Silence.REFUSED)


# --- the pool ---


async def test_an_idle_connection_that_died_is_replaced_once() -> None:
    """The server says goodbye to idle clients at once: each time in another way."""
    seen = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        await_dot = script(*UP_TO_DATA, b"DOT 250 ok\r\n", b"421 too long idle\r\n" if seen == 1 else None)
        await await_dot(reader, writer)

    async with remote(handler) as host, client() as ours:
        for _ in range(3):
            transcript = await attempt(ours, host)
            assert transcript.reply == Reply(250, "", "ok")
    assert seen == 3


async def test_a_fresh_connection_that_dies_is_not_replaced() -> None:
    seen = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        await script(OPEN, b"421 busy\r\n")(reader, writer)

    async with remote(handler) as host, client() as ours:
        transcript = await attempt(ours, host)
    assert (transcript.stage, transcript.reply) == (Stage.MAIL_FROM, Reply(421, "", "busy"))
    assert seen == 1


@pytest.mark.parametrize("lent", [True, False])
async def test_a_server_that_speaks_unasked_is_hung_up_on(lent: bool) -> None:
    hung_up = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        await reader.readline()
        writer.write(OPEN)
        await asyncio.sleep(0.1)
        writer.write(b"250 by the way\r\n" * (10_000 if lent else 1))
        with suppress(ConnectionError):
            await reader.read()
        hung_up.set()

    async with remote(handler) as host, client() as ours:
        connection = await ours.acquire(host)
        if not lent:
            connection.release()
        await asyncio.wait_for(hung_up.wait(), PATIENCE)


async def test_connections_carry_a_bounded_number_of_messages_and_say_quit() -> None:
    said: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        for answer in [*UP_TO_DATA, b"DOT 250 ok\r\n", *UP_TO_DATA[1:], b"DOT 250 ok\r\n", b"221 bye\r\n"]:
            end = b"\r\n.\r\n" if answer.startswith(b"DOT") else b"\r\n"
            said.append(await reader.readuntil(end))
            writer.write(answer.removeprefix(b"DOT "))

    async with remote(handler) as host, client(limits=PoolLimits(messages=2)) as ours:
        for _ in range(4):
            assert (await attempt(ours, host)).stage is Stage.DOT
        await ours.close()
    assert [line[:4] for line in said].count(b"EHLO") == 2
    assert said[-1] == b"QUIT\r\n"


async def test_idle_connections_say_quit_in_time() -> None:
    async with listening() as (_, server, port), client(limits=PoolLimits(idle=0.1)) as ours:
        await attempt(ours, home(port))
        assert len(server._connections) == 1
        await until(lambda: not server._connections)
        assert not ours._pools


async def test_one_host_has_a_bounded_number_of_connections() -> None:
    most = 0
    async with (
        listening(RecordingDesk(seconds=0.02)) as (desk, server, port),
        client(Timeouts(), PoolLimits(connections=3)) as ours,
    ):

        async def one() -> None:
            nonlocal most
            await attempt(ours, home(port))
            most = max(most, len(server._connections))

        await asyncio.gather(*(one() for _ in range(20)))
        assert len(desk.bodies) == 20
        assert most == 3


async def test_who_waits_too_long_for_a_connection_hears_busy() -> None:
    async with listening() as (_, _, port), client(IMPATIENT, PoolLimits(connections=1)) as ours:
        held = await ours.acquire(home(port))
        transcript = await attempt(ours, home(port))
        assert (transcript.stage, transcript.silence) == (Stage.CONNECT, Silence.BUSY)
        held.release()
        assert (await attempt(ours, home(port))).reply == Reply(250, "2.0.0", "ok")


@pytest.mark.parametrize("moment", ["connecting", "sending"])
async def test_cancellation_flies_and_leaves_no_connection(moment: str) -> None:
    async with listening(RecordingDesk(seconds=0.5)) as (desk, server, port), client(Timeouts()) as ours:
        task = asyncio.create_task(attempt(ours, home(port)))
        await (desk.began.wait() if moment == "sending" else asyncio.sleep(0))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not ours._pools
        assert all(not line for line in ours._pools)
        if moment == "sending":
            await until(lambda: desk.bodies)  # it went out: not "not sent"
        await until(lambda: not server._connections)
        assert len(desk.bodies) == (moment == "sending")


_OPENING = (b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n")


@pytest.mark.parametrize(
    ("answers", "content", "reached"),
    [
        (_OPENING[:1], CONTENT, Stage.MAIL_FROM),
        (_OPENING[:2], CONTENT, Stage.RCPT_TO),
        (_OPENING[:3], CONTENT, Stage.DATA),
        (_OPENING, b"Subject: x\r\n\r\n" + b"x\r\n" * 4_000_000, Stage.DATA),  # the host reads no more: no dot
        (_OPENING, CONTENT, Stage.DOT),
    ],
    ids=["mail", "rcpt", "data", "body", "dot"],
)
async def test_whoever_gives_up_can_tell_whether_a_copy_may_be_out_there(
    answers: tuple[bytes, ...], content: bytes, reached: Stage
) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(content) > len(CONTENT):
            writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader._limit = 4096
        await script(*answers)(reader, writer)

    async with remote(deaf) as host, client(Timeouts()) as ours:
        connection = await ours.acquire(host)
        assert not isinstance(connection, Transcript)
        sending = asyncio.create_task(connection.send(envelope(content=content)))
        await until(lambda: connection.reached is reached)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert connection.reached is reached
        assert not ours._pools


async def test_a_bug_in_the_envelope_closes_the_connection() -> None:
    async with listening() as (_, _, port), client() as ours:
        with pytest.raises(ValueError, match="stands alone"):
            await attempt(ours, home(port), envelope(content=b"bare\n"))
        assert not ours._pools


# --- peers ---


class _Peer:
    def __init__(self) -> None:
        self.envelopes: list[PeerEnvelope] = []

    async def handle_DATA(self, server: SMTP, session: Session, message: PeerEnvelope) -> str:  # noqa: N802
        self.envelopes.append(message)
        return "250 2.0.0 taken"


async def test_against_aiosmtpd() -> None:
    peer = _Peer()
    controller = UnthreadedController(peer, "127.0.0.1", 0, loop=asyncio.get_running_loop(), enable_SMTPUTF8=True)
    server = await controller._create_server()
    async with client() as ours:
        host = home(server.sockets[0].getsockname()[1])
        for recipient in ["j@b.example", "josé@b.example"]:
            message = Envelope(envelope_sender=None, recipient=recipient, content=CONTENT, smtputf8="é" in recipient)
            transcript = await attempt(ours, host, message)
            assert transcript.reply == Reply(250, "2.0.0", "taken")
    server.close()
    assert [message.content for message in peer.envelopes] == [CONTENT, CONTENT]
    assert [message.rcpt_tos for message in peer.envelopes] == [["j@b.example"], ["josé@b.example"]]


def test_on_uvloop() -> None:
    async def story() -> None:
        async with listening(tls_context=certified()) as (desk, _, port), client() as ours:
            for tls in (Tls.NEWEST, Tls.AT_MOST_1_2, Tls.NONE):
                assert (await attempt(ours, home(port), tls=tls)).reply == Reply(250, "2.0.0", "ok")
            assert desk.bodies == [CONTENT] * 3
            assert [bool(peer.tls) for peer in desk.peers] == [True, True, False]
        async with remote(_endless) as host, client() as ours:
            assert (await attempt(ours, host)).silence is Silence.GARBLED

    uvloop.run(story())
