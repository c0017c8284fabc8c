"""Accepting a message: all of it or nothing, once for a key, within what an organization may send."""

import asyncio
import json
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from homing.flow.accept import Acceptance, Accepted
from homing.flow.identity_facts import IdentityFacts
from homing.flow.wakeup import WakeUp
from homing.loop import ids
from homing.loop.domains.sending_domains import RecordPurpose
from homing.loop.model import DeliveryId, State
from homing.loop.problem import Problem, Rejected
from homing.loop.request import MessageRequest, Party
from homing.mail.address import parse_address
from homing.store import human_senders, organizations, suppressions, tables, tidy
from homing.store.database import Database
from homing.store.human_senders import HumanSender
from homing.store.organizations import Organization, Stream
from homing.store.record import record
from homing.store.suppressions import Suppression
from tests.disks import roomy
from tests.flow.act.made import OUTGOING
from tests.flow.clock import Clock
from tests.flow.remembered import Asked, lifetime_of
from tests.flow.test_identity_facts import a_domain
from tests.patience import PATIENCE
from tests.store.scenes import NOW, all_rows, an_organization, answered, attempted, claimed, fresh, state_of

JANET = "janet@example.net"
PERSON = parse_address("joe@bloggs.example")
SECOND = timedelta(seconds=1)


@pytest.fixture
def acceptance(database: Database, clock: Clock) -> Acceptance:
    proved = IdentityFacts(database=database, operator=OUTGOING.operator, signing=lambda: None, clock=clock)
    return Acceptance(database=database, disk=roomy(), outgoing=OUTGOING, clock=clock, work=WakeUp(), proved=proved)


async def a_customer(database: Database, **settings: Any) -> Organization:
    """An organization for which Janet has proved her address."""
    organization = await an_organization(database, **settings)
    janet = HumanSender(id=fresh(), organization=organization.id, name="Janet Roe", address=JANET, created_at=NOW)
    await database.write(human_senders.create, janet)
    await database.write(human_senders.prove, organization.id, janet.id, NOW)
    return organization


def a_request(*recipients: str, **changes: Any) -> MessageRequest:
    request = MessageRequest(
        human_sender=Party(address=JANET, name="Janet Roe"),
        to=tuple(Party(address=address) for address in recipients or ("john@corp.example",)),
        subject="Our call",
        text="As promised, here are my notes.",
    )
    return replace(request, **changes)


async def refused(asked: Awaitable[Accepted]) -> Problem:
    with pytest.raises(Rejected) as refusal:
        await asked
    return refusal.value.problem


async def stored(database: Database) -> dict[str, int]:
    """Rows by table, where there are any."""
    wanted = (tables.message, tables.message_content, tables.delivery, tables.event, tables.idempotency)
    rows = {table.name: len(await database.read(all_rows, table)) for table in wanted}
    rows["usage"] = sum(row["deliveries"] for row in await database.read(all_rows, tables.usage))
    return {name: count for name, count in rows.items() if count}


async def test_what_is_accepted_is_stored_and_whoever_sends_is_woken(
    acceptance: Acceptance, database: Database
) -> None:
    answer = await acceptance.accept(await a_customer(database), a_request("a@corp.example", "b@corp.example"))
    assert not answer.replayed
    told = json.loads(answer.body)
    assert [(one["recipient"], one["state"]) for one in told["deliveries"]] == [
        ("a@corp.example", "queued"),
        ("b@corp.example", "queued"),
    ]
    waiting = await claimed(database)
    assert {ids.show("delivery", one.delivery.id) for one in waiting} == {one["id"] for one in told["deliveries"]}
    async with asyncio.timeout(PATIENCE):
        await acceptance.work.wait(PATIENCE * 2)


@pytest.mark.parametrize("reply_to", ["reply@bloggs.example", "reply+case-4711@bloggs.example", "R+a.b@BLOGGS.example"])
async def test_a_proved_domain_covers_its_addresses_for_replies(
    acceptance: Acceptance, database: Database, reply_to: str
) -> None:
    """Nobody could prove an address for each case. A domain of others, or one below or above, covers none."""
    organization, other = await an_organization(database), await an_organization(database)
    await a_domain(database, organization, "bloggs.example", RecordPurpose.DKIM_1)
    await a_domain(database, other, "elsewhere.example", RecordPurpose.DKIM_1)
    wanted = a_request(reply_to=reply_to)
    await acceptance.accept(organization, wanted)
    [one] = await claimed(database)
    assert (one.identity.reply_to or "").lower() == reply_to.lower()
    for address in ("reply+a@elsewhere.example", "reply+a@mail.bloggs.example", "reply+a@example"):
        refusal = await refused(acceptance.accept(organization, replace(wanted, reply_to=address)))
        assert refusal.code in {"reply-to-unproved", "invalid-request"}
    assert (await refused(acceptance.accept(other, wanted))).code == "reply-to-unproved"


REFUSED = [
    ("organization-paused", {"paused": True}, {}),
    ("rate-limited", {"rate_limit": 1, "daily_cap": 100}, {}),
    ("daily-cap", {"daily_cap": 1}, {}),
    ("invalid-request", {}, {"subject": "a\nb"}),
    ("invalid-request", {}, {"failure_policy": "nobody-made-it"}),
    ("reply-to-unproved", {}, {"reply_to": "stranger@example.net"}),
    ("display-name-deceives", {}, {"human_sender": Party(address=JANET, name="PayPal Support")}),
]


@pytest.mark.parametrize(("code", "settings", "changes"), REFUSED)
async def test_what_is_refused_leaves_no_trace_and_its_key_is_free(
    acceptance: Acceptance, database: Database, code: str, settings: dict[str, Any], changes: dict[str, Any]
) -> None:
    organization = await a_customer(database, **settings)
    if code == "rate-limited":
        await acceptance.accept(organization, a_request())
    before = await stored(database)
    wanted = a_request("a@corp.example", "b@corp.example", idempotency_key="k", payload_hash="p", **changes)
    for _ in range(2):
        assert (await refused(acceptance.accept(organization, wanted))).code == code
    assert await stored(database) == before
    acceptance._buckets.clear()
    allowed = replace(organization, paused=False, rate_limit=600)
    another = a_request(idempotency_key="k", payload_hash="another")
    if code != "organization-paused":
        assert not (await acceptance.accept(allowed, another)).replayed


@pytest.mark.parametrize(
    ("person", "organization", "reason"),
    [
        ("Paypa1 Support", "Acme", "display-name-look-alike"),
        ("PayPal Support", "Acme", "display-name-impersonates"),
        ("", "Acme.example", "display-name-deceives"),  # it stands for a person without a name
    ],
)
async def test_a_name_that_would_mislead_is_refused_for_what_it_does(
    acceptance: Acceptance, database: Database, person: str, organization: str, reason: str
) -> None:
    wanted = a_request(human_sender=Party(address=JANET, name=person))
    problem = await refused(acceptance.accept(await a_customer(database, display_name=organization), wanted))
    assert (problem.code, [fault.code for fault in problem.faults]) == ("display-name-deceives", [reason])
    assert f"“{person or organization}”" in problem.faults[0].message


@pytest.mark.parametrize(
    ("field", "ours"),
    [
        (("X-Campaign", "spring"), True),
        (("List-Unsubscribe", "<https://corp.example/leave>"), False),
        (("list-unsubscribe-post", "List-Unsubscribe=One-Click"), False),
    ],
)
async def test_bulk_mail_can_be_left_by_one_way_the_applications_own_or_ours(
    acceptance: Acceptance, database: Database, field: tuple[str, str], ours: bool
) -> None:
    """Two ways would be two lists, and whoever left one would still be on the other."""
    organization = await a_customer(database)
    news = Stream(organization=organization.id, name="news", bulk=True, created_at=NOW)
    await database.write(organizations.ensure_stream, news)
    await acceptance.accept(organization, a_request(stream="news", headers=(field,)))
    [leased] = await claimed(database)
    assert (leased.identity.unsubscribe_at is not None) is ours


async def test_nobody_bears_the_name_of_another_organization(acceptance: Acceptance, database: Database) -> None:
    await an_organization(database, display_name="Wobbly Widgets")
    wanted = a_request(human_sender=Party(address=JANET, name="Wobbly Widgets Support"))
    problem = await refused(acceptance.accept(await a_customer(database), wanted))
    assert [fault.code for fault in problem.faults] == ["display-name-impersonates"]


async def test_a_key_stands_for_one_message(acceptance: Acceptance, database: Database) -> None:
    organization, other = await a_customer(database), await a_customer(database)
    keyed = a_request(idempotency_key="k", payload_hash="p")
    first = await acceptance.accept(organization, keyed)
    assert await acceptance.accept(organization, keyed) == Accepted(first.body, replayed=True)
    problem = await refused(acceptance.accept(organization, replace(keyed, payload_hash="another")))
    assert (problem.status, problem.code) == (422, "idempotency-key-reused")
    assert len(await database.read(all_rows, tables.message)) == 1
    assert not (await acceptance.accept(other, keyed)).replayed, "keys are an organization's own"
    paused = replace(organization, paused=True)
    assert await acceptance.accept(paused, keyed) == Accepted(first.body, replayed=True), "it stays accepted"
    await database.write(tidy.forget_idempotency, NOW + timedelta(days=2))
    assert not (await acceptance.accept(organization, keyed)).replayed


async def test_of_two_at_once_with_one_key_the_second_is_told_to_wait(
    acceptance: Acceptance, database: Database
) -> None:
    organization, other = await a_customer(database), await a_customer(database)
    keyed = a_request(idempotency_key="k", payload_hash="p")
    first, second, third = await asyncio.gather(
        *(acceptance.accept(one, keyed) for one in (organization, organization, other)), return_exceptions=True
    )
    assert isinstance(third, Accepted), "keys are an organization's own"
    assert isinstance(first, Accepted)
    assert isinstance(second, Rejected)
    assert (second.problem.status, second.problem.code) == (409, "idempotency-key-in-progress")
    assert await acceptance.accept(organization, keyed) == Accepted(first.body, replayed=True)


async def test_a_suppressed_recipient_ends_at_once_and_no_other(acceptance: Acceptance, database: Database) -> None:
    organization = await a_customer(database)
    entry = Suppression(
        organization=organization.id,
        stream="default",
        address="dead@corp.example",
        reason="invalid_recipient",
        evidence="550",
        created_at=NOW,
    )
    await database.write(suppressions.add, [entry])
    keyed = a_request("Dead@corp.example", "john@corp.example", idempotency_key="k", payload_hash="p")
    answer = await acceptance.accept(organization, keyed)
    told = {one["recipient"]: one["state"] for one in json.loads(answer.body)["deliveries"]}
    assert told == {"Dead@corp.example": "suppressed", "john@corp.example": "queued"}
    assert await acceptance.accept(organization, keyed) == Accepted(answer.body, replayed=True)
    assert [one.delivery.recipient for one in await claimed(database)] == ["john@corp.example"]


async def test_the_daily_cap_ends_with_the_day(acceptance: Acceptance, database: Database, clock: Clock) -> None:
    organization = await a_customer(database, daily_cap=3)
    await acceptance.accept(organization, a_request("a@corp.example", "b@corp.example"))
    problem = await refused(acceptance.accept(organization, a_request("c@corp.example", "d@corp.example")))
    assert (problem.status, problem.retry_after) == (429, 12 * 60 * 60 + 1), "until midnight, UTC"
    await acceptance.accept(organization, a_request("c@corp.example"))
    clock.advance(timedelta(seconds=problem.retry_after or 0))
    await acceptance.accept(organization, a_request("d@corp.example"))
    assert (await stored(database))["usage"] == 4


async def test_so_many_a_minute(acceptance: Acceptance, database: Database, clock: Clock) -> None:
    organization, other = await a_customer(database, rate_limit=2), await a_customer(database, rate_limit=2)
    await acceptance.accept(organization, a_request("a@corp.example", "b@corp.example"))
    problem = await refused(acceptance.accept(organization, a_request()))
    assert (problem.status, problem.code, problem.retry_after) == (429, "rate-limited", 31)
    await acceptance.accept(other, a_request("a@corp.example", "b@corp.example"))
    clock.advance(timedelta(seconds=29))
    assert (await refused(acceptance.accept(organization, a_request()))).code == "rate-limited"
    clock.advance(SECOND)
    await acceptance.accept(organization, a_request())


async def failed(acceptance: Acceptance, database: Database, organization: Organization) -> DeliveryId:
    await acceptance.accept(organization, a_request())
    [one] = await claimed(database)
    problem = await refused(acceptance.resend(organization, one.delivery.id, "right@corp.example", "k"))
    assert (problem.status, problem.code) == (409, "delivery-under-way")
    await database.write_grouped(record, answered(one, await attempted(database, one), 550))
    return one.delivery.id


async def test_a_failed_message_is_sent_again_once(acceptance: Acceptance, database: Database) -> None:
    organization, other = await a_customer(database), await a_customer(database)
    delivery = await failed(acceptance, database, organization)
    assert (await refused(acceptance.resend(other, delivery, "right@corp.example", "k"))).code == "not-found"
    again = await acceptance.resend(organization, delivery, "right@corp.example", "k")
    repeated = await acceptance.resend(organization, delivery, "right@corp.example", "k")
    assert repeated.replayed
    assert json.loads(repeated.body) == json.loads(again.body)
    [one] = [row for row in await database.read(all_rows, tables.delivery) if row["resent_from"] == delivery]
    assert one["recipient"] == "right@corp.example"
    assert await state_of(database, organization, one["id"]) is State.QUEUED


async def test_nothing_is_sent_again_while_the_disk_is_low(acceptance: Acceptance, database: Database) -> None:
    organization = await a_customer(database)
    delivery = await failed(acceptance, database, organization)
    acceptance.disk.is_low = True
    problem = await refused(acceptance.resend(organization, delivery, "right@corp.example", "k"))
    assert (problem.status, problem.code) == (503, "disk-full")


async def test_what_was_erased_is_not_sent_again(acceptance: Acceptance, database: Database) -> None:
    organization = await a_customer(database)
    delivery = await failed(acceptance, database, organization)
    await database.write(tidy.forget_contents, NOW + timedelta(days=31))
    problem = await refused(acceptance.resend(organization, delivery, "right@corp.example", "k"))
    assert (problem.status, problem.code) == (410, "content-erased")


async def test_people_who_have_proved_their_address_are_known_for_half_a_minute_and_others_not(
    acceptance: Acceptance, database: Asked, clock: Clock
) -> None:
    organization = await an_organization(database)
    joe = HumanSender(id=fresh(), organization=organization.id, name="Joe", address=str(PERSON), created_at=NOW)
    await database.write(human_senders.create, joe)
    for expected in (1, 2):
        assert await acceptance._person(organization.id, PERSON) is not None
        assert database.questions["by_address"] == expected, "he may prove it at any moment"
    await database.write(human_senders.prove, organization.id, joe.id, NOW)

    def ask() -> Awaitable[Any]:
        return acceptance._person(organization.id, PERSON)

    assert await lifetime_of(ask, lambda: database.questions["by_address"], clock) == 30


@pytest.mark.parametrize("bulk", [True, False])
async def test_a_stream_is_known_for_half_a_minute(
    acceptance: Acceptance, database: Asked, clock: Clock, bulk: bool
) -> None:
    organization = await an_organization(database)
    if bulk:
        news = Stream(organization=organization.id, name="news", bulk=True, created_at=NOW)
        await database.write(organizations.ensure_stream, news)
    assert await acceptance._is_bulk(organization.id, "news") is bulk

    def ask() -> Awaitable[Any]:
        return acceptance._is_bulk(organization.id, "news")

    assert await lifetime_of(ask, lambda: database.questions["get_stream"], clock) == 30
