"""Knocking at a mail host's door: what each kind of host says, and hosts that say nothing."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable

import pytest

from homing.lab.certificate import self_signed
from homing.loop.doctor.facts import HostProbe
from homing.net.probe import probe
from homing.net.route import Host

WHO = ("postmaster@x.com", "abuse@x.com")
Script = dict[str, str]
NOT_NOW = "454 4.7.0 not now"
GOOD: Script = {
    "": "220 mx.x.com",
    "EHLO": "250-mx.x.com\r\n250-PIPELINING\r\n250 STARTTLS",
    "MAIL": "250 ok",
    "RCPT": "250 ok",
    "RSET": "250 ok",
    "STAR": "454 4.7.0 not now",
    "QUIT": "221 bye",
}
Serve = Callable[[Script], "asyncio.Future[Host]"]


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Script], object]]:
    servers: list[asyncio.Server] = []

    async def started(script: Script) -> Host:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                said = script.get("")
                while said is not None:
                    writer.write(f"{said}\r\n".encode())
                    line = (await reader.readline()).decode().rstrip("\r\n")
                    said = script.get(line, script.get(line[:4])) if line else None
            except ConnectionError:
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        servers.append(server)
        return Host("mx.x.com", "127.0.0.1", server.sockets[0].getsockname()[1])

    yield started
    for server in servers:
        server.close()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, HostProbe(host="mx.x.com", ip="127.0.0.1", starttls=True, tls_failure=NOT_NOW)),
        ({"EHLO": "250 mx.x.com"}, HostProbe(host="mx.x.com", ip="127.0.0.1")),
        (
            {"MAIL": "550 5.7.1 no\x1b[31m bounces"},
            HostProbe(
                host="mx.x.com",
                ip="127.0.0.1",
                starttls=True,
                tls_failure=NOT_NOW,
                refused={"": "550 5.7.1 no bounces"},
            ),
        ),
        ({"": "554 5.7.1 go away"}, HostProbe(host="mx.x.com", ip="127.0.0.1", refused={"": "554 5.7.1 go away"})),
        (
            {f"RCPT TO:<{WHO[1]}>": "550-5.1.1 no\r\n550 such user"},
            HostProbe(
                host="mx.x.com",
                ip="127.0.0.1",
                starttls=True,
                tls_failure=NOT_NOW,
                refused={WHO[1]: "550-5.1.1 no 550 such user"},
            ),
        ),
        ({"": "hello"}, HostProbe(host="mx.x.com", ip="127.0.0.1", silence="it does not speak SMTP")),
        ({"": "220 " + "x" * 9000}, HostProbe(host="mx.x.com", ip="127.0.0.1", silence="it does not speak SMTP")),
        (
            {"": "\r\n".join(["220-x"] * 99)},
            HostProbe(host="mx.x.com", ip="127.0.0.1", silence="it does not speak SMTP"),
        ),
    ],
)
async def test_what_a_host_says(serve: Serve, changes: Script, expected: HostProbe) -> None:
    assert await probe(await serve(GOOD | changes), "mx.me.com", WHO) == expected


async def test_a_host_that_hangs_up(serve: Serve) -> None:
    host = await serve({"": "220 mx.x.com"})
    assert (await probe(host, "mx.me.com", WHO)).silence == "the connection was refused or closed"


async def test_nobody_there(serve: Serve) -> None:
    host = Host("mx.x.com", "127.0.0.1", 1)
    assert (await probe(host, "mx.me.com", WHO)).silence == "the connection was refused or closed"


async def test_a_host_that_says_nothing() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        host = Host("mx.x.com", "127.0.0.1", server.sockets[0].getsockname()[1])
        assert (await probe(host, "mx.me.com", WHO, time_limit=0.1)).silence == "no answer within 0.1 seconds"


async def test_the_certificate_is_looked_at_and_not_trusted() -> None:
    context = self_signed("mx.x.com")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said: str | None = GOOD[""]
        while said is not None:
            writer.write(f"{said}\r\n".encode())
            if said == "220 go ahead":
                await writer.start_tls(context)
            line = (await reader.readline()).decode().rstrip("\r\n")
            said = {**GOOD, "STAR": "220 go ahead"}.get(line[:4]) if line else None
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        host = Host("mx.x.com", "127.0.0.1", server.sockets[0].getsockname()[1])
        told = await probe(host, "mx.me.com", WHO)
        assert (told.silence, told.tls_failure, told.refused) == ("", "", {})
        shown = ssl.DER_cert_to_PEM_cert(told.certificates[0])
        assert "BEGIN CERTIFICATE" in shown


async def test_a_handshake_that_fails_is_told(serve: Serve) -> None:
    told = await probe(await serve(GOOD | {"STAR": "220 go ahead", "\x16\x03\x01\x02": "500 what?"}), "mx.me.com", WHO)
    assert told.tls_failure
    assert told.certificates == ()
    assert told.silence == ""
