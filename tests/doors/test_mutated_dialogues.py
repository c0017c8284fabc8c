"""Thousands of mutated dialogues at the MX door, with the real receiver behind it: nothing breaks, nothing leaks, and
nobody gets in a mail to somebody else's address, or one that he did not end."""

import asyncio
import gc
import re
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import psutil
import pytest
import uvloop
from structlog.testing import capture_logs

from homing.doors.smtp.mx import MxHandler
from homing.doors.smtp.server import Limits, Peer, Received, SmtpServer
from homing.mail.reply import Reply
from homing.store import tables
from homing.store.database import Database
from tests.flow.clock import Clock
from tests.flow.inbound_mail import read_all
from tests.flow.test_receive import a_receiver, address_of
from tests.migrated import migrated_database
from tests.store.scenes import all_rows

from .mutations import Attack, attack
from .test_smtp_server import certified

DIALOGUES = 5000
AT_ONCE = 40
LONGEST = 8.0
"""Seconds within which a connection answers or ends; `LIMITS` give it two for a command."""
LIMITS = Limits(
    message_octets=256 * 1024,
    recipients=1,
    any_sender=True,
    command_seconds=2,
    body_grace_seconds=2,
    linger_seconds=1,
    connections_per_network=1000,
    spool_above=4096,
)
ROLES = {f"{role}@{domain}" for role in ("postmaster", "abuse", "fbl", "dmarc", "tlsrpt")
         for domain in ("post.example", "b.post.example")} | {"postmaster", "message-service@post.example"}  # fmt: skip
BODY_BEGINS = re.compile(rb"data[ \t]*\r\n", re.IGNORECASE)


class Mail(NamedTuple):
    recipient: str
    body: bytes
    tls: str


@dataclass(frozen=True)
class Witness(MxHandler):
    """The real handler, and what it took: recipients, and mails by the client's address."""

    taken: set[str] = field(default_factory=set)
    kept: dict[str, list[Mail]] = field(default_factory=dict)

    async def recipient(self, peer: Peer, envelope_sender: str | None, recipient: str) -> Reply:
        reply = await super().recipient(peer, envelope_sender, recipient)
        if reply.positive:
            self.taken.add(recipient)
        return reply

    async def received(self, peer: Peer, received: Received) -> Reply:
        reply = await super().received(peer, received)
        if reply.positive:
            mail = Mail(received.recipients[0], received.body.read(), peer.tls)
            self.kept.setdefault(peer.ip, []).append(mail)
        return reply


@dataclass
class Client:
    """Plays an attack from an address of its own. `sent`: its octets before and after TLS; `answers`: the first digits
    of the replies; `seconds`: how long the end was waited for."""

    ip: str
    attack: Attack
    tls: ssl.SSLContext
    sent: list[bytearray] = field(default_factory=lambda: [bytearray()])
    answers: Counter[str] = field(default_factory=Counter)
    seconds: float = 0

    async def play(self, port: int) -> None:
        """Raises TimeoutError if the server neither answers nor ends the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(self.ip, 0))
        try:
            await self._write_all(reader, writer)
            begun = time.monotonic()
            async with asyncio.timeout(LONGEST):
                while await self._hear(reader, LONGEST):
                    pass
            self.seconds = time.monotonic() - begun
        except (OSError, RuntimeError) as error:  # the server has closed, or it made nothing of the handshake
            if isinstance(error, TimeoutError):
                raise
        finally:
            writer.transport.abort()

    async def _write_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._hear(reader, 0.5)
        for write in self.attack.writes:
            if write == b"~TLS":
                await writer.start_tls(self.tls, server_hostname="mx.b.example", ssl_handshake_timeout=3)
                self.sent.append(bytearray())
                continue
            writer.write(write)
            self.sent[-1] += write
            await writer.drain()
            if self.attack.patient:
                await self._hear(reader, 0.02)
        if self.attack.stays:
            return
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()

    async def _hear(self, reader: asyncio.StreamReader, seconds: float) -> bool:
        """Takes what comes within this time; False when the server has closed."""
        try:
            octets = await asyncio.wait_for(reader.read(65536), seconds)
        except TimeoutError:
            return True
        self.answers.update(code.decode() for code in re.findall(rb"(?m)^([2-5])\d\d ", octets))
        return bool(octets)


def ended(sent: bytes, bodies: list[bytes]) -> bool:
    """Whether each body stands in what was sent, one after the other, behind a DATA and before a CRLF.CRLF."""
    start = 0
    for body in bodies:
        for begin in BODY_BEGINS.finditer(sent, start):
            end = sent.find(b"\r\n.\r\n", begin.end() - 2)
            if end >= 0 and _unstuffed(sent[begin.end() : end + 2]) == body:
                start = end + 5
                break
        else:
            return False
    return True


def _unstuffed(content: bytes) -> bytes:
    return b"\r\n".join(line.removeprefix(b".") for line in content.split(b"\r\n"))


async def play_all(door: SmtpServer, port: int, ours: list[str], seeds: range, tls: ssl.SSLContext) -> list[Client]:
    clients = [
        Client(f"127.1.{seed // 250}.{seed % 250 + 1}", attack(seed, ours[seed % len(ours)].encode()), tls)
        for seed in seeds
    ]
    places = asyncio.Semaphore(AT_ONCE)

    async def play(client: Client) -> None:
        async with places:
            await client.play(port)

    async with asyncio.TaskGroup() as playing:
        for client in clients:
            playing.create_task(play(client))
    async with asyncio.timeout(LONGEST):
        while door._connections:
            await asyncio.sleep(0.02)
    return clients


@pytest.mark.slow
def test_no_mutated_dialogue_breaks_the_door(tmp_path: Path) -> None:
    """On the gateway's own event loop."""
    uvloop.run(_attacked(tmp_path))


async def _attacked(folder: Path) -> None:
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    database = Database.open(f"sqlite:///{await migrated_database(folder / 'homing.db')}", durable=False)
    await database.start()
    (spool := folder / "spool").mkdir()
    receiver = a_receiver(database, Clock(), spool)
    witness = Witness("mx.b.example", receiver)
    server_side, client_side = certified()
    door = SmtpServer(witness, LIMITS, server_side, spool=spool)
    ours = [address_of(UUID(int=number)) for number in range(500)]
    try:
        with capture_logs() as logs:
            port = await door.start("127.0.0.1", 0)
            await play_all(door, port, ours, range(DIALOGUES, DIALOGUES + 50), client_side)
            files = psutil.Process().num_fds()
            clients = await play_all(door, port, ours, range(DIALOGUES), client_side)
            gc.collect()
            assert psutil.Process().num_fds() <= files + 4
            assert door.budget.used == 0
            await door.close(grace=1)
            while await read_all(receiver):
                pass
        assert faults == []
        broken = [entry for entry in logs if entry["log_level"] in {"error", "critical"}]
        assert {entry.get("cause") for entry in broken} <= {"missing-from-store"}, "our deliveries are made up"
        assert not {address.lower() for address in witness.taken} - ROLES - set(ours)
        for client in clients:
            assert_only_what_was_sent(client, witness.kept.get(client.ip, []))
        rows = await database.read(all_rows, tables.inbound)
        assert len(rows) == sum(map(len, witness.kept.values()))
        assert {row["state"] for row in rows} == {"done"}
        report(clients, witness)
    finally:
        await database.close()


def assert_only_what_was_sent(client: Client, kept: list[Mail]) -> None:
    """Each mail was sent, and ended, in clear or over TLS as it says, and its recipient was named."""
    for over_tls in (False, True):
        sent = bytes(b"".join(client.sent[over_tls : over_tls + 1]))
        mails = [mail for mail in kept if bool(mail.tls) is over_tls]
        assert ended(sent, [mail.body for mail in mails]), client.attack
        assert all(mail.recipient.lower().encode() in sent.lower() for mail in mails), client.attack


def report(clients: list[Client], witness: Witness) -> None:
    answers = sum((client.answers for client in clients), Counter())
    kept = [mail for client in clients for mail in witness.kept.get(client.ip, [])]
    over_tls = sum(bool(mail.tls) for mail in kept)
    slowest = max(client.seconds for client in clients)
    print(f"{len(clients)} dialogues, replies {dict(sorted(answers.items()))}; {len(witness.taken)} recipients taken,")
    print(f"{len(kept)} mails kept, {over_tls} of them over TLS; an end was waited for {slowest:.1f} s at most")
    assert len(kept) > len(clients) / 20, "most dialogues reach no mail any more, and prove little"
    assert over_tls > 50
    assert answers["5"] > len(clients)
