"""The world outside as a process of its own: DNS, and mail hosts that write a line for every copy that they hold.

`python -m tests.stories.outside LEDGER GATEWAY_SMTP_PORT` says on one line where it listens, and runs until SIGTERM.
"""

import asyncio
import json
import signal
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from homing.lab.behaviour import QUEUED, Good, Mail, Slow
from homing.lab.mx import _as_line as line_of
from homing.lab.outbound import Outbound
from homing.lab.returned_mail import Failure, bounce
from homing.lab.world import World
from homing.mail.reply import Reply
from homing.net.smtp_client import Envelope

OPERATOR = "acme-mail.com"
HUMAN_SENDER = "janet@crm.example"
MIX = {
    "good.example": 40,
    "slow.example": 12,
    "refusing.example": 10,
    "greylisting.example": 10,
    "closing.example": 10,
    "going.example": 5,
    "throttling.example": 5,
    "bouncing.example": 8,
}
"""Domains, and how often out of a hundred a message goes there."""


@dataclass
class Closing(Good):
    """Closes after the dot, or says 421 as it goes, once for each recipient; every other time it has kept
    the message."""

    ledger: Path
    last_words: Reply | None = None
    seen: set[str] = field(default_factory=set)

    async def at_dot(self, mail: Mail, post: Outbound) -> Reply | None:
        if mail.recipient in self.seen:
            return QUEUED
        self.seen.add(mail.recipient)
        if zlib.crc32(mail.recipient.encode()) % 2:
            _write(self.ledger, line_of(mail))
        _write(self.ledger, json.dumps({"closed": mail.recipient}))
        return self.last_words


@dataclass
class Throttling(Good):
    """Says 421 after the dot and means it, once for each recipient: it has kept nothing (RFC 5321 §4.2.5)."""

    seen: set[str] = field(default_factory=set)

    async def at_dot(self, mail: Mail, post: Outbound) -> Reply | None:
        if mail.recipient in self.seen:
            return QUEUED
        self.seen.add(mail.recipient)
        return Reply(421, "4.7.1", "your mail is deferred by policy")


@dataclass
class Bouncing(Good):
    """Says 250, then sends a bounce; the line says whether the gateway took it."""

    ledger: Path

    async def afterwards(self, mail: Mail, post: Outbound) -> None:
        if mail.envelope_sender is None:
            return
        content = bounce(mail.hostname, mail.envelope_sender, mail.content, Failure(final_recipient=mail.recipient))
        envelope = Envelope(envelope_sender=None, recipient=mail.envelope_sender, content=content)
        sent = await post.send(mail.hostname, envelope)
        line = {"returned_to": mail.envelope_sender, "accepted": sent.accepted}
        _write(self.ledger, json.dumps(line))


def _write(ledger: Path, line: str) -> None:
    with ledger.open("a", encoding="utf-8") as lines:
        lines.write(f"{line}\n")


async def main(ledger: Path, gateway_port: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with World(OPERATOR, ("127.0.0.1", gateway_port), hosts=len(MIX) + 1, tls=False, journal=ledger) as world:
        for domain in MIX:
            world.mx(domain)
        world.mx("crm.example")
        world.mx("slow.example").behaves(None, Slow(0.3))
        world.mx("refusing.example").refuses(None)
        world.mx("greylisting.example").greylists(None)
        world.mx("closing.example").behaves(None, Closing(ledger))
        world.mx("going.example").behaves(None, Closing(ledger, Reply(421, "4.3.2", "the system is going down")))
        world.mx("throttling.example").behaves(None, Throttling())
        world.mx("bouncing.example").behaves(None, Bouncing(ledger))
        servers = [f"{ip}:{port}" for ip, port in world.dns.servers]
        print(json.dumps({"dns_servers": servers, "smtp_port": world.smtp_port}), flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
