"""Accepting: all or nothing, once per key, within the cap, with suppression heard."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from homing.loop.model import CaseState, OrganizationId, Origin, State, StepState
from homing.store import accepted_messages, actions, lifts, organizations, suppressions, tables, usage, views
from homing.store.accepted_messages import Added, KeyReused, OverCap, Replayed
from homing.store.database import Database
from homing.store.record import record
from homing.store.suppressions import Suppression
from tests.store.scenes import (
    MINUTE,
    NOW,
    a_submission,
    all_rows,
    an_organization,
    answered,
    attempted,
    claimed,
    event_types,
    fresh,
    state_of,
    submitted,
    the_case,
)


async def used(database: Database, organization: OrganizationId) -> int:
    """Deliveries of the day, as they are counted."""
    today = sa.select(tables.usage.c.deliveries).where(
        tables.usage.c.organization == organization, tables.usage.c.day == usage.day_of(NOW)
    )
    return await database.read(lambda conn: conn.execute(today).scalar() or 0)


async def test_message_content_deliveries_and_events_are_there(database: Database) -> None:
    organization = await an_organization(database)
    one = await submitted(
        database, organization, "john@example.net", "jane@example.org", metadata={"call": 7, "hot": True}
    )
    view = await database.read(views.message, organization.id, one.message.id)
    assert view
    assert view.message.subject == "Your call"
    assert view.message.metadata == {"call": 7, "hot": True}
    assert sorted(each.delivery.recipient for each in view.deliveries) == ["jane@example.org", "john@example.net"]
    assert {each.delivery.state for each in view.deliveries} == {State.QUEUED}
    assert [event.type.value for event in view.timeline] == ["queued", "queued"]
    assert view.deliveries[0].identity == one.deliveries[0].identity
    assert await database.read(accepted_messages.content, organization.id, one.message.id) == one.message.content


async def test_nothing_is_there_when_anything_fails(database: Database) -> None:
    organization = await an_organization(database)
    good, twice = a_submission(organization, key="k"), a_submission(organization, key="k2")
    broken = a_submission(organization, "a@example.net", id=twice.deliveries[0].id)  # a delivery id that is taken
    both = [database.write_grouped(accepted_messages.add, one) for one in (good, twice, broken)]
    answers = await asyncio.gather(*both, return_exceptions=True)
    assert [type(answer) for answer in answers[:2]] == [Added, Added]
    assert isinstance(answers[2], sa.exc.IntegrityError)
    for table in (tables.message, tables.message_content, tables.delivery, tables.event, tables.idempotency):
        assert len(await database.read(all_rows, table)) == 2, table.name
    assert await used(database, organization.id) == 2


# -- idempotency -----------------------------------------------------------------------------------------------------


async def test_the_same_key_gets_the_same_answer(database: Database) -> None:
    organization = await an_organization(database)
    first = await submitted(database, organization, key="k")
    answer = first.respond(frozenset())
    again = await database.write_grouped(accepted_messages.add, a_submission(organization, key="k"))
    assert again == Replayed(response=answer)
    other = await database.write_grouped(accepted_messages.add, a_submission(organization, key="k", payload="other"))
    assert other == KeyReused()
    assert len(await database.read(all_rows, tables.message)) == 1
    assert await used(database, organization.id) == 1


async def test_a_key_belongs_to_its_organization(database: Database) -> None:
    one, two = await an_organization(database), await an_organization(database)
    await submitted(database, one, key="k")
    await submitted(database, two, key="k")


@pytest.mark.parametrize("alone", [True, False])
async def test_concurrent_use_of_a_key_is_accepted_once(database: Database, alone: bool) -> None:
    """In one batch, and in transactions that run at the same time."""
    organization = await an_organization(database)

    def add_one(conn: sa.Connection, item: accepted_messages.AcceptedMessage) -> accepted_messages.Answer:
        return accepted_messages.add(conn, [item])[0]

    items = [a_submission(organization, key=f"k{number % 5}") for number in range(40)]
    calls = [
        database.write(add_one, item) if alone else database.write_grouped(accepted_messages.add, item)
        for item in items
    ]
    answers = await asyncio.gather(*calls)
    assert sum(isinstance(answer, Added) for answer in answers) == 5
    accepted = {
        item.idempotency.key: answer.response
        for item, answer in zip(items, answers, strict=True)
        if isinstance(answer, Added) and item.idempotency
    }
    for item, answer in zip(items, answers, strict=True):
        assert item.idempotency
        assert isinstance(answer, Added | Replayed)
        assert answer.response == accepted[item.idempotency.key]
    assert len(await database.read(all_rows, tables.message)) == 5


# -- the daily cap ---------------------------------------------------------------------------------------------------


async def test_deliveries_beyond_the_cap_are_refused_until_midnight(database: Database) -> None:
    organization = await an_organization(database, daily_cap=3)
    await submitted(database, organization, "a@example.net", "b@example.net")
    over = await database.write_grouped(
        accepted_messages.add, a_submission(organization, "c@example.net", "d@example.net", key="k")
    )
    assert over == OverCap(cap=3, resets_at=datetime(2026, 3, 2, tzinfo=UTC))
    await submitted(database, organization, "e@example.net")  # one was left
    assert await used(database, organization.id) == 3
    await submitted(database, organization, "c@example.net", "d@example.net", key="k", now=NOW + timedelta(days=1))


async def test_the_cap_holds_for_everybody_together(database: Database) -> None:
    organization = await an_organization(database, daily_cap=10)

    def add_one(conn: sa.Connection, item: accepted_messages.AcceptedMessage) -> accepted_messages.Answer:
        return accepted_messages.add(conn, [item])[0]

    grouped = [database.write_grouped(accepted_messages.add, a_submission(organization)) for _ in range(15)]
    alone = [database.write(add_one, a_submission(organization)) for _ in range(15)]
    answers = await asyncio.gather(*grouped, *alone)
    assert sum(isinstance(answer, Added) for answer in answers) == 10
    assert len(await database.read(all_rows, tables.delivery)) == 10


async def test_twins_of_a_refused_submission_are_refused_too(database: Database) -> None:
    organization = await an_organization(database, daily_cap=0)
    items = [a_submission(organization, key="k") for _ in range(2)]
    answers = await database.write(accepted_messages.add, items)
    assert [type(answer) for answer in answers] == [OverCap, OverCap]
    assert await database.read(all_rows, tables.idempotency) == []


async def test_mail_of_our_own_is_not_counted(database: Database) -> None:
    organization = await an_organization(database, daily_cap=0)
    await submitted(database, organization, origin=Origin.LETTER)
    assert await used(database, organization.id) == 0


# -- suppression -----------------------------------------------------------------------------------------------------


async def _suppress(database: Database, owner: organizations.Organization, address: str, **more: object) -> None:
    entry = Suppression(
        **{
            "organization": owner.id,
            "stream": "default",
            "address": address,
            "reason": "complaint",
            "evidence": "a complaint of yesterday",
            "created_at": NOW - timedelta(days=1),
            **more,
        }  # type: ignore[arg-type]
    )
    await database.write(suppressions.add, [entry])


async def test_a_suppressed_recipient_is_a_failure_with_a_case(database: Database) -> None:
    organization = await an_organization(database)
    await _suppress(database, organization, "John@Example.net")
    one = a_submission(organization, "JOHN@example.net", "jane@example.org")
    answer = await database.write_grouped(accepted_messages.add, one)
    assert isinstance(answer, Added)
    assert answer.suppressed == frozenset({one.deliveries[0].id})
    view = await database.read(views.message, organization.id, one.message.id)
    assert view
    jane, john = sorted(view.deliveries, key=lambda one: one.delivery.recipient.lower())
    assert (john.delivery.state, jane.delivery.state) == (State.SUPPRESSED, State.QUEUED)
    assert john.case
    assert john.delivery.verdict and john.delivery.verdict.rule == "suppression"
    assert john.actions
    assert await event_types(database, john.delivery.id) == ["queued", "suppressed", "opened_case"]


@pytest.mark.parametrize(
    "entry",
    [{"stream": "newsletter"}, {"expires_at": NOW}, {"organization": fresh()}, {"address": "other@example.net"}],
)
async def test_other_entries_do_not_suppress(database: Database, entry: dict[str, object]) -> None:
    organization = await an_organization(database)
    await _suppress(database, organization, **{"address": "john@example.net", **entry})  # type: ignore[arg-type]
    await submitted(database, organization, "john@example.net")
    assert len(await claimed(database)) == 1


async def test_suppressions_are_listed_and_lifted(database: Database) -> None:
    organization = await an_organization(database)
    for address in ("c@example.net", "a@example.net", "b@example.net"):
        await _suppress(database, organization, address)
    await _suppress(database, organization, "a@example.net", reason="second")
    entries = await database.read(suppressions.list_page, organization.id, NOW, limit=2)
    assert [(entry.address, entry.reason) for entry in entries] == [
        ("a@example.net", "complaint"),
        ("b@example.net", "complaint"),
    ]
    rest = await database.read(suppressions.list_page, organization.id, NOW, after=("b@example.net", "default"))
    assert [entry.address for entry in rest] == ["c@example.net"]
    assert await database.write(lifts.lift, organization.id, "default", "A@example.net", now=NOW)
    assert not await database.write(lifts.lift, organization.id, "default", "a@example.net", now=NOW)


# -- resend ----------------------------------------------------------------------------------------------------------


async def test_a_resend_leads_on_and_closes_the_case(database: Database) -> None:
    organization = await an_organization(database)
    failed = await submitted(database, organization, "jhon@example.net")
    (one,) = await claimed(database)
    await attempted(database, one)
    await database.write_grouped(record, answered(one, None, 550))
    old = failed.deliveries[0].id
    resend = a_submission(organization, "john@example.net", resent_from=old, resent_key="r1", now=NOW + MINUTE)
    assert isinstance(await database.write_grouped(accepted_messages.add, resend), Added)
    again = a_submission(organization, "john@example.net", resent_from=old, resent_key="r1", now=NOW + MINUTE)
    replayed = await database.write_grouped(accepted_messages.add, again)
    assert replayed == Replayed(response="", delivery=resend.deliveries[0].id)

    assert await event_types(database, old) == ["queued", "bounced", "opened_case", "resent"]
    case = await database.read(views.case, organization.id, await the_case(database, old))
    assert case and case.case.state is CaseState.RESOLVED
    assert StepState.WAITING not in case.case.steps and StepState.RUNNING not in case.case.steps
    outbox = await database.read(actions.of_case, case.case.id)
    assert {action.state.value for action in outbox} == {"skipped"}
    assert await state_of(database, organization, old) is State.BOUNCED
    assert await state_of(database, organization, resend.deliveries[0].id) is State.QUEUED


async def test_concurrent_resends_send_once(database: Database) -> None:
    organization = await an_organization(database)
    failed = await submitted(database, organization, "jhon@example.net")

    def add_one(conn: sa.Connection, item: accepted_messages.AcceptedMessage) -> accepted_messages.Answer:
        return accepted_messages.add(conn, [item])[0]

    def resend() -> accepted_messages.AcceptedMessage:
        return a_submission(organization, resent_from=failed.deliveries[0].id, resent_key="r")

    answers = await asyncio.gather(
        *(database.write_grouped(accepted_messages.add, resend()) for _ in range(8)),
        *(database.write(add_one, resend()) for _ in range(8)),
    )
    assert sum(isinstance(answer, Added) for answer in answers) == 1
    assert len({answer.delivery for answer in answers if isinstance(answer, Replayed)}) == 1
