"""Look after DKIM keys: create them, see them published, activate them in turn, and retire them.

`loop.domains.signing_keys` decides what is due; this room asks the DNS and updates the store. Several nodes may do this
at once: each step is written only if the key is unchanged since it was read, and of two keys made under one name one
stays.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import Connection

from homing.flow import metrics
from homing.flow.alarms import raise_alarm
from homing.flow.deliver.sign import BEYOND_LIFETIME, Signer
from homing.flow.outgoing import Clock, Dice
from homing.flow.sealed_secrets import SealedSecrets
from homing.loop.alarm import alarm
from homing.loop.domains.publication import Judgement, Publication, judge, same_text
from homing.loop.domains.signing_keys import (
    ED25519,
    IN_USE,
    RSA,
    Create,
    DkimKey,
    Due,
    KeyState,
    Move,
    Terms,
    active_key,
    due,
    hand_over,
    successor,
)
from homing.loop.ids import new_id
from homing.loop.problem import Problem, Rejected
from homing.mail.dkim import SigningKey
from homing.net.dns import Resolver
from homing.store import dkim_keys
from homing.store.database import Database
from homing.store.dkim_keys import SealedKey

MARGIN = timedelta(days=1)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selectors:
    """A domain that we sign for, or one that others lead to: its two selectors for each algorithm, and where their
    records stand (by selector)."""

    domain: str
    rsa: tuple[str, str]
    ed25519: tuple[str, str] | None
    record_name: Callable[[str], str]

    @property
    def algorithms(self) -> list[tuple[str, tuple[str, str]]]:
        second = [] if self.ed25519 is None else [(ED25519, self.ed25519)]
        return [(RSA, self.rsa), *second]


def terms_for(lifetime: timedelta, every: timedelta) -> Terms:
    """A key's record outlives the last signature's own end."""
    return Terms(every=every, drain=lifetime + BEYOND_LIFETIME + MARGIN)


@dataclass(slots=True, kw_only=True)
class KeyRotation:
    """Works on the keys of any domain."""

    database: Database
    resolver: Resolver
    sealed_secrets: SealedSecrets
    signer: Signer
    clock: Clock
    dice: Dice
    terms: Terms
    judgements: dict[UUID, Judgement] = field(default_factory=dict)
    """What the DNS last said of each key's record."""

    async def adopt(self, private: SigningKey, since: datetime) -> None:
        """Take in a key that signs already and lies in a file, unless the store has one for its domain."""
        if await self.database.read(dkim_keys.list_all, private.domain):
            return
        key = DkimKey(
            id=new_id(self.clock(), self.dice()),
            organization=None,
            domain=private.domain,
            selector=private.selector,
            algorithm=private.algorithm,
            record_name=private.dns_name,
            record=private.dns_record(),
            state=KeyState.ACTIVE,
            created_at=since,
            published_at=since,
            activated_at=since,
        )
        await self.database.write(dkim_keys.add, self._sealed(key, private))

    async def look_after(self, selectors: Selectors) -> None:
        """Ask the DNS about the domain's keys and do what is due, until nothing is."""
        for algorithm, slots in selectors.algorithms:
            for _ in range(4):
                known = await self._known(selectors, algorithm)
                seen = await self._seen(known)
                steps = due(known, slots, seen, self.clock(), self.terms)
                if not steps or not await self._do(selectors, algorithm, steps):
                    break

    async def rotate(self, selectors: Selectors) -> None:
        """Let the successors sign now, not at their time. Raises Rejected (409) where the DNS is not ready for it."""
        handed: list[Due] = []
        for algorithm, _ in selectors.algorithms:
            known = await self._known(selectors, algorithm)
            following = successor(known, await self._seen(known), self.clock(), self.terms)
            if following is None:
                raise _not_ready(selectors.domain, known, self.judgements)
            handed += hand_over(active_key(known), following)
        await self._do(selectors, RSA, tuple(handed))

    async def revoke(self, selectors: Selectors, key: DkimKey) -> None:
        """Revoke the key at once; its successor signs, if one is published. Waiting deliveries are signed anew at their
        next attempt."""
        known = [one for one in await self._known(selectors, key.algorithm) if one.id != key.id]
        steps: list[Due] = [Move(key=key, state=KeyState.REVOKED)]
        if key.state is KeyState.ACTIVE:
            following = next((one for one in known if one.state is KeyState.PUBLISHED), None)
            steps += () if following is None else hand_over(None, following)
        await self._do(selectors, key.algorithm, tuple(steps))
        _log.warning("a DKIM key was revoked", domain=key.domain, selector=key.selector)

    async def _known(self, selectors: Selectors, algorithm: str) -> list[DkimKey]:
        found = await self.database.read(dkim_keys.list_all, selectors.domain)
        return [one for one in found if one.algorithm == algorithm]

    async def _seen(self, known: Sequence[DkimKey]) -> frozenset[UUID]:
        asked = [one for one in known if one.state in IN_USE]
        judged = await asyncio.gather(*(self._judged(one) for one in asked))
        for ended in known:
            self.judgements.pop(ended.id, None)
        self.judgements |= {one.id: judgement for one, judgement in zip(asked, judged, strict=True)}
        for one, judgement in zip(asked, judged, strict=True):
            if one.state is KeyState.ACTIVE and judgement.standing is Publication.MISSING:
                missing = alarm(f"key-not-published {one.record_name}", f"the DNS says: {judgement.answer}")
                await raise_alarm(self.database, missing, self.clock())
        return frozenset(
            one.id for one, judgement in zip(asked, judged, strict=True) if judgement.standing is Publication.THERE
        )

    async def _judged(self, key: DkimKey) -> Judgement:
        return judge(await self.resolver.everywhere(key.probe, "TXT"), same_text(key.record))

    async def _do(self, selectors: Selectors, algorithm: str, steps: Collection[Due]) -> bool:
        """Write the steps that are due; returns whether more may be due because of them."""
        moves = [(step.key, step.state) for step in steps if isinstance(step, Move)]
        made = [await self._made(selectors, algorithm, step.selector) for step in steps if isinstance(step, Create)]
        changed = await self.database.write(_write, moves, made, self.clock())
        if changed:
            await self.signer.reload()
        for key, state in moves if changed else ():
            metrics.KEY_MOVES.labels(state).inc()
            _log.info("a DKIM key moved on", domain=key.domain, selector=key.selector, state=state.value)
        return changed

    async def _made(self, selectors: Selectors, algorithm: str, selector: str) -> SealedKey:
        make = SigningKey.generate if algorithm == RSA else SigningKey.generate_ed25519
        private = await asyncio.to_thread(make, selectors.domain, selector)
        now = self.clock()
        key = DkimKey(
            id=new_id(now, self.dice()),
            organization=None,
            domain=selectors.domain,
            selector=selector,
            algorithm=algorithm,
            record_name=selectors.record_name(selector),
            record=private.dns_record(),
            state=KeyState.CREATED,
            created_at=now,
        )
        return self._sealed(key, private)

    def _sealed(self, key: DkimKey, private: SigningKey) -> SealedKey:
        return SealedKey(key=key, sealed=self.sealed_secrets.seal(private.pem(), key.place))


def _write(
    conn: Connection, moves: Sequence[tuple[DkimKey, KeyState]], made: Sequence[SealedKey], now: datetime
) -> bool:
    if moves and not dkim_keys.move(conn, moves, now):
        return False
    return any([*(dkim_keys.add(conn, one) for one in made), bool(moves)])


def _not_ready(domain: str, known: Sequence[DkimKey], judgements: dict[UUID, Judgement]) -> Rejected:
    waiting = next((one for one in known if one.state in {KeyState.CREATED, KeyState.PUBLISHED}), None)
    detail = "There is no key that could follow: its predecessor under the same selector still drains."
    if waiting is not None:
        judgement = judgements.get(waiting.id)
        found = f" {judgement.server} says: {judgement.answer}." if judgement and judgement.server else ""
        detail = f"Publish {waiting.record_name} and wait until it is out of all caches.{found}"
    problem = Problem(status=409, code="key-not-ready", title=f"No other key of {domain} may sign yet.", detail=detail)
    return Rejected(450, "4.7.0", problem)
