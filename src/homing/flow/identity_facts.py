"""Facts proved about organizations' domains, cached for a moment: nearly every message asks for them, without a DNS
query."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cachetools import TTLCache

from homing.flow.outgoing import Clock
from homing.flow.own_names import RESERVED
from homing.loop.domains.identity import DomainFact, Facts, OperatorIdentity
from homing.loop.domains.impersonation import ClaimedWords, Guard, claimed_words, guard
from homing.loop.domains.known_names import KNOWN_NAMES
from homing.loop.domains.sending_domains import RecordPurpose, SendingDomain, is_owned, level_of
from homing.loop.model import OrganizationId
from homing.store import organizations, sending_domains
from homing.store.database import Database
from homing.store.organizations import Judge, Organization

_KNOWN_FOR = timedelta(seconds=5)
_NAMES_KNOWN_FOR = timedelta(minutes=1)
_KNOWN_AT_MOST = 10_000

_Domains = Mapping[str, DomainFact]


@dataclass(slots=True, kw_only=True)
class IdentityFacts:
    """`signing` says which record of a domain leads to the key that signs now: what a look at the DNS found an hour ago
    must not outlive a rotation. `organization_addresses`: each organization has a From address of its own at the
    operator's shared domain."""

    database: Database
    operator: OperatorIdentity
    signing: Callable[[], RecordPurpose | None]
    clock: Clock
    organization_addresses: bool = False
    _known: TTLCache[tuple[OrganizationId, RecordPurpose | None], _Domains, datetime] = field(init=False)
    _guarding: TTLCache[str, tuple[Guard, ...], datetime] = field(init=False)

    def __post_init__(self) -> None:
        self._known = TTLCache(_KNOWN_AT_MOST, _KNOWN_FOR, self.clock)
        self._guarding = TTLCache(_KNOWN_AT_MOST, _NAMES_KNOWN_FOR, self.clock)

    async def facts(
        self,
        organization: OrganizationId,
        name: str,
        people: frozenset[str] = frozenset(),
        display_name: str | None = None,
    ) -> Facts:
        """The facts proved now about the organization of that name. `people`: addresses whose owners have proved them.
        `display_name`: the new name in From, to be compared with guarded names; None: no new name."""
        return Facts(
            operator=self.operator,
            proved=people,
            domains=await self._domains(organization),
            local_part=name if self.organization_addresses and name not in RESERVED else None,
            guards=() if display_name is None else await self._guards(display_name),
        )

    async def judge(self, organization: OrganizationId, display_name: str) -> Judge:
        """Tells, given the guarded names of other organizations, whose name an organization would bear that called
        itself so. `organization` may be one that is still to be made."""
        domains = (await self._domains_now(organization)).keys()

        def judge(others: Guard) -> ClaimedWords | None:
            guards = (KNOWN_NAMES, self._operators, others)
            return claimed_words(display_name, guards, own="", own_domains=domains, never_a_person=True)

        return judge

    async def claim(self, organization: OrganizationId, display_name: str) -> ClaimedWords | None:
        """Whose name an organization would bear that called itself so; None: nobody else's."""
        judge = await self.judge(organization, display_name)
        return judge(await self.database.read(organizations.guard_against, display_name, organization))

    async def person_claim(self, organization: Organization, name: str) -> ClaimedWords | None:
        """Whose name a person of this organization would bear; None: nobody else's."""
        facts = await self.facts(organization.id, organization.name, display_name=name)
        return claimed_words(
            name, (KNOWN_NAMES, *facts.guards), own=organization.display_name, own_domains=facts.domains.keys()
        )

    @property
    def _operators(self) -> Guard:
        return guard([self.operator.name], never_a_person=True)

    async def _guards(self, display_name: str) -> tuple[Guard, ...]:
        """The guarded names that this one could impersonate: the operator's, and those of organizations."""
        known = self._guarding.get(display_name)
        if known is None:
            found = await self.database.read(organizations.guard_against, display_name)
            known = self._guarding[display_name] = (self._operators, found)
        return known

    async def _domains(self, organization: OrganizationId) -> _Domains:
        asked = organization, self.signing()
        known = self._known.get(asked)
        if known is None:
            known = self._known[asked] = await self._domains_now(organization)
        return known

    async def _domains_now(self, organization: OrganizationId) -> _Domains:
        signing = self.signing()
        stored = await self.database.read(sending_domains.list_all, organization)
        return {one.domain: _fact(one) for each in stored if is_owned(one := replace(each, signing=signing))}


def _fact(domain: SendingDomain) -> DomainFact:
    return DomainFact(
        level=level_of(domain),
        return_domain=domain.return_domain,
        own_recipients=domain.own_recipients,
        checked_at=domain.checked_at,
    )
