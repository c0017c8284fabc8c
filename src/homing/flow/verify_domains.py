"""Check the DNS in the background, so that no message waits for it: our DKIM keys, and organizations' own domains.

Results become facts in the store; sending reads facts only.
"""

import asyncio
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from homing.flow import metrics
from homing.flow.deliver.sign import Signer
from homing.flow.outgoing import Clock
from homing.flow.own_names import OwnNames
from homing.flow.rotate_keys import KeyRotation, Selectors
from homing.flow.wakeup import WakeUp
from homing.flow.worker import surviving, work_until_canceled
from homing.loop.domains.dns_records import DnsRecord
from homing.loop.domains.publication import Judgement, Matches, Publication, judge, same_name, same_text, worst
from homing.loop.domains.sending_domains import (
    Delegation,
    RecordFact,
    RecordPurpose,
    SendingDomain,
    after_check,
    alternatives,
    level_of,
    next_check,
    records_of,
)
from homing.loop.domains.signing_keys import SIGNING, DkimKey, active_key
from homing.loop.model import EventType, Level, NewEvent
from homing.net.dns import Resolver
from homing.store import dkim_keys, sending_domains
from homing.store.database import Database

_LOOK_EVERY = 5.0
KEYS_EVERY = timedelta(minutes=10)
_FIRST_AFTER = timedelta(minutes=1)
_AT_ONCE = 20
_QUESTIONS, _IN_BACKGROUND = 4, 24
"""Questions of one check under way at once, and of all checks that nobody waits for."""
_LEASE = timedelta(minutes=5)


@dataclass(slots=True, kw_only=True)
class DomainVerifier:
    """`own` and `delegated`: the selectors of the operator's shared domain, and those that other domains lead to.
    `organization_selectors`: at the shared domain each organization has selectors of its own, once their record is
    seen. `spread` gives a number from 0 to 1, so that many looks do not come at once. `wakeup` is called when somebody
    changed what it looks after."""

    database: Database
    resolver: Resolver
    rotation: KeyRotation
    signer: Signer
    own: Selectors
    delegated: Selectors
    delegation: Delegation
    clock: Clock
    spread: Callable[[], float]
    news: WakeUp
    names: OwnNames
    organization_selectors: bool = False
    wakeup: WakeUp = field(default_factory=WakeUp)
    _keys_at: datetime | None = None
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def tagged(self) -> str | None:
        """The domain at which organizations have selectors of their own."""
        return self.own.domain if self.organization_selectors else None

    async def run(self) -> None:
        self._keys_at = self.clock() + _FIRST_AFTER
        await work_until_canceled(
            self._learn_and_look, failed="cannot look at the DNS", every=_LOOK_EVERY, wake_up=self.wakeup
        )

    async def _learn_and_look(self) -> None:
        await self.signer.reload_if_changed()
        await self.names.learn()
        await self.look()

    async def look(self) -> None:
        """What is due by now."""
        async with self._looking:
            if self._keys_at is None or self.clock() >= self._keys_at:
                await self._look_at_keys()
            background = replace(self, resolver=self.resolver.share(_IN_BACKGROUND))
            while due := await self.database.write(sending_domains.take_due, self.clock(), _AT_ONCE, _LEASE):
                await asyncio.gather(*(self._check_one(background, domain) for domain in due))

    async def check(self, domain: SendingDomain) -> SendingDomain:
        """Ask the DNS about every record of the domain now, and write down what follows."""
        with closing(self.resolver.share(_QUESTIONS)) as resolver:
            return await replace(self, resolver=resolver).check_at_once(domain)

    async def check_at_once(self, domain: SendingDomain) -> SendingDomain:
        """The same, with all places of the resolver."""
        await self.rotation.look_after(self.delegated)
        signing = await self._signing()
        now = self.clock()
        purposes = list(records_of(domain, self.delegation))
        found = await asyncio.gather(*(self._judged(domain, purpose, signing) for purpose in purposes))
        facts = {
            purpose: after_check(domain.fact(purpose), judgement, self._query(domain, purpose), now)
            for purpose, judgement in zip(purposes, found, strict=True)
        }
        after = replace(
            domain,
            facts=facts,
            signing=self.delegation.purpose_of(signing.selector if signing else None),
            checked_at=now,
        )
        after = replace(after, next_check_at=next_check(after, now, self.spread()))
        events = _changes(domain, after)
        if not await self.database.write(sending_domains.record, domain, after, events):
            return await self.database.read(sending_domains.get, domain.organization, domain.domain) or domain
        if events:
            self.news.wake()
        return after

    async def _check_one(self, background: "DomainVerifier", domain: SendingDomain) -> None:
        with surviving("cannot examine a domain", domain=domain.domain):
            await background.check(domain)

    async def _look_at_keys(self) -> None:
        await self.rotation.look_after(self.own)
        if await self.database.read(dkim_keys.list_all, self.delegated.domain):
            await self.rotation.look_after(self.delegated)
        if self.organization_selectors:
            await self._look_at_tags()
        self._keys_at = self.clock() + KEYS_EVERY * (1 + self.spread() / 2)
        unseen = [one for one in self.rotation.judgements.values() if one.standing is not Publication.THERE]
        metrics.KEYS_UNSEEN.set(len(unseen))

    async def _look_at_tags(self) -> None:
        """Find the keys for which receivers can look up each organization's own selector. Doubtful ones stay as they
        are."""
        signing = [key for key in await self.database.read(dkim_keys.list_all, self.own.domain) if key.state in SIGNING]
        found = await asyncio.gather(*(self._tag(key) for key in signing))
        standing = {key.id: judgement.standing for key, judgement in zip(signing, found, strict=True)}
        there = {key for key, word in standing.items() if word is Publication.THERE}
        doubtful = {key for key, word in standing.items() if word is Publication.UNKNOWN}
        self.signer.tagged = frozenset(there | (doubtful & self.signer.tagged))

    async def _tag(self, key: DkimKey) -> Judgement:
        return await self._ask(key.tags.replace("*", "probe", 1), "TXT", same_text(key.record))

    async def _signing(self) -> DkimKey | None:
        """The RSA key that signs for other domains now: the one that every receiver knows what to do with."""
        found = await self.database.read(dkim_keys.list_all, self.delegated.domain)
        return active_key([one for one in found if one.selector in self.delegation.selectors])

    # -- what the DNS says -------------------------------------------------------------------------------------------

    def _query(self, domain: SendingDomain, purpose: RecordPurpose) -> str:
        record = records_of(domain, self.delegation)[purpose][0]
        return f"{record.name} {record.type}"

    async def _judged(self, domain: SendingDomain, purpose: RecordPurpose, signing: DkimKey | None) -> Judgement:
        [record] = records_of(domain, self.delegation)[purpose]
        match purpose:
            case RecordPurpose.DKIM_1 | RecordPurpose.DKIM_2:
                return await self._dkim(record, signing)
            case RecordPurpose.RETURN_PATH:
                return await self._return_path(domain, record)
            case RecordPurpose.DMARC:
                return await self._dmarc(record.name)

    async def _dkim(self, record: DnsRecord, signing: DkimKey | None) -> Judgement:
        """The alias and, for the selector that signs now, the key behind it."""
        alias = await self._ask(record.name, "CNAME", same_name(record.value))
        if signing is None or not record.name.startswith(f"{signing.selector}._domainkey."):
            return alias
        sightings = await self.resolver.everywhere(record.name, "TXT", record.value)
        return worst(alias, judge(sightings, same_text(signing.record)))

    async def _return_path(self, domain: SendingDomain, record: DnsRecord) -> Judgement:
        """The verdict on the alias, or on MX and SPF at the name itself, where an alias cannot stand."""
        alias = await self._ask(record.name, "CNAME", same_name(record.value))
        if alias.standing is Publication.UNKNOWN or alias.wrong:
            return alias
        rests_at = record.value if alias.standing is Publication.THERE else record.name
        mx, spf = alternatives(domain, self.delegation)
        exchange = await self._ask(record.name, "MX", _leads_to(mx.value), rests_at)
        permitted = {spf.value, self.delegation.spf}
        policy = await self._ask(record.name, "TXT", lambda texts: _only_spf(texts, permitted), rests_at)
        return worst(exchange, policy)

    async def _dmarc(self, name: str) -> Judgement:
        """A DMARC record at the name or at a parent: RFC 9989's tree walk, cut short, since this is advice and no
        proof."""
        found = await self._ask(name, "TXT", _is_dmarc)
        parent = name.removeprefix("_dmarc.").partition(".")[2]
        if found.standing is Publication.MISSING and not found.wrong and "." in parent:
            return await self._dmarc(f"_dmarc.{parent}")
        return found

    async def _ask(self, name: str, kind: str, matches: Matches, rests_at: str | None = None) -> Judgement:
        return judge(await self.resolver.everywhere(name, kind, rests_at), matches)


def _leads_to(mx: str) -> Matches:
    host = mx.split()[1]
    return lambda records: any(record.split()[1].rstrip(".").lower() == host for record in records)


def _only_spf(texts: tuple[str, ...], permitted: set[str]) -> bool:
    policies = [text for text in texts if text.lower().startswith("v=spf1")]
    return len(policies) == 1 and " ".join(policies[0].split()) in permitted


def _is_dmarc(texts: tuple[str, ...]) -> bool:
    return sum(text.startswith("v=DMARC1") for text in texts) == 1


def _changes(before: SendingDomain, after: SendingDomain) -> list[NewEvent]:
    """An event for each record whose state changed, with the level that follows; timeouts cause no event."""
    was, now_is = level_of(before), level_of(after)
    events = [
        _changed(after, purpose, after.fact(purpose), now_is)
        for purpose in after.facts
        if before.fact(purpose).held is not after.fact(purpose).held
    ]
    if was is not now_is and not events:
        purpose = after.signing or before.signing or RecordPurpose.DKIM_1
        events = [_changed(after, purpose, after.fact(purpose), now_is)]
    return events


def _changed(domain: SendingDomain, purpose: RecordPurpose, fact: RecordFact, level: Level) -> NewEvent:
    return NewEvent(
        type=EventType.DOMAIN_CHANGED,
        data={
            "domain": domain.domain,
            "record": purpose.value,
            "state": fact.state.value,
            "held": fact.held,
            "level": level.value,
            "query": fact.query,
            "server": fact.server,
            "answer": fact.answer,
        },
    )
