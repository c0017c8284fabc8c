"""Prove that an address is its human sender's: a letter with a one-time link, and the click that answers it.

Looking at the link proves nothing (mail scanners follow links); only its use does.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from homing.flow.outgoing import Clock, Letter, Outgoing
from homing.flow.wakeup import WakeUp
from homing.loop.letters.letters import proof_letter
from homing.loop.model import Origin
from homing.loop.problem import Problem, Rejected
from homing.mail.address import parse_address
from homing.mail.compose import Mailbox
from homing.store import accepted_messages, human_senders
from homing.store.accepted_messages import AcceptedMessage
from homing.store.database import Database
from homing.store.human_senders import HumanSender, Proof

VALID_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressProofs:
    """`ask` sends the letter, `look` shows what a link would prove, `use` proves it, once.

    `secret` gives 32 random bytes at each call; `url` is where people reach our pages.
    """

    database: Database
    outgoing: Outgoing
    clock: Clock
    work: WakeUp
    secret: Callable[[], bytes]
    url: str

    async def ask(self, human_sender: HumanSender) -> None:
        """Send the letter. Raises Rejected when the address has had its three letters of the day."""
        now = self.clock()
        token = base64.urlsafe_b64encode(self.secret()).decode().rstrip("=")
        text = proof_letter(human_sender.address, f"{self.url}/prove/{token}", self.outgoing.operator_name)
        letter = Letter(
            origin=Origin.PROOF,
            organization=human_sender.organization,
            to=Mailbox(name="", address=parse_address(human_sender.address)),
            text=text,
        )
        proof = Proof(
            token_hash=_hash(token),
            organization=human_sender.organization,
            human_sender=human_sender.id,
            address=human_sender.address,
            created_at=now,
            expires_at=now + VALID_FOR,
        )
        sent = await self.database.write(_send, proof, self.outgoing.letter(letter, now))
        if not sent:
            raise _too_many_letters()
        self.work.wake()

    async def look(self, token: str) -> Proof | None:
        return await self.database.read(human_senders.open_proof, _hash(token), self.clock())

    async def use(self, token: str) -> HumanSender | None:
        return await self.database.write(human_senders.use_proof, _hash(token), self.clock())


def _send(conn: sa.Connection, proof: Proof, letter: AcceptedMessage) -> bool:
    if not human_senders.create_proof(conn, proof):
        return False
    accepted_messages.add(conn, [letter])
    return True


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _too_many_letters() -> Rejected:
    problem = Problem(
        status=429,
        code="too-many-proof-letters",
        title="This address has had its e-mails for today.",
        detail=f"At most {human_senders.PROOFS_PER_DAY} a day, so that nobody is flooded. Try again tomorrow.",
        retry_after=24 * 3600,
    )
    return Rejected(450, "4.7.1", problem)
