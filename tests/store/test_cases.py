"""Cases of every kind: opened once, with their steps begun, whether or not they are about a delivery."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from homing.loop.model import (
    OPERATOR,
    ActionKind,
    ActionState,
    CaseId,
    CaseKind,
    CaseState,
    DeliveryId,
    FailurePolicy,
    NewCase,
    OrganizationId,
    Origin,
    State,
    Step,
    StepKind,
    StepState,
)
from homing.loop.subject import of_alarm, of_delivery, of_forwarding
from homing.store import accepted_messages, actions, case_context, cases, gathered_letters, policies, tables, views
from homing.store.actions import Finished
from homing.store.database import Database
from homing.store.dialect import on_postgresql
from homing.store.migrations import upgrade
from homing.store.record import record
from tests.postgres import Cluster
from tests.store.scenes import (
    MINUTE,
    NOW,
    a_submission,
    all_rows,
    an_organization,
    answered,
    attempted,
    claimed,
    claimed_actions,
    event_types,
    fresh,
    reported,
    submitted,
    the_case,
)

POLICY = FailurePolicy(
    name="default", steps=(Step(kind=StepKind.LETTER), Step(kind=StepKind.ADMINISTRATOR, only_if_unheard=True))
)


def of_kind(
    kind: CaseKind, subject: str, organization: OrganizationId = OPERATOR, delivery: DeliveryId | None = None
) -> NewCase:
    return NewCase(
        organization=organization, kind=kind, subject=subject, delivery=delivery, policy=POLICY, opened_at=NOW
    )


ALARM = of_kind(CaseKind.ALARM, of_alarm("system listed google.com"))


async def failed(database: Database, code: int = 550) -> tuple[OrganizationId, DeliveryId]:
    organization = await an_organization(database)
    await database.write(policies.put, organization.id, POLICY, NOW)
    await submitted(database, organization)
    (claim,) = await claimed(database)
    await database.write_grouped(record, answered(claim, await attempted(database, claim), code))
    return organization.id, claim.delivery.id


# -- ids -------------------------------------------------------------------------------------------------------------


async def test_the_case_of_a_failure_has_an_id_of_its_own(database: Database) -> None:
    organization, delivery = await failed(database)
    identifier = await the_case(database, delivery)
    assert identifier != delivery
    line = await database.read(views.case, organization, identifier)
    assert line is not None
    case = line.case
    assert (case.id, case.kind, case.subject, case.delivery) == (identifier, CaseKind.FAILURE, delivery.hex, delivery)
    assert (case.failure, line.recipient) == (State.BOUNCED, "john@example.net")
    (action,) = await database.read(actions.of_case, identifier)
    assert (action.case_id, action.step, action.delivery) == (identifier, 0, delivery)
    assert await database.read(views.case, organization, CaseId(delivery)) is None


async def test_two_failures_of_a_delivery_in_one_batch_are_one_case(database: Database) -> None:
    await submitted(database, await an_organization(database))
    (claim,) = await claimed(database)
    attempt = await attempted(database, claim)
    await database.write(record, [answered(claim, attempt, 250), reported(claim.delivery.id)])
    late = await the_case(database, claim.delivery.id)
    await database.write(record, [reported(claim.delivery.id)])
    assert await the_case(database, claim.delivery.id) == late
    assert (await event_types(database, claim.delivery.id)).count("opened_case") == 1


# -- other kinds -----------------------------------------------------------------------------------------------------


async def test_an_alarm_opens_a_case_without_a_delivery(database: Database) -> None:
    identifier = await database.write(cases.open_case, ALARM)
    assert identifier is not None
    [opened] = (await database.read(cases.load, [identifier], lock=False)).values()
    assert (opened.case.kind, opened.case.delivery, opened.recipient) == (CaseKind.ALARM, None, None)
    assert (opened.case.failure, opened.case.strength, opened.case.verdict) == (None, None, None)
    assert opened.case.steps == (StepState.RUNNING, StepState.WAITING)
    (action,) = await claimed_actions(database, NOW)
    assert (action.kind, action.case_id, action.delivery, action.recipient) == (
        ActionKind.LETTER,
        identifier,
        None,
        None,
    )
    done = Finished(action=action.id, epoch=1, state=ActionState.FAILED, result="no", now=NOW, step=StepState.UNHEARD)
    assert await database.write(actions.finish, done)
    (administrator,) = await claimed_actions(database, NOW)
    assert administrator.kind is ActionKind.ADMINISTRATOR
    events = await database.read(all_rows, tables.event)
    assert [(row["type"], row["organization"], row["delivery"]) for row in events] == [("opened_case", OPERATOR, None)]


async def test_the_operators_letter_goes_out(database: Database) -> None:
    """Nothing on a letter's way asks for the organization that a case of the operator's does not have."""
    identifier = await database.write(cases.open_case, ALARM)
    (action,) = await claimed_actions(database, NOW)
    operator = replace(await an_organization(database), id=OPERATOR)
    letter = a_submission(operator, "admin@post.example", origin=Origin.LETTER, case=identifier, step=0)
    done = Finished(action=action.id, epoch=1, state=ActionState.DONE, result="letter", now=NOW)
    assert await database.write(gathered_letters.tell, done, letter) is ActionState.DONE
    (claim,) = await claimed(database)
    await database.write_grouped(record, answered(claim, await attempted(database, claim), 250))
    [opened] = (await database.read(cases.load, [identifier], lock=False)).values()
    assert opened.case.steps == (StepState.HEARD, StepState.WAITING)


async def test_a_delivery_has_a_case_of_each_kind(database: Database) -> None:
    organization, delivery = await failed(database, 450)
    delay = of_kind(CaseKind.DELAY, of_delivery(delivery), organization, delivery)
    behind = of_kind(CaseKind.FORWARDING_FAILURE, of_forwarding("john@example.net", "j@x.org"), organization, delivery)
    opened = {await database.write(cases.open_case, delay)}
    (claim,) = await claimed(database, now=NOW + 10 * MINUTE)
    failure = answered(claim, await attempted(database, claim), 550, now=NOW + 10 * MINUTE)
    await database.write_grouped(record, failure)
    opened.add(await database.write(cases.open_case, behind))
    all_three = await database.read(cases.of_deliveries, [delivery])
    assert len(all_three) == 3
    assert opened < set(all_three)
    view = await database.read(views.message, organization, claim.delivery.message)
    assert view is not None
    (shown,) = view.deliveries
    assert shown.case is not None
    assert shown.case.kind is CaseKind.FAILURE  # that of the failure, neither the one before it nor the one after it
    recipients = {one.recipient for case in all_three for one in await database.read(actions.of_case, case)}
    assert recipients == {"john@example.net"}


async def test_a_forwarding_failure_opens_a_case_again_after_thirty_days(database: Database) -> None:
    """Also when the one before was resolved: what is told again too soon is an event on it."""
    organization, delivery = await failed(database, 450)
    of_john = of_forwarding("john@example.net", "j@x.org")
    first = of_kind(CaseKind.FORWARDING_FAILURE, of_john, organization, delivery)
    identifier = await database.write(cases.open_case, first)
    assert identifier is not None
    await database.write(cases.close, [identifier], NOW)
    soon, later, other = (
        replace(first, opened_at=NOW + timedelta(days=30, seconds=-1)),
        replace(first, opened_at=NOW + timedelta(days=30)),
        replace(first, subject=of_forwarding("john@example.net", "k@x.org")),
    )
    assert await database.write(cases.open_case, soon) is None
    assert await database.read(cases.standing, soon) == identifier
    assert await database.write(cases.open_case, other) is not None
    second = await database.write(cases.open_case, later)
    assert second not in {None, identifier}
    assert await database.read(cases.standing, later) == second
    assert await database.write(cases.open_case, replace(later, opened_at=NOW + timedelta(days=31))) is None


async def test_a_resend_settles_every_case_of_the_delivery(database: Database) -> None:
    organization, delivery = await failed(database)
    await database.write(cases.open_case, of_kind(CaseKind.DELAY, of_delivery(delivery), organization, delivery))
    resend = a_submission(
        replace(await an_organization(database), id=organization), resent_from=delivery, resent_key="r", now=NOW
    )
    assert isinstance(await database.write_grouped(accepted_messages.add, resend), accepted_messages.Added)
    assert {row["state"] for row in await database.read(all_rows, tables.case)} == {"resolved"}


async def test_a_list_shows_cases_that_are_about_no_delivery(database: Database) -> None:
    organization, delivery = await failed(database)
    digest = await database.write(cases.open_case, of_kind(CaseKind.DIGEST, "2026-03-01", organization))
    await database.write(cases.open_case, ALARM)
    lines = {line.case.id: line for line in (await database.read(views.cases, organization)).lines}
    assert lines.keys() == {digest, await the_case(database, delivery)}
    assert digest is not None
    assert (lines[digest].message, lines[digest].recipient, lines[digest].case.failure) == (None, None, None)


async def test_what_there_is_to_tell_of_a_case(database: Database) -> None:
    organization, delivery = await failed(database)
    told = await database.read(case_context.load, await the_case(database, delivery))
    assert told is not None
    assert told.sent is not None
    assert (told.sent.recipient, told.letter_to) == ("john@example.net", "joe@bloggs.example")
    assert told.organization is not None
    assert told.organization.id == organization
    alarm = await database.write(cases.open_case, ALARM)
    assert alarm is not None
    told = await database.read(case_context.load, alarm)
    assert told is not None
    assert (told.organization, told.sent, told.letter_to) == (None, None, None)
    assert [action.step for action in told.actions] == [0]
    assert await database.read(case_context.load, CaseId(fresh())) is None


# -- once ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [ALARM, of_kind(CaseKind.DELAY, "d"), of_kind(CaseKind.FORWARDING_FAILURE, "f")])
async def test_opened_once_whoever_comes(database: Database, case: NewCase) -> None:
    opened = await asyncio.gather(*(database.write(cases.open_case, case) for _ in range(8)))
    assert len([one for one in opened if one]) == 1
    assert len(await database.read(all_rows, tables.action)) == 1
    assert len(await database.read(all_rows, tables.event)) == 1


async def test_what_came_back_is_new_once_it_was_dealt_with(database: Database) -> None:
    first = await database.write(cases.open_case, ALARM)
    assert first is not None
    await database.write(cases.close, [first], NOW)
    again = await database.write(cases.open_case, ALARM)
    assert again not in {first, None}
    assert await database.write(cases.open_case, ALARM) is None
    delay = of_kind(CaseKind.DELAY, "d")
    late = await database.write(cases.open_case, delay)
    assert late is not None
    await database.write(cases.close, [late], NOW)
    assert await database.write(cases.open_case, delay) is None


async def test_another_organization_or_kind_or_subject_is_another_case(database: Database) -> None:
    others = [
        ALARM,
        replace(ALARM, organization=OrganizationId(fresh())),
        replace(ALARM, kind=CaseKind.DIGEST),
        replace(ALARM, subject="x"),
    ]
    opened = [await database.write(cases.open_case, one) for one in others]
    assert len(set(opened)) == 4
    assert None not in opened


# -- the upgrade -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
async def empty(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A database without any table."""
    async with AsyncExitStack() as stack:
        url = f"sqlite:///{tmp_path / 'homing.db'}"
        if request.param == "postgresql":
            cluster: Cluster = request.getfixturevalue("cluster")
            url = await stack.enter_async_context(cluster.database())
        database = Database.open(url, durable=False)
        await database.start()
        stack.push_async_callback(database.close)
        yield database


_BEFORE = (
    'INSERT INTO "case" (id, organization, delivery, failure, late, possibly_delivered, strength, verdict, policy, '
    "steps, state, opened_at) VALUES ('{id}', '{organization}', '{id}', 'bounced', {no}, {no}, 'strong', "
    '\'{{"failure_class": "x", "kind": "hard", "rule": "r"}}\', '
    '\'{{"name": "default", "steps": [{{"kind": "letter"}}]}}\', \'["running"]\', \'{state}\', 1)'
)


def _before(conn: sa.Connection, organization: str, deliveries: list[str]) -> None:
    upgrade(conn, "0016")
    no = "false" if on_postgresql(conn) else "0"
    for delivery, state in zip(deliveries, ("open", "resolved"), strict=True):
        conn.exec_driver_sql(_BEFORE.format(id=delivery, organization=organization, no=no, state=state))
    upgrade(conn)


async def test_cases_of_before_keep_their_id_and_are_failures(empty: Database) -> None:
    organization, one, two = fresh(), DeliveryId(fresh()), DeliveryId(fresh())
    await empty.write(_before, organization.hex, [one.hex, two.hex])
    lines = {line.case.id: line.case for line in (await empty.read(views.cases, organization)).lines}
    assert lines.keys() == {one, two}
    for delivery, state in ((one, CaseState.OPEN), (two, CaseState.RESOLVED)):
        case = lines[CaseId(delivery)]
        assert (case.kind, case.subject, case.delivery) == (CaseKind.FAILURE, of_delivery(delivery), delivery)
        assert (case.failure, case.state, case.steps) == (State.BOUNCED, state, (StepState.RUNNING,))
        again = of_kind(CaseKind.FAILURE, of_delivery(delivery), organization, delivery)
        assert await empty.write(cases.open_case, again) is None
        assert await empty.read(cases.of_deliveries, [delivery]) == [delivery]
    assert await empty.write(cases.open_case, ALARM) is not None
