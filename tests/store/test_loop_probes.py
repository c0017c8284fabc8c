"""The rounds of the loop watch: one at a time whoever looks, an alarm while it is broken, and no trace of probes."""

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from homing.loop.evidence import ReportAction, Reported, What
from homing.loop.model import OPERATOR, InboundId, Origin, State, Strength
from homing.loop.queue import Places
from homing.loop.watch import (
    KEPT,
    PROBE_RECIPIENT,
    LoopFault,
    LoopProbe,
    LoopState,
    NoticeArrival,
    ProbeState,
    RoundEnd,
)
from homing.store import alarms, claims, inbound, loop_probes, tables
from homing.store.database import Database
from homing.store.inbound import InboundResult, NewInbound
from homing.store.loop_probes import EndedRound, MadeProbe
from homing.store.organizations import Organization
from homing.store.record import DeliveryEvidence
from tests.store.scenes import LEASE, NO_SUCH_USER, NOW, QUOTA, a_submission, all_rows, fresh

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
OURS = Organization(id=OPERATOR, name="operator", display_name="Operator", created_at=NOW)
FAILED = RoundEnd(fault=LoopFault.NO_MX, said="no MX")


def made(number: int, now: datetime = NOW) -> MadeProbe:
    accepted = a_submission(OURS, PROBE_RECIPIENT, origin=Origin.LETTER, now=now)
    probe = LoopProbe(
        round=number,
        delivery=accepted.deliveries[0].id,
        message=accepted.message.id,
        envelope_sender="b+token@b.post.example",
        made_at=now,
        due_at=now + HOUR,
    )
    return MadeProbe(probe=probe, accepted=accepted)


async def begun(database: Database) -> LoopProbe:
    assert await database.write(loop_probes.begin, made(1))
    return await newest(database)


async def newest(database: Database) -> LoopProbe:
    probe = await database.read(loop_probes.newest)
    assert probe is not None
    return probe


async def ends(database: Database, end: RoundEnd, now: datetime = NOW) -> EndedRound:
    probe = await newest(database)
    ended = await database.write(loop_probes.finish, probe, end, made(probe.round + 1, now))
    assert ended is not None
    return ended


async def heard(database: Database, probe: LoopProbe, action: ReportAction = ReportAction.FAILED) -> None:
    """The notice comes in, and is worked on."""
    mail = InboundId(fresh())
    await database.write(inbound.keep, notice(probe, mail), QUOTA)
    evidence = Reported(
        what=What.BOUNCE,
        action=action,
        strength=Strength.STRONG,
        names_recipient=True,
        names_other=False,
        proved=True,
        verdict=NO_SUCH_USER,
        inbound=mail,
    )
    finding = DeliveryEvidence(delivery=probe.delivery, evidence=evidence, now=NOW, inbound=mail)
    await database.write(inbound.finish, InboundResult(id=mail, what=What.BOUNCE, verdict=NO_SUCH_USER), [finding])


def notice(probe: LoopProbe, mail: InboundId) -> NewInbound:
    return NewInbound(
        id=mail,
        received_at=NOW,
        envelope_sender=None,
        recipient=probe.envelope_sender,
        purpose="envelope",
        size=1,
        raw=b"x",
        delivery=probe.delivery,
    )


def traces(conn: sa.Connection, probe: LoopProbe) -> dict[str, int]:
    of_message = {table: table.c.message == probe.message for table in (tables.message_content, tables.event)}
    where = {
        tables.message: tables.message.c.id == probe.message,
        tables.delivery: tables.delivery.c.id == probe.delivery,
        tables.inbound: tables.inbound.c.delivery == probe.delivery,
        **of_message,
    }
    return {table.name: len(all_rows(conn, table, one)) for table, one in where.items()}


async def test_nobody_ever_claims_a_probe(database: Database) -> None:
    probe = await begun(database)
    room = Places(10)
    claim = await database.write(claims.claim, "w", NOW + 2 * HOUR, room, LEASE)
    assert (claim.deliveries, claim.more) == ([], False)
    (row,) = await database.read(all_rows, tables.delivery)
    assert (row["id"], row["state"], row["next_attempt_at"]) == (probe.delivery, State.DELIVERED, None)
    assert await database.read(all_rows, tables.usage) == []


async def test_one_begins_and_one_sends(database: Database) -> None:
    probe = await begun(database)
    assert not await database.write(loop_probes.begin, made(1))
    assert len(await database.read(all_rows, tables.message)) == 1
    assert await database.write(loop_probes.claim, probe, NOW)
    assert not await database.write(loop_probes.claim, probe, NOW)
    taken = await newest(database)
    assert (taken.state, taken.sent_at) == (ProbeState.SENDING, NOW)
    assert await database.write(loop_probes.claim, taken, NOW + HOUR), "from a dead one"
    assert not await database.write(loop_probes.claim, taken, NOW + HOUR)


async def test_a_notice_that_was_accepted_waits_to_be_heard(database: Database) -> None:
    probe = await begun(database)
    await database.write(loop_probes.note_sent, probe, "mx took it")
    assert (await newest(database)).state is ProbeState.WAITING, "nobody has claimed it"
    await database.write(loop_probes.claim, probe, NOW)
    await database.write(loop_probes.note_sent, probe, "mx took it")
    sent = await newest(database)
    assert (sent.state, sent.said, sent.sent_at) == (ProbeState.SENT, "mx took it", NOW)
    assert await database.read(loop_probes.arrival, sent) == NoticeArrival()
    await database.write(inbound.keep, notice(sent, InboundId(fresh())), QUOTA)
    assert await database.read(loop_probes.arrival, sent) == NoticeArrival(came=True)
    await heard(database, sent)
    assert await database.read(loop_probes.arrival, sent) == NoticeArrival(came=True, worked_on=True, concluded=True)


async def test_a_notice_that_was_misread_is_kept_to_be_looked_at(database: Database) -> None:
    probe = await begun(database)
    await heard(database, probe, ReportAction.DELAYED)
    assert await database.read(loop_probes.arrival, probe) == NoticeArrival(came=True, worked_on=True)
    await ends(database, RoundEnd(fault=LoopFault.MISREAD))
    assert (await database.read(traces, probe))["inbound"] == 1


@pytest.mark.parametrize("end", [RoundEnd(said="mx took it"), FAILED])
async def test_a_round_ends_once_and_leaves_no_trace(database: Database, end: RoundEnd) -> None:
    probe = await begun(database)
    await heard(database, probe)
    assert set((await database.read(traces, probe)).values()) != {0}
    await ends(database, end)
    assert set((await database.read(traces, probe)).values()) == {0}
    assert await database.write(loop_probes.finish, probe, end, made(2)) is None
    (ended,) = await database.read(loop_probes.ended)
    assert (ended.round, ended.fault, ended.said, ended.ended_at) == (1, end.fault, end.said, NOW)
    following = await newest(database)
    assert (following.round, following.state) == (2, ProbeState.WAITING)
    assert set((await database.read(traces, following)).values()) != {0}
    assert (await database.read(all_rows, tables.case), await database.read(all_rows, tables.suppression)) == ([], [])


async def test_an_alarm_stands_while_it_is_broken(database: Database) -> None:
    await begun(database)
    for end, state, causes in (
        (RoundEnd(fault=LoopFault.UNREACHABLE), LoopState.DOUBTFUL, []),
        (RoundEnd(fault=LoopFault.UNREACHABLE), LoopState.BROKEN, ["return-path-unreachable"]),
        (FAILED, LoopState.BROKEN, ["return-path-no-mx"]),
        (FAILED, LoopState.BROKEN, ["return-path-no-mx"]),
        (RoundEnd(), LoopState.OK, []),
        (RoundEnd(fault=LoopFault.LOST), LoopState.DOUBTFUL, []),
    ):
        ended = await ends(database, end)
        assert ended.standing.state is state
        assert [alarm.cause for alarm in await database.read(alarms.list_all)] == causes
        assert (ended.alarm is not None) is bool(causes)
    assert (await database.read(loop_probes.now_standing)).state is LoopState.DOUBTFUL


async def test_an_alarm_is_new_once_and_its_end_is_told(database: Database) -> None:
    await begun(database)
    first, second, well, again = [await ends(database, end) for end in (FAILED, FAILED, RoundEnd(), RoundEnd())]
    assert [one.alarm.again for one in (first, second) if one.alarm] == [False, True]
    assert (well.closed, again.closed) == (True, False)


async def test_how_long_it_has_been_well(database: Database) -> None:
    await begun(database)
    assert (await database.read(loop_probes.now_standing)).state is LoopState.UNKNOWN
    for hours, end in enumerate((RoundEnd(), FAILED, FAILED)):
        await ends(database, end, NOW + hours * HOUR)
    standing = await database.read(loop_probes.now_standing)
    assert standing.last is not None
    assert (standing.last.round, standing.concluded_at) == (3, NOW)


async def test_a_round_can_be_hurried(database: Database) -> None:
    await begun(database)
    await database.write(loop_probes.hurry, NOW + SECOND)
    assert (await newest(database)).due_at == NOW + SECOND
    await database.write(loop_probes.hurry, NOW + HOUR)
    assert (await newest(database)).due_at == NOW + SECOND, "it is due already"


async def test_a_probe_that_waited_too_long_is_replaced(database: Database) -> None:
    old = await begun(database)
    assert await database.write(loop_probes.begin, made(2), old)
    assert not await database.write(loop_probes.begin, made(2), old)
    assert (await newest(database)).round == 2
    assert set((await database.read(traces, old)).values()) == {0}
    assert len(await database.read(all_rows, tables.message)) == 1


async def test_rounds_are_forgotten(database: Database) -> None:
    await begun(database)
    await ends(database, RoundEnd())
    await ends(database, RoundEnd(), NOW + HOUR)
    assert await database.write(loop_probes.forget, NOW + KEPT) == 0
    assert await database.write(loop_probes.forget, NOW + KEPT + SECOND) == 1
    assert [one.round for one in await database.read(loop_probes.ended)] == [2]
    assert (await newest(database)).round == 3
