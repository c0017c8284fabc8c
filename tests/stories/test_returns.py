"""Mail that came in is neither lost nor forgotten too late."""

import asyncio
import os
import smtplib
import time
from pathlib import Path
from uuid import uuid4

from structlog.testing import capture_logs

from homing.flow.accept import LARGEST_MESSAGE
from homing.lab.returned_mail import Failure, bounce
from homing.mail.reply import Stage
from homing.mail.smtp_client import Envelope, Silence
from homing.net.route import Host
from homing.net.smtp_client import Connection, SmtpClient

from .gateway import Story, a_story, until

JANET, MARY = "janet@example.net", "mary@corp.com"


async def test_a_mail_that_nobody_can_read_is_told_of_where_it_belongs(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    site = story.world.mx("corp.com")
    sent = await crm.send(JANET, MARY)
    [mail] = await site.wait_for(MARY)
    story.app.receiver.rules = None  # type: ignore[assignment]
    with capture_logs() as logs:
        await story.world.writes(None, str(mail.envelope_sender), b"Subject: failed\r\n\r\n550 no such user\r\n")

        async def told() -> bool:
            story.advance(minutes=3)
            await story.app.tidier.look()
            return "unexplained_return" in await crm.types_of(sent)

        await until(told)
        await until(lambda: [log for log in logs if log["event"] == "alarm"])
    assert [log["cause"] for log in logs if log["event"] == "alarm"] == ["kept-unread"]
    [alarm] = (await story.http.get("/v1/alarms", headers=story.administrator)).json()["alarms"]
    assert (alarm["cause"], "look at it" in alarm["advice"]) == ("kept-unread", True)


async def test_what_cannot_be_kept_is_not_taken(story: Story) -> None:
    """451: whoever sends it still has it, and comes again."""
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    site = story.world.mx("corp.com")
    sent = await crm.send(JANET, MARY)
    await crm.becomes(sent, "delivered")
    [mail] = site.inbox(MARY)
    back = Envelope(
        envelope_sender=None,
        recipient=str(mail.envelope_sender),
        content=bounce("mx.corp.com", str(mail.envelope_sender), mail.content, Failure(final_recipient=MARY)),
    )
    never = "CREATE TRIGGER never BEFORE INSERT ON inbound BEGIN SELECT RAISE(ABORT, 'never'); END"
    await story.app.database.write(lambda conn: conn.exec_driver_sql(never) and None)
    client = SmtpClient("mx.corp.com")
    said = []
    with capture_logs() as logs:
        for _ in range(2):
            door = await client.acquire(Host("mx", "127.0.0.1", story.app.smtp_port))
            assert isinstance(door, Connection)
            said.append((await door.send(back)).reply)
            await story.app.database.write(lambda conn: conn.exec_driver_sql("DROP TRIGGER IF EXISTS never") and None)
    await client.close()
    assert [(reply.reply_code, reply.enhanced_status_code) for reply in said if reply] == [
        (451, "4.3.0"),
        (250, "2.0.0"),
    ]
    assert "cannot keep a mail" in [log["event"] for log in logs]
    await crm.becomes(sent, "bounced")


async def test_a_mail_that_returns_our_largest_message_whole_is_taken(story: Story) -> None:
    client = SmtpClient("mx.stranger.net")
    line = b"x" * 70 + b"\r\n"
    said = []
    for size in (LARGEST_MESSAGE * 3 // 2 - 1000, LARGEST_MESSAGE * 2):
        content = b"Subject: yours\r\n\r\n" + line * (size // len(line))
        door = await client.acquire(Host("mx", "127.0.0.1", story.app.smtp_port))
        assert isinstance(door, Connection)
        postmaster = Envelope(envelope_sender=None, recipient="postmaster@post.acme-mail.com", content=content)
        said.append(await door.send(postmaster))
    await client.close()
    taken, refused = said
    assert taken.reply is not None
    assert (taken.stage, taken.reply.reply_code) == (Stage.DOT, 250)
    assert refused.silence == Silence.SIZE_EXCEEDED, "our EHLO says so"


async def test_one_address_at_a_time_so_that_each_mail_is_about_one_delivery(story: Story) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", story.app.smtp_port)
    said = []
    for line in ("", "EHLO mx.stranger.net", "MAIL FROM:<>", *["RCPT TO:<postmaster@post.acme-mail.com>"] * 2, "QUIT"):
        writer.write(f"{line}\r\n".encode() if line else b"")
        while (answer := await reader.readline())[3:4] == b"-":
            pass
        said.append(answer[:3].decode())
    writer.close()
    assert said == ["220", "250", "250", "250", "452", "221"]


async def test_a_file_that_no_mail_holds_goes_and_the_others_stay(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    site = story.world.mx("corp.com")
    await crm.send(JANET, MARY)
    [mail] = await site.wait_for(MARY)
    large = b"Subject: failed\r\n\r\n" + b"x" * 70 + b"\r\n" * 600_000
    await story.world.writes(None, str(mail.envelope_sender), large)
    spool = story.app.tidier.spool
    [kept] = spool.glob("*.eml")
    stray, young = (spool / f"{uuid4().hex}.eml" for _ in range(2))
    stray.write_bytes(b"x")
    young.write_bytes(b"x")
    long_ago = time.time() - 7200
    for file in (kept, stray):
        os.utime(file, (long_ago, long_ago))
    await story.app.tidier.forget()
    assert set(spool.glob("*.eml")) == {kept, young}
    story.advance(days=31)
    await story.app.tidier.forget()
    assert set(spool.glob("*.eml")) == set(), "after its retention time"


async def test_what_comes_back_is_counted_and_shown_whether_or_not_it_is_about_a_message(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    site = story.world.mx("corp.com").bounces_later(MARY)
    sent = await crm.send(JANET, MARY)
    await crm.becomes(sent, "bounced")
    await site.wait_for(MARY)
    await story.world.writes(None, "postmaster@post.acme-mail.com", b"Subject: hello\r\n\r\nIs anybody there?\r\n")

    async def all_heard() -> bool:
        answer = await story.http.get("/v1/inbound", headers=story.administrator)
        found = answer.json()["inbound"]
        return [one["message"] for one in found] == [None, sent["id"]] and {one["state"] for one in found} == {"done"}

    await until(all_heard)
    mine = (await crm.call("GET", "/v1/inbound?what=bounce")).json()["inbound"]
    assert [(one["delivery"], one["purpose"]) for one in mine] == [(sent["deliveries"][0]["id"], "envelope")]

    async def counted() -> bool:
        text = (await story.http.get("/metrics")).text
        lines = {line.rpartition(" ")[0] for line in text.splitlines() if line.startswith("homing_returns_total")}
        matched = 'homing_returns_total{matched="yes",what="bounce"}' in lines
        return matched and any('matched="no"' in line for line in lines)

    await until(counted)


SLOPPY = [
    "<MAILER-DAEMON>",
    "<root@localhost>",
    "<john..doe@docomo.example.com>",
    "<-bounce@my_host.corp.com>",
    "<john@corp.com.>",
    "<john@[127.0.0.1]>",
    "<john@[IPv6:::1]>",
    f"<{'a' * 70}@corp.com>",
    "<@a.example:john@corp.com>",
    "john@corp.com",
    "",
]


async def test_evidence_is_taken_in_whatever_name_it_comes(story: Story) -> None:
    """The token is the pass. Whoever writes a sloppy reverse-path is often the very system that bounces."""
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    site = story.world.mx("corp.com")
    people = [f"mary{number}@corp.com" for number in range(len(SLOPPY))]
    sent = await crm.send(JANET, *people)
    await crm.becomes(sent, *["delivered"] * len(people))
    reader, writer = await asyncio.open_connection("127.0.0.1", story.app.smtp_port)

    async def says(line: str | bytes) -> bytes:
        writer.write(line if isinstance(line, bytes) else f"{line}\r\n".encode())
        while (answer := await reader.readline())[3:4] == b"-":
            pass
        return answer

    await reader.readline()
    await says("EHLO broken.example")
    for number, (sender, person) in enumerate(zip(SLOPPY, people, strict=True)):
        [mail] = site.inbox(person)
        token = str(mail.envelope_sender)
        back = bounce("mx.corp.com", token, mail.content, Failure(final_recipient=person))
        assert (await says(f"MAIL FROM:{sender}")).startswith(b"250"), sender
        recipient = (token, f"{token}.", f"@relay.example:{token}")[number % 3]
        assert (await says(f"RCPT TO:<{recipient}>")).startswith(b"250"), recipient
        assert (await says("DATA")).startswith(b"354")
        assert (await says(back + b"\r\n.\r\n")).startswith(b"250")
    writer.close()
    await crm.becomes(sent, *["bounced"] * len(people))
    kept = (await story.http.get("/v1/inbound", headers=story.administrator)).json()["inbound"]
    assert {(one["envelope_sender"] or "") for one in kept} == {sender.strip("<>") for sender in SLOPPY}


async def test_one_network_does_not_use_up_what_role_addresses_take_in_a_day(tmp_path: Path) -> None:
    async with a_story(tmp_path, role_mail_mib_per_day=1) as story:
        stranger = b"Subject: x\r\n\r\n" + (b"x" * 900 + b"\r\n") * 60
        door = ("127.0.0.1", story.app.smtp_port)

        def mail(source: str, recipient: str, content: bytes = stranger) -> int:
            with smtplib.SMTP(*door, source_address=(source, 0), timeout=10) as client:
                client.ehlo("mx.stranger.net")
                client.mail("eve@stranger.net")
                client.rcpt(recipient)
                return client.data(content)[0]

        said = [await asyncio.to_thread(mail, "127.0.0.1", "postmaster@post.acme-mail.com") for _ in range(25)]
        assert said == [250] * 4 + [452] * 21, "a quarter of the day's octets"
        for source, role in (("127.0.5.1", "postmaster"), ("127.0.0.1", "fbl")):
            assert await asyncio.to_thread(mail, source, f"{role}@post.acme-mail.com") == 250


async def test_strangers_letters_to_a_return_address_leave_room_for_its_bounce(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    corp = story.world.mx("corp.com")
    sent = await crm.send(JANET, MARY)
    [mail] = await corp.wait_for(MARY)
    for _ in range(50):
        await story.world.writes("eve@stranger.net", mail.envelope_sender or "", b"Subject: hi\r\n\r\nhello\r\n")
    notice = bounce("mx.corp.com", str(mail.envelope_sender), mail.content, Failure(final_recipient=MARY))
    said = await story.world.writes(None, mail.envelope_sender or "", notice, helo="mx.corp.com")
    assert said.accepted
    await crm.becomes(sent, "bounced")
