"""The lab's outgoing mail: looked up in the lab's DNS and sent by real SMTP, with a few tries like any mail server."""

import asyncio
from dataclasses import dataclass, field, replace

from homing.loop.evidence import Unroutable
from homing.mail.address import domain_of
from homing.net.dns import AS_PUBLISHED, Resolver
from homing.net.route import Host, Router
from homing.net.smtp_client import Envelope, SmtpClient, Transcript

PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds between two tries while the other side cannot be reached or asks to come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A mail that left a host of the lab, or did not: `end` is the last transcript, or why there was no way."""

    hostname: str
    envelope: Envelope
    end: Transcript | Unroutable

    @property
    def accepted(self) -> bool:
        return isinstance(self.end, Transcript) and self.end.reply is not None and self.end.reply.positive


@dataclass
class Outbound:
    """All hosts listen at `smtp_port`, except the gateway's at `gateway` (address, port)."""

    servers: list[tuple[str, int]]
    gateway: tuple[str, int]
    smtp_port: int = 0
    sent: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        resolver = Resolver(self.servers, keep=AS_PUBLISHED)
        self._router = Router(resolver, allow_private=True, keep=0)

    async def send(self, hostname: str, envelope: Envelope) -> Sent:
        """Sends from `hostname` until the mail is accepted or refused for good, or the tries are used up."""
        client = SmtpClient(hostname)
        try:
            for pause in (*PAUSES, None):
                sent = Sent(hostname=hostname, envelope=envelope, end=await self._try(client, envelope))
                if pause is None or _decided(sent.end):
                    break
                await asyncio.sleep(pause)
        finally:
            await client.close()
        self.sent.append(sent)
        return sent

    async def _try(self, client: SmtpClient, envelope: Envelope) -> Transcript | Unroutable:
        way = await self._router.route(domain_of(envelope.recipient))
        if isinstance(way, Unroutable):
            return way
        connection = await client.acquire(self._at_its_port(way.hosts[0]))
        return connection if isinstance(connection, Transcript) else await connection.send(envelope)

    def _at_its_port(self, host: Host) -> Host:
        ip, port = self.gateway
        return replace(host, port=port if host.ip == ip else self.smtp_port)


def _decided(end: Transcript | Unroutable) -> bool:
    return isinstance(end, Unroutable) or (end.reply is not None and not end.reply.transient)
