"""What our own names are examined with: the keys that the store has now, a message signed with them, and our egress."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx2
import pytest

from homing.flow import own_doctor
from homing.flow.deliver.sign import Signer
from homing.flow.doctor import Doctor
from homing.flow.own_doctor import OwnDoctor, published
from homing.lab.dns import DnsServer
from homing.loop.doctor.finding import Finding, Outcome
from homing.loop.domains.sending_domains import Delegation, SendingDomain
from homing.loop.domains.signing_keys import RSA, DkimKey, KeyState
from homing.mail.dkim import SigningKey
from homing.net.dns import AS_PUBLISHED, Resolver
from homing.net.fetch import Fetcher
from homing.store import dkim_keys, human_senders
from homing.store.database import Database
from homing.store.dkim_keys import SealedKey
from homing.store.human_senders import HumanSender
from tests.flow.deliver.scene import OPERATOR, SEALER, Clock
from tests.store.scenes import NOW, an_organization, fresh

OWN, HELO, IP = OPERATOR.from_domain, "mx.example", "127.0.3.1"
OURS = Delegation(
    operator_domain="example",
    dkim_domain="dkim.example",
    return_host="rp.example",
    hostname=HELO,
    selectors=("acme1", "acme2"),
    reports_to=f"dmarc@{OWN}",
)


def a_key(selector: str, state: KeyState, private: SigningKey | None = None, since: datetime = NOW) -> DkimKey:
    """Ed25519 keys pass for RSA here: they are made at once."""
    private = private or SigningKey.generate_ed25519(OWN, selector)
    return DkimKey(
        id=fresh(since),
        organization=None,
        domain=OWN,
        selector=selector,
        algorithm=RSA,
        record_name=private.dns_name,
        record=private.dns_record(),
        state=state,
        created_at=since,
        activated_at=NOW if state is KeyState.ACTIVE else None,
    )


@dataclass(slots=True, kw_only=True)
class Clinic:
    database: Database
    dns: DnsServer
    signer: Signer
    own_doctor: OwnDoctor

    async def put(self, selector: str, state: KeyState, since: datetime = NOW) -> DkimKey:
        private = SigningKey.generate_ed25519(OWN, selector)
        key = a_key(selector, state, private, since)
        sealed = SEALER.seal(private.pem(), key.place, bytes(12))
        assert await self.database.write(dkim_keys.add, SealedKey(key=key, sealed=sealed))
        await self.signer.reload()
        return key

    async def finds(self, domain: str = OWN, *, egress: tuple[str, ...] = ()) -> dict[tuple[str, str], Finding]:
        """Each finding by check and name."""
        found = await self.own_doctor.examine_domain(domain, egress=egress)
        return {(one.check, one.about): one for one in found}


@pytest.fixture
async def clinic(database: Database, dns: DnsServer, clock: Clock) -> AsyncIterator[Clinic]:
    port = dns.servers[0][1]
    resolver = Resolver(dns.servers, keep=AS_PUBLISHED, timeout=5, zone_port=port, allow_private=True)
    nothing = httpx2.MockTransport(lambda _: httpx2.Response(404))
    fetcher = Fetcher(resolver, allow_private=True, transport=nothing)
    signer = Signer(database, SEALER, own=OWN, delegated=OURS.dkim_domain, threads=1)
    own_doctor = OwnDoctor(
        doctor=Doctor(resolver=resolver, fetcher=fetcher, hello=HELO, smtp_port=25, allow_private=True),
        database=database,
        signer=signer,
        operator_domain=OURS.operator_domain,
        identity=OPERATOR,
        hostname=HELO,
        delegation=OURS,
        suffix_of=None,
        clock=clock,
        probes=False,
    )
    dns.publish(HELO, f"A {IP}")
    yield Clinic(database=database, dns=dns, signer=signer, own_doctor=own_doctor)
    signer.close()
    await fetcher.close()


C, P, A, D, T, R = (
    KeyState.CREATED,
    KeyState.PUBLISHED,
    KeyState.ACTIVE,
    KeyState.DRAINING,
    KeyState.RETIRED,
    KeyState.REVOKED,
)


@pytest.mark.parametrize(
    ("states", "there", "gone"),
    [
        ((), "", ""),
        ((("h1", A), ("h2", P)), "h1 h2", ""),
        ((("h1", D), ("h2", A)), "h1 h2", ""),
        ((("h1", A), ("h2", C)), "h1", ""),  # just made: no fault yet
        ((("h1", C), ("h2", C)), "h1 h2", ""),  # unless there is no other
        ((("h1", T), ("h2", A)), "h2", "h1"),
        ((("h1", R), ("h2", A)), "h2", "h1"),
        ((("h1", T), ("h2", A), ("h1", P)), "h2 h1", ""),  # the selector is in use again
        ((("h1", T), ("h1", R), ("h2", A)), "h2", "h1"),
        ((("h1", R), ("h2", C)), "h2", "h1"),
    ],
)
def test_which_keys_should_stand_in_the_dns_and_which_should_be_gone(
    states: tuple[tuple[str, KeyState], ...], there: str, gone: str
) -> None:
    expected = published([a_key(selector, state) for selector, state in states])
    assert " ".join(key.selector for key in expected if not key.retired) == there
    assert " ".join(key.selector for key in expected if key.retired) == gone
    assert all(bool(key.record) is not key.retired for key in expected)


async def test_the_key_that_signs_is_proved_by_a_message_that_it_signed(clinic: Clinic) -> None:
    key = await clinic.put("h1", A)
    clinic.dns.publish_text(key.record_name, key.record)
    found = await clinic.finds()
    assert found["DK02", key.record_name].outcome is Outcome.OK
    assert found["DK08", key.record_name].outcome is Outcome.OK
    other = SigningKey.generate_ed25519(OWN, "h1").dns_record()
    clinic.dns.publish_text(key.record_name, other)
    broken = (await clinic.finds())["DK08", key.record_name]
    assert (broken.outcome, [record.value for record in broken.records]) == (Outcome.BROKEN, [key.record])


async def test_an_ended_key_that_still_stands_is_told_and_one_that_is_gone_is_not(clinic: Clinic) -> None:
    active, ended = await clinic.put("h2", A), await clinic.put("h1", T, NOW - timedelta(days=200))
    clinic.dns.publish_text(active.record_name, active.record)
    gone = {name: one.outcome for name, one in (await clinic.finds()).items() if name[1] == ended.record_name}
    assert set(gone.values()) == {Outcome.OK}, gone
    clinic.dns.publish_text(ended.record_name, ended.record)
    stands = {name: one.outcome for name, one in (await clinic.finds()).items() if name[1] == ended.record_name}
    assert set(stands.values()) & {Outcome.WARNING, Outcome.INFO, Outcome.BROKEN}, stands


async def test_mail_leaves_from_the_addresses_of_our_hostname_unless_somebody_says_otherwise(clinic: Clinic) -> None:
    assert ("PTR01", IP) in await clinic.finds()
    told = await clinic.finds(egress=("127.0.3.2",))
    assert [about for check, about in told if check == "PTR01"] == ["127.0.3.2"]


async def test_strangers_are_not_held_against_our_keys(clinic: Clinic) -> None:
    key = await clinic.put("h1", A)
    assert (clinic.own_doctor.is_ours("example"), clinic.own_doctor.is_ours("corp.example")) == (True, False)
    assert not {about for _, about in await clinic.finds("corp.example") if about == key.record_name or OWN in about}
    ours = await clinic.finds("example")
    assert ("DK02", key.record_name) in ours, "the operator's own domain stands for all of our names"


async def test_an_organizations_domain_is_held_against_where_proved_people_read_their_replies(clinic: Clinic) -> None:
    organization = (await an_organization(clinic.database)).id
    for address, proved in (("joe@reads.example", NOW), ("ann@reads.example", NOW), ("eve@unproved.example", None)):
        person = HumanSender(
            id=fresh(), organization=organization, name="Joe", address=address, created_at=NOW, proved_at=proved
        )
        assert await clinic.database.write(human_senders.create, person)
    domain = SendingDomain(
        id=fresh(), organization=organization, domain="corp.example", label="l", created_at=NOW, next_check_at=NOW
    )
    found = await clinic.own_doctor.examine_sending_domain(domain)
    assert [one.about for one in found if one.check == "RT01"] == ["reads.example"]
    assert not [one for one in found if IP in one.about or HELO in one.about], "our hosts are no matter of theirs"


async def test_of_an_organization_with_many_people_some_are_looked_at(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have a hundred thousand, and each domain of theirs costs questions."""
    monkeypatch.setattr(own_doctor, "_PEOPLE", 30)
    organization = (await an_organization(clinic.database)).id
    for number in range(40):
        person = HumanSender(
            id=fresh(),
            organization=organization,
            name="Joe",
            address=f"joe{number:02}@d{number % 12:02}.example",
            created_at=NOW,
            proved_at=NOW,
        )
        assert await clinic.database.write(human_senders.create, person)
    assert len(await clinic.database.read(human_senders.proved, organization, 30)) == 30
    domain = SendingDomain(
        id=fresh(), organization=organization, domain="corp.example", label="l", created_at=NOW, next_check_at=NOW
    )
    found = await clinic.own_doctor.examine_sending_domain(domain)
    examined = {one.about for one in found if one.check == "RT01"}
    assert len(examined) == 10
    assert {f"d{number:02}.example" for number in range(6)} < examined, "those of most of them"
