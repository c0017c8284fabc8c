"""The MX door: bounces, complaints and replies come in here, and nothing else does.

A stranger without a token, or a role address, is refused at RCPT. So nothing is ever accepted that would have to be
bounced later, and nobody gets backscatter from us.
"""

from dataclasses import dataclass
from pathlib import Path

from homing.doors.smtp.server import SpooledBody
from homing.doors.smtp.session_handler import Peer, Received
from homing.flow.receive import Arrival, Receiver
from homing.mail.reply import Reply

PARSED_OCTETS = 1024 * 1024
"""Octets of a mail that are parsed; all of it is kept."""


@dataclass(frozen=True, slots=True)
class MxHandler:
    """The session handler that passes incoming mail to `flow.receive`."""

    hostname: str
    receiver: Receiver

    async def greeting(self, peer: Peer) -> Reply:  # noqa: ARG002 - every peer may talk to us
        return Reply(220, "", "for bounces and replies only")

    async def mail_from(self, peer: Peer, envelope_sender: str | None) -> Reply:  # noqa: ARG002 - many bounce with one
        return self.receiver.opened()

    async def recipient(self, peer: Peer, envelope_sender: str | None, recipient: str) -> Reply:  # noqa: ARG002
        return self.receiver.admit(recipient)

    async def received(self, peer: Peer, received: Received) -> Reply:
        head = received.body.head(PARSED_OCTETS)
        flags = received.flags | ({"smtputf8"} if received.smtputf8 else set())
        arrival = Arrival(
            envelope_sender=received.envelope_sender,
            recipient=received.recipients[0],
            ip=peer.ip,
            helo=peer.helo,
            tls=peer.tls,
            flags=frozenset(flags),
            size=received.body.size,
            head=head,
            charge=received.charge,
            write_whole=None if received.body.size <= len(head) else _Writer(received.body),
        )
        return await self.receiver.keep(arrival)


@dataclass(frozen=True, slots=True)
class _Writer:
    body: SpooledBody

    def __call__(self, file: Path) -> None:
        file.touch(mode=0o600)
        with file.open("wb") as out:
            out.writelines(self.body.chunks())
