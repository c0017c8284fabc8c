"""The doctor for domains that we know: our own names with their DKIM keys, as the store has them now."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from homing.flow.deliver.sign import BEYOND_LIFETIME, Signer
from homing.flow.doctor import Doctor
from homing.flow.outgoing import Clock
from homing.loop.doctor.examined import canned, of_organization, ourselves, somebody
from homing.loop.doctor.facts import DoctorFacts, PublishedAt
from homing.loop.doctor.finding import Finding
from homing.loop.domains.identity import OperatorIdentity
from homing.loop.domains.sending_domains import Delegation, SendingDomain
from homing.loop.domains.signing_keys import SIGNING, DkimKey, KeyState
from homing.mail.address import domain_of
from homing.mail.dmarc import SuffixOf
from homing.store import dkim_keys, human_senders
from homing.store.database import Database

_PEOPLE, _REPLY_DOMAINS = 1000, 10
"""How many people are looked at to learn where replies go, and how many of their domains are examined."""
_EXPECTED = SIGNING | {KeyState.PUBLISHED}
_ENDED = frozenset({KeyState.RETIRED, KeyState.REVOKED})


@dataclass(slots=True, kw_only=True)
class OwnDoctor:
    """`operator_domain`, `identity` and `hostname` are our own names. `probes`: connect to our own mail hosts, too."""

    doctor: Doctor
    database: Database
    signer: Signer
    operator_domain: str
    identity: OperatorIdentity
    hostname: str
    delegation: Delegation
    suffix_of: SuffixOf | None
    clock: Clock
    probes: bool = True

    def is_ours(self, domain: str) -> bool:
        return domain in (self.operator_domain, self.identity.from_domain)

    async def examine_domain(
        self, domain: str, *, egress: Sequence[str] = (), probes: bool = True
    ) -> tuple[Finding, ...]:
        """The findings about a domain; our own names are compared with all that we know of them. `egress`: the
        addresses that mail leaves from, by default those of our hostname."""
        if not self.is_ours(domain):
            examined = somebody(domain, egress=tuple(egress))
            return await self.doctor.examine(replace(examined, suffix_of=self.suffix_of, now=self.clock()))
        ours = await self._ourselves(tuple(egress) or await self.doctor.egress_of(self.hostname))
        return await self.doctor.examine(ours, probes=probes and self.probes)

    async def examine_sending_domain(self, domain: SendingDomain) -> tuple[Finding, ...]:
        """What is wrong with the domain of an organization that mails through us."""
        examined = of_organization(domain, self.delegation, egress=await self.doctor.egress_of(self.hostname))
        addresses = await self.database.read(human_senders.proved, domain.organization, _PEOPLE)
        most = Counter(map(domain_of, addresses)).most_common(_REPLY_DOMAINS)
        return await self.doctor.examine(
            replace(examined, suffix_of=self.suffix_of, replies_to=tuple(one for one, _ in most), now=self.clock())
        )

    async def _ourselves(self, egress: tuple[str, ...]) -> DoctorFacts:
        known = await self.database.read(dkim_keys.list_all, self.identity.from_domain)
        examined = ourselves(
            self.operator_domain,
            self.identity,
            self.hostname,
            keys=[replace(key, proof=await self._proof(key)) for key in published(known)],
            egress=egress,
        )
        return replace(examined, suffix_of=self.suffix_of, now=self.clock())

    async def _proof(self, key: PublishedAt) -> bytes:
        """A message signed like any other; empty unless this key signs it."""
        now = self.clock()
        plan = self.signer.plan(self.identity.from_domain, None, None, now)
        if plan is None or key.retired or key.selector not in plan.selectors.split(","):
            return b""
        return await self.signer.signed(canned(self.identity, now), plan, now + BEYOND_LIFETIME)


def published(known: Sequence[DkimKey]) -> list[PublishedAt]:
    """The records that should stand in the DNS for these keys. A new key that is not published yet is no fault, unless
    there is no other."""
    live = [key for key in known if key.state in _EXPECTED] or [key for key in known if key.state not in _ENDED]
    taken = {key.selector for key in live}
    ended = {key.selector: key for key in known if key.state in _ENDED and key.selector not in taken}
    return [
        *(PublishedAt(domain=key.domain, selector=key.selector, record=key.record) for key in live),
        *(PublishedAt(domain=key.domain, selector=key.selector, retired=True) for key in ended.values()),
    ]
