"""Read-only questions: lists with filters and keyset pages, counts, the overview."""

from dataclasses import replace
from datetime import timedelta

import pytest

from homing.loop.model import CaseState, Origin, State
from homing.store import views
from homing.store.database import Database
from homing.store.organizations import Organization
from homing.store.record import record
from homing.store.views import Filter
from tests.store.scenes import MINUTE, NOW, an_organization, answered, claimed, fresh, submitted


async def _list(database: Database, organization: Organization, **wanted: object) -> list[str]:
    lines = (await database.read(views.messages, organization.id, Filter(**wanted))).lines  # type: ignore[arg-type]
    return [line.message.subject for line in lines]


async def test_messages_are_filtered_and_paged(database: Database) -> None:
    organization, other = await an_organization(database), await an_organization(database)
    janet = fresh()
    for number in range(5):
        now = NOW + number * MINUTE
        await submitted(database, organization, f"R{number}@example.net", subject=f"s{number}", now=now)
    await submitted(
        database,
        organization,
        "a@example.net",
        "b@example.net",
        subject="hers",
        human_sender=janet,
        stream="x",
        now=NOW + timedelta(hours=1),
    )
    await submitted(database, organization, subject="letter", origin=Origin.LETTER)
    await submitted(database, other, subject="not ours")

    assert await _list(database, organization) == ["hers", "s4", "s3", "s2", "s1", "s0"]
    assert await _list(database, organization, recipient="r3@EXAMPLE.net") == ["s3"]
    assert await _list(database, organization, human_sender=janet) == ["hers"]
    assert await _list(database, organization, stream="x") == ["hers"]
    assert await _list(database, organization, state=State.BOUNCED) == []
    assert await _list(database, organization, since=NOW + 3 * MINUTE, until=NOW + 4 * MINUTE) == ["s3"]

    seen, before = [], None
    while seen == [] or before is not None:
        page = await database.read(views.messages, organization.id, Filter(), before=before, limit=4)
        seen += [line.message.subject for line in page.lines]
        before = page.further
    assert seen == ["hers", "s4", "s3", "s2", "s1", "s0"]
    (hers,) = (await database.read(views.messages, organization.id, Filter(stream="x"))).lines
    assert {one.recipient for one in hers.deliveries} == {"a@example.net", "b@example.net"}


async def test_state_and_recipient_must_hold_for_the_same_delivery(database: Database) -> None:
    organization = await an_organization(database)
    await submitted(database, organization, "john@example.net", "jane@example.net", subject="both")
    for claim in await claimed(database):
        code = 550 if claim.delivery.recipient.startswith("john") else 250
        await database.write_grouped(record, answered(claim, None, code))
    assert await _list(database, organization, state=State.BOUNCED, recipient="john@example.net") == ["both"]
    assert await _list(database, organization, state=State.BOUNCED, recipient="jane@example.net") == []


async def test_cases_and_counts(database: Database) -> None:
    organization = await an_organization(database)
    for code in (550, 550, 250):
        await submitted(database, organization, subject=f"got {code}")
        (claim,) = await claimed(database)
        await database.write_grouped(record, answered(claim, None, code))
    waiting = await submitted(database, organization)
    assert await database.read(views.counts, organization.id) == {State.BOUNCED: 2, State.DELIVERED: 1, State.QUEUED: 1}
    assert await database.read(views.counts, organization.id, NOW + MINUTE) == {}
    lines = (await database.read(views.cases, organization.id, state=CaseState.OPEN)).lines
    assert [(line.subject, line.recipient) for line in lines] == [("got 550", "john@example.net")] * 2
    assert len((await database.read(views.cases, organization.id, limit=1)).lines) == 1
    assert (await database.read(views.cases, organization.id, before=min(line.case.id for line in lines))).lines == []
    assert await database.read(views.message, fresh(), waiting.message.id) is None


async def test_a_page_lists_a_bounded_number_of_deliveries(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its messages may have a thousand."""
    monkeypatch.setattr(views, "LISTED", 5)
    organization = await an_organization(database)
    for number, recipients in enumerate((2, 1, 7, 3, 2)):
        addresses = [f"r{one}@example.net" for one in range(recipients)]
        await submitted(database, organization, *addresses, subject=f"s{number}", now=NOW + number * MINUTE)
    pages, before = [], None
    while not pages or before is not None:
        page = await database.read(views.messages, organization.id, Filter(), before=before, limit=50)
        pages.append([len(line.deliveries) for line in page.lines])
        before = page.further
    assert pages == [[2, 3], [7], [1, 2]]


async def test_of_many_attempts_and_events_the_latest_are_shown(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "ATTEMPTS", 4)
    monkeypatch.setattr(views, "TIMELINE", 5)
    organization = await an_organization(database)
    await submitted(database, organization, "john@example.net", "jane@example.net")
    for number in range(5):
        at = NOW + number * timedelta(hours=9)
        for claim in await claimed(database, now=at):
            later = answered(claim, None, 450, now=at)
            assert later.attempt is not None
            said = replace(later.attempt, dialogue="< 450 later")
            await database.write_grouped(record, replace(later, attempt=said))
    [line] = (await database.read(views.messages, organization.id, Filter())).lines
    whole = await database.read(views.message, organization.id, line.message.id)
    assert whole is not None
    assert [[one.number for one in each.attempts] for each in whole.deliveries] == [[4, 5], [4, 5]]
    assert len(whole.timeline) == 5
    assert whole.timeline[-1].at == max(one.at for one in whole.timeline)
    alone = await database.read(views.delivery, organization.id, whole.deliveries[0].delivery.id)
    assert alone is not None
    assert [one.number for one in alone.attempts] == [2, 3, 4, 5]
    assert all(one.dialogue for one in alone.attempts)
    monkeypatch.setattr(views, "DIALOGUES", 1)
    again = await database.read(views.message, organization.id, line.message.id)
    assert again is not None
    assert not any(one.dialogue for each in again.deliveries for one in each.attempts)


async def test_a_delivery_of_another_organization_is_not_found(database: Database) -> None:
    mine, other = await an_organization(database), await an_organization(database)
    await submitted(database, mine, "john@example.net")
    [line] = (await database.read(views.messages, mine.id, Filter())).lines
    assert await database.read(views.delivery, mine.id, line.deliveries[0].id) is not None
    assert await database.read(views.delivery, other.id, line.deliveries[0].id) is None
