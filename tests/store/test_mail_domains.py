"""Domains that took mail lately, and since when the DNS denies them."""

from datetime import timedelta

import pytest

from homing.loop.retry import TOOK_MAIL_WITHIN
from homing.store import mail_domains, tables
from homing.store.database import Database
from tests.store.scenes import NOW, all_rows

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(("later", "known"), [(DAY, True), (TOOK_MAIL_WITHIN - HOUR, True), (TOOK_MAIL_WITHIN, False)])
async def test_a_domain_that_took_mail_is_known_for_a_month(database: Database, later: timedelta, known: bool) -> None:
    await database.write(mail_domains.took_mail, {"corp.com", "else.com"}, NOW)
    since = await database.write(mail_domains.denied_since, "corp.com", NOW + later)
    assert since == (NOW + later if known else None)
    assert await database.write(mail_domains.denied_since, "stranger.com", NOW) is None


async def test_the_first_denial_counts_until_mail_is_taken_again(database: Database) -> None:
    await database.write(mail_domains.took_mail, {"corp.com"}, NOW)
    for hours in (1, 5, 9):
        since = await database.write(mail_domains.denied_since, "corp.com", NOW + hours * HOUR)
        assert since == NOW + HOUR
    assert await database.write(mail_domains.denied_since, "corp.com", NOW) == NOW, "never in the future"
    await database.write(mail_domains.took_mail, {"corp.com"}, NOW + 10 * HOUR)
    assert await database.write(mail_domains.denied_since, "corp.com", NOW + 11 * HOUR) == NOW + 11 * HOUR


async def test_an_old_denial_begins_anew(database: Database) -> None:
    """The zone may have been mended in between; nobody noticed, if no server took anything."""
    await database.write(mail_domains.took_mail, {"corp.com"}, NOW)
    await database.write(mail_domains.denied_since, "corp.com", NOW + DAY)
    assert await database.write(mail_domains.denied_since, "corp.com", NOW + 7 * DAY) == NOW + DAY
    assert await database.write(mail_domains.denied_since, "corp.com", NOW + 12 * DAY) == NOW + 12 * DAY


async def test_it_is_noted_once_a_day(database: Database) -> None:
    for hours in (0, 5, 23):
        await database.write(mail_domains.took_mail, {"corp.com"}, NOW + hours * HOUR)
        (row,) = await database.read(all_rows, tables.mail_domain)
        assert row["taken_at"] == NOW
    await database.write(mail_domains.took_mail, {"corp.com"}, NOW + DAY)
    (row,) = await database.read(all_rows, tables.mail_domain)
    assert row["taken_at"] == NOW + DAY
