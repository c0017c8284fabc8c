"""The impersonator, made honest: From is ours, replies go to the person, and who writes to From is told so."""

from datetime import timedelta

import pytest

from homing.lab.returned_mail import human_reply
from homing.mail.reply import Stage
from homing.net.route import Host
from homing.net.smtp_client import Connection, Envelope, SmtpClient
from homing.store import tables
from tests.data import HOSTILE_INPUTS
from tests.store.scenes import all_rows

from .gateway import Story, plain_text, until

JANET, JOHN = "janet@example.net", "john@corp.com"
HEADER_FROM = "message-service@post.acme-mail.com"


async def test_an_address_that_nobody_proved_gets_no_mail_sent_in_its_name(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    for fields in (
        {"human_sender": {"name": "Eve", "address": "eve@evil.net"}},
        {"reply_to": "eve@evil.net"},
    ):
        body = {
            "human_sender": {"name": "Janet", "address": JANET},
            "to": [JOHN],
            "subject": "x",
            "text": "x",
            **fields,
        }
        answer = await crm.call("POST", "/v1/messages", body)
        assert answer.status_code == 422
        assert answer.json()["code"] == "reply-to-unproved"
    listed = await crm.call("GET", "/v1/messages")
    assert listed.json()["messages"] == [], "a refused request leaves no trace"


async def test_the_proof_is_a_press_of_a_button_once_within_a_day(story: Story) -> None:
    crm = await story.application()
    made = await crm.call("POST", "/v1/human_senders", {"name": "security@bank.com", "address": JANET})
    assert made.status_code == 422, "a display name that could deceive is refused"
    story.world.mx("example.net")
    made = await crm.call("POST", "/v1/human_senders", {"name": "Janet", "address": JANET})
    sender = f"/v1/human_senders/{made.json()['id']}"
    [letter] = await story.world.mx("example.net").wait_for(JANET)
    assert "Acme CRM" not in plain_text(letter), "no text of the tenant's"
    link = story.link(letter, "/prove/")
    for _ in range(3):  # a mail scanner follows links
        assert (await story.http.get(link)).status_code == 200
    assert (await crm.call("GET", sender)).json()["proved_at"] is None
    assert (await story.http.post(link)).status_code == 200
    assert (await crm.call("GET", sender)).json()["proved_at"] is not None
    assert (await story.http.post(link)).status_code in {404, 410}, "once"
    for _ in range(2):
        assert (await crm.call("POST", f"{sender}/proof")).status_code == 202
    assert (await crm.call("POST", f"{sender}/proof")).status_code == 429, "three letters a day"
    letters = await story.world.mx("example.net").wait_for(JANET, 3)
    story.clock.advance(timedelta(hours=25))
    assert (await story.http.post(story.link(letters[2], "/prove/"))).status_code in {404, 410}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Corner Shop Support", "display-name-impersonates"),
        ("Acme-Mail Service", "display-name-impersonates"),
        ("PayPal", "display-name-impersonates"),
        ("Janet (Paypa1) Roe", "display-name-look-alike"),
        ("Janet P\u0430ypal", "display-name-scripts"),
    ],
    ids=ascii,
)
async def test_nobody_passes_for_another_by_his_display_name(story: Story, name: str, code: str) -> None:
    crm, shop = (
        await story.application(display_name="Roe Ltd"),
        await story.application("shop", display_name="Corner Shop"),
    )
    await crm.person("Janet Roe", JANET)
    await shop.person("Joe", "joe@shop.com")
    body = {"human_sender": {"name": name, "address": JANET}, "to": [JOHN], "subject": "x", "text": "x"}
    refused = await crm.call("POST", "/v1/messages", body)
    assert refused.status_code == 422
    assert [(one["pointer"], one["code"]) for one in refused.json()["errors"]] == [("/human_sender/name", code)]
    own = body | {"human_sender": {"name": "Corner Shop Support", "address": "joe@shop.com"}}
    assert (await shop.call("POST", "/v1/messages", own)).status_code == 202, "who bears the name may use it"


async def test_who_answers_to_from_is_told_where_the_right_person_is(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    site = story.world.mx("corp.com").replies_to_from(JOHN)
    sent = await crm.send(JANET, JOHN, subject="Your invoice")
    await crm.hears("replied", sent)
    [_, answer] = await site.wait_for(JOHN, 2)
    assert answer.envelope_sender is None, "an automatic answer has the null sender"
    assert answer.headers["Auto-Submitted"] == "auto-replied"
    assert JANET in plain_text(answer)
    assert "Oops" in plain_text(answer)
    original = site.inbox(JOHN)[0]
    again = human_reply(JOHN, HEADER_FROM, original.content, "Hello?")
    accepted = await story.world.writes(JOHN, HEADER_FROM, again)
    assert accepted.accepted

    async def both_heard() -> bool:
        return (await crm.types_of(sent)).count("replied") == 2

    await until(both_heard)
    assert len(site.inbox(JOHN)) == 2, "one answer a day"
    story.clock.advance(timedelta(days=8))
    await story.app.tidier.forget()

    def kept(conn) -> list:
        from homing.store import tables

        return conn.execute(tables.inbound.select().where(tables.inbound.c.purpose == "header_from")).all()

    rows = await story.app.database.read(kept)
    assert len(rows) == 2
    assert all(row.raw is None for row in rows), "the mail is deleted, a tombstone stays"


async def test_a_forged_recipient_is_told_nothing(story: Story) -> None:
    """Somebody who has seen the message answers it as John, from a host that John's domain denies."""
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    site = story.world.mx("corp.com")
    sent = await crm.send(JANET, JOHN)
    await crm.becomes(sent, "delivered")
    [original] = await site.wait_for(JOHN)
    story.world.dns.publish("corp.com", "MX 10 mx.corp.com", 'TXT "v=spf1 ip4:192.0.2.1 -all"')
    forged = human_reply(JOHN, HEADER_FROM, original.content, "Who are you?")
    assert (await story.world.writes(JOHN, HEADER_FROM, forged)).accepted
    await crm.hears("replied", sent)
    assert await story.app.database.read(all_rows, tables.oops_answer) == []
    assert len(site.inbox(JOHN)) == 1


async def test_strangers_who_write_to_from_are_refused_at_the_dot(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com")
    sent = await crm.send(JANET, JOHN)
    await crm.becomes(sent, "delivered")
    [mail] = story.world.inbox(JOHN)
    for sender, reply in (
        ("eve@evil.net", human_reply("eve@evil.net", HEADER_FROM, mail.content, "not a recipient of this message")),
        (JOHN, b"From: john@corp.com\r\nTo: x\r\nSubject: hello\r\n\r\nno thread of ours\r\n"),
        (None, human_reply(JOHN, HEADER_FROM, mail.content, "the null sender is never answered")),
    ):
        said = await story.world.writes(sender, HEADER_FROM, reply)
        assert (said.end.reply.reply_code, said.end.reply.enhanced_status_code) == (550, "5.7.1")
    assert len(story.world.mx("corp.com").mails) == 1


async def test_rfc_3834_all_of_it(story: Story) -> None:
    """Every case of the corpus, as a real mail to the real door, from a recipient of a message of ours."""
    import json

    folder = HOSTILE_INPUTS / "autoreply"
    truth = json.loads((folder / "README.json").read_text())
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com")
    for name in truth["never_answer"] + truth["answer_once"]:
        sender = f"{name.replace('_', '-')}@b.example".replace("@b.example", "@corp.com")
        sent = await crm.send(JANET, sender)
        await crm.becomes(sent, "delivered")
        site = story.world.mx("corp.com")
        original = site.inbox(sender)[0]
        raw = (folder / f"{name}.eml").read_bytes()
        message_id = str(original.headers["Message-ID"]).strip("<> ")
        raw = raw.replace(b"<OUR_MID>", f"<{message_id}>".encode()).replace(b"OUR_MID", message_id.encode())
        raw = raw.replace(b"TOKEN2", b"b+" + b"a" * 48 + b"@b.post.acme-mail.com")
        raw = raw.replace(b"OURDOMAIN", b"post.acme-mail.com").replace(b"TOKEN", HEADER_FROM.encode())
        raw = raw.replace(b"bob@b.example", sender.encode())
        if b"In-Reply-To" not in raw:
            raw = f"In-Reply-To: <{message_id}>\r\n".encode() + raw
        raw = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        said = await story.world.writes(sender, HEADER_FROM, raw)
        if name in truth["never_answer"]:
            assert not said.accepted, name
        else:
            assert said.accepted, name
            await site.wait_for(sender, 2)
    for name in truth["never_answer"]:
        sender = f"{name.replace('_', '-')}@corp.com"
        assert len(story.world.inbox(sender)) == 1, f"{name} was answered"


async def test_a_complaint_with_our_trace_suppresses_and_the_next_message_says_so(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com")
    first = await crm.send(JANET, JOHN)
    await crm.becomes(first, "delivered")
    [mail] = story.world.inbox(JOHN)
    header = mail.content.partition(b"\r\n\r\n")[0]
    report = (
        b"From: fbl@provider.net\r\nTo: fbl@post.acme-mail.com\r\nSubject: complaint\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/report; report-type=feedback-report; boundary="B"\r\n\r\n--B\r\n\r\nspam\r\n--B\r\n'
        b"Content-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nUser-Agent: x/1\r\nVersion: 1\r\n\r\n"
        b"--B\r\nContent-Type: message/rfc822\r\n\r\n" + header + b"\r\n\r\nHello\r\n--B--\r\n"
    )
    said = await story.world.writes("fbl@provider.net", "fbl@post.acme-mail.com", report)
    assert said.accepted
    await crm.hears("complained", first)
    listed = await crm.call("GET", "/v1/suppressions")
    assert [entry["address"] for entry in listed.json()["suppressions"]] == [JOHN]
    second = await crm.send(JANET, JOHN)
    assert [one["state"] for one in second["deliveries"]] == ["suppressed"]
    [letter] = await story.world.mx("example.net").wait_for(JANET)
    assert "not sent" in plain_text(letter)
    assert len(story.world.inbox(JOHN)) == 1


@pytest.mark.parametrize("recipient", ["b+aaaa@b.post.acme-mail.com", "nobody@post.acme-mail.com", "x@elsewhere.org"])
async def test_no_token_no_entry(story: Story, recipient: str) -> None:
    client = SmtpClient("mx.stranger.net")
    door = await client.acquire(Host("mx", "127.0.0.1", story.app.smtp_port))
    assert isinstance(door, Connection)
    said = await door.send(Envelope(envelope_sender=None, recipient=recipient, content=b"Subject: x\r\n\r\nx\r\n"))
    await client.close()
    assert said.reply is not None
    assert (said.stage, said.reply.reply_code, said.reply.enhanced_status_code) == (Stage.RCPT_TO, 550, "5.1.1")


async def test_a_webhook_is_called_signed_again_and_again_and_counts_as_heard(story: Story) -> None:
    crm = await story.application()
    made = await crm.call("PATCH", "/v1/organization", {"webhook_url": story.world.webhooks.url})
    assert made.status_code == 200, made.text
    story.world.webhooks.secret = made.json()["webhook_secret"]
    await crm.policy("program", {"kind": "webhook"})
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").refuses(JOHN)
    story.world.webhooks.answers.extend([503])
    sent = await crm.send(JANET, JOHN, failure_policy="program")
    await until(lambda: len(story.world.webhooks.received) >= 1)
    story.advance(seconds=20)
    await crm.hears("notified", sent)
    first, second = story.world.webhooks.received[:2]
    assert first.event_id == second.event_id
    assert first.genuine
    assert second.genuine
    [delivery] = (await crm.message(sent))["deliveries"]
    assert delivery["case"]["steps"] == [{"kind": "webhook", "state": "heard"}]
