"""What this room needs, given to it by whoever wires the house."""

from dataclasses import dataclass

from homing.flow.authenticate import Keyring
from homing.flow.bell import Chime
from homing.flow.outgoing import Clock
from homing.flow.prove import Proving
from homing.flow.submit import Submission
from homing.loop.token import Tokens
from homing.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class WebParts:
    """`open_here`: whoever sits at this machine sees the pages without a key. Say so only where no proxy on the same
    machine lets strangers in. `operator_name`: who runs this, for people who follow a link in a letter."""

    database: Database
    submission: Submission
    proving: Proving
    tokens: Tokens
    keyring: Keyring
    clock: Clock
    news: Chime
    public_url: str
    operator_name: str
    open_here: bool = False
