"""What is kept of an attempt: whose hosts it went to, and from which address of ours."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from homing.loop.evidence import Answered, HeldBack, Unanswered
from homing.loop.model import State
from homing.mail.reply import Stage
from homing.store import deliveries, tables, views
from homing.store.claims import ClaimedDelivery
from homing.store.database import Database
from homing.store.deliveries import OpenAttempt
from homing.store.json_documents import identity_to_json
from homing.store.migrations import upgrade
from homing.store.record import AttemptResult, DeliveryEvidence, record
from tests.postgres import Cluster
from tests.store.scenes import (
    IDENTITY,
    NOW,
    all_rows,
    an_organization,
    answered,
    claimed,
    fresh,
    submitted,
    the_delivery,
)

# -- whose hosts, and from where -------------------------------------------------------------------------------------


def opening(one: ClaimedDelivery) -> OpenAttempt:
    return OpenAttempt(
        id=fresh(),
        delivery=one.delivery.id,
        epoch=one.delivery.epoch,
        started_at=NOW,
        host="mx.example.net",
        ip="192.0.2.1",
        egress_ip="198.51.100.7",
        receiver="example.net",
        selector="s1",
        signed_at=NOW,
    )


async def test_an_open_attempt_says_whose_host_it_goes_to_and_from_where(database: Database) -> None:
    """So does the delivery: a crash forgets neither."""
    organization = await an_organization(database)
    await submitted(database, organization)
    (one,) = await claimed(database)
    assert one.delivery.receiver is None
    assert await database.write_grouped(deliveries.begin_attempts, opening(one))
    (attempt,) = await database.read(all_rows, tables.attempt)
    assert (attempt["receiver"], attempt["egress_ip"]) == ("example.net", "198.51.100.7")
    assert (await the_delivery(database, organization, one.delivery.id)).receiver == "example.net"
    await database.write(deliveries.recover, NOW + timedelta(hours=1))
    (lost,) = await database.read(all_rows, tables.attempt)
    assert (lost["in_doubt"], lost["receiver"], lost["egress_ip"]) == (True, "example.net", "198.51.100.7")
    (again,) = await claimed(database, now=NOW + timedelta(hours=2))
    assert again.delivery.receiver == "example.net"


async def test_the_delivery_has_the_receiver_of_its_last_attempt(database: Database) -> None:
    """The domain's mail moved house between two attempts."""
    organization = await an_organization(database)
    sent = await submitted(database, organization)
    (one,) = await claimed(database)
    attempt = opening(one)
    assert await database.write_grouped(deliveries.begin_attempts, attempt)
    finding = answered(one, attempt, 450, Stage.RCPT_TO)
    assert isinstance(finding.evidence, Answered)
    assert finding.attempt
    finding = replace(
        finding,
        evidence=replace(finding.evidence, receiver="google.com"),
        attempt=replace(finding.attempt, receiver="google.com", egress_ip="198.51.100.8"),
    )
    await database.write_grouped(record, finding)
    assert (await the_delivery(database, organization, one.delivery.id)).receiver == "google.com"
    view = await database.read(views.message, organization.id, sent.message.id)
    assert view
    (kept,) = view.deliveries[0].attempts
    assert (kept.receiver, kept.egress_ip) == ("google.com", "198.51.100.8")


async def test_a_receiver_is_known_though_no_host_could_be_talked_to(database: Database) -> None:
    organization = await an_organization(database)
    await submitted(database, organization)
    (one,) = await claimed(database)
    silence = Unanswered(stage=Stage.CONNECT, why="refused", host="mx.example.net", receiver="example.net")
    result = AttemptResult(started_at=NOW, stage=Stage.CONNECT, receiver="example.net", silence="refused")
    finding = DeliveryEvidence(
        delivery=one.delivery.id, evidence=silence, now=NOW, epoch=one.delivery.epoch, attempt=result
    )
    await database.write_grouped(record, finding)
    assert (await the_delivery(database, organization, one.delivery.id)).receiver == "example.net"
    (attempt,) = await database.read(all_rows, tables.attempt)
    assert (attempt["receiver"], attempt["egress_ip"]) == ("example.net", "")


async def test_a_receiver_is_known_of_what_is_held_back(database: Database) -> None:
    organization = await an_organization(database)
    await submitted(database, organization)
    (one,) = await claimed(database)
    held = HeldBack(receiver="example.net", until=NOW + timedelta(minutes=5))
    finding = DeliveryEvidence(delivery=one.delivery.id, evidence=held, now=NOW, epoch=one.delivery.epoch)
    await database.write_grouped(record, finding)
    delivery = await the_delivery(database, organization, one.delivery.id)
    assert (delivery.state, delivery.receiver) == (State.DEFERRED, "example.net")
    assert await database.read(all_rows, tables.attempt) == []


async def test_a_dialogue_is_kept_with_its_attempt(database: Database) -> None:
    organization = await an_organization(database)
    sent = await submitted(database, organization)
    (one,) = await claimed(database)
    attempt = opening(one)
    assert await database.write_grouped(deliveries.begin_attempts, attempt)
    finding = answered(one, attempt, 550, Stage.RCPT_TO)
    assert finding.attempt
    dialogue = "> RCPT TO:<jöhn@example.net>\n< 550 5.1.1 no such user"
    before = AttemptResult(started_at=NOW, stage=Stage.BANNER, host="mx1", silence="closed", dialogue="= closed")
    finding = replace(finding, attempt=replace(finding.attempt, dialogue=dialogue), passed_over=(before,))
    await database.write_grouped(record, finding)
    view = await database.read(views.message, organization.id, sent.message.id)
    assert view
    assert {kept.host: kept.dialogue for kept in view.deliveries[0].attempts} == {
        "mx1": "= closed",
        "mx.example.net": dialogue,
    }


async def test_names_that_are_too_long_are_cut(database: Database) -> None:
    organization = await an_organization(database)
    await submitted(database, organization)
    (one,) = await claimed(database)
    long = replace(opening(one), receiver="x" * 300, egress_ip="y" * 100)
    assert await database.write_grouped(deliveries.begin_attempts, long)
    (attempt,) = await database.read(all_rows, tables.attempt)
    assert (len(attempt["receiver"]), len(attempt["egress_ip"])) == (255, 64)


async def test_the_hash_of_a_body_comes_with_the_content(database: Database) -> None:
    organization = await an_organization(database)
    content = b"Subject: Your call\r\n\r\nHello\r\n"
    await submitted(database, organization, "a@example.net", "b@example.net", content=content, body_hash=b"h" * 32)
    assert [(one.content, one.body_hash) for one in await claimed(database)] == [(content, b"h" * 32)] * 2


# -- stores of earlier versions --------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
async def before(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A store as the version before made it."""
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path / 'homing.db'}"
        else:
            cluster: Cluster = request.getfixturevalue("cluster")
            url = await stack.enter_async_context(cluster.database())
        database = Database.open(url, durable=False)
        await database.start()
        await database.write(upgrade, "0016")
        yield database
        await database.close()


async def test_what_an_earlier_version_sent_is_kept_and_goes_on(before: Database) -> None:
    await before.write(_sent_by_0016)
    await before.migrate()
    (attempt,) = await before.read(all_rows, tables.attempt)
    assert (attempt["text"], attempt["receiver"], attempt["egress_ip"]) == ("timeout", "", "")
    assert attempt["dialogue"] is None
    assert await before.write(deliveries.enter_lines, 10) == 1
    (one,) = await claimed(before)
    assert one.body_hash is None
    assert (one.delivery.receiver, one.content) == (None, b"Subject: x\r\n\r\nHello\r\n")
    assert await before.write_grouped(deliveries.begin_attempts, opening(one))
    (row,) = await before.read(all_rows, tables.delivery)
    assert row["receiver"] == "example.net"


def _sent_by_0016(conn: sa.Connection) -> None:
    """A message that was tried once. The statements name only the columns of that version."""
    organization, message, delivery = fresh(), fresh(), fresh()
    mine = {"organization": organization, "created_at": NOW}
    rows: dict[sa.Table, dict[str, object]] = {
        tables.organization: {
            "id": organization,
            "name": "crm",
            "display_name": "CRM",
            "failure_policy": "default",
            "rate_limit": 1,
            "daily_cap": 1,
            "paused": False,
            "cors_origins": [],
            "created_at": NOW,
        },
        tables.message: mine
        | {
            "id": message,
            "origin": "api",
            "stream": "default",
            "human_sender_name": "Janet",
            "human_sender_address": "janet@example.com",
            "subject": "x",
            "message_id": "1@post.example",
            "failure_policy": "default",
            "metadata": {},
            "size": 21,
            "smtputf8": False,
        },
        tables.message_content: {"message": message, "content": b"Subject: x\r\n\r\nHello\r\n"},
        tables.delivery: mine
        | {
            "id": delivery,
            "message": message,
            "origin": "api",
            "recipient": "john@example.net",
            "recipient_domain": "example.net",
            "role": "to",
            "state": "deferred",
            "possibly_delivered": False,
            "bounced_late": False,
            "identity": identity_to_json(IDENTITY),
            "epoch": 1,
            "attempts": 1,
            "silent_deaths": 0,
            "reports": 0,
            "next_attempt_at": NOW,
            "expires_at": NOW + timedelta(days=5),
            "updated_at": NOW,
        },
        tables.attempt: {
            "id": fresh(),
            "organization": organization,
            "delivery": delivery,
            "epoch": 1,
            "started_at": NOW,
            "ended_at": NOW,
            "in_doubt": False,
            "host": "mx",
            "ip": "",
            "tls": "",
            "enhanced_status_code": "",
            "text": "timeout",
        },
    }
    for table, row in rows.items():
        conn.execute(table.insert(), row)
