"""Mail that came to us: kept, worked on once, erased in time."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from homing.loop.evidence import What
from homing.loop.model import DeliveryId, State
from homing.mail.authentication import Authentication
from homing.mail.dkim_verification import Result, Signature, Verification
from homing.mail.dmarc import DmarcResult, DmarcVerdict, MethodVerdict
from homing.mail.dmarc_record import Policy
from homing.mail.spf import SpfVerdict
from homing.mail.spf_record import SpfResult
from homing.store import inbound, tables, tidy
from homing.store.database import Database
from homing.store.inbound import Full, InboundQueue, InboundQuota, InboundResult, InboundState, NewInbound
from homing.store.record import record
from tests.store.scenes import (
    LEASE,
    MINUTE,
    NO_SUCH_USER,
    NOW,
    QUOTA,
    all_rows,
    an_organization,
    answered,
    attempted,
    claimed,
    event_types,
    fresh,
    reported,
    state_of,
    submitted,
)


def _mail(**fields: object) -> NewInbound:
    given = {
        "id": fresh(),
        "received_at": NOW,
        "envelope_sender": None,
        "recipient": "b+token@b.post.example",
        "purpose": "envelope",
        "size": 3,
        "raw": b"\x00\xff.",
        "flags": frozenset({"nul", "bare_lf"}),
        "helo": "x" * 1000,
    }
    return NewInbound(**{**given, **fields})  # type: ignore[arg-type]


async def test_kept_bytes_come_back_as_they_were(database: Database) -> None:
    mail = _mail()
    await database.write(inbound.keep, mail, QUOTA)
    (claim,) = await database.write(inbound.claim, InboundQueue.OTHER, NOW, 10, LEASE)
    assert (claim.raw, claim.flags, claim.tries, claim.state) == (mail.raw, mail.flags, 1, InboundState.WORKING)
    assert claim.envelope_sender is None


async def test_claimed_by_one_and_again_when_he_died(database: Database) -> None:
    for _ in range(20):
        await database.write(inbound.keep, _mail(), QUOTA)
    batches = await asyncio.gather(
        *(database.write(inbound.claim, InboundQueue.OTHER, NOW, 3, LEASE) for _ in range(8))
    )
    ids = [one.id for batch in batches for one in batch]
    assert len(ids) == len(set(ids)) == 20
    assert await database.write(inbound.claim, InboundQueue.OTHER, NOW + LEASE, 30, LEASE) == []
    again = await database.write(inbound.claim, InboundQueue.OTHER, NOW + LEASE + MINUTE, 30, LEASE)
    assert {one.tries for one in again} == {2}


async def test_a_queue_does_not_wait_for_another(database: Database) -> None:
    token, spool = {"delivery": fresh()}, {"spool": "/spool/1"}
    strays = [_mail() for _ in range(5)]
    large = [_mail(**spool, **token), _mail(**spool)]
    bounce = _mail(**token)
    for mail in [*strays, *large, bounce]:
        await database.write(inbound.keep, mail, QUOTA)
    claimed = {queue: await database.write(inbound.claim, queue, NOW, 10, LEASE) for queue in InboundQueue}
    assert {queue: {one.id for one in mails} for queue, mails in claimed.items()} == {
        InboundQueue.EVIDENCE: {bounce.id},
        InboundQueue.LARGE: {one.id for one in large},
        InboundQueue.OTHER: {one.id for one in strays},
    }


async def test_a_delivery_takes_so_many_mails_and_octets_and_its_first_mail_whatever_its_size(
    database: Database,
) -> None:
    quota = InboundQuota(mails_per_delivery=3, octets_per_delivery=100, octets_per_day=0)
    many, large, other = fresh(), fresh(), fresh()

    async def kept(delivery: DeliveryId, size: int) -> bool:
        return await database.write(inbound.keep, _mail(delivery=delivery, size=size), quota) is None

    assert [await kept(many, 1) for _ in range(4)] == [True, True, True, False]
    assert [await kept(large, size) for size in (500, 1)] == [True, False]
    assert [await kept(other, size) for size in (60, 41, 40)] == [True, False, True]
    assert len(await database.read(all_rows, tables.inbound)) == 6


async def test_what_belongs_to_no_delivery_has_its_octets_of_the_day(database: Database) -> None:
    quota = InboundQuota(octets_per_day=400)

    async def kept(size: int, days: int = 0, **fields: object) -> bool:
        mail = _mail(size=size, received_at=NOW + timedelta(days=days), **fields)
        return await database.write(inbound.keep, mail, quota) is None

    assert [await kept(size) for size in (101, 60, 50, 40, 1)] == [False, True, False, True, False]
    assert await kept(1, delivery=fresh()), "a bounce is taken all the same"
    networks = [await kept(100, ip=f"192.0.{number}.1") for number in range(4)]
    assert networks == [True, True, True, False], "a quarter is one network's"
    assert await kept(1, purpose="fbl"), "another address has octets of its own"
    assert await kept(100, days=1)
    while await database.write(tidy.forget_counters, NOW + timedelta(days=1)):
        pass
    assert [row["octets"] for row in await database.read(all_rows, tables.inbound_usage)] == [100, 100]


KIB = 1024


async def test_an_organizations_deliveries_have_their_octets_of_the_day_together(database: Database) -> None:
    quota = InboundQuota(octets_per_organization=400 * KIB)
    ours = (
        await submitted(database, await an_organization(database), *(f"{n}@corp.example" for n in range(9)))
    ).deliveries
    [theirs] = (await submitted(database, await an_organization(database))).deliveries

    async def kept(number: int, kib: int, days: int = 0, **fields: object) -> Full | None:
        delivery = ours[number].id
        given = {"delivery": delivery, "size": kib * KIB, "received_at": NOW + timedelta(days=days), **fields}
        return await database.write(inbound.keep, _mail(**given), quota)

    assert await kept(0, 101) is Full.ORGANIZATION, "a quarter is one network's"
    assert [await kept(n, 100, ip=f"192.0.{n}.1") for n in range(1, 5)] == [None] * 4
    assert await kept(5, 65, ip="192.0.5.1") is Full.ORGANIZATION
    assert [await kept(6, kib, ip="192.0.5.1") for kib in (40, 24, 1)] == [None, None, Full.ORGANIZATION]
    assert await kept(6, 64, ip="192.0.5.1", envelope_sender="eve@stranger.example") is None, "letters have as much"
    assert await kept(5, 65, ip="192.0.5.1", delivery=theirs.id) is None, "another organization has its own"
    assert await kept(0, 100, ip="192.0.5.1", days=1) is None
    counted = {row["octets"] for row in await database.read(all_rows, tables.inbound_usage) if " " not in row["scope"]}
    assert counted == {400 * KIB, 65 * KIB, 100 * KIB}


async def test_what_comes_to_the_address_of_a_delivery_that_is_gone_is_bounded_too(database: Database) -> None:
    quota = InboundQuota(octets_per_organization=400 * KIB)
    sizes = (100, 65, 64)
    said = [await database.write(inbound.keep, _mail(delivery=fresh(), size=n * KIB), quota) for n in sizes]
    assert said == [None, Full.ORGANIZATION, None]


async def test_a_report_counts_once_however_often_its_work_is_done(database: Database) -> None:
    organization = await an_organization(database)
    one = await submitted(database, organization)
    (claim,) = await claimed(database)
    delivery = one.deliveries[0].id
    await database.write_grouped(record, answered(claim, await attempted(database, claim)))
    mail = _mail()
    await database.write(inbound.keep, mail, QUOTA)
    await database.write(inbound.claim, InboundQueue.OTHER, NOW, 1, LEASE)
    understood = InboundResult(id=mail.id, what=What.BOUNCE, verdict=NO_SUCH_USER)
    finding = reported(delivery, inbound=mail.id)
    twice = await asyncio.gather(*(database.write(inbound.finish, understood, [finding]) for _ in range(2)))
    assert sorted(len(outcomes) for outcomes in twice) == [0, 1]
    assert await state_of(database, organization, delivery) is State.BOUNCED
    assert (await event_types(database, delivery)).count("bounced") == 1
    kept = await database.read(inbound.get, mail.id)
    assert kept
    assert (kept.state, kept.what, kept.verdict) == (InboundState.DONE, What.BOUNCE, NO_SUCH_USER)
    assert (kept.delivery, kept.organization) == (delivery, organization.id)
    listed = await database.read(inbound.list_page, organization.id, what=What.BOUNCE)
    assert [one.id for one in listed.lines] == [mail.id]


async def test_nothing_is_finished_when_the_finding_fails(database: Database) -> None:
    mail = _mail()
    await database.write(inbound.keep, mail, QUOTA)
    broken = reported(fresh(), inbound=mail.id)
    understood = InboundResult(id=mail.id, what=What.BOUNCE, verdict=None)
    assert await database.write(inbound.finish, understood, [broken]) == [None]  # no such delivery: heard, and done
    assert await database.write(inbound.claim, InboundQueue.OTHER, NOW + MINUTE, 1, LEASE) == []


async def test_what_was_said_is_erased_and_a_tombstone_stays(database: Database) -> None:
    mails = [_mail(spool="/spool/1"), _mail(), _mail()]
    for mail in mails:
        await database.write(inbound.keep, mail, QUOTA)
    await database.write(inbound.claim, InboundQueue.OTHER, NOW, 10, LEASE)
    for mail, days in zip(mails[:2], (1, 9), strict=True):
        understood = InboundResult(id=mail.id, what=What.HUMAN_REPLY, verdict=None, erase_at=NOW + timedelta(days=days))
        await database.write(inbound.finish, understood)
    assert await database.write(inbound.erase, NOW) == (0, [])
    assert await database.write(inbound.erase, NOW + timedelta(days=2)) == (1, ["/spool/1"])
    raws = {row["id"]: row["raw"] for row in await database.read(all_rows, tables.inbound)}
    assert [raws[mail.id] is None for mail in mails] == [True, False, False]


async def test_one_oops_a_day(database: Database) -> None:
    organization = await an_organization(database)

    async def take(address: str, now=NOW) -> bool:  # type: ignore[no-untyped-def]
        return await database.write(inbound.take_oops, organization.id, address, now)

    takes = await asyncio.gather(*(take("John@example.net") for _ in range(5)), take("john@EXAMPLE.net"))
    assert sum(takes) == 1
    assert await take("jane@example.net")
    assert await take("john@example.net", NOW + timedelta(days=1))


async def test_what_is_old_is_forgotten(database: Database) -> None:
    organization = await an_organization(database)
    await submitted(database, organization, key="ended")
    (claim,) = await claimed(database)
    await database.write_grouped(record, answered(claim, await attempted(database, claim)))
    await submitted(database, organization, key="under way")
    later = NOW + timedelta(days=30)
    assert await database.write(tidy.forget_idempotency, NOW + timedelta(hours=24)) == 0
    assert await database.write(tidy.forget_idempotency, later) == 2
    assert await database.write(tidy.forget_contents, NOW) == 0
    assert await database.write(tidy.forget_contents, later) == 1
    assert len(await claimed(database)) == 1
    assert await database.write(tidy.forget_counters, later) == 1


async def test_what_authentication_said_comes_back_and_strangers_text_in_it_is_harmless(database: Database) -> None:
    method = MethodVerdict(result=DmarcResult.FAIL, organizational_domain="corp.com", policy=Policy.REJECT)
    said = Authentication(
        spf=SpfVerdict(result=SpfResult.PASS, domain="corp.com", term="a", reason="because", terms=1),
        dkim=Verification((Signature("corp.com", "k1", "rsa-sha256", Result.TEMPERROR, "later"),)),
        dmarc=DmarcVerdict(author_domain="corp.com", tree_walk=method, suffix_list=None),
    )
    hostile = replace(said, dmarc=None, spf=replace(said.spf, domain="a\x00b\ud800\x1b[31m" + "c" * 9000))
    for authentication in (said, hostile):
        mail = _mail()
        await database.write(inbound.keep, mail, QUOTA)
        heard = InboundResult(id=mail.id, what=What.BOUNCE, verdict=None, authentication=authentication)
        await database.write(inbound.finish, heard)
        kept = await database.read(inbound.get, mail.id)
        assert kept is not None
        assert kept.authentication is not None
        if authentication is said:
            assert kept.authentication == said
        else:
            assert kept.authentication.spf.domain.startswith("a bccc")
            assert len(kept.authentication.spf.domain) <= 500


async def test_a_mail_is_shown_to_whom_it_is_about_and_no_more_of_it_than_asked_for(database: Database) -> None:
    organization, other = await an_organization(database), await an_organization(database)
    sent = await submitted(database, organization)
    mail = _mail(raw=b"\x00\xff" * 100)
    await database.write(inbound.keep, mail, QUOTA)
    assert (await database.read(inbound.list_page, organization.id)).lines == []
    finding = reported(sent.deliveries[0].id, inbound=mail.id)
    await database.write(inbound.finish, InboundResult(id=mail.id, what=What.BOUNCE, verdict=None), [finding])
    (line,) = (await database.read(inbound.list_page, organization.id, what=What.BOUNCE, purpose="envelope")).lines
    assert (line.id, line.message, line.kept) == (mail.id, sent.message.id, True)
    view = await database.read(inbound.view, mail.id, organization.id, octets=5)
    assert view is not None
    assert (view.head, view.line) == (b"\x00\xff\x00\xff\x00", line)
    assert await database.read(inbound.view, mail.id, other.id, octets=5) is None
    assert (await database.read(inbound.list_page, other.id)).lines == []
    assert (await database.read(inbound.list_page, purpose="abuse")).lines == []
