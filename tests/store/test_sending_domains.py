"""Sending domains in the store."""

from dataclasses import replace
from datetime import timedelta

from homing.loop.domains.sending_domains import RecordFact, RecordPurpose, RecordState, SendingDomain, label_of
from homing.loop.model import EventType, NewEvent
from homing.store import sending_domains, tables
from homing.store.database import Database
from homing.store.organizations import Organization

from .scenes import MINUTE, NOW, all_rows, an_organization, fresh

CHANGED = NewEvent(type=EventType.DOMAIN_CHANGED, data={"domain": "bloggs.com"})


def a_domain(organization: Organization, name: str = "bloggs.com") -> SendingDomain:
    return SendingDomain(
        id=fresh(),
        organization=organization.id,
        domain=name,
        label=label_of(organization.id, name),
        created_at=NOW,
        next_check_at=NOW,
    )


async def test_it_is_one_organizations(database: Database) -> None:
    mine, other = await an_organization(database), await an_organization(database)
    domain = a_domain(mine)
    assert await database.write(sending_domains.add, domain)
    assert not await database.write(sending_domains.add, a_domain(mine))
    assert await database.write(sending_domains.add, a_domain(other))
    assert await database.read(sending_domains.get, mine.id, "bloggs.com") == domain
    assert await database.read(sending_domains.list_all, mine.id) == [domain]
    assert await database.read(sending_domains.get, mine.id, "other.com") is None


async def test_what_was_found_is_written_once_with_its_events(database: Database) -> None:
    mine = await an_organization(database)
    domain = a_domain(mine)
    await database.write(sending_domains.add, domain)
    fact = RecordFact(state=RecordState.VERIFIED, held=True, good=1, checked_at=NOW, query="q", server="s", answer="a")
    after = replace(
        domain,
        facts={RecordPurpose.DKIM_1: fact},
        signing=RecordPurpose.DKIM_1,
        checked_at=NOW,
        next_check_at=NOW + MINUTE,
    )
    assert await database.write(sending_domains.record, domain, after, [CHANGED])
    assert await database.read(sending_domains.get, mine.id, "bloggs.com") == after
    assert not await database.write(sending_domains.record, domain, after, [CHANGED])  # somebody has looked meanwhile
    assert await database.write(sending_domains.record, after, replace(after, checked_at=NOW + MINUTE), [])
    told = await database.read(all_rows, tables.event, tables.event.c.organization == mine.id)
    assert [event["type"] for event in told] == ["domain_changed"]


async def test_what_is_due_is_taken_by_one(database: Database) -> None:
    mine = await an_organization(database)
    for name in ("a.com", "b.com"):
        await database.write(sending_domains.add, a_domain(mine, name))
    lease = timedelta(minutes=5)
    assert len(await database.write(sending_domains.take_due, NOW, 1, lease)) == 1
    assert len(await database.write(sending_domains.take_due, NOW, 10, lease)) == 1
    assert await database.write(sending_domains.take_due, NOW, 10, lease) == []
    assert len(await database.write(sending_domains.take_due, NOW + lease, 10, lease)) == 2


async def test_a_removed_domain_hears_its_bounces_and_can_come_back(database: Database) -> None:
    mine = await an_organization(database)
    await database.write(sending_domains.add, a_domain(mine))
    assert await database.write(sending_domains.set_own_recipients, mine.id, "bloggs.com", True)
    assert await database.write(sending_domains.remove, mine.id, "bloggs.com", NOW)
    assert not await database.write(sending_domains.remove, mine.id, "bloggs.com", NOW)
    assert await database.read(sending_domains.list_all, mine.id) == []
    assert await database.write(sending_domains.take_due, NOW, 10, MINUTE) == []
    assert await database.read(sending_domains.return_domains, NOW) == {"bounce.bloggs.com"}
    assert await database.write(sending_domains.add, a_domain(mine))
    [back] = await database.read(sending_domains.list_all, mine.id)
    assert back.facts == {}
