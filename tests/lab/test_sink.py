"""The host for measurements against our own client: everything is taken once, whatever the octets' pieces."""

import asyncio
import time

import pytest

from homing.lab.sink import Sink
from homing.mail.reply import Stage
from homing.net.route import Host
from homing.net.smtp_client import Connection, Envelope, SmtpClient, Transcript


async def sent(client: SmtpClient, host: Host, recipient: str, content: bytes) -> Transcript:
    connection = await client.acquire(host)
    assert isinstance(connection, Connection)
    return await connection.send(Envelope(envelope_sender="b@b.example", recipient=recipient, content=content))


async def test_it_takes_mail_on_one_connection_and_remembers_when() -> None:
    sink, client = Sink("refusing.example"), SmtpClient("mx.gateway.example")
    host = Host("mx.sink.example", "127.0.0.1", await sink.start(["127.0.0.1"]))
    begun = time.monotonic()
    for number in range(3):
        transcript = await sent(client, host, f"m{number}@sink.example", b"Subject: x\r\n\r\n.\r\n..\r\n" * 2000)
        assert transcript.stage is Stage.DOT
        assert transcript.reply is not None
        assert transcript.reply.positive
    assert list(sink.arrived) == [f"m{number}@sink.example" for number in range(3)]
    assert all(begun <= moment <= time.monotonic() for moment in sink.arrived.values())
    await client.close()
    await sink.close()


async def test_it_refuses_whom_it_was_told_to_refuse() -> None:
    sink, client = Sink("refusing.example"), SmtpClient("mx.gateway.example")
    host = Host("mx.sink.example", "127.0.0.1", await sink.start(["127.0.0.1"]))
    refused = await sent(client, host, "nobody@refusing.example", b"Subject: x\r\n\r\nx\r\n")
    assert refused.stage is Stage.RCPT_TO
    assert refused.reply is not None
    assert (refused.reply.reply_code, sink.arrived) == (550, {})
    taken = await sent(client, host, "somebody@sink.example", b"Subject: x\r\n\r\nx\r\n")
    assert taken.stage is Stage.DOT
    await client.close()
    await sink.close()


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1000])
async def test_pieces_of_any_size_are_one_message(piece: int) -> None:
    sink = Sink("refusing.example")
    reader, writer = await asyncio.open_connection("127.0.0.1", await sink.start(["127.0.0.1"]))
    octets = b"EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nx\r\n\r\n.x\r\n.\r\nQUIT\r\n"
    for start in range(0, len(octets), piece):
        writer.write(octets[start : start + piece])
        await writer.drain()
        await asyncio.sleep(0)
    said = (await asyncio.wait_for(reader.read(), 30)).decode()
    codes = [line[:4] for line in said.splitlines()]
    assert codes == ["220 ", "250-", "250-", "250 ", "250 ", "250 ", "354 ", "250 ", "221 "]
    assert list(sink.arrived) == ["c@d.example"]
    writer.close()
    await sink.close()
