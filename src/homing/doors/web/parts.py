"""What the pages need; `app.http_door` passes it in."""

from dataclasses import dataclass

from homing.doors.peers import Peers
from homing.flow.accept import Acceptance
from homing.flow.address_proofs import AddressProofs
from homing.flow.keyring import Keyring
from homing.flow.outgoing import Clock
from homing.flow.sessions import Sessions
from homing.flow.store_watch import StoreHold
from homing.flow.wakeup import Broadcast
from homing.flow.watch_loop import LoopWatch
from homing.loop.token import Tokens
from homing.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class WebParts:
    """`open_here`: requests from this machine see the pages without a key. Set it only where no proxy on the same
    machine lets strangers in. `operator_name`: the operator's name, for people who follow a link in an e-mail."""

    database: Database
    acceptance: Acceptance
    address_proofs: AddressProofs
    tokens: Tokens
    keyring: Keyring
    sessions: Sessions
    clock: Clock
    news: Broadcast
    loop_watch: LoopWatch
    hold: StoreHold
    public_url: str
    peers: Peers
    operator_name: str
    open_here: bool = False
