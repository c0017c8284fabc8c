"""The queue: claims, leases, attempts, recovery. And THE one way to change a delivery."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from homing.loop.evidence import LeaseReleased, ReportAction, Reported, What
from homing.loop.model import CaseState, FailurePolicy, Origin, State, Step, StepKind, StepState
from homing.loop.queue import Places
from homing.loop.retry import SILENT_DEATHS
from homing.mail.reply import Reply, Stage
from homing.store import cases, claims, deliveries, organizations, policies, suppressions, tables, views
from homing.store.database import Database
from homing.store.record import AttemptResult, DeliveryEvidence, record
from homing.store.suppressions import Suppression
from tests.store.scenes import (
    LEASE,
    MINUTE,
    NOW,
    all_rows,
    an_organization,
    answered,
    attempted,
    claimed,
    event_types,
    fresh,
    reported,
    silent,
    state_of,
    submitted,
    the_case,
    the_delivery,
)

# -- claiming --------------------------------------------------------------------------------------------------------


async def test_a_claim_is_a_lease_with_all_that_sending_needs(database: Database) -> None:
    organization = await an_organization(database)
    one = await submitted(database, organization, smtputf8=True)
    (claim,) = await claimed(database, "node-1")
    assert claim.delivery.state is State.SENDING
    assert claim.delivery.epoch == 1
    assert claim.content == one.message.content
    assert (claim.message_id, claim.subject, claim.stream, claim.smtputf8) == (
        "1@post.example",
        "Your call",
        "default",
        True,
    )
    assert claim.identity == one.deliveries[0].identity
    assert claim.delivery == await the_delivery(database, organization, claim.delivery.id)
    (row,) = await database.read(all_rows, tables.delivery)
    assert (row["lease_owner"], row["lease_until"]) == ("node-1", NOW + LEASE)
    assert await claimed(database, "node-2") == []


async def test_two_workers_never_claim_the_same(database: Database) -> None:
    organization = await an_organization(database)
    await asyncio.gather(*(submitted(database, organization) for _ in range(60)))
    ids = []

    async def work(name: str) -> None:
        more = True
        while more:
            claim = await database.write(claims.claim, name, NOW, Places(10), LEASE)
            ids.extend(one.delivery.id for one in claim.deliveries)
            more = claim.more

    await asyncio.gather(*(work(f"node-{number}") for number in range(4)))
    assert len(ids) == len(set(ids)) == 60


async def test_longest_due_first_and_only_what_is_due(database: Database) -> None:
    organization = await an_organization(database)
    later = await submitted(database, organization, next_attempt_at=NOW + MINUTE)
    second = await submitted(database, organization, next_attempt_at=NOW - MINUTE)
    first = await submitted(database, organization, next_attempt_at=NOW - 2 * MINUTE)
    assert [one.delivery.id for one in await claimed(database, limit=4)] == [
        first.deliveries[0].id,
        second.deliveries[0].id,
    ]
    assert [one.delivery.id for one in await claimed(database, now=NOW + MINUTE)] == [later.deliveries[0].id]


async def test_a_paused_organization_waits(database: Database) -> None:
    organization = await an_organization(database)
    await submitted(database, organization)
    await database.write(organizations.pause, organization.id, "too many complaints")
    assert await claimed(database) == []
    await database.write(organizations.resume, organization.id, NOW)
    assert len(await claimed(database)) == 1


async def test_what_ended_meanwhile_is_concluded_and_not_claimed(database: Database) -> None:
    organization = await an_organization(database)
    late = await submitted(database, organization, expires_at=NOW + MINUTE)
    unwanted = await submitted(database, organization, "john@example.com")
    entry = Suppression(
        organization=organization.id,
        stream="default",
        address="john@example.com",
        reason="complaint",
        evidence="",
        created_at=NOW,
    )
    await database.write(suppressions.add, [entry])
    assert await claimed(database, now=NOW + MINUTE) == []
    assert await state_of(database, organization, late.deliveries[0].id) is State.EXPIRED
    assert await state_of(database, organization, unwanted.deliveries[0].id) is State.SUPPRESSED
    lines = (await database.read(views.cases, organization.id)).lines
    assert len(lines) == 2


async def test_while_the_clock_is_not_believed_no_lifetime_ends(database: Database) -> None:
    organization, paused = await an_organization(database), await an_organization(database)
    sent = await submitted(database, organization)
    waiting = await submitted(database, paused)
    await database.write(organizations.pause, paused.id, "x")
    jumped = NOW + timedelta(days=30)

    async def taken(now: datetime) -> list[claims.ClaimedDelivery]:
        claim = await database.write(claims.claim, "worker", now, Places(9), LEASE, expiring=False)
        return list(claim.deliveries)

    now = jumped
    for _ in range(3):
        (one,) = await taken(now)
        assert one.delivery.id == sent.deliveries[0].id
        await database.write_grouped(record, silent(one, await attempted(database, one, now), Stage.EHLO, now))
        assert await state_of(database, organization, one.delivery.id) is State.DEFERRED
        assert await taken(now + timedelta(seconds=40)) == [], "it waits as ever"
        now += timedelta(hours=5)
    assert await state_of(database, paused, waiting.deliveries[0].id) is State.QUEUED
    assert await claimed(database, now=jumped + timedelta(days=1)) == []
    assert await state_of(database, organization, sent.deliveries[0].id) is State.EXPIRED
    assert await state_of(database, paused, waiting.deliveries[0].id) is State.EXPIRED


# -- attempts --------------------------------------------------------------------------------------------------------


async def test_an_attempt_is_the_intent_and_fixes_the_signature(database: Database) -> None:
    organization = await an_organization(database)
    await submitted(database, organization)
    (one,) = await claimed(database)
    await attempted(database, one)
    outcome = await database.write_grouped(record, silent(one, await attempted(database, one), Stage.RCPT_TO))
    assert outcome and outcome.delivery.state is State.DEFERRED
    again = NOW + timedelta(hours=1)
    (second,) = await claimed(database, now=again)
    assert (second.selector, second.signed_at) == ("s1", NOW)
    await attempted(database, second, now=again)
    row = (await database.read(all_rows, tables.delivery))[0]
    assert row["signed_at"] == NOW


async def test_without_the_lease_there_is_no_attempt(database: Database) -> None:
    organization = await an_organization(database)
    await submitted(database, organization)
    (one,) = await claimed(database)
    await database.write(deliveries.recover, NOW + LEASE + MINUTE)
    await claimed(database, "other", now=NOW + LEASE + MINUTE)
    late = deliveries.OpenAttempt(
        id=fresh(),
        delivery=one.delivery.id,
        epoch=one.delivery.epoch,
        started_at=NOW,
        host="mx",
        ip="",
        selector="s",
        signed_at=NOW,
    )
    assert await database.write_grouped(deliveries.begin_attempts, late) is False
    assert await database.read(all_rows, tables.attempt) == []


async def test_who_wakes_after_his_lease_was_given_to_nobody_opens_no_attempt(database: Database) -> None:
    """The epoch is still his, for nobody has claimed it since."""
    organization = await an_organization(database)
    await submitted(database, organization)
    (one,) = await claimed(database)
    await database.write(deliveries.recover, NOW + LEASE + MINUTE)
    assert await state_of(database, organization, one.delivery.id) is State.QUEUED
    with pytest.raises(AssertionError):
        await attempted(database, one)
    assert await database.read(all_rows, tables.attempt) == []


async def test_leases_are_renewed_by_their_owner_only(database: Database) -> None:
    organization = await an_organization(database)
    await submitted(database, organization)
    (one,) = await claimed(database, "me")
    until = NOW + timedelta(hours=1)
    assert await database.write(deliveries.renew, "you", [one.delivery.id], until) == set()
    assert await database.write(deliveries.renew, "me", [one.delivery.id, fresh()], until) == {one.delivery.id}
    assert await database.write(deliveries.recover, NOW + LEASE + MINUTE) == []


# -- answers ---------------------------------------------------------------------------------------------------------


async def test_delivered_is_written_whole(database: Database) -> None:
    organization = await an_organization(database)
    one = await submitted(database, organization)
    (claim,) = await claimed(database)
    outcome = await database.write_grouped(record, answered(claim, await attempted(database, claim)))
    assert outcome and outcome.delivery.state is State.DELIVERED
    view = await database.read(views.message, organization.id, one.message.id)
    assert view
    (delivery,) = view.deliveries
    (attempt,) = delivery.attempts
    assert (attempt.reply_code, attempt.enhanced_status_code, attempt.text) == (250, "2.0.0", "ok")
    assert (attempt.ended_at, attempt.in_doubt, attempt.stage) == (NOW, False, Stage.DOT)
    assert delivery.delivery.attempts == 1
    assert delivery.case is None
    (row,) = await database.read(all_rows, tables.delivery)
    assert (row["lease_owner"], row["lease_until"], row["next_attempt_at"]) == (None, None, None)
    assert await event_types(database, delivery.delivery.id) == ["queued", "delivered"]


async def test_a_refusal_opens_one_case_with_its_actions(database: Database) -> None:
    organization = await an_organization(database)
    one = await submitted(database, organization)
    (claim,) = await claimed(database)
    await database.write_grouped(record, answered(claim, await attempted(database, claim), 550, Stage.RCPT_TO))
    view = await database.read(views.message, organization.id, one.message.id)
    assert view
    (delivery,) = view.deliveries
    assert delivery.case and delivery.case.state is CaseState.OPEN
    assert delivery.case.steps == (StepState.RUNNING, StepState.RUNNING, StepState.WAITING)
    assert [(action.kind, action.recipient) for action in delivery.actions] == [
        (StepKind.LIVE, "john@example.net"),
        (StepKind.LETTER, "john@example.net"),
    ]
    assert delivery.delivery.verdict and delivery.delivery.verdict.failure_class == "no_such_user"


async def test_the_organizations_policy_is_asked(database: Database) -> None:
    organization = await an_organization(database)
    quiet = FailurePolicy(name="quiet", steps=(Step(kind=StepKind.LOG, delay=MINUTE),))
    await database.write(policies.put, organization.id, quiet, NOW)
    await submitted(database, organization, failure_policy="quiet")
    (claim,) = await claimed(database)
    await database.write_grouped(record, answered(claim, await attempted(database, claim), 550))
    (action,) = await database.read(all_rows, tables.action)
    assert (action["kind"], action["due_at"]) == ("log", NOW + MINUTE)


async def test_an_attempt_that_never_came_to_mail_from_is_written_too(database: Database) -> None:
    organization = await an_organization(database)
    await submitted(database, organization)
    (claim,) = await claimed(database)
    finding = answered(claim, None, 450, Stage.BANNER)
    outcome = await database.write_grouped(record, finding)
    assert outcome and (outcome.delivery.state, outcome.delivery.attempts) == (State.DEFERRED, 1)
    (attempt,) = await database.read(all_rows, tables.attempt)
    assert (attempt["stage"], attempt["epoch"], attempt["ended_at"]) == ("banner", 1, NOW)


async def test_a_batch_concludes_in_order(database: Database) -> None:
    """Two reports about one delivery in the same transaction: the second meets what the first left."""
    organization = await an_organization(database)
    one = await submitted(database, organization)
    delivery = one.deliveries[0].id
    (claim,) = await claimed(database)
    await attempted(database, claim)
    batch = [reported(delivery), reported(delivery), reported(fresh()), reported(delivery, What.HUMAN_REPLY)]
    outcomes = await database.write(record, batch)
    assert [outcome is None for outcome in outcomes] == [False, False, True, False]
    after = await the_delivery(database, organization, delivery)
    assert (after.state, after.reports, after.epoch) == (State.BOUNCED, 3, 2)
    assert len(await database.read(all_rows, tables.case)) == 1
    assert (await event_types(database, delivery)).count("opened_case") == 1


async def test_a_delivery_that_fails_twice_has_one_case(database: Database) -> None:
    organization = await an_organization(database)
    one = await submitted(database, organization, expires_at=NOW)
    delivery = one.deliveries[0].id
    await claimed(database)  # expired
    delivered = reported(delivery)
    assert isinstance(delivered.evidence, Reported)
    relayed = replace(delivered, evidence=replace(delivered.evidence, action=ReportAction.DELIVERED))
    await database.write(record, [relayed])
    assert await state_of(database, organization, delivery) is State.DELIVERED
    outcome = (await database.write(record, [reported(delivery)]))[0]
    assert outcome and outcome.delivery.state is State.BOUNCED
    assert (outcome.case, outcome.actions) == (None, ())
    assert (await event_types(database, delivery)).count("opened_case") == 1
    assert len(await database.read(all_rows, tables.action)) == 2


async def test_a_complaint_suppresses_in_its_stream(database: Database) -> None:
    organization = await an_organization(database)
    one = await submitted(database, organization, "John@example.net", stream="news")
    await database.write(record, [reported(one.deliveries[0].id, What.COMPLAINT)])
    (entry,) = await database.read(suppressions.list_page, organization.id, NOW)
    assert (entry.stream, entry.address, entry.reason) == ("news", "john@example.net", "complaint")


# -- leases that are gone --------------------------------------------------------------------------------------------


async def test_a_stale_epoch_changes_nothing_but_its_attempt(database: Database) -> None:
    """The worker slept past its lease; somebody else delivered."""
    organization = await an_organization(database)
    await submitted(database, organization)
    (sleeper,) = await claimed(database, "sleeper")
    sleepers = await attempted(database, sleeper)
    woken = NOW + LEASE + MINUTE
    await database.write(deliveries.recover, woken)
    (second,) = await claimed(database, "second", now=woken + timedelta(hours=1))
    seconds = await attempted(database, second)
    assert await database.write_grouped(record, answered(sleeper, sleepers, 550, Stage.RCPT_TO)) is None
    during = await the_delivery(database, organization, sleeper.delivery.id)
    assert (during.state, during.epoch, during.verdict) == (State.SENDING, second.delivery.epoch, None)
    await database.write_grouped(record, answered(second, seconds))
    assert await database.write_grouped(record, answered(sleeper, sleepers, 250)) is None
    after = await the_delivery(database, organization, sleeper.delivery.id)
    assert (after.state, after.possibly_delivered) == (State.DELIVERED, True)
    rows = {row["id"]: row for row in await database.read(all_rows, tables.attempt)}
    assert (rows[sleepers.id]["reply_code"], rows[sleepers.id]["in_doubt"]) == (250, True)
    assert (rows[seconds.id]["reply_code"], rows[seconds.id]["in_doubt"]) == (250, False)
    assert await database.read(all_rows, tables.case) == []
    events = await database.read(all_rows, tables.event, tables.event.c.type == "attempted")
    assert [event["data"]["stale"] for event in events] == [True, True]


@pytest.mark.parametrize("in_time", [True, False])
async def test_hosts_that_were_passed_over_are_kept_and_count_as_no_attempt(database: Database, in_time: bool) -> None:
    organization = await an_organization(database)
    await submitted(database, organization)
    (claim,) = await claimed(database)
    attempt = await attempted(database, claim)
    if not in_time:
        await database.write(deliveries.recover, NOW + LEASE + MINUTE)
    deaf = AttemptResult(started_at=NOW - MINUTE, ended_at=NOW, stage=Stage.CONNECT, host="mx1", silence="refused")
    busy = AttemptResult(started_at=NOW, stage=Stage.MAIL_FROM, host="mx2", reply=Reply(421, "4.3.2", "busy"))
    finding = replace(answered(claim, attempt), passed_over=(deaf, busy))
    await database.write_grouped(record, finding)
    rows = await database.read(all_rows, tables.attempt)
    assert len(rows) == 3
    by_host = {row["host"]: row for row in rows}
    assert (by_host["mx1"]["text"], by_host["mx1"]["ended_at"]) == ("refused", NOW)
    assert (by_host["mx2"]["reply_code"], by_host["mx2"]["ended_at"]) == (421, finding.now)
    assert {row["epoch"] for row in rows} == {claim.delivery.epoch}
    assert (await the_delivery(database, organization, claim.delivery.id)).attempts == 1


async def test_the_same_epoch_without_the_lease_is_stale_too(database: Database) -> None:
    organization = await an_organization(database)
    await submitted(database, organization)
    (sleeper,) = await claimed(database)
    attempt = await attempted(database, sleeper)
    await database.write(deliveries.recover, NOW + LEASE + MINUTE)
    assert await database.write_grouped(record, answered(sleeper, attempt)) is None
    assert await state_of(database, organization, sleeper.delivery.id) is State.DEFERRED


async def test_a_report_overtakes_the_reply(database: Database) -> None:
    organization = await an_organization(database)
    one = await submitted(database, organization)
    (claim,) = await claimed(database)
    attempt = await attempted(database, claim)
    await database.write(record, [reported(one.deliveries[0].id)])
    assert await database.write_grouped(record, answered(claim, attempt)) is None
    after = await the_delivery(database, organization, claim.delivery.id)
    assert (after.state, after.bounced_late) == (State.BOUNCED, True)
    (row,) = await database.read(all_rows, tables.attempt)
    assert (row["ended_at"], row["reply_code"]) == (NOW, 250)


@pytest.mark.parametrize("with_attempt", [True, False])
async def test_recovery_tells_doubt_from_none(database: Database, with_attempt: bool) -> None:
    organization = await an_organization(database)
    await submitted(database, organization)
    (claim,) = await claimed(database)
    if with_attempt:
        await attempted(database, claim)
    assert await database.write(deliveries.recover, NOW + LEASE) == []
    (outcome,) = await database.write(deliveries.recover, NOW + LEASE + MINUTE)
    assert outcome
    assert outcome.delivery.state is (State.DEFERRED if with_attempt else State.QUEUED)
    assert outcome.delivery.possibly_delivered is with_attempt
    assert outcome.delivery.silent_deaths == with_attempt, "who had sent nothing has killed nobody"
    attempts = await database.read(all_rows, tables.attempt)
    assert [(row["in_doubt"], row["ended_at"] is not None) for row in attempts] == [(True, True)] * with_attempt
    (row,) = await database.read(all_rows, tables.delivery)
    assert row["lease_owner"] is None


async def test_at_start_the_leases_of_the_dead_are_not_waited_for(database: Database) -> None:
    organization = await an_organization(database)
    await submitted(database, organization)
    await submitted(database, organization)
    await claimed(database, "dead", limit=1)
    (mine,) = await claimed(database, "me", limit=1)
    (outcome,) = await database.write(deliveries.recover, NOW, lambda owner: owner != "me")
    assert outcome and outcome.delivery.id != mine.delivery.id
    assert await state_of(database, organization, mine.delivery.id) is State.SENDING


async def test_no_attempt_stays_open_when_its_worker_died_after_a_report(database: Database) -> None:
    organization = await an_organization(database)
    one = await submitted(database, organization)
    (claim,) = await claimed(database, "dead")
    await attempted(database, claim)
    await database.write(record, [reported(one.deliveries[0].id)])
    await database.write(deliveries.recover, NOW + MINUTE)
    assert (await database.read(all_rows, tables.attempt))[0]["ended_at"] is None  # it may still be under way
    await database.write(deliveries.recover, NOW + MINUTE, lambda owner: owner == "dead")
    (attempt,) = await database.read(all_rows, tables.attempt)
    assert (attempt["in_doubt"], attempt["ended_at"]) == (True, NOW + MINUTE)
    assert await state_of(database, organization, one.deliveries[0].id) is State.BOUNCED


async def test_a_lease_given_back_leaves_no_trace(database: Database) -> None:
    organization = await an_organization(database)
    await submitted(database, organization)
    (claim,) = await claimed(database)
    back = DeliveryEvidence(delivery=claim.delivery.id, evidence=LeaseReleased(), now=NOW, epoch=claim.delivery.epoch)
    outcome = await database.write_grouped(record, back)
    assert outcome and (outcome.delivery.state, outcome.delivery.silent_deaths) == (State.QUEUED, 0)
    assert len(await claimed(database)) == 1


@pytest.mark.parametrize(
    ("opened", "left", "state"),
    [(False, False, State.QUEUED), (True, False, State.QUEUED), (True, True, State.DEFERRED)],
)
async def test_a_worker_that_is_stopped_gives_all_back_and_counts_as_no_death(
    database: Database, opened: bool, left: bool, state: State
) -> None:
    organization = await an_organization(database)
    await submitted(database, organization)
    (mine,) = await claimed(database, "me")
    if opened:
        await attempted(database, mine)
    await submitted(database, organization)
    (other,) = await claimed(database, "other")
    unsent = frozenset() if left else frozenset({mine.delivery.id})
    (outcome,) = await database.write(deliveries.give_back, NOW, "me", unsent)
    assert outcome and outcome.delivery.id == mine.delivery.id
    assert (outcome.delivery.state, outcome.delivery.silent_deaths) == (state, 0)
    assert outcome.delivery.possibly_delivered is left
    attempts = await database.read(all_rows, tables.attempt)
    assert [(row["in_doubt"], row["ended_at"]) for row in attempts] == [(left, NOW)] * opened
    assert await state_of(database, organization, other.delivery.id) is State.SENDING


async def test_a_worker_that_is_stopped_speaks_for_nobody_else(database: Database) -> None:
    organization = await an_organization(database)
    await submitted(database, organization)
    (lost,) = await claimed(database, "dead")
    assert await database.write(deliveries.give_back, NOW + LEASE + MINUTE, "me") == []
    assert await state_of(database, organization, lost.delivery.id) is State.SENDING


@pytest.mark.parametrize("opened", [False, True])
async def test_an_attempt_that_breaks_waits_and_ends_some_time(database: Database, opened: bool) -> None:
    organization = await an_organization(database)
    await submitted(database, organization)
    now, states = NOW, []
    for _ in range(SILENT_DEATHS):
        (one,) = await claimed(database, now=now)
        if opened:
            await attempted(database, one, now)
        (outcome,) = await database.write(deliveries.put_off, one.delivery.id, one.delivery.epoch, now)
        assert outcome
        states.append(outcome.delivery.state)
        assert await claimed(database, now=now + timedelta(seconds=40)) == [], "no attempt is made again at once"
        now += timedelta(hours=5)
    assert states[-1] is State.FAILED
    assert set(states[:-1]) == {State.DEFERRED if opened else State.QUEUED}


async def test_of_those_that_a_worker_died_with_one_is_tried_at_a_time(database: Database) -> None:
    organization = await an_organization(database)
    for _ in range(4):
        await submitted(database, organization)
    for one in await claimed(database, "dead"):
        await attempted(database, one)
    await database.write(deliveries.recover, NOW, "dead".__eq__)
    later = NOW + timedelta(hours=1)
    for _ in range(3):
        await submitted(database, organization)
    first = await claimed(database, "me", later)
    suspects = [one for one in first if one.delivery.silent_deaths]
    assert (len(first), len(suspects)) == (4, 1)
    assert await claimed(database, "me", later) == [], "the others wait for it"
    assert len(await claimed(database, "other", later)) == 1, "each worker risks its own life"
    for left in (1, 1, 0):
        [suspect] = suspects
        await database.write_grouped(record, answered(suspect, await attempted(database, suspect)))
        suspects = await claimed(database, "me", later)
        assert len(suspects) == left


async def test_no_more_contents_are_claimed_than_fit_and_one_always_does(database: Database) -> None:
    organization = await an_organization(database)
    for _ in range(5):
        await submitted(database, organization, content=b"x" * 1000)
    sizes = [
        len((await database.write(claims.claim, "worker", NOW, Places(100, octets), LEASE)).deliveries)
        for octets in (1, 2501, 1, 1)
    ]
    assert sizes == [1, 2, 1, 1], "of one organization never more than twice what is left"


async def test_cancel(database: Database) -> None:
    organization, stranger = await an_organization(database), await an_organization(database)
    one = await submitted(database, organization)
    delivery = one.deliveries[0].id
    assert await database.write(deliveries.cancel, stranger.id, delivery, "him", NOW) is None
    outcome = await database.write(deliveries.cancel, organization.id, delivery, "key_1", NOW)
    assert outcome and outcome.delivery.state is State.CANCELED
    assert await claimed(database) == []


# -- letters ---------------------------------------------------------------------------------------------------------


async def _letter(
    database: Database, organization: organizations.Organization
) -> tuple[cases.CaseId, claims.ClaimedDelivery]:
    """A bounced delivery whose letter has just been claimed."""
    await submitted(database, organization)
    (claim,) = await claimed(database)
    await database.write_grouped(record, answered(claim, await attempted(database, claim), 550))
    case = await the_case(database, claim.delivery.id)
    await submitted(database, organization, "janet@example.com", origin=Origin.LETTER, case=case, step=1)
    (one,) = await claimed(database)
    return case, one


async def test_a_letter_that_arrives_is_heard(database: Database) -> None:
    organization = await an_organization(database)
    case, letter = await _letter(database, organization)
    await database.write_grouped(record, answered(letter, await attempted(database, letter)))
    line = await database.read(views.case, organization.id, case)
    assert line and line.case.steps[1] is StepState.HEARD
    assert line.case.state is CaseState.NOTIFIED


async def test_a_letter_that_bounces_moves_its_case_on_and_opens_none(database: Database) -> None:
    organization = await an_organization(database)
    case, letter = await _letter(database, organization)
    await database.write_grouped(record, answered(letter, await attempted(database, letter), 550))
    line = await database.read(views.case, organization.id, case)
    assert line and line.case.steps == (StepState.RUNNING, StepState.UNHEARD, StepState.RUNNING)
    kinds = {row["step"]: row["kind"] for row in await database.read(all_rows, tables.action)}
    assert kinds == {0: "live", 1: "letter", 2: "administrator"}
    assert len(await database.read(all_rows, tables.case)) == 1


async def test_each_step_runs_once_however_often_its_letter_fails(database: Database) -> None:
    organization = await an_organization(database)
    _, letter = await _letter(database, organization)
    await database.write_grouped(record, answered(letter, await attempted(database, letter)))
    same = [reported(letter.delivery.id, What.AUTO_REPLY), reported(letter.delivery.id), reported(letter.delivery.id)]
    await asyncio.gather(*(database.write_grouped(record, finding) for finding in same))
    kinds = [row["kind"] for row in await database.read(all_rows, tables.action)]
    assert sorted(kinds) == ["administrator", "letter", "live"]


async def test_many_workers_and_reports_at_once_agree(database: Database) -> None:
    """A storm over few rows: no deadlock reaches a caller, and every delivery has at most one case."""
    organization = await an_organization(database)
    submissions_ = [await submitted(database, organization) for _ in range(10)]
    ids = [one.deliveries[0].id for one in submissions_]
    claims = {one.delivery.id: one for one in await claimed(database)}
    attempts = {key: await attempted(database, one) for key, one in claims.items()}
    findings = [reported(delivery) for delivery in ids for _ in range(3)]
    findings += [answered(claims[delivery], attempts[delivery], 550) for delivery in reversed(ids)]

    def one_by_one(conn: sa.Connection, finding: DeliveryEvidence) -> None:
        record(conn, [finding])

    await asyncio.gather(
        *(database.write_grouped(record, finding) for finding in findings[::2]),
        *(database.write(one_by_one, finding) for finding in findings[1::2]),
        database.write(record, list(reversed(findings[:9]))),
    )
    assert len(await database.read(all_rows, tables.case)) == 10
    assert {row["state"] for row in await database.read(all_rows, tables.delivery)} == {"bounced"}
    assert all(row["ended_at"] for row in await database.read(all_rows, tables.attempt))
