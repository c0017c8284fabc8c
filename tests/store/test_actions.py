"""The outbox: each action is carried out, once or more as its kind allows, and ends on record."""

import asyncio
from datetime import datetime, timedelta

from homing.loop.model import (
    ActionKind,
    ActionState,
    CaseState,
    EventType,
    FailurePolicy,
    NewAction,
    NewEvent,
    Origin,
    Step,
    StepKind,
    StepState,
)
from homing.store import actions, cases, gathered_letters, policies, tables, views
from homing.store.actions import Action, Finished
from homing.store.database import Database
from homing.store.organizations import Organization
from homing.store.record import record
from tests.store.scenes import (
    LEASE,
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
    submitted,
    the_case,
)

_SMS_THEN_ADMINISTRATOR = FailurePolicy(
    name="default", steps=(Step(kind=StepKind.SMS), Step(kind=StepKind.ADMINISTRATOR, only_if_unheard=True))
)


async def _failure(
    database: Database, policy: FailurePolicy | None = None, organization: Organization | None = None
) -> tuple[Organization, cases.CaseId]:
    organization = organization or await an_organization(database)
    if policy:
        await database.write(policies.put, organization.id, policy, NOW)
    await submitted(database, organization)
    (claim,) = await claimed(database)
    await database.write_grouped(record, answered(claim, await attempted(database, claim), 550))
    return organization, await the_case(database, claim.delivery.id)


async def _claim(database: Database, now=NOW, limit: int = 100) -> list[Action]:  # type: ignore[no-untyped-def]
    return await claimed_actions(database, now, limit)


def _finished(action: Action, state: ActionState = ActionState.DONE, **more: object) -> Finished:
    return Finished(**{"action": action.id, "epoch": action.epoch, "state": state, "result": "ok", "now": NOW, **more})  # type: ignore[arg-type]


async def test_claimed_once_by_whoever_comes(database: Database) -> None:
    for _ in range(5):
        await _failure(database)
    batches: list[list[Action]] = []

    async def work() -> None:
        while batch := await _claim(database, limit=3):
            batches.append(batch)

    await asyncio.gather(work(), work(), work())
    await work()
    ids = [action.id for batch in batches for action in batch]
    assert len(ids) == len(set(ids)) == 10
    assert {(action.state, action.tries, action.epoch) for batch in batches for action in batch} == {
        (ActionState.RUNNING, 1, 1)
    }


async def test_a_delayed_step_waits(database: Database) -> None:
    policy = FailurePolicy(name="default", steps=(Step(kind=StepKind.WEBHOOK, delay=MINUTE),))
    await _failure(database, policy)
    assert await _claim(database) == []
    assert len(await _claim(database, NOW + MINUTE)) == 1


async def test_an_end_is_written_with_its_event_and_its_step(database: Database) -> None:
    organization, case = await _failure(database, _SMS_THEN_ADMINISTRATOR)
    (sms,) = await _claim(database)
    assert (sms.kind, sms.recipient, sms.case_id, sms.step) == (ActionKind.SMS, "john@example.net", case, 0)
    told = NewEvent(type=EventType.FALLBACK_SENT, data={"to": "+43"})
    assert await database.write(actions.finish, _finished(sms, events=(told,), provider_id="SM1"))
    found = await database.read(actions.by_id, sms.id)
    assert found and found.state is ActionState.DONE
    line = await database.read(views.case, organization.id, case)
    assert line and line.case.steps == (StepState.RUNNING, StepState.WAITING)  # the provider's word is still to come
    news = Finished(
        action=sms.id, epoch=None, state=ActionState.FAILED, result="undelivered", now=NOW, step=StepState.UNHEARD
    )
    assert await database.write(actions.finish, news)
    line = await database.read(views.case, organization.id, case)
    assert line and line.case.steps == (StepState.UNHEARD, StepState.RUNNING)
    (administrator,) = await _claim(database)
    assert administrator.kind is ActionKind.ADMINISTRATOR
    await database.write(actions.finish, _finished(administrator, ActionState.FAILED, step=StepState.UNHEARD))
    line = await database.read(views.case, organization.id, case)
    assert line and line.case.state is CaseState.UNHEARD
    assert (await event_types(database, sms.delivery))[-2:] == ["fallback_sent", "unheard"]


async def test_a_stale_end_changes_nothing(database: Database) -> None:
    organization, case = await _failure(database, _SMS_THEN_ADMINISTRATOR)
    (first,) = await _claim(database)
    assert await database.write(actions.retry_at, first.id, first.epoch, NOW + MINUTE, "busy")
    (second,) = await _claim(database, NOW + MINUTE)
    assert (second.epoch, second.tries) == (2, 2)
    assert not await database.write(actions.finish, _finished(first, step=StepState.UNHEARD))
    assert not await database.write(actions.mark_started, first.id, first.epoch, NOW)
    assert not await database.write(actions.retry_at, first.id, first.epoch, NOW, "")
    letter = a_submission(organization, origin=Origin.LETTER)
    assert await database.write(gathered_letters.tell, _finished(first), letter) is None
    line = await database.read(views.case, organization.id, case)
    assert line and line.case.steps[0] is StepState.RUNNING
    assert len(await database.read(all_rows, tables.message)) == 1


async def test_a_letter_and_the_end_of_its_action_are_one(database: Database) -> None:
    organization, case = await _failure(database)
    letter_action = next(action for action in await _claim(database) if action.kind is ActionKind.LETTER)
    letter = a_submission(organization, "janet@example.com", origin=Origin.LETTER, case=case, step=letter_action.step)
    assert await database.write(gathered_letters.tell, _finished(letter_action), letter) is ActionState.DONE
    assert await database.write(gathered_letters.tell, _finished(letter_action), letter) is None
    (one,) = await claimed(database)
    assert (one.delivery.case, one.delivery.step) == (case, 1)


async def test_what_a_resolved_case_still_has_is_skipped(database: Database) -> None:
    organization, case = await _failure(database)
    stranger = await an_organization(database)
    assert await database.write(cases.close, [case], NOW, stranger.id) == []
    assert await database.write(cases.close, [case], NOW, organization.id) == [case]
    assert await _claim(database) == []
    states = {row["state"] for row in await database.read(all_rows, tables.action)}
    assert states == {"skipped"}


async def test_an_sms_that_was_begun_is_in_doubt_and_the_case_goes_on(database: Database) -> None:
    _, case = await _failure(database, _SMS_THEN_ADMINISTRATOR)
    (sms,) = await _claim(database)
    assert await database.write(actions.mark_started, sms.id, sms.epoch, NOW)
    assert await database.write(actions.recover, NOW + LEASE) == []
    assert len(await database.write(actions.recover, NOW + LEASE + MINUTE)) == 1
    outbox = await database.read(actions.of_case, case)
    assert [(action.kind, action.state) for action in outbox] == [
        (ActionKind.SMS, ActionState.IN_DOUBT),
        (ActionKind.ADMINISTRATOR, ActionState.DUE),
    ]
    assert "action_failed" in await event_types(database, sms.delivery)


async def test_what_may_be_repeated_is_due_again(database: Database) -> None:
    await _failure(
        database, FailurePolicy(name="default", steps=(Step(kind=StepKind.SMS), Step(kind=StepKind.WEBHOOK)))
    )
    await _claim(database)
    await database.write(actions.recover, NOW, True)
    again = await _claim(database, NOW + MINUTE)
    assert {(action.kind, action.tries) for action in again} == {(ActionKind.SMS, 2), (ActionKind.WEBHOOK, 2)}


async def test_budgets_count_what_was_begun_before_and_with_this_one(database: Database) -> None:
    organization, _ = await _failure(database, _SMS_THEN_ADMINISTRATOR)
    day = NOW - timedelta(days=1)

    async def spent(action: actions.Action, since: datetime = day) -> tuple[int, int]:
        found = await database.read(actions.spent, action, since)
        return found.organization, found.recipient

    (first,) = await _claim(database)
    assert await spent(first) == (1, 1)
    await database.write(actions.finish, _finished(first))
    for _ in range(2):
        await _failure(database, organization=organization)
    burst = sorted(await _claim(database), key=lambda action: action.id)
    assert [await spent(action) for action in burst] == [(2, 2), (3, 3)]
    assert await spent(burst[0], NOW + MINUTE) == (0, 0)
    await database.write(actions.finish, _finished(burst[0], ActionState.FAILED))
    assert await spent(burst[1]) == (2, 2)


async def test_an_action_without_a_case(database: Database) -> None:
    organization = await an_organization(database)
    oops = NewAction(kind=ActionKind.OOPS, due_at=NOW, data={"to": "john@example.net"})
    await database.write(actions.put, organization.id, oops, NOW)
    (action,) = await _claim(database)
    assert (action.kind, action.data, action.case_id) == (ActionKind.OOPS, {"to": "john@example.net"}, None)
    event = NewEvent(type=EventType.NOTIFIED)
    assert await database.write(actions.finish, _finished(action, events=(event,)))
