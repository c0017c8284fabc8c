"""Ask the DNS all that the doctor wants to know: many questions at a time, within bounds, each one once in a while."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from homing.loop.doctor.checks import examinations
from homing.loop.doctor.facts import DoctorFacts, FetchedPolicy, Knock
from homing.loop.doctor.finding import Finding
from homing.mail.question import Dialogue
from homing.net.dns import Answer, Found, Mx, Resolver
from homing.net.fetch import Fetcher, HttpAnswer
from homing.net.knock import knock
from homing.net.public import why_not_public
from homing.net.questions import answer
from homing.net.route import Host

AT_ONCE = 20
PATIENCE = 20.0
_HOSTS = 4
_ROLES = ("postmaster", "abuse")

Progress = Callable[[int, int], None]
"""How many examinations are done, and of how many."""


@dataclass(slots=True, kw_only=True)
class Doctor:
    """`knocks`: also connect to the mail hosts, at `smtp_port`; only for names that are our own."""

    resolver: Resolver
    fetcher: Fetcher
    hello: str
    smtp_port: int = 25
    allow_private: bool = False
    at_once: int = AT_ONCE

    async def examine(
        self, patient: DoctorFacts, *, knocks: bool = False, progress: Progress | None = None
    ) -> tuple[Finding, ...]:
        """Every finding, in the order of the checks."""
        facts = await self._looked_around(patient, knocks=knocks)
        dialogues = list(examinations(facts))
        room, done = asyncio.Semaphore(self.at_once), 0

        async def one(dialogue: Dialogue[Finding]) -> Finding:
            nonlocal done
            async with room:
                finding = await answer(dialogue, self.resolver, patience=PATIENCE)
            done += 1
            if progress is not None:
                progress(done, len(dialogues))
            return finding

        return tuple(await asyncio.gather(*map(one, dialogues)))

    async def egress_of(self, hostname: str) -> tuple[str, ...]:
        """The addresses that mail leaves from, as far as the name in EHLO tells."""
        found = await self.resolver.addresses(hostname)
        return found.records if isinstance(found, Found) else ()

    async def _looked_around(self, patient: DoctorFacts, *, knocks: bool) -> DoctorFacts:
        """What is no question to a resolver: the zone's own servers, policies over HTTPS, doors of mail hosts."""
        names = tuple(dict.fromkeys(name for name in (patient.domain, patient.return_domain) if name))
        policies = dict(zip(names, await asyncio.gather(*map(self._policy, names)), strict=True))
        watched = (f"_dmarc.{patient.domain}", *(key.name for key in patient.keys if key.record and not key.retired))
        keys = tuple(key.name for key in patient.keys if not key.retired and not key.spare)
        kept = await asyncio.gather(*(self.resolver.time_to_live(name, "TXT") for name in keys))
        bogus = await asyncio.gather(*map(self.resolver.is_bogus, names))
        return replace(
            patient,
            bogus=frozenset(name for name, wrong in zip(names, bogus, strict=True) if wrong),
            times_to_live={name: seconds for name, seconds in zip(keys, kept, strict=True) if seconds is not None},
            by_server=dict(zip(watched, await asyncio.gather(*map(self._by_server, watched)), strict=True)),
            policies={name: policy for name, policy in policies.items() if policy is not None},
            knocks=await self._knocks(names) if knocks else {},
        )

    async def _by_server(self, name: str) -> Mapping[str, Answer[str]]:
        sightings = await self.resolver.everywhere(name, "TXT")
        return {sighting.server: sighting.answer for sighting in sightings}

    async def _policy(self, name: str) -> FetchedPolicy | None:
        """The MTA-STS policy (RFC 8461 §3.3: no redirects), None where none is announced."""
        announced = await self.resolver.txt(f"_mta-sts.{name}")
        if not isinstance(announced, Found):
            return None
        got = await self.fetcher.get(f"https://mta-sts.{name}/.well-known/mta-sts.txt")
        if not isinstance(got, HttpAnswer):
            return FetchedPolicy(failure=got.why)
        if got.status != 200:
            return FetchedPolicy(failure=f"HTTP status {got.status}")
        return FetchedPolicy(text=got.body.decode("ascii", "replace"))

    async def _knocks(self, names: Iterable[str]) -> Mapping[str, Knock]:
        found = await asyncio.gather(*(self._hosts(name) for name in names))
        hosts = {host.name: (host, name) for name, some in zip(names, found, strict=True) for host in some}
        knocked = await asyncio.gather(
            *(
                knock(host, self.hello, tuple(f"{role}@{name}" for role in _ROLES))
                for host, name in list(hosts.values())[:_HOSTS]
            )
        )
        return {one.host: one for one in knocked}

    async def _hosts(self, name: str) -> list[Host]:
        exchanges: Answer[Mx] = await self.resolver.mx(name)
        hosts = []
        for mx in exchanges.records[:_HOSTS] if isinstance(exchanges, Found) else ():
            found = await self.resolver.addresses(mx.exchange)
            if isinstance(found, Found) and (self.allow_private or why_not_public(found.records[0]) is None):
                hosts.append(Host(mx.exchange, found.records[0], self.smtp_port))
        return hosts
