"""The hosts behind the server that is looked at: those to which it relays and forwards, each with manners of its own.

They are the far end only. What is looked at is how the server tells us of them.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from homing.lab.dns import DnsServer

INNER = "127.0.3.1"
STRICT_COMMANDS = "127.0.3.2"
STRICT_HELO = "127.0.3.3"
STRICT_SENDER = "127.0.3.4"
NOBODY_LISTENS = "127.0.3.9"
AWAY = "127.0.3.10"


@dataclass(frozen=True, slots=True)
class Host:
    """`commands` are its answers to commands, by their first word; `recipients` those to RCPT, by local part, and
    `dots` those to the message, by the local part of its recipient. Whatever is not named is taken."""

    ip: str
    name: str
    domain: str
    commands: Mapping[str, str] = field(default_factory=dict)
    recipients: Mapping[str, str] = field(default_factory=dict)
    dots: Mapping[str, str] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipient = ""
        writer.write(f"220 {self.name} ESMTP\r\n".encode())
        while line := (await reader.readline()).decode(errors="replace").strip():
            verb = line.split()[0].upper()
            answer = self.commands.get(verb) or _USUAL.get(verb, "502 5.5.1 Command not implemented")
            if verb == "RCPT" and answer.startswith("2"):
                recipient = line.partition("<")[2].partition("@")[0].lower()
                answer = self.recipients.get(recipient, answer)
            writer.write(answer.replace("HOST", self.name).encode() + b"\r\n")
            if verb == "QUIT":
                return
            if verb == "DATA" and answer.startswith("354"):
                while await reader.readline() not in {b".\r\n", b""}:
                    pass
                writer.write(self.dots.get(recipient, "250 2.0.0 Taken").encode() + b"\r\n")


_USUAL = {
    "EHLO": "250-HOST\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES",
    "HELO": "250 HOST",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 Go on",
    "RSET": "250 2.0.0 Ok",
    "NOOP": "250 2.0.0 Ok",
    "QUIT": "221 2.0.0 Bye",
}

_UNKNOWN = "550 5.1.1 No such user here"

HOSTS = (
    Host(
        INNER,
        "inner.gate.com",
        "gate.com",
        recipients={"noone": _UNKNOWN, "full": "552 5.2.2 Mailbox full, over quota"},
        dots={
            "spam": "554 5.7.1 Message refused: it looks like spam",
            "big": "552 5.3.4 Message size exceeds the fixed limit of 1000 bytes",
        },
    ),
    Host(
        STRICT_COMMANDS,
        "inner.commands.com",
        "commands.com",
        commands={"MAIL": "503 5.5.1 Bad sequence of commands", "RCPT": "503 5.5.1 Bad sequence of commands"},
    ),
    Host(
        STRICT_HELO,
        "inner.helo.com",
        "helo.com",
        commands={"RCPT": "550 5.7.1 <mx.hall.com>: Helo command rejected: Access denied"},
    ),
    Host(
        STRICT_SENDER,
        "inner.sender.com",
        "sender.com",
        commands={"MAIL": "550 5.7.1 Sender address rejected: Access denied"},
    ),
    Host(AWAY, "mx.away.com", "away.com", recipients={"gone": _UNKNOWN, "full": "552 5.2.2 Mailbox full, over quota"}),
)

ROUTES = {host.domain: host.ip for host in HOSTS if host.ip != AWAY} | {"busy.com": NOBODY_LISTENS}
"""Domains that the server takes mail for and relays to one address."""

TAKEN = ("late.com", "strict.com", "box.com", "lost.com", "loop.com", *ROUTES)
"""All domains that the server takes mail for. `late.com` has mailboxes and aliases and takes every name; `strict.com`
looks at RCPT; `box.com` lies on Dovecot; `lost.com` goes to a host without an address, `loop.com` to the server itself.
"""


@asynccontextmanager
async def the_far_end(dns: DnsServer, server: str, srs: str) -> AsyncIterator[None]:
    """The hosts listen, and the DNS says so."""
    dns.publish("mx.hall.com", f"A {server}")
    dns.publish("mx.srs.com", f"A {srs}")
    dns.publish("hall.com", "MX 10 mx.hall.com")
    dns.publish("srs.com", "MX 10 mx.srs.com")
    for domain in (*TAKEN, "elsewhere.com"):
        dns.publish(domain, "MX 10 mx.hall.com")
    for host in HOSTS:
        dns.publish(host.name, f"A {host.ip}")
    dns.publish("away.com", "MX 10 mx.away.com")
    async with AsyncExitStack() as listening:
        for host in HOSTS:
            await listening.enter_async_context(await asyncio.start_server(host.serve, host.ip, 25))
        yield
