"""What this room needs, given to it by whoever wires the house."""

from dataclasses import dataclass

from homing.flow.accept import Acceptance
from homing.flow.address_proofs import AddressProofs
from homing.flow.keyring import Keyring
from homing.flow.outgoing import Clock
from homing.flow.wakeup import Broadcast
from homing.loop.token import Tokens
from homing.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class WebParts:
    """`open_here`: whoever sits at this machine sees the pages without a key. Say so only where no proxy on the same
    machine lets strangers in. `operator_name`: who runs this, for people who follow a link in a letter."""

    database: Database
    acceptance: Acceptance
    address_proofs: AddressProofs
    tokens: Tokens
    keyring: Keyring
    clock: Clock
    news: Broadcast
    public_url: str
    operator_name: str
    open_here: bool = False
