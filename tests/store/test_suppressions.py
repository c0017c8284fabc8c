"""The suppression list: who comes onto it with a conclusion, with which evidence, and how he comes off."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from homing.loop.evidence import Answered, ReportAction, Reported, What
from homing.loop.model import DeliveryId, InboundId, OrganizationId, State, Strength, Verdict
from homing.mail.reply import Reply, Stage
from homing.store import accepted_messages, lifts, organizations, suppressions, tables
from homing.store.accepted_messages import Added
from homing.store.claims import ClaimedDelivery
from homing.store.database import Database
from homing.store.organizations import Organization
from homing.store.record import AttemptResult, DeliveryEvidence, record
from homing.store.suppressions import Suppression
from tests.store.scenes import (
    NOW,
    a_submission,
    all_rows,
    an_organization,
    claimed,
    event_types,
    state_of,
    submitted,
)

DEAD = Verdict(failure_class="invalid_recipient", kind="hard", rule="words.unknown")
FULL = Verdict(failure_class="mailbox_full", kind="soft", rule="words.full")
TAKEN = Verdict(failure_class="delivered", kind="none", rule="reply-positive")
DAY = timedelta(days=1)


async def sent(database: Database, verdict: Verdict, now: datetime) -> None:
    """One message, whose end is this verdict."""
    (one,) = await claimed(database, now=now)
    await _ended(database, one, verdict, now)


async def all_taken(database: Database) -> None:
    """What waits is taken by its servers."""
    for one in await claimed(database):
        await _ended(database, one, TAKEN, NOW)


async def _ended(database: Database, one: ClaimedDelivery, verdict: Verdict, now: datetime) -> None:
    positive = verdict is TAKEN
    reply = Reply.of(250, "2.0.0 ok") if positive else Reply.of(550, "5.1.1 no such user")
    stage = Stage.DOT if positive else Stage.RCPT_TO
    evidence = Answered(stage=stage, reply=reply, host="mx.example.net", verdict=verdict)
    attempt = AttemptResult(started_at=now, stage=stage, reply=reply, verdict=verdict)
    finding = DeliveryEvidence(
        delivery=one.delivery.id, evidence=evidence, now=now, epoch=one.delivery.epoch, attempt=attempt
    )
    assert await database.write_grouped(record, finding)


async def listed(database: Database, organization: OrganizationId, now: datetime = NOW) -> list[Suppression]:
    return await database.read(suppressions.list_page, organization, now)


async def test_a_refused_recipient_is_not_written_to_again_until_somebody_lifts_it(database: Database) -> None:
    organization = await an_organization(database)
    await submitted(database, organization, "Jonh@example.net")
    await sent(database, DEAD, NOW)
    (entry,) = await listed(database, organization.id)
    assert (entry.address, entry.stream, entry.reason) == ("jonh@example.net", "default", "invalid_recipient")
    assert (entry.expires_at, entry.rule) == (None, "words.unknown")
    assert entry.evidence == (
        "mx.example.net answered on 2026-03-01 at rcpt_to: 550 5.1.1 no such user (rule words.unknown)"
    )
    second = await submitted(database, organization, "jonh@example.net")
    assert await state_of(database, organization, second.deliveries[0].id) is State.SUPPRESSED
    assert "opened_case" in await event_types(database, second.deliveries[0].id)
    assert await database.write(lifts.lift, organization.id, "default", "jonh@example.net", now=NOW)
    third = await submitted(database, organization, "jonh@example.net")
    assert await state_of(database, organization, third.deliveries[0].id) is State.QUEUED


async def test_another_stream_and_another_organization_go_on(database: Database) -> None:
    organization, other = await an_organization(database), await an_organization(database)
    await submitted(database, organization, stream="news")
    await sent(database, DEAD, NOW)
    for owner, stream in ((organization, "default"), (other, "news")):
        answer = await database.write_grouped(accepted_messages.add, a_submission(owner, stream=stream))
        assert isinstance(answer, Added)
        assert answer.suppressed == frozenset()


async def test_only_the_one_place_that_is_named_is_lifted(database: Database) -> None:
    mine, other = await an_organization(database), await an_organization(database)
    for owner, stream in ((mine, "default"), (mine, "news"), (other, "default")):
        entry = Suppression(
            organization=owner.id, stream=stream, address="j@x.example", reason="manual", evidence="", created_at=NOW
        )
        await database.write(suppressions.add, [entry])
    assert await database.write(lifts.lift, mine.id, "news", "J@x.example", now=NOW)
    assert [entry.stream for entry in await listed(database, mine.id)] == ["default"]
    assert len(await listed(database, other.id)) == 1
    assert not await database.write(lifts.lift, mine.id, "news", "j@x.example", now=NOW)


async def the_organization(database: Database, identifier: OrganizationId) -> Organization:
    found = await database.read(organizations.get, identifier)
    assert found
    return found


async def full_every(
    database: Database, days: int, times: int, verdicts: dict[int, Verdict] | None = None
) -> tuple[OrganizationId, datetime]:
    """So many messages to one mailbox, so many days apart; all of them find it full, except as told."""
    organization = await an_organization(database)
    now = NOW
    for number in range(times):
        now = NOW + days * DAY * number
        await submitted(database, organization, now=now)
        await sent(database, (verdicts or {}).get(number, FULL), now)
    return organization.id, now


async def test_a_mailbox_that_stays_full_is_left_alone_for_thirty_days(database: Database) -> None:
    organization, now = await full_every(database, 4, 5)
    (entry,) = await listed(database, organization, now)
    assert (entry.reason, entry.expires_at) == ("mailbox_full", now + 30 * DAY)
    assert await listed(database, organization, now + 31 * DAY) == []


async def test_four_times_or_within_a_week_is_not_enough(database: Database) -> None:
    assert await listed(database, (await full_every(database, 5, 4))[0], NOW + 20 * DAY) == []
    assert await listed(database, (await full_every(database, 1, 8))[0], NOW + 20 * DAY) == []


async def test_a_message_that_arrives_begins_the_count_anew(database: Database) -> None:
    organization, now = await full_every(database, 4, 7, {3: TAKEN})
    assert await listed(database, organization, now) == []
    (row,) = await database.read(all_rows, tables.full_mailbox)
    assert (row["times"], row["first_at"]) == (3, NOW + 16 * DAY)


async def test_what_is_long_ago_begins_anew_and_is_forgotten(database: Database) -> None:
    organization, before = await full_every(database, 4, 4)
    now = before + 61 * DAY
    await submitted(database, await the_organization(database, organization), now=now)
    await sent(database, FULL, now)
    assert await listed(database, organization, now) == []
    (row,) = await database.read(all_rows, tables.full_mailbox)
    assert (row["times"], row["first_at"]) == (1, now)
    assert await database.write(suppressions.forget_full, now + 60 * DAY) == 0
    assert await database.write(suppressions.forget_full, now + 61 * DAY) == 1


async def hearsay(
    database: Database,
    delivery: DeliveryId,
    now: datetime,
    *,
    home: bool = True,
    strength: Strength = Strength.WEAK,
    rule: str = "words.unknown",
) -> None:
    """A notice, at the delivery's own return address or elsewhere, says that its address is dead."""
    report = Reported(
        what=What.BOUNCE,
        action=ReportAction.FAILED,
        strength=strength,
        names_recipient=True,
        proved=True,
        names_other=False,
        verdict=replace(DEAD, rule=rule),
        inbound=InboundId(UUID(int=7)),
        at_envelope=home,
    )
    assert await database.write_grouped(record, DeliveryEvidence(delivery=delivery, evidence=report, now=now))


async def heard_after(database: Database, days: int, **how: bool) -> tuple[OrganizationId, datetime]:
    """Two messages were taken and came back in words, the second so many days after the first."""
    organization = await an_organization(database)
    for now in (NOW, NOW + days * DAY):
        message = await submitted(database, organization, "jonh@example.net", now=now)
        await sent(database, TAKEN, now)
        for _ in range(3):
            await hearsay(database, message.deliveries[0].id, now, **how)
        if now == NOW:
            assert await listed(database, organization.id, now) == [], "however often it is said of one message"
    return organization.id, now


async def test_a_late_report_counts_for_thirty_days_and_that_about_a_second_message_for_good(
    database: Database,
) -> None:
    organization = await an_organization(database)
    for now, expires_at in ((NOW, NOW + 30 * DAY), (NOW + 31 * DAY, None)):
        message = await submitted(database, organization, "jonh@example.net", now=now)
        await sent(database, TAKEN, now)
        for _ in range(2):
            await hearsay(database, message.deliveries[0].id, now, strength=Strength.STRONG)
        (entry,) = await listed(database, organization.id, now)
        assert (entry.reason, entry.expires_at) == ("invalid_recipient", expires_at)
    assert await listed(database, organization.id, NOW + 400 * DAY) != []


async def test_late_reports_long_apart_are_each_the_first(database: Database) -> None:
    organization = await an_organization(database)
    for now in (NOW, NOW + 90 * DAY):
        message = await submitted(database, organization, "jonh@example.net", now=now)
        await sent(database, TAKEN, now)
        await hearsay(database, message.deliveries[0].id, now, strength=Strength.STRONG)
        (entry,) = await listed(database, organization.id, now)
        assert entry.expires_at == now + 30 * DAY


@pytest.mark.parametrize(
    ("before", "last", "suppressed_for"),
    [
        ([Strength.WEAK], Strength.STRONG, 30),
        ([Strength.WEAK] * 3, Strength.STRONG, 10),
        ([Strength.WEAK], Strength.WEAK, 30),
        ([Strength.STRONG], Strength.WEAK, 10),
        ([Strength.STRONG], Strength.STRONG, None),
        ([Strength.STRONG, Strength.WEAK], Strength.STRONG, None),
    ],
)
async def test_only_two_strong_reports_suppress_for_good(
    database: Database, before: list[Strength], last: Strength, suppressed_for: int | None
) -> None:
    """The messages are on their way together, and the last of their reports comes 20 days after the others."""
    organization = await an_organization(database)
    waiting = [await submitted(database, organization, "jonh@example.net") for _ in (*before, last)]
    await all_taken(database)
    now = NOW + 20 * DAY
    for message, strength in zip(waiting, (*before, last), strict=True):
        await hearsay(database, message.deliveries[0].id, now if message is waiting[-1] else NOW, strength=strength)
    (entry,) = await listed(database, organization.id, now)
    assert entry.expires_at == (None if suppressed_for is None else now + suppressed_for * DAY)


async def test_words_are_believed_when_a_second_message_has_them_too(database: Database) -> None:
    organization, now = await heard_after(database, 29)
    (entry,) = await listed(database, organization, now)
    assert (entry.address, entry.reason, entry.expires_at) == ("jonh@example.net", "invalid_recipient", now + 30 * DAY)
    assert entry.evidence.startswith("bounce on 2026-03-30 (rule words.unknown, mail inb_")
    assert await database.write(suppressions.forget_hearsay, now) == 0
    assert await database.write(suppressions.forget_hearsay, NOW + 90 * DAY) == 1


async def test_words_long_ago_or_at_another_address_count_for_nothing(database: Database) -> None:
    assert await listed(database, *await heard_after(database, 30)) == []
    assert await listed(database, *await heard_after(database, 1, home=False)) == []


async def test_what_counts_no_more_is_forgotten_in_bites(database: Database) -> None:
    organization = await an_organization(database)
    entries = [
        Suppression(
            organization=organization.id,
            stream="default",
            address=f"a{number}@example.net",
            reason="mailbox_full",
            evidence="",
            created_at=NOW,
            expires_at=None if number == 0 else NOW + number * DAY,
        )
        for number in range(6)
    ]
    await database.write(suppressions.add, entries)
    now = NOW + 3 * DAY
    before = await database.read(suppressions.list_page, organization.id, now)
    assert [await database.write(suppressions.forget_expired, now, 2) for _ in range(3)] == [2, 1, 0]
    assert await database.read(suppressions.list_page, organization.id, now) == before
    assert [entry.address for entry in before] == ["a0@example.net", "a4@example.net", "a5@example.net"]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ("invalid_recipient", "unsubscribe", "unsubscribe"),
        ("complaint", "invalid_recipient", "complaint"),
        ("complaint", "unsubscribe", "complaint"),
        ("invalid_recipient", "inactive_mailbox", "invalid_recipient"),
    ],
)
async def test_a_wish_outweighs_a_refusal(database: Database, first: str, second: str, kept: str) -> None:
    """Else whoever left would be written to again when the refusal's entry is lifted."""
    organization = await an_organization(database)
    for reason in (first, second):
        entry = Suppression(
            organization=organization.id,
            stream="default",
            address="a@example.net",
            reason=reason,
            evidence="",
            created_at=NOW,
        )
        await database.write(suppressions.add, [entry])
    (entry,) = await listed(database, organization.id, NOW)
    assert entry.reason == kept
