"""Names of ours that change while we run: only what is new is asked for, and nothing new is missed."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from homing.flow.own_names import OwnNames
from homing.loop.domains.sending_domains import SendingDomain
from homing.loop.ids import new_id
from homing.loop.model import OrganizationId
from homing.store import organizations, sending_domains
from homing.store.database import Database
from homing.store.organizations import Organization

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


async def an_organization(database: Database, name: str, now: datetime) -> None:
    """With a domain of its own."""
    mine = OrganizationId(new_id(now, os.urandom(10)))
    await database.write(
        organizations.create, Organization(id=mine, name=name, display_name=name.title(), created_at=now)
    )
    domain = SendingDomain(
        id=new_id(now, os.urandom(10)),
        organization=mine,
        domain=f"{name}.example",
        label="l",
        created_at=now,
        next_check_at=now,
    )
    await database.write(sending_domains.add, domain)


async def test_what_is_new_is_learnt_whatever_the_clocks_say(database: Database) -> None:
    now = NOW
    names = OwnNames(database=database, organization_addresses=True, clock=lambda: now)
    await an_organization(database, "old", NOW - 400 * DAY)
    await names.learn()
    assert names.local_parts == {"old"}
    assert names.return_domains == {"bounce.old.example"}
    for name, at, looks in (
        ("new", NOW + DAY, NOW + DAY),
        ("slow", NOW + DAY - timedelta(hours=3), NOW + DAY + timedelta(hours=1)),  # committed late, or a clock behind
        ("ahead", NOW + 30 * DAY, NOW + 30 * DAY),  # the clock leaps a month ahead
        ("back", NOW + 2 * DAY, NOW + 2 * DAY),  # and is put right
        ("later", NOW + 5 * DAY, NOW + 9 * DAY),  # for days the store did not answer
    ):
        await an_organization(database, name, at)
        now = looks
        if name == "later":
            names._learned_at = NOW + 4 * DAY
        await names.learn()
        assert name in names.local_parts
        assert f"bounce.{name}.example" in names.return_domains


@pytest.mark.parametrize("name", ["postmaster", "abuse", "fbl", "dmarc", "tlsrpt", "message-service"])
async def test_a_name_that_means_somebody_else_is_no_organizations(database: Database, name: str) -> None:
    """Its mail would be answered in an organization's name, and go out in the operator's."""
    names = OwnNames(database=database, organization_addresses=True, clock=lambda: NOW)
    await an_organization(database, name, NOW)
    await names.learn()
    assert names.local_parts == set()
