"""Bulk mail can be left with one click or a mail, and a complaint finds its delivery by whatever was left of it."""

import re
from pathlib import Path

import pytest

from homing.mail.dkim import SigningKey, sign
from homing.mail.dkim_verification import verify
from homing.store import tables
from tests.stories.gateway import Application, Story, a_story, until

JANET = "janet@example.net"
JOHN = "john@corp.com"


async def subscribed(story: Story, **more: object) -> tuple[Application, dict]:
    """A message on a bulk stream."""
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    assert (await crm.call("PUT", "/v1/streams/news", {"bulk": True})).status_code in {200, 201}
    story.world.mx("corp.com")
    sent = await crm.send(JANET, JOHN, stream="news", **more)
    await crm.becomes(sent, "delivered")
    return crm, sent


def way_out(mail, scheme: str) -> str:
    return re.search(rf"<({scheme}[^>]+)>", str(mail.headers["List-Unsubscribe"]))[1]


async def test_every_message_says_where_complaints_go_and_bulk_mail_how_to_leave(story: Story) -> None:
    crm, _ = await subscribed(story)
    await crm.becomes(await crm.send(JANET, JOHN), "delivered")
    bulk, single = story.world.inbox(JOHN)
    [key] = story.app.keys.signing
    for mail in (bulk, single):
        assert str(mail.headers["CFBL-Address"]) == "fbl@post.acme-mail.com; report=arf"
        assert mail.headers["CFBL-Feedback-ID"] == mail.headers["Homing-Trace"]
        [signature] = mail.headers.get_all("DKIM-Signature")
        assert {"cfbl-address", "cfbl-feedback-id", "list-unsubscribe", "list-unsubscribe-post"} <= set(
            re.sub(r"\s", "", str(signature)).split("h=")[1].split(";")[0].split(":")
        )
        assert verify(mail.content, lambda name: key.dns_record() if name == key.dns_name else None).passed
    assert str(bulk.headers["List-Unsubscribe-Post"]) == "List-Unsubscribe=One-Click"
    assert single.headers["List-Unsubscribe"] is None


async def test_one_click_leaves(story: Story) -> None:
    crm, sent = await subscribed(story)
    link = way_out(story.world.inbox(JOHN)[0], "http")
    assert (await story.http.get(link)).status_code == 200
    assert await listed(crm) == []
    assert (await story.http.post(link, data={"List-Unsubscribe": "One-Click"})).status_code == 200
    assert (await crm.hears("complained", sent))["data"]["by"] == "one-click"
    assert await listed(crm) == [(JOHN, "news", "unsubscribe")]
    await crm.becomes(await crm.send(JANET, JOHN, stream="news"), "suppressed")
    await crm.becomes(await crm.send(JANET, JOHN), "delivered")


async def test_a_mail_to_the_other_address_leaves(story: Story) -> None:
    crm, sent = await subscribed(story)
    address = way_out(story.world.inbox(JOHN)[0], "mailto:").removeprefix("mailto:").partition("?")[0]
    apple = (
        f"From: {JOHN}\r\nTo: {address}\r\nSubject: Unsubscribe\r\nAuto-Submitted: auto-replied\r\n\r\n\r\n".encode()
    )
    assert (await story.world.writes(JOHN, address, apple)).accepted
    assert (await crm.hears("complained", sent))["data"]["by"] == "mail"
    assert await listed(crm) == [(JOHN, "news", "unsubscribe")]


async def test_a_bounce_to_that_address_is_nobodys_wish_and_changes_nothing(story: Story) -> None:
    crm, sent = await subscribed(story)
    mail = story.world.inbox(JOHN)[0]
    address = way_out(mail, "mailto:").removeprefix("mailto:").partition("?")[0]
    dsn = (
        f"From: MAILER-DAEMON@corp.com\r\nTo: {address}\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="B"\r\n\r\n--B\r\n\r\nno\r\n--B\r\n'
        "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.corp.com\r\n\r\n"
        f"Final-Recipient: rfc822; {JOHN}\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--B--\r\n"
    ).encode()
    assert (await story.world.writes(None, address, dsn)).accepted

    async def worked_on() -> bool:
        found = await story.app.database.read(inbound_states)
        return found == ["done"]

    await until(worked_on)
    assert await crm.states(sent) == ["delivered"]
    assert await listed(crm) == []


async def test_a_token_of_one_purpose_is_refused_for_another(story: Story) -> None:
    await subscribed(story)
    mail = story.world.inbox(JOHN)[0]
    leaving = way_out(mail, "mailto:").removeprefix("mailto:u+").partition("@")[0]
    envelope = (mail.envelope_sender or "").removeprefix("b+").partition("@")[0]
    for recipient in (f"b+{leaving}@b.post.acme-mail.com", f"u+{envelope}@b.post.acme-mail.com"):
        said = await story.world.writes("x@stranger.net", recipient, b"Subject: x\r\n\r\nx\r\n")
        assert not said.accepted
    trace = str(mail.headers["Homing-Trace"])
    for token in (envelope, trace):
        link = way_out(mail, "http").replace(leaving, token)
        assert (await story.http.post(link)).status_code == 410


@pytest.mark.parametrize("left", ["CFBL-Feedback-ID", "List-Unsubscribe"])
async def test_a_complaint_without_its_trace_still_finds_its_delivery(story: Story, left: str) -> None:
    crm, sent = await subscribed(story)
    mail = story.world.inbox(JOHN)[0]
    header = f"From: x\r\nTo: redacted@redacted.invalid\r\nHoming-Trace: redacted\r\n{left}: {mail.headers[left]}\r\n"
    report = (
        "From: fbl@provider.net\r\nTo: fbl@post.acme-mail.com\r\nSubject: complaint\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="B"\r\n\r\n--B\r\n\r\nspam\r\n--B\r\n'
        "Content-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nUser-Agent: x/1\r\nVersion: 1\r\n\r\n"
        f"--B\r\nContent-Type: message/rfc822\r\n\r\n{header}\r\nHello\r\n--B--\r\n"
    ).encode()
    assert (await story.world.writes("fbl@provider.net", "fbl@post.acme-mail.com", report)).accepted
    await crm.hears("complained", sent)
    assert await listed(crm) == [(JOHN, "news", "complaint")]


FEEDBACK = SigningKey.generate_ed25519("arf.provider.net", "s1")


def feedback(returned: str, header_from: str = "fbl@arf.provider.net") -> bytes:
    """A complaint of John's that returns these lines of the message's header."""
    return (
        f"From: {header_from}\r\nTo: fbl@post.acme-mail.com\r\nSubject: complaint\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="B"\r\n\r\n--B\r\n\r\nspam\r\n--B\r\n'
        "Content-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nUser-Agent: x/1\r\nVersion: 1\r\n"
        f"Original-Rcpt-To: {JOHN}\r\n\r\n"
        f"--B\r\nContent-Type: message/rfc822\r\n\r\n{returned}\r\n\r\nHello\r\n--B--\r\n"
    ).encode()


@pytest.mark.parametrize(
    ("header_from", "signed", "believed"),
    [
        ("fbl@arf.provider.net", True, True),
        ("fbl@arf.provider.net", False, False),  # anybody can write that
        ("mallory@provider.net", True, False),  # a signature for another name than that in From
    ],
)
async def test_without_our_marks_a_complaint_counts_where_a_provider_of_ours_has_signed_it(
    tmp_path: Path, header_from: str, signed: bool, believed: bool
) -> None:
    async with a_story(tmp_path, feedback_domains=[FEEDBACK.domain]) as story:
        story.world.dns.publish_text(FEEDBACK.dns_name, FEEDBACK.dns_record())
        crm, sent = await subscribed(story)
        report = feedback(f"Message-ID: {story.world.inbox(JOHN)[0].headers['Message-ID']}", header_from)
        now = int(story.clock().timestamp())
        signature = sign(report, FEEDBACK, now, now + 86_400) if signed else b""
        mail = await story.world.writes("fbl@arf.provider.net", "fbl@post.acme-mail.com", signature + report)
        assert mail.accepted
        event = await crm.hears("complained", sent)
        assert event["data"]["strength"] == ("strong" if believed else "weak")
        assert ("dkim=pass(arf.provider.net)" in event["data"]["authentication"]) is signed
        assert await listed(crm) == ([(JOHN, "news", "complaint")] if believed else [])


async def test_our_mark_on_another_message_is_noted_and_suppresses_nobody(story: Story) -> None:
    crm, sent = await subscribed(story)
    returned = story.world.inbox(JOHN)[0].headers
    stolen = f"Message-ID: <another@corp.com>\r\nHoming-Trace: {returned['Homing-Trace']}"
    assert (await story.world.writes("x@stranger.net", "fbl@post.acme-mail.com", feedback(stolen))).accepted
    assert (await crm.hears("complained", sent))["data"]["strength"] == "weak"
    assert await listed(crm) == []


async def test_a_complaint_of_which_only_the_envelope_sender_is_left_is_told_and_suppresses_nobody(
    story: Story,
) -> None:
    """Anybody who has seen Return-Path could write it."""
    crm, sent = await subscribed(story)
    mail = story.world.inbox(JOHN)[0]
    report = (
        "From: fbl@provider.net\r\nTo: fbl@post.acme-mail.com\r\nSubject: complaint\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="B"\r\n\r\n--B\r\n\r\nspam\r\n--B\r\n'
        "Content-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nUser-Agent: x/1\r\nVersion: 1\r\n"
        f"Original-Mail-From: <{mail.envelope_sender}>\r\n\r\n--B--\r\n"
    ).encode()
    assert (await story.world.writes("fbl@provider.net", "fbl@post.acme-mail.com", report)).accepted
    told = await crm.hears("complained", sent)
    assert told["data"]["strength"] == "weak"
    assert await listed(crm) == []


async def test_words_of_ours_in_the_text_of_a_mail_match_nothing(story: Story) -> None:
    """A person quotes; only what stands in the header of a returned original counts."""
    crm, sent = await subscribed(story)
    mail = story.world.inbox(JOHN)[0]
    quoted = (
        f"> Homing-Trace: {mail.headers['Homing-Trace']}\r\n> Message-ID: {mail.headers['Message-ID']}\r\n"
        f"> Return-Path: <{mail.envelope_sender}>\r\nHoming-Trace: {mail.headers['Homing-Trace']}\r\n"
        f"Return-Path: <{mail.envelope_sender}>\r\n"
    )
    for recipient in ("fbl@post.acme-mail.com", "abuse@post.acme-mail.com"):
        answer = f"From: {JOHN}\r\nTo: {recipient}\r\nSubject: Re: Your call\r\n\r\nSpam!\r\n{quoted}".encode()
        assert (await story.world.writes(JOHN, recipient, answer)).accepted

    async def worked_on() -> bool:
        return await story.app.database.read(inbound_states) == ["done", "done"]

    await until(worked_on)
    assert "complained" not in await crm.types_of(sent)
    assert "replied" not in await crm.types_of(sent)
    assert await listed(crm) == []


async def test_every_attempt_sends_the_same_bytes_whatever_has_become_of_the_stream(story: Story) -> None:
    await subscribed(story)
    await story.app.database.write(_once_more_and_no_longer_bulk, story.clock())
    story.advance(hours=3)
    first, second = await story.world.mx("corp.com").wait_for(JOHN, 2)
    assert first.content == second.content
    assert b"List-Unsubscribe: " in first.content


async def test_an_application_that_says_itself_how_to_leave_knows_better(story: Story) -> None:
    await subscribed(story, headers={"List-Unsubscribe": "<https://crm.example/leave/7>"})
    mail = story.world.inbox(JOHN)[0]
    assert mail.headers.get_all("List-Unsubscribe") == ["<https://crm.example/leave/7>"]
    assert mail.headers["List-Unsubscribe-Post"] is None


async def listed(crm: Application) -> list[tuple[str, str, str]]:
    entries = (await crm.call("GET", "/v1/suppressions")).json()["suppressions"]
    return [(entry["address"], entry["stream"], entry["reason"]) for entry in entries]


def _once_more_and_no_longer_bulk(conn, now) -> None:
    """As after a crash that lost the result; and meanwhile somebody changed his mind about the stream."""
    due = tables.delivery.update().where(tables.delivery.c.recipient == JOHN)
    conn.execute(due.values(state="deferred", next_attempt_at=now, queue=None))
    conn.execute(tables.stream.update().values(bulk=False))


def inbound_states(conn) -> list[str]:
    return [row.state for row in conn.execute(tables.inbound.select())]
