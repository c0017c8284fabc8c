"""The worker: what it claims it ends, whatever the case is about, and a bug costs one try."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from homing.flow.act import Actor, worker
from homing.flow.act.worker import MOST_TRIES
from homing.flow.sealed_secrets import SealedSecrets
from homing.flow.store_watch import StoreHold
from homing.flow.wakeup import WakeUp
from homing.loop.budget import DEFAULTS, Budget
from homing.loop.model import (
    OPERATOR,
    ActionKind,
    ActionState,
    CaseId,
    CaseState,
    FailurePolicy,
    NewAction,
    Reader,
    Step,
    StepKind,
    StepState,
)
from homing.loop.queue import Line
from homing.loop.sealing import Sealer
from homing.loop.subject import of_alarm
from homing.net.dns import AS_PUBLISHED, Resolver
from homing.net.fetch import Fetcher
from homing.store import actions, alarms, cases, organizations, policies, tables
from homing.store.actions import Action
from homing.store.database import Database
from homing.store.gathered_letters import WINDOW
from homing.store.record import record
from tests.disks import roomy
from tests.flow.deliver.scene import Clock
from tests.patience import until
from tests.store import scenes
from tests.store.scenes import all_rows, claimed_actions

from .made import NOW, OUTGOING, URL, clock, new_case
from .test_sms import Provider

LEASE = timedelta(minutes=2)
LETTER, ADMINISTRATOR = Step(kind=StepKind.LETTER), Step(kind=StepKind.ADMINISTRATOR, only_if_unheard=True)


def an_actor(database: Database, **changes: Any) -> Actor:
    given: dict[str, Any] = {
        "database": database,
        "disk": roomy(),
        "hold": StoreHold(),
        "outgoing": OUTGOING,
        "fetcher": Fetcher(Resolver([("127.0.0.1", 1)], keep=AS_PUBLISHED)),
        "sealed_secrets": SealedSecrets(sealer=Sealer(b"k" * 32), secret=lambda: b"s" * 32),
        "sms": None,
        "clock": clock,
        "administrator": "root@operator.example",
        "public_url": URL,
        "actions": WakeUp(),
        "work": WakeUp(),
        "news": WakeUp(),
    }
    return Actor(**given | changes)


async def worked_off(actor: Actor, now: Callable[[], datetime] = clock) -> list[Action]:
    """Everything that is due, and what follows from it: the actions in the order in which they were carried out."""
    done: list[Action] = []
    while claimed := await claimed_actions(actor.database, now()):
        for action in claimed:
            await actor._act(action)
        done += claimed
    return done


async def the_states(database: Database, case: CaseId) -> tuple[CaseState, tuple[StepState, ...]]:
    [opened] = (await database.read(cases.load, [case], lock=False)).values()
    return opened.case.state, opened.case.steps


async def failed(database: Database, *steps: Step, times: int = 1) -> list[CaseId]:
    """Cases of as many deliveries of one organization that were refused."""
    organization = await scenes.an_organization(database)
    await database.write(policies.put, organization.id, FailurePolicy(name="default", steps=steps), NOW)
    found = []
    for _ in range(times):
        await scenes.submitted(database, organization, phone="+4420")
        [claim] = await scenes.claimed(database)
        await database.write_grouped(record, scenes.answered(claim, None, 550))
        found.append(await scenes.the_case(database, claim.delivery.id))
    return found


async def test_a_failure_is_told_and_the_letters_delivery_ends_the_step(database: Database) -> None:
    [case] = await failed(database, LETTER, ADMINISTRATOR)
    actor = an_actor(database)
    [letter] = await worked_off(actor)
    assert letter.kind is ActionKind.LETTER
    assert actor.work._called.is_set()
    assert actor.news._called.is_set()
    assert await the_states(database, case) == (CaseState.OPEN, (StepState.RUNNING, StepState.WAITING))
    [delivery] = await scenes.claimed(database)
    assert (delivery.delivery.recipient, delivery.delivery.case) == ("joe@bloggs.example", case)
    await database.write_grouped(record, scenes.answered(delivery, None, 250))
    assert await the_states(database, case) == (CaseState.NOTIFIED, (StepState.HEARD, StepState.WAITING))


async def test_each_line_has_places_of_its_own(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[ActionKind] = []
    let_go = asyncio.Event()

    async def held(_: Actor, action: Action) -> None:
        begun.append(action.kind)
        await let_go.wait()

    monkeypatch.setattr(worker, "_AT_ONCE", {Line.CALLS: 4, Line.WRITING: 4})
    monkeypatch.setattr(Actor, "_act", held)
    await failed(database, Step(kind=StepKind.SMS), LETTER, times=3)
    actor = an_actor(database)
    await actor._claim()
    await actor._claim()
    await until(lambda: sorted(begun) == [ActionKind.LETTER] * 2 + [ActionKind.SMS] * 2)
    next(iter(actor._running)).cancel()
    await until(lambda: len(actor._running) == 3)
    await actor._claim()
    await until(lambda: len(begun) == 5)
    let_go.set()
    await until(lambda: not actor._running)
    await actor._claim()
    await until(lambda: len(begun) == 6)


@pytest.mark.parametrize("kind", [StepKind.SMS, StepKind.WEBHOOK])
async def test_whoever_lets_us_wait_delays_no_letter(
    database: Database, monkeypatch: pytest.MonkeyPatch, kind: StepKind
) -> None:
    """Other people's servers may take minutes."""
    begun: list[str] = []
    let_go = asyncio.Event()

    async def held(_: Actor, action: Action) -> None:
        begun.append(action.kind.value)
        if action.kind.value == kind.value:
            await let_go.wait()

    monkeypatch.setattr(worker, "_AT_ONCE", {Line.CALLS: 1, Line.WRITING: 1})
    monkeypatch.setattr(Actor, "_act", held)
    await failed(database, Step(kind=kind), LETTER, times=3)
    running = asyncio.create_task(an_actor(database).run())
    try:
        await until(lambda: begun.count("letter") == 3)
        assert begun.count(kind.value) == 1
    finally:
        let_go.set()
        running.cancel()
        await asyncio.wait([running])


async def test_what_reaches_nobody_leads_to_the_next_step(database: Database) -> None:
    [case] = await failed(database, Step(kind=StepKind.SMS), ADMINISTRATOR)
    actor = an_actor(database)
    assert [one.kind for one in await worked_off(actor)] == [ActionKind.SMS, ActionKind.ADMINISTRATOR]
    assert actor.actions._called.is_set()
    assert await the_states(database, case) == (CaseState.OPEN, (StepState.UNHEARD, StepState.RUNNING))


async def test_what_a_resolved_case_had_begun_is_skipped(database: Database) -> None:
    [case] = await failed(database, LETTER)
    [action] = await claimed_actions(database, NOW)
    await database.write(cases.close, [case], NOW)
    await an_actor(database)._act(action)
    stored = await database.read(actions.by_id, action.id)
    assert stored is not None
    assert stored.state is ActionState.SKIPPED
    assert await the_states(database, case) == (CaseState.RESOLVED, (StepState.SKIPPED,))


async def test_over_budget_is_an_end_too(database: Database) -> None:
    found = await failed(database, Step(kind=StepKind.LOG, budget_organization=2), times=3)
    with capture_logs():
        await worked_off(an_actor(database))
    states = [steps for _, (steps,) in [await the_states(database, case) for case in found]]
    assert sorted(states) == [StepState.DONE, StepState.DONE, StepState.UNHEARD]


async def test_failures_of_one_person_within_minutes_are_told_in_one_letter(database: Database) -> None:
    """The first at once; of the others nobody waits longer than the window, and each case is heard with the letter."""
    found = await failed(database, LETTER, ADMINISTRATOR, times=5)
    clock = Clock(NOW)
    actor = an_actor(database, clock=clock)
    await worked_off(actor, clock)
    assert len(await scenes.claimed(database)) == 1
    clock.now = NOW + WINDOW
    await worked_off(actor, clock)
    [letter] = await scenes.claimed(database, now=clock.now)
    [content] = await database.read(
        all_rows, tables.message_content, tables.message_content.c.message == letter.delivery.message
    )
    assert b"4 of your messages" in content["content"]
    await database.write_grouped(record, scenes.answered(letter, None, 250, now=clock.now))
    states = [steps for _, steps in [await the_states(database, case) for case in found]]
    assert states.count((StepState.HEARD, StepState.WAITING)) == 4
    stored = await database.read(all_rows, tables.action)
    assert {row["state"] for row in stored} == {"done"}


async def test_an_administrator_is_one_person_too(database: Database) -> None:
    found = await failed(database, Step(kind=StepKind.ADMINISTRATOR), times=4)
    clock = Clock(NOW)
    actor = an_actor(database, clock=clock)
    await worked_off(actor, clock)
    assert len(await scenes.claimed(database)) == 1
    clock.now = NOW + WINDOW
    await worked_off(actor, clock)
    [letter] = await scenes.claimed(database, now=clock.now)
    await database.write_grouped(record, scenes.answered(letter, None, 250, now=clock.now))
    states = [steps for _, steps in [await the_states(database, case) for case in found]]
    assert states.count((StepState.HEARD,)) == 3


async def test_one_letter_tells_twenty_in_full_and_names_the_others(database: Database) -> None:
    await failed(database, LETTER, times=24)
    clock = Clock(NOW)
    actor = an_actor(database, clock=clock)
    await worked_off(actor, clock)
    await scenes.claimed(database)
    clock.now = NOW + WINDOW
    await worked_off(actor, clock)
    [letter] = await scenes.claimed(database, now=clock.now)
    [content] = await database.read(
        all_rows, tables.message_content, tables.message_content.c.message == letter.delivery.message
    )
    assert b"23 of your messages" in content["content"]
    plain = content["content"].partition(b"text/html")[0]
    assert plain.count(b"/correct/") == 20
    assert b"And 3 more" in plain


async def test_ten_thousand_forged_bounces_send_no_more_text_messages_than_the_budget(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here they are nine. Without a word of the policy's; each refusal is on record, and its case goes on."""
    monkeypatch.setitem(DEFAULTS, ActionKind.SMS, Budget(organization=None, person=2, everybody=True))
    to_recipient = Step(kind=StepKind.SMS, reader=Reader.RECIPIENT)
    found = await failed(database, to_recipient, ADMINISTRATOR, times=9)
    provider = Provider()
    await worked_off(an_actor(database, sms=provider))
    assert len(provider.sent) == 2
    states = [steps for _, steps in [await the_states(database, case) for case in found]]
    assert states.count((StepState.HEARD, StepState.WAITING)) == 2
    assert states.count((StepState.UNHEARD, StepState.RUNNING)) == 7, "it is the next one's turn"
    events = await database.read(all_rows, tables.event, tables.event.c.type == "action_failed")
    assert [event["data"]["budget"] for event in events] == ["sms-person"] * 7


async def test_the_operator_hears_of_an_administrator_who_has_proved_nothing(database: Database) -> None:
    [case] = await failed(database, Step(kind=StepKind.ADMINISTRATOR))
    [opened] = (await database.read(cases.load, [case], lock=False)).values()
    await database.write(organizations.change, opened.case.organization, {"administrator": "it@crm.example"})
    await worked_off(an_actor(database))
    assert await the_states(database, case) == (CaseState.UNHEARD, (StepState.UNHEARD,))
    [standing] = await database.read(alarms.list_all)
    assert standing.cause.startswith("administrator-unproved ")
    assert standing.organization == opened.case.organization


async def test_a_bug_costs_a_try_and_in_the_end_the_step(database: Database) -> None:
    [case] = await failed(database, LETTER)
    [action] = await claimed_actions(database, NOW)
    actor = an_actor(database, outgoing=None)
    with capture_logs() as lines:
        await actor._act(action)
    assert [line["event"] for line in lines] == ["action broke"]
    assert (await the_states(database, case))[1] == (StepState.RUNNING,)
    with capture_logs() as lines:
        await actor._act(replace(action, tries=MOST_TRIES + 1))
    assert lines == []
    assert (await the_states(database, case))[1] == (StepState.UNHEARD,)


# -- cases of other kinds --------------------------------------------------------------------------------------------


async def test_a_case_without_words_opens_and_its_steps_fail_on_record(database: Database) -> None:
    new = replace(new_case(FailurePolicy(name="x", steps=(LETTER, ADMINISTRATOR))), subject=of_alarm("listed"))
    assert (new.organization, new.delivery) == (OPERATOR, None)
    case = await database.write(cases.open_case, new)
    assert case is not None
    assert await database.write(cases.open_case, new) is None
    with capture_logs() as lines:
        done = await worked_off(an_actor(database))
    assert [one.kind for one in done] == [ActionKind.LETTER, ActionKind.ADMINISTRATOR]
    assert lines == []
    assert await the_states(database, case) == (CaseState.UNHEARD, (StepState.UNHEARD, StepState.UNHEARD))
    stored = await database.read(actions.of_case, case)
    assert {(one.state, one.result) for one in stored} == {
        (ActionState.FAILED, "there is no text for a case of the kind alarm")
    }
    events = [row["type"] for row in await database.read(scenes.all_rows, tables.event) if row["type"] != "queued"]
    assert events == ["opened_case", "action_failed", "action_failed", "unheard"]


async def test_of_two_delays_at_a_receiver_one_is_told(database: Database) -> None:
    organization = await scenes.an_organization(database)
    policy = FailurePolicy(name="default", steps=(LETTER,), delay_told_after=timedelta(seconds=1))
    await database.write(policies.put, organization.id, policy, NOW)
    await scenes.submitted(database, organization, "a@corp.com", "b@corp.com")
    late = [scenes.answered(claim, None, 450, now=NOW) for claim in await scenes.claimed(database)]
    await database.write(record, late)
    actor = an_actor(database, clock=lambda: NOW + timedelta(seconds=1))
    due = await claimed_actions(database, NOW + timedelta(seconds=1))
    for action in due:
        await actor._act(action)
    stored = [await database.read(actions.by_id, action.id) for action in due]
    assert [one.state for one in stored if one] == [ActionState.DONE, ActionState.SKIPPED]
    [letter] = await database.read(scenes.all_rows, tables.message, tables.message.c.origin == "letter")
    assert letter["subject"].startswith("Not yet delivered")


async def test_a_channel_that_needs_no_words_tells_of_every_kind(database: Database) -> None:
    case = await database.write(cases.open_case, new_case(FailurePolicy(name="x", steps=(Step(kind=StepKind.LOG),))))
    assert case is not None
    with capture_logs() as lines:
        await worked_off(an_actor(database))
    assert [line["event"] for line in lines] == ["case opened"]
    assert await the_states(database, case) == (CaseState.NOTIFIED, (StepState.DONE,))


# -- the Oops! answer ------------------------------------------------------------------------------------------------


async def test_the_oops_answer_serves_no_case(database: Database) -> None:
    organization = await scenes.an_organization(database)
    data = {"name": "Janet", "address": "janet@example.net", "subject": "Hello", "to": "john@corp.com"}
    await database.write(actions.put, organization.id, NewAction(kind=ActionKind.OOPS, due_at=NOW, data=data), NOW)
    [action] = await worked_off(an_actor(database))
    stored = await database.read(actions.by_id, action.id)
    assert stored is not None
    assert (stored.state, stored.result) == (ActionState.DONE, "answered john@corp.com")
    [delivery] = await scenes.claimed(database)
    assert delivery.delivery.recipient == "john@corp.com"
