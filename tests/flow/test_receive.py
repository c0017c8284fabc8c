"""Mail that comes in: who may, what is kept before the answer, and what becomes of it when its reader breaks."""

import ast
import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from homing.flow.authenticate_inbound import InboundAuthentication
from homing.flow.own_names import OwnNames
from homing.flow.receive import LEASE, MOST_TRIES, Arrival, Receiver
from homing.flow.rules import reading_rules
from homing.flow.wakeup import WakeUp
from homing.lab.returned_mail import Failure, bounce
from homing.loop.domains.identity import OperatorIdentity
from homing.loop.model import State
from homing.loop.token import Purpose, TokenKey, Tokens
from homing.loop.watch import PROBE_RECIPIENT
from homing.mail.authentication import Authentication
from homing.net.dns import Resolver
from homing.store import alarms, inbound_claims, tables
from homing.store.accepted_messages import AcceptedMessage
from homing.store.database import Database
from homing.store.inbound import Inbound, InboundQuota, InboundState
from homing.store.organizations import Organization
from homing.store.record import record
from tests.disks import roomy
from tests.flow.clock import Clock
from tests.flow.inbound_mail import read_all
from tests.patience import PATIENCE
from tests.store.scenes import (
    NOW,
    QUOTA,
    a_statement,
    all_rows,
    an_organization,
    answered,
    attempted,
    claimed,
    event_types,
    fresh,
    state_of,
    submitted,
)

TOKENS = Tokens([TokenKey(id=1, secret=b"k" * 32, since=NOW - timedelta(days=1))])
RETENTION, REPLY_RETENTION = timedelta(days=30), timedelta(days=7)
NOTE = b"Subject: hello\r\n\r\nSomebody wrote.\r\n"
DAY = timedelta(days=1)


def a_receiver(database: Database, clock: Clock, spool: Path) -> Receiver:
    """Nobody answers its DNS: nothing is refused for that."""
    silent = Resolver([("127.0.0.1", 9)], timeout=0.05)
    return Receiver(
        database=database,
        disk=roomy(),
        tokens=TOKENS,
        operator=OperatorIdentity(from_domain="post.example", return_domain="b.post.example"),
        rules=reading_rules(),
        clock=clock,
        dice=lambda: os.urandom(10),
        spool=spool,
        reply_retention=REPLY_RETENTION,
        retention=RETENTION,
        inbound_authentication=InboundAuthentication(
            resolver=silent, suffix_of=None, clock=clock, spool=spool, patience=0.05
        ),
        feedback_domains=frozenset(),
        actions=WakeUp(),
        news=WakeUp(),
        names=OwnNames(database=database, organization_addresses=False, clock=clock),
        quota=QUOTA,
    )


@pytest.fixture
def receiver(database: Database, clock: Clock, tmp_path: Path) -> Receiver:
    spool = tmp_path / "inbound"
    spool.mkdir()
    return a_receiver(database, clock, spool)


def address_of(delivery: UUID, purpose: Purpose = Purpose.ENVELOPE, prefix: str = "b+") -> str:
    """The return address of a delivery, or what looks like it. It lives for a day."""
    token = TOKENS.mint(purpose, delivery, made=NOW, last_day=(NOW + DAY).date())
    return f"{prefix}{token}@b.post.example"


def arrived(recipient: str = "abuse@post.example", content: bytes = NOTE) -> Arrival:
    return Arrival(
        envelope_sender=None,
        recipient=recipient,
        ip="",
        helo="mx.corp.example",
        tls="",
        flags=frozenset(),
        size=len(content),
        head=content,
        charge=lambda _: None,
    )


def bounced(recipient: str, address: str) -> bytes:
    original = b"From: message-service@post.example\r\nSubject: Your call\r\n\r\n"
    return bounce("mx.corp.example", address, original, Failure(final_recipient=recipient))


async def delivered(database: Database, organization: Organization, *recipients: str) -> AcceptedMessage:
    sent = await submitted(database, organization, *recipients)
    for one in await claimed(database):
        await database.write_grouped(record, answered(one, await attempted(database, one)))
    return sent


def committed(folder: Path) -> list[tuple[bytes, str | None]]:
    """What another process finds in the store, and would find if this one were killed now. It must be another one: the
    end of a second SQLite in this process would end the locks of the first."""
    query = "SELECT raw, spool FROM inbound ORDER BY received_at"
    program = f"import sqlite3; print(sqlite3.connect({str(folder / 'homing.db')!r}).execute({query!r}).fetchall())"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    rows: list[tuple[bytes, str | None]] = ast.literal_eval(found.stdout)
    return rows


async def test_what_is_answered_250_is_committed(receiver: Receiver, clock: Clock, tmp_path: Path) -> None:
    whole = NOTE + b"x" * 100_000
    large = replace(arrived(), size=len(whole), write_whole=lambda file: file.write_bytes(whole) and None)
    for arrival in (arrived(), large):
        clock.advance(timedelta(seconds=1))
        reply = await receiver.keep(arrival)
        raw, spool = committed(tmp_path)[-1]
        assert (reply.reply_code, reply.enhanced_status_code, raw) == (250, "2.0.0", NOTE)
    assert spool is not None
    assert (tmp_path / "inbound" / spool).read_bytes() == whole, "all of it, beside its beginning"


async def test_who_leaves_too_much_is_refused_and_nothing_of_it_stays(
    receiver: Receiver, database: Database, tmp_path: Path
) -> None:
    organization = await an_organization(database)
    [one] = (await delivered(database, organization, "john@corp.example")).deliveries
    receiver.quota = InboundQuota(mails_per_delivery=1, octets_per_day=8 * len(NOTE))
    large = replace(arrived(address_of(one.id)), write_whole=lambda file: file.write_bytes(NOTE) and None)
    with capture_logs() as logs:
        said = [await receiver.keep(mail) for mail in (large, large, arrived(), arrived(), arrived())]
    assert [(reply.reply_code, reply.enhanced_status_code) for reply in said] == [
        (250, "2.0.0"),
        (552, "5.2.2"),
        (250, "2.0.0"),
        (250, "2.0.0"),
        (452, "4.2.2"),
    ]
    assert len(list((tmp_path / "inbound").iterdir())) == 1
    assert [log["purpose"] for log in logs if log["event"] == "an address takes no more mail"] == ["envelope", "abuse"]
    assert [alarm.cause for alarm in await database.read(alarms.list_all)] == ["role-mail-refused"]


async def test_a_flood_to_an_organizations_addresses_is_put_off_and_its_bounces_are_heard(
    receiver: Receiver, database: Database, clock: Clock, tmp_path: Path
) -> None:
    organization = await an_organization(database, name="crm")
    people = [f"{name}@corp.example" for name in ("ann", "joe", "john", "mary")]
    flooded, filled, large, small = (await delivered(database, organization, *people)).deliveries
    receiver.quota = InboundQuota(octets_per_organization=400 * 1024)

    def of_size(delivery: UUID, octets: int, network: str) -> Arrival:
        write = lambda file: file.write_bytes(b"x") and None  # noqa: E731
        return replace(arrived(address_of(delivery)), size=octets, ip=network, write_whole=write)

    flood = [of_size(one, 100 * 1024, f"192.0.{n}.1") for n, one in enumerate((flooded.id, filled.id) * 2)]
    with capture_logs() as logs:
        said = [await receiver.keep(mail) for mail in (*flood, of_size(large.id, 100 * 1024, "192.0.9.1"))]
    assert [(reply.reply_code, reply.enhanced_status_code) for reply in said] == [(250, "2.0.0")] * 4 + [(452, "4.3.1")]
    assert len(list((tmp_path / "inbound").iterdir())) == 4, "nothing of what was refused stays"
    assert [log["full"] for log in logs if log["event"] == "an address takes no more mail"] == ["organization"]
    assert [(one.cause, one.organization) for one in await database.read(alarms.list_all)] == [
        ("returned-mail-refused crm", organization.id)
    ]
    back = address_of(small.id)
    assert (await receiver.keep(arrived(back, bounced("mary@corp.example", back)))).reply_code == 250
    while await read_all(receiver):
        pass
    assert await state_of(database, organization, small.id) is State.BOUNCED
    clock.advance(timedelta(hours=13))
    assert (await receiver.keep(of_size(large.id, 100 * 1024, "192.0.9.1"))).reply_code == 250, "the next day"


async def test_nothing_is_taken_or_read_while_the_disk_is_low(receiver: Receiver, database: Database) -> None:
    assert (receiver.opened().reply_code, (await receiver.keep(arrived())).reply_code) == (250, 250)
    receiver.disk.is_low = True
    said = [receiver.opened(), await receiver.keep(arrived())]
    assert {(reply.reply_code, reply.enhanced_status_code) for reply in said} == {(452, "4.3.1")}
    assert not await read_all(receiver)
    assert [row["state"] for row in await database.read(all_rows, tables.inbound)] == ["waiting"]


async def test_what_has_no_room_on_the_disk_is_left_with_its_client(receiver: Receiver, tmp_path: Path) -> None:
    def full(file: Path) -> None:
        raise OSError(28, "No space left on device", str(file))

    with capture_logs() as logs:
        reply = await receiver.keep(replace(arrived(), write_whole=full))
    assert [log["event"] for log in logs] == ["cannot keep a mail"]
    assert (reply.reply_code, reply.enhanced_status_code) == (451, "4.3.0")
    assert committed(tmp_path) == []


@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("prefix", ["b+", "u+"])
async def test_a_token_opens_the_address_that_it_was_made_for(
    receiver: Receiver, tmp_path: Path, purpose: Purpose, prefix: str
) -> None:
    made_for = {"b+": Purpose.ENVELOPE, "u+": Purpose.UNSUBSCRIBE}[prefix]
    address = address_of(UUID(int=1), purpose, prefix)
    code = 250 if purpose is made_for else 550
    assert receiver.admit(address).reply_code == code
    assert (await receiver.keep(arrived(address))).reply_code == code
    assert len(committed(tmp_path)) == (1 if code == 250 else 0), "what is refused is not kept"


async def test_who_is_at_home(receiver: Receiver, clock: Clock) -> None:
    mine = address_of(UUID(int=1))
    local = mine.partition("@")[0]
    at_home = (
        mine,
        mine.upper(),
        "postmaster",
        "abuse@b.post.example",
        "FBL@post.example",
        "message-service@post.example",
    )
    strangers = (
        f"{local}@other.example",
        f"{local}@post.example",
        "b+@b.post.example",
        "abuse@corp.example",
        "joe@post.example",
        "",
    )
    for address in at_home:
        assert receiver.admit(address).reply_code == 250, address
    for address in strangers:
        assert receiver.admit(address).reply_code == 550, address
    clock.advance(DAY)
    assert receiver.admit(mine).reply_code == 250, "its last day"
    clock.advance(DAY)
    assert receiver.admit(mine).reply_code == 550


@pytest.mark.parametrize("role", ["postmaster", "abuse", "fbl", "dmarc", "tlsrpt"])
async def test_who_must_be_at_home_is_kept_apart(receiver: Receiver, database: Database, role: str) -> None:
    """RFC 5321 §4.5.1, RFC 2142, and where our own records and fields say that reports may go."""
    for domain in ("post.example", "b.post.example"):
        assert (await receiver.keep(arrived(f"{role}@{domain}"))).reply_code == 250
    assert {row["purpose"] for row in await database.read(all_rows, tables.inbound)} == {role}


SUBJECTS = {
    "bounce": "From: <>\nSubject: Undeliverable: Your call\nX-Failed-Recipients: john@corp.example\n",
    "delay": "From: MAILER-DAEMON@corp.example\nSubject: Warning: message 1abc delayed 24 hours\n"
    "Auto-Submitted: auto-replied\n",
    "report": "From: r@corp.example\nSubject: Report Domain: post.example Submitter: corp.example Report-ID: <1@r>\n",
    "complaint": "From: fbl@corp.example\nSubject: x\nMIME-Version: 1.0\n"
    "Content-Type: multipart/report; report-type=feedback-report; boundary=B\n",
    "human_reply": "From: john@corp.example\nSubject: Re: Your call\nIn-Reply-To: <a@post.example>\n",
    "auto_reply": "From: john@corp.example\nSubject: Automatic reply: Your call\n",
}
BODIES = {
    "delay": "A message that you sent has not yet been delivered to one or more of its recipients after more than 24 "
    "hours on the queue.\n\n  john@corp.example\n    Delay reason: Connection timed out\n",
    "complaint": "--B\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nUser-Agent: x/1\nVersion: 1\n"
    "Original-Rcpt-To: john@corp.example\n--B--\n",
}


def mail_of(what: str) -> bytes:
    return f"{SUBJECTS[what]}\n{BODIES.get(what, 'Thank you.')}\n".replace("\n", "\r\n").encode()


@pytest.mark.parametrize(
    ("what", "leaves"),
    [
        ("bounce", False),
        ("delay", False),
        ("report", False),
        ("complaint", True),
        ("human_reply", True),
        ("auto_reply", True),
    ],
)
async def test_whoever_writes_to_the_address_for_leaving_leaves_and_no_server_does(
    receiver: Receiver, database: Database, what: str, leaves: bool
) -> None:
    organization = await an_organization(database)
    [one] = (await delivered(database, organization, "john@corp.example")).deliveries
    mail = arrived(address_of(one.id, Purpose.UNSUBSCRIBE, "u+"), mail_of(what))
    await receiver.keep(replace(mail, envelope_sender="john@corp.example" if what == "human_reply" else None))
    await read_all(receiver)
    [kept] = await database.read(all_rows, tables.inbound)
    assert (kept["what"], kept["state"]) == (what, "done")
    assert [row["reason"] for row in await database.read(all_rows, tables.suppression)] == ["unsubscribe"] * leaves


@pytest.mark.parametrize(
    ("what", "kept"),
    [("bounce", True), ("delay", True), ("complaint", True), ("report", True), ("human_reply", False)],
)
async def test_reports_that_went_to_from_are_taken_and_people_are_told_that_nobody_reads_there(
    receiver: Receiver, database: Database, what: str, kept: bool
) -> None:
    """Some servers and providers report to the author, whatever the envelope said."""
    stray = replace(arrived("message-service@post.example", mail_of(what)), envelope_sender="x@corp.example")
    assert (await receiver.keep(stray)).reply_code == (250 if kept else 550)
    await read_all(receiver)
    assert [row["what"] for row in await database.read(all_rows, tables.inbound)] == [what] * kept


async def test_a_look_at_mail_to_from_is_short_and_charged(receiver: Receiver) -> None:
    """Such mail is refused and leaves nothing behind, so no quota ends it."""
    charged: list[float] = []
    mail, words = mail_of("bounce"), b"word " * 8 + b"\r\n"
    for content, code in ((mail + words * 10_000, 250), (b"Subject: x\r\n\r\n" + words * 10_000 + mail, 550)):
        arrival = arrived("message-service@post.example", content)
        stray = replace(arrival, envelope_sender="x@corp.example", charge=charged.append)
        assert (await receiver.keep(stray)).reply_code == code
    assert len(charged) == 2
    assert all(seconds > 0 for seconds in charged)


async def test_what_came_to_the_unmonitored_address_is_kept_for_a_shorter_time(
    receiver: Receiver, database: Database
) -> None:
    for recipient in ("abuse@post.example", "message-service@post.example"):
        reply = await receiver.keep(arrived(recipient, bounced("john@corp.example", recipient)))
        assert reply.reply_code == 250
    kept = await database.read(all_rows, tables.inbound)
    assert {row["purpose"]: row["erase_at"] - NOW for row in kept} == {
        "abuse": RETENTION,
        "header_from": REPLY_RETENTION,
    }
    reply = await receiver.keep(replace(arrived("message-service@post.example"), envelope_sender="joe@corp.example"))
    assert (reply.reply_code, reply.enhanced_status_code) == (550, "5.7.1"), (
        "nobody would answer him, so he hears of it"
    )
    assert len(await database.read(all_rows, tables.inbound)) == 2


async def test_each_report_concludes_the_delivery_that_it_came_back_to(receiver: Receiver, database: Database) -> None:
    organization = await an_organization(database)
    people = [f"j{number}@corp.example" for number in range(6)]
    sent = await delivered(database, organization, *people)
    *dead, alive = sent.deliveries
    for one in dead:
        address = address_of(one.id)
        await receiver.keep(arrived(address, bounced(one.recipient, address)))
    assert not await read_all(receiver), "nothing is left"
    assert {await state_of(database, organization, one.id) for one in dead} == {State.BOUNCED}
    assert await state_of(database, organization, alive.id) is State.DELIVERED
    mails = await database.read(all_rows, tables.inbound)
    assert {(row["state"], row["what"], row["organization"]) for row in mails} == {("done", "bounce", organization.id)}
    assert await database.write(inbound_claims.recover, NOW + LEASE * 2) == 0


async def test_words_that_quote_a_token_are_kept_without_it(receiver: Receiver, database: Database) -> None:
    organization = await an_organization(database)
    [one] = (await delivered(database, organization, "john@corp.example")).deliveries
    address = address_of(one.id)
    token = address.removeprefix("b+").partition("@")[0]
    said = Failure(final_recipient=one.recipient, diagnostic_code=f"smtp; 550 5.1.1 no such user for {address}")
    await receiver.keep(arrived(address, bounce("mx.corp.example", address, b"Subject: x\r\n\r\n", said)))
    await read_all(receiver)
    [mail] = await database.read(all_rows, tables.inbound)
    assert f"no such user for b+{token[:12]}" in mail["verdict"]["text"]
    kept = [
        mail["verdict"],
        await database.read(all_rows, tables.event),
        await database.read(all_rows, tables.delivery),
    ]
    assert token not in str(kept)


class Held(InboundAuthentication):
    """Authentication of large mail and of strays that takes until `over`."""

    over = asyncio.Event()

    async def authenticate(self, mail: Inbound) -> Authentication:
        if mail.spool or mail.delivery is None:
            await self.over.wait()
        return await super().authenticate(mail)


async def test_what_comes_back_for_something_that_the_store_does_not_have_is_kept_and_the_operator_hears_of_it(
    receiver: Receiver, database: Database
) -> None:
    lost, probe, message = fresh(), fresh(), fresh()
    quoting = TOKENS.mint(Purpose.TRACE, lost, made=NOW, last_day=(NOW + DAY).date())
    failure = Failure(final_recipient="john@corp.example")
    message_id = f"<{TOKENS.mint(Purpose.MESSAGE_ID, message, made=NOW, last_day=(NOW + DAY).date())}@post.example>"
    of_its_message = b"Message-ID: " + message_id.encode() + b"\r\nSubject: x\r\n\r\n"
    arrivals = (
        arrived(address_of(lost), bounced("john@corp.example", address_of(lost))),
        arrived(address_of(lost, Purpose.UNSUBSCRIBE, "u+")),
        arrived(content=bounce("mx.corp.example", quoting, b"Homing-Trace: " + quoting.encode(), failure)),
        arrived(content=bounce("mx.corp.example", "x@post.example", of_its_message, failure)),
        arrived(address_of(probe), bounced(PROBE_RECIPIENT, address_of(probe))),
        arrived(),
    )
    for number, arrival in enumerate(arrivals):
        assert (await receiver.keep(arrival)).reply_code == 250
        await read_all(receiver)
        counted = [(alarm.cause, alarm.times) for alarm in await database.read(alarms.list_all)]
        assert counted == [("missing-from-store", min(number + 1, 4))], arrival
    rows = await database.read(all_rows, tables.inbound)
    assert {row["state"] for row in rows} == {"done"}
    assert None not in {row["raw"] for row in rows}


async def test_no_bounce_waits_for_large_mail_or_for_strays(
    receiver: Receiver, database: Database, clock: Clock
) -> None:
    organization = await an_organization(database)
    [one] = (await delivered(database, organization, "john@corp.example")).deliveries
    resolver = receiver.inbound_authentication.resolver
    receiver.inbound_authentication = Held(
        resolver=resolver, suffix_of=None, clock=clock, spool=receiver.spool, patience=0.05
    )
    address = address_of(one.id)
    large = replace(arrived(address), write_whole=lambda file: file.write_bytes(NOTE) and None)
    for mail in (*[arrived()] * 30, *[large] * 3, arrived(address, bounced(one.recipient, address))):
        assert (await receiver.keep(mail)).reply_code == 250
    reading = asyncio.create_task(receiver.run())
    try:
        async with asyncio.timeout(PATIENCE):
            while await state_of(database, organization, one.id) is not State.BOUNCED:
                await asyncio.sleep(0.01)
    finally:
        Held.over.set()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading


async def test_a_mail_that_breaks_its_reader_costs_no_other_and_is_kept_unparsed_in_the_end(
    receiver: Receiver, database: Database, clock: Clock
) -> None:
    organization = await an_organization(database)
    [one] = (await delivered(database, organization, "john@corp.example")).deliveries
    poison = "CREATE TRIGGER poison BEFORE UPDATE ON inbound WHEN OLD.raw = x'706f69736f6e' AND NEW.state = 'done'"
    await database.write(a_statement(f"{poison} BEGIN SELECT RAISE(ABORT, 'a bug'); END"))
    await receiver.keep(arrived(address_of(one.id), b"poison"))
    clock.advance(timedelta(seconds=1))
    await receiver.keep(arrived())
    for tries in range(1, MOST_TRIES + 1):
        with capture_logs() as logs:
            await read_all(receiver)
            await read_all(receiver)
        assert [log["event"] for log in logs] == ["inbound mail broke"]
        broken, other = await database.read(all_rows, tables.inbound)
        assert (broken["state"], broken["tries"]) == (InboundState.WORKING, tries), "it rests until its lease is over"
        assert (other["state"], other["tries"]) == (InboundState.DONE, 1)
        assert await database.read(alarms.list_all) == []
        assert await database.write(inbound_claims.recover, clock()) == 0
        clock.advance(LEASE + timedelta(seconds=1))
        assert await database.write(inbound_claims.recover, clock()) == 1
    with capture_logs():
        await read_all(receiver)
    broken, _ = await database.read(all_rows, tables.inbound)
    assert (broken["state"], broken["raw"]) == (InboundState.UNPARSED, b"poison")
    assert [alarm.cause for alarm in await database.read(alarms.list_all)] == ["kept-unread"]
    assert await state_of(database, organization, one.id) is State.DELIVERED
    assert (await event_types(database, one.id))[-1] == "unexplained_return"
