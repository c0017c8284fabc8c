"""Prove that an address is its human sender's, or an administrator's: a letter with a one-time link, and the click that
answers it.

Looking at the link proves nothing (mail scanners follow links); only its use does.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from homing.flow import metrics
from homing.flow.disk_space import DiskSpace
from homing.flow.outgoing import Clock, Letter, Outgoing
from homing.flow.wakeup import WakeUp
from homing.loop.budget import OverBudget
from homing.loop.letters.letters import Text, administrator_proof_letter, proof_letter
from homing.loop.model import EventType, HumanSenderId, NewEvent, OrganizationId, Origin
from homing.loop.problem import Problem, Rejected
from homing.mail.address import parse_address
from homing.mail.compose import Mailbox
from homing.store import accepted_messages, proofs
from homing.store.accepted_messages import AcceptedMessage
from homing.store.database import Database
from homing.store.events import Happening, Subject, append
from homing.store.human_senders import HumanSender
from homing.store.organizations import Organization
from homing.store.proofs import Proof

VALID_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressProofs:
    """`ask` sends the letter, `look` shows what a link would prove, `use` proves it, once.

    `secret` gives 32 random bytes at each call; `url` is where people reach our pages.
    """

    database: Database
    disk: DiskSpace
    outgoing: Outgoing
    clock: Clock
    work: WakeUp
    secret: Callable[[], bytes]
    url: str

    async def ask(self, human_sender: HumanSender) -> None:
        """Send the letter. Raises Rejected when a budget is used up for today, that of the address or that of the
        organization, and while the disk is low."""
        await self._ask(human_sender.organization, human_sender.id, human_sender.address, proof_letter)

    async def ask_administrator(self, organization: Organization) -> None:
        """Send the letter to an organization's administrator. Raises Rejected as `ask` does."""
        assert organization.administrator is not None
        await self._ask(organization.id, None, organization.administrator, administrator_proof_letter)

    async def _ask(
        self,
        organization: OrganizationId,
        human_sender: HumanSenderId | None,
        address: str,
        write: Callable[[str, str, str], Text],
    ) -> None:
        self.disk.require_room()
        now = self.clock()
        token = base64.urlsafe_b64encode(self.secret()).decode().rstrip("=")
        letter = Letter(
            origin=Origin.PROOF,
            organization=organization,
            to=Mailbox(name="", address=parse_address(address)),
            text=write(address, f"{self.url}/prove/{token}", self.outgoing.operator_name),
        )
        proof = Proof(
            token_hash=_hash(token),
            organization=organization,
            human_sender=human_sender,
            address=address,
            created_at=now,
            expires_at=now + VALID_FOR,
        )
        refused = await self.database.write(_send, proof, self.outgoing.letter(letter, now))
        if refused:
            metrics.BUDGET_REFUSALS.labels(refused.name).inc()
            raise _too_many_letters(refused)
        self.work.wake()

    async def look(self, token: str) -> Proof | None:
        return await self.database.read(proofs.usable, _hash(token), self.clock())

    async def use(self, token: str) -> Proof | None:
        """The proof that was given with this click; None: the link works no more."""
        return await self.database.write(proofs.use, _hash(token), self.clock())


def _send(conn: sa.Connection, proof: Proof, letter: AcceptedMessage) -> OverBudget | None:
    """The refusal of a budget is on record too: as an event of the organization's."""
    refused = proofs.create(conn, proof)
    if refused is None:
        accepted_messages.add(conn, [letter])
        return None
    data = {"channel": "proof", "why": refused.why, "budget": refused.name, "to": proof.address}
    subject = Subject(organization=proof.organization, human_sender=proof.human_sender)
    event = NewEvent(type=EventType.ACTION_FAILED, data=data)
    append(conn, [Happening(subject=subject, event=event, at=proof.created_at)])
    return refused


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _too_many_letters(refused: OverBudget) -> Rejected:
    problem = Problem(
        status=429,
        code="too-many-proof-letters",
        title="No more e-mails that prove an address for today.",
        detail=f"So that nobody is flooded: {refused.why}. Try again tomorrow.",
        retry_after=24 * 3600,
    )
    return Rejected(450, "4.7.1", problem)
