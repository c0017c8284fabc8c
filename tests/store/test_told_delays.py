"""A delay is told once for a person and a receiver, and its case closes when the wait is over."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from homing.loop import ids
from homing.loop.evidence import LifetimeOver
from homing.loop.model import (
    ActionKind,
    ActionState,
    Case,
    CaseId,
    CaseKind,
    CaseState,
    DeliveryId,
    FailurePolicy,
    Origin,
    State,
    Step,
    StepKind,
    StepState,
)
from homing.store import accepted_messages, actions, cases, gathered_letters, policies, record, tables, views
from homing.store.actions import Finished
from homing.store.claims import ClaimedDelivery
from homing.store.database import Database
from homing.store.organizations import Organization
from homing.store.record import DeliveryEvidence
from homing.store.told_delays import Delay
from tests.store import scenes
from tests.store.scenes import NOW, claimed_actions

SOON = timedelta(seconds=30)
"""Sooner than the first retry."""
JANET = "janet@example.com"
DUE = NOW + SOON
POLICY = FailurePolicy(
    name="default", steps=(Step(kind=StepKind.SMS), Step(kind=StepKind.LETTER)), delay_told_after=SOON
)


@dataclass
class Scene:
    database: Database
    organization: Organization

    async def late(self, *recipients: str, **fields: Any) -> list[CaseId]:
        """Cases of deliveries that were just put off for longer than the policy allows."""
        await scenes.submitted(self.database, self.organization, *recipients, **fields)
        claims = await scenes.claimed(self.database)
        await self.database.write(record.record, [scenes.answered(claim, None, 450) for claim in claims])
        return [await scenes.the_case(self.database, claim.delivery.id) for claim in claims]

    async def case(self, wanted: CaseId) -> Case:
        [opened] = (await self.database.read(cases.load, [wanted], lock=False)).values()
        return opened.case

    async def told(self, address: str = JANET, receiver: str = "example.net") -> dict[CaseId, str]:
        """What became of every letter that is due, in the order in which they are written: why none went out, or ""."""
        due = await claimed_actions(self.database, DUE)
        results = {}
        for action in sorted(due, key=lambda action: action.id):
            assert action.case_id is not None
            await self.tell(action, address, receiver)
            [stored] = await self.database.read(actions.of_case, action.case_id)
            results[action.case_id] = stored.result if stored.state is ActionState.SKIPPED else ""
        return results

    async def tell(
        self, action: actions.Action, address: str = JANET, receiver: str = "example.net"
    ) -> ActionState | None:
        assert action.case_id is not None
        letter = scenes.a_submission(
            self.organization, address, origin=Origin.LETTER, case=action.case_id, step=0, now=DUE
        )
        done = Finished(action=action.id, epoch=action.epoch, state=ActionState.DONE, result="e-mail", now=DUE)
        delay = Delay(case=action.case_id, organization=self.organization.id, address=address, receiver=receiver)
        return await self.database.write(gathered_letters.tell, done, letter, delay)

    async def letters(self) -> int:
        letter = tables.message.c.origin == Origin.LETTER.value
        return len(await self.database.read(scenes.all_rows, tables.message, letter))

    async def delivered(self, *wanted: CaseId) -> None:
        about = {(await self.case(case)).delivery for case in wanted}
        claims = [one for one in await self.again() if one.delivery.id in about]
        assert len(claims) == len(wanted)
        later = NOW + timedelta(hours=1)
        await self.database.write(record.record, [scenes.answered(claim, None, 250, now=later) for claim in claims])

    async def again(self) -> list[ClaimedDelivery]:
        return await scenes.claimed(self.database, now=NOW + timedelta(hours=1))


@pytest.fixture
async def scene(database: Database) -> Scene:
    organization = await scenes.an_organization(database)
    await database.write(policies.put, organization.id, POLICY, NOW)
    return Scene(database, organization)


async def test_what_waits_too_long_has_a_case_with_one_step(scene: Scene) -> None:
    [case] = await scene.late()
    told = await scene.case(case)
    assert (told.kind, told.state, told.failure, told.steps) == (
        CaseKind.DELAY,
        CaseState.OPEN,
        None,
        (StepState.RUNNING,),
    )
    [action] = await scene.database.read(actions.of_case, case)
    assert (action.kind, action.due_at, action.delivery) == (ActionKind.LETTER, DUE, told.delivery)


async def test_a_delivery_that_waits_on_has_no_second_case(scene: Scene) -> None:
    [case] = await scene.late()
    [claim] = await scene.again()
    await scene.database.write(record.record, [scenes.answered(claim, None, 450, now=NOW + timedelta(hours=1))])
    assert await scenes.the_case(scene.database, claim.delivery.id) == case
    assert (await scenes.event_types(scene.database, claim.delivery.id)).count("opened_case") == 1


async def test_delivery_closes_the_case_and_nothing_is_said(scene: Scene) -> None:
    [case] = await scene.late()
    await scene.delivered(case)
    assert await scene.told() == {}
    closed = await scene.case(case)
    assert (closed.state, closed.steps) == (CaseState.RESOLVED, (StepState.SKIPPED,))
    about = tables.event.c.delivery == closed.delivery
    last = (await scene.database.read(scenes.all_rows, tables.event, about))[-1]
    assert (last["type"], last["data"]["closed_case"]) == ("delivered", ids.show("case", case))


async def test_failure_closes_the_case_and_opens_its_own(scene: Scene) -> None:
    [case] = await scene.late()
    await scene.told()
    delivery = (await scene.case(case)).delivery
    assert delivery is not None
    over = DeliveryEvidence(delivery=delivery, evidence=LifetimeOver(), now=NOW + timedelta(days=5))
    await scene.database.write(record.record, [over])
    assert (await scene.case(case)).state is CaseState.RESOLVED
    [failure] = set(await scene.database.read(cases.of_deliveries, [delivery])) - {case}
    told = await scene.case(failure)
    assert (told.kind, told.failure, told.state) == (CaseKind.FAILURE, State.EXPIRED, CaseState.OPEN)
    assert await shown_case(scene, delivery) == failure
    assert await rows_of_told(scene) == []


async def test_the_case_of_a_delay_is_shown_beside_its_delivery(scene: Scene) -> None:
    [case] = await scene.late()
    delivery = (await scene.case(case)).delivery
    assert delivery is not None
    assert await shown_case(scene, delivery) == case


async def shown_case(scene: Scene, delivery: DeliveryId) -> CaseId | None:
    [row] = await scene.database.read(scenes.all_rows, tables.delivery, tables.delivery.c.id == delivery)
    view = await scene.database.read(views.message, scene.organization.id, row["message"])
    assert view is not None
    [one] = view.deliveries
    return one.case and one.case.id


async def rows_of_told(scene: Scene) -> list[Any]:
    return await scene.database.read(scenes.all_rows, tables.told_delay)


async def test_one_e_mail_tells_a_person_of_a_receiver(scene: Scene) -> None:
    first, *others = await scene.late("a@example.net", "b@example.net", "c@example.net")
    results = await scene.told()
    [told] = [case for case, why in results.items() if not why]
    assert {why for case, why in results.items() if case != told} == {f"told with {ids.show('case', told)}"}
    assert set(results) == {first, *others}
    assert await scene.letters() == 1
    for case in results:
        known = await scene.case(case)
        assert known.state is (CaseState.OPEN if case == told else CaseState.NOTIFIED)


async def test_another_receiver_and_another_person_are_told_apart(scene: Scene) -> None:
    await scene.late()
    assert list((await scene.told()).values()) == [""]
    await scene.late()
    assert list((await scene.told(receiver="other.net")).values()) == [""]
    await scene.late()
    assert list((await scene.told("joe@example.com")).values()) == [""]
    await scene.late()
    assert "told with" in str(await scene.told("Joe@Example.com")), "he is the same"


async def test_the_e_mail_stands_until_the_last_of_them_is_over(scene: Scene) -> None:
    first, second = await scene.late("a@example.net", "b@example.net")
    await scene.told()
    await scene.delivered(first)
    [third] = await scene.late("c@example.net")
    assert (await scene.told())[third].startswith("told with")
    await scene.database.write(cases.close, [second, third], NOW)
    assert await rows_of_told(scene) == []
    [fourth] = await scene.late("d@example.net")
    assert await scene.told() == {fourth: ""}


async def test_what_ended_while_the_e_mail_was_written_is_not_told(scene: Scene) -> None:
    [case] = await scene.late()
    [action] = await claimed_actions(scene.database, DUE)
    await scene.delivered(case)
    assert await scene.tell(action) is ActionState.SKIPPED
    assert await scene.letters() == 0
    assert await rows_of_told(scene) == []


async def test_who_lost_the_lease_tells_nobody(scene: Scene) -> None:
    await scene.late()
    [action] = await claimed_actions(scene.database, DUE)
    await scene.database.write(actions.recover, DUE, True)
    [again] = await claimed_actions(scene.database, DUE)
    assert await scene.tell(action) is None
    assert await scene.letters() == 0
    assert await scene.tell(again) is ActionState.DONE
    assert await scene.letters() == 1


async def test_of_many_at_once_one_is_written(scene: Scene) -> None:
    await scene.late(*(f"{number}@example.net" for number in range(8)))
    due = await claimed_actions(scene.database, DUE)
    ends = await asyncio.gather(*(scene.tell(action) for action in due))
    assert sorted(end for end in ends if end) == [ActionState.DONE, *[ActionState.SKIPPED] * 7]
    assert await scene.letters() == 1


async def test_a_batch_that_ends_delays_and_tells_of_letters_keeps_one_order(scene: Scene) -> None:
    """The letter of one delay arrives in the transaction in which both waits end."""
    await scene.late("a@example.net", "b@example.net")
    await scene.told()
    claims = await scene.again()
    assert sorted(claim.delivery.origin for claim in claims) == [Origin.API, Origin.API, Origin.LETTER]
    later = NOW + timedelta(hours=1)
    await scene.database.write(record.record, [scenes.answered(claim, None, 250, now=later) for claim in claims])
    rows = await scene.database.read(scenes.all_rows, tables.case)
    assert {row["state"] for row in rows} == {"resolved"}
    assert {row["state"] for row in await scene.database.read(scenes.all_rows, tables.action)} == {"done", "skipped"}


async def test_a_first_attempt_that_succeeds_asks_for_no_case(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(conn: Connection, deliveries: object) -> dict[DeliveryId, CaseId]:
        raise AssertionError("one more query for every delivery")

    monkeypatch.setattr(cases, "of_delays", refused)
    await scene.database.write(accepted_messages.add, [scenes.a_submission(scene.organization)])
    [claim] = await scenes.claimed(scene.database)
    [outcome] = await scene.database.write(record.record, [scenes.answered(claim, None, 250)])
    assert outcome is not None
    assert outcome.delivery.state is State.DELIVERED
