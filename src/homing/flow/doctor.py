"""Ask the DNS all that the doctor wants to know: many questions at a time, within bounds, each one once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TypeVar

from homing.loop.doctor.bimi import urls_of
from homing.loop.doctor.checks import examinations, reconciled
from homing.loop.doctor.facts import DoctorFacts, Fetched, HostProbe
from homing.loop.doctor.finding import Finding
from homing.mail.dns_question import Ask, Dialogue, RecordType
from homing.net.dns import Answer, Found, Mx, Resolver
from homing.net.dns_dialogue import OneAnswerEach, answer
from homing.net.fetch import Fetcher, HttpAnswer
from homing.net.probe import probe
from homing.net.public_address import why_not_public
from homing.net.route import Host

AT_ONCE = 20
QUESTIONS = 8
"""Questions of one examination under way at once."""
LOOKING = 20.0
"""Seconds for everything that is not a query to a resolver."""
PATIENCE = 20.0
"""Seconds for all questions together; what is not answered then is unknown."""
_HOSTS = 4
_ROLES = ("postmaster", "abuse")

FoundT = TypeVar("FoundT")
Progress = Callable[[int, int], None]
"""How many examinations are done, and of how many."""


@dataclass(slots=True, kw_only=True)
class Doctor:
    """`probes`: also connect to the mail hosts, at `smtp_port`; only for names that are our own. An examination takes
    no longer than `looking` and `patience` together."""

    resolver: Resolver
    fetcher: Fetcher
    hello: str
    smtp_port: int
    allow_private: bool = False
    at_once: int = AT_ONCE
    looking: float = LOOKING
    patience: float = PATIENCE

    async def examine(
        self, examined: DoctorFacts, *, probes: bool = False, progress: Progress | None = None
    ) -> tuple[Finding, ...]:
        """Every finding, in the order of the checks."""
        with closing(self.resolver.share(QUESTIONS)) as resolver:
            return await replace(self, resolver=resolver).examine_at_once(examined, probes, progress)

    async def examine_at_once(
        self, examined: DoctorFacts, probes: bool, progress: Progress | None
    ) -> tuple[Finding, ...]:
        """The same, with all places of the resolver."""
        asking = OneAnswerEach(self.resolver, self.looking + self.patience)
        try:
            facts = await self._looked_around(examined, asking, probes=probes)
            return reconciled(await self._judged(facts, asking, progress))
        finally:
            await asking.close()

    async def _judged(
        self, facts: DoctorFacts, asking: OneAnswerEach, progress: Progress | None
    ) -> tuple[Finding, ...]:
        dialogues = list(examinations(facts))
        room, done = asyncio.Semaphore(self.at_once), 0

        async def one(dialogue: Dialogue[Finding]) -> Finding:
            nonlocal done
            async with room:
                finding = await answer(dialogue, asking, patience=self.looking + self.patience)
            done += 1
            if progress is not None:
                progress(done, len(dialogues))
            return finding

        return tuple(await asyncio.gather(*map(one, dialogues)))

    async def egress_of(self, hostname: str) -> tuple[str, ...]:
        """The addresses that mail leaves from, as far as the name in EHLO tells."""
        found = await self.resolver.addresses(hostname)
        return found.records if isinstance(found, Found) else ()

    async def _looked_around(self, examined: DoctorFacts, asking: OneAnswerEach, *, probes: bool) -> DoctorFacts:
        """The facts that no resolver gives: the zone's own servers, files over HTTPS, ports of mail hosts. All are
        fetched at once; whatever does not arrive in time counts as absent."""
        names = tuple(dict.fromkeys(name for name in (examined.domain, examined.return_domain) if name))
        zones = [name for name in names if name == examined.domain or not name.endswith(f".{examined.domain}")]
        watched = (f"_dmarc.{examined.domain}", *(key.name for key in examined.keys if key.record and not key.retired))
        keys = tuple(key.name for key in examined.keys if not key.retired and not key.spare)
        async with asyncio.TaskGroup() as looks:
            policies = looks.create_task(self._each(lambda name: self._policy(name, asking), names))
            files = looks.create_task(self._in_time(self._files(examined, asking), {}))
            told = looks.create_task(self._each(self._by_server, watched))
            starts = looks.create_task(self._each(self._starts, zones))
            kept = looks.create_task(self._each(lambda name: self.resolver.time_to_live(name, "TXT"), keys))
            bogus = looks.create_task(self._each(self.resolver.is_bogus, names))
            probed = looks.create_task(self._in_time(self._probes(names if probes else ()), {}))
        return replace(
            examined,
            policies=policies.result(),
            files=files.result(),
            by_server=told.result(),
            starts=starts.result(),
            times_to_live=kept.result(),
            bogus=frozenset(name for name, wrong in bogus.result().items() if wrong),
            probes=probed.result(),
        )

    async def _by_server(self, name: str) -> Mapping[str, Answer[str]]:
        sightings = await self.resolver.everywhere(name, "TXT")
        return {sighting.server: sighting.answer for sighting in sightings}

    async def _starts(self, name: str) -> Mapping[str, Answer[str]]:
        sightings = await self.resolver.starts_of_authority(name)
        return {sighting.server: sighting.answer for sighting in sightings}

    async def _policy(self, name: str, asking: OneAnswerEach) -> Fetched | None:
        """The MTA-STS policy (RFC 8461 §3.3: no redirects), None where none is announced."""
        announced = await asking.records(Ask(f"_mta-sts.{name}", RecordType.TXT))
        if not isinstance(announced, Found):
            return None
        return await self._fetched(f"https://mta-sts.{name}/.well-known/mta-sts.txt")

    async def _files(self, examined: DoctorFacts, asking: OneAnswerEach) -> Mapping[str, Fetched]:
        """The logo and its certificate, where they are announced."""
        urls = await answer(urls_of(examined), asking)
        return dict(zip(urls, await asyncio.gather(*map(self._fetched, urls)), strict=True))

    async def _fetched(self, url: str) -> Fetched:
        got = await self.fetcher.get(url)
        if not isinstance(got, HttpAnswer):
            return Fetched(url=url, failure=got.why)
        if got.status != HTTPStatus.OK:
            return Fetched(url=url, failure=f"HTTP status {got.status}")
        return Fetched(url=url, content=got.body)

    async def _probes(self, names: Iterable[str]) -> Mapping[str, HostProbe]:
        found = await asyncio.gather(*(self._hosts(name) for name in names))
        hosts = {host.name: (host, name) for name, some in zip(names, found, strict=True) for host in some}
        probed = await asyncio.gather(
            *(
                probe(host, self.hello, tuple(f"{role}@{name}" for role in _ROLES))
                for host, name in list(hosts.values())[:_HOSTS]
            )
        )
        return {one.host: one for one in probed}

    async def _hosts(self, name: str) -> list[Host]:
        exchanges: Answer[Mx] = await self.resolver.mx(name)
        hosts = []
        for mx in exchanges.records[:_HOSTS] if isinstance(exchanges, Found) else ():
            found = await self.resolver.addresses(mx.exchange)
            if isinstance(found, Found) and (self.allow_private or why_not_public(found.records[0]) is None):
                hosts.append(Host(mx.exchange, found.records[0], self.smtp_port))
        return hosts

    async def _in_time(self, looking: Awaitable[FoundT], otherwise: FoundT) -> FoundT:
        try:
            async with asyncio.timeout(self.looking):
                return await looking
        except TimeoutError:
            return otherwise

    async def _each(self, look: Callable[[str], Awaitable[FoundT | None]], names: Iterable[str]) -> dict[str, FoundT]:
        """The result for each name, without those that took too long or gave None."""
        asked = tuple(names)
        found = await asyncio.gather(*(self._in_time(look(name), None) for name in asked))
        return {name: one for name, one in zip(asked, found, strict=True) if one is not None}
