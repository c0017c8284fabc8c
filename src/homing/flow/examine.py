"""Look at the DNS in its own time, so that no message waits for it: our DKIM keys, and the domains that we send from.

What is found becomes a fact in the store; whoever sends reads facts only.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from homing.flow import metrics
from homing.flow.bell import Bell
from homing.flow.outgoing import Clock
from homing.flow.rotate import Rotation, Selectors
from homing.flow.sign import Signer
from homing.loop.sightings import Standing

_LOOK_EVERY = 5.0
KEYS_EVERY = timedelta(minutes=10)
_FIRST_AFTER = timedelta(minutes=1)

_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Examiner:
    """`own`: the operator's shared domain. `spread` gives a number from 0 to 1, so that many looks do not come at once.
    Rung when somebody changed what it looks after."""

    rotation: Rotation
    signer: Signer
    own: Selectors
    clock: Clock
    spread: Callable[[], float]
    bell: Bell = field(default_factory=Bell)
    _keys_at: datetime | None = None

    async def run(self) -> None:
        self._keys_at = self.clock() + _FIRST_AFTER
        while True:
            await self.bell.wait(_LOOK_EVERY)
            try:
                await self.signer.reload_if_changed()
                await self.look()
            except Exception:  # noqa: BLE001 - whatever it is, the worker lives on
                _log.exception("cannot look at the DNS")

    async def look(self) -> None:
        """What is due by now."""
        if self._keys_at is None or self.clock() >= self._keys_at:
            await self.look_at_own_keys()

    async def look_at_own_keys(self) -> None:
        await self.rotation.look_after(self.own)
        self._keys_at = self.clock() + KEYS_EVERY * (1 + self.spread() / 2)
        unseen = [one for one in self.rotation.judgements.values() if one.standing is not Standing.THERE]
        metrics.KEYS_UNSEEN.set(len(unseen))
