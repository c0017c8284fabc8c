"""Servers that send a bounce to the visible From, or anywhere but to the envelope sender: what is left of our message
in it says which delivery it was."""

import pytest

from tests.stories.gateway import Story, until

from .test_leave import inbound_states

JANET = "janet@example.net"
JOHN = "john@corp.com"
HEADER_FROM = "message-service@post.acme-mail.com"
FIELDS = ["Homing-Trace", "CFBL-Feedback-ID", "Message-ID", "Return-Path"]


def standard(to: str, header: str) -> bytes:
    return (
        f"From: MAILER-DAEMON@corp.com\r\nTo: {to}\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="B"\r\n\r\n--B\r\n\r\nno\r\n--B\r\n'
        "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.corp.com\r\n\r\n"
        f"Final-Recipient: rfc822; {JOHN}\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--B\r\n"
        f"Content-Type: text/rfc822-headers\r\n\r\n{header}\r\nSubject: Your call\r\n\r\n--B--\r\n"
    ).encode()


def in_words(to: str, header: str) -> bytes:
    """As qmail writes it."""
    return (
        f"From: MAILER-DAEMON@mx.corp.com\r\nTo: {to}\r\nSubject: failure notice\r\n\r\n"
        "Hi. This is the qmail-send program at mx.corp.com.\r\n"
        "I'm afraid I wasn't able to deliver your message to the following addresses.\r\n"
        "This is a permanent error; I've given up. Sorry it didn't work out.\r\n\r\n"
        f"<{JOHN}>:\r\nSorry, no mailbox here by that name. (#5.1.1)\r\n\r\n"
        "--- Below this line is a copy of the message.\r\n\r\n"
        f"Received: by mx.corp.com; Mon, 2 Mar 2026 09:00:00 +0000\r\n{header}\r\nSubject: Your call\r\n\r\nHello\r\n"
    ).encode()


CASES = [
    *((HEADER_FROM, field, form) for field in FIELDS for form in (standard, in_words)),
    ("fbl@post.acme-mail.com", "Homing-Trace", standard),
    ("postmaster@post.acme-mail.com", "Message-ID", in_words),
]


@pytest.mark.parametrize(("to", "field", "form"), CASES)
async def test_a_bounce_that_went_elsewhere_finds_its_delivery(story: Story, to: str, field: str, form) -> None:  # type: ignore[no-untyped-def]
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com")
    sent = await crm.send(JANET, JOHN, "ann@corp.com")
    await crm.becomes(sent, "delivered", "delivered")
    [mail] = story.world.inbox(JOHN)
    value = f"<{mail.envelope_sender}>" if field == "Return-Path" else mail.headers[field]
    assert (await story.world.writes(None, to, form(to, f"{field}: {value}"))).accepted
    event = await crm.hears("bounced", sent)
    assert event["data"]["strength"] == "weak"
    told = await crm.message(sent)
    if field == "Return-Path":
        assert told["deliveries"][0]["bounced"] == "late"
    else:
        assert event["data"]["changes"] == "nothing", "whoever stands in Cc has as much"
        assert {one["state"] for one in told["deliveries"]} == {"delivered"}
    assert (await crm.call("GET", "/v1/suppressions")).json()["suppressions"] == [], "anybody may have written it"


@pytest.mark.parametrize(
    ("domain", "author", "vouched", "state"),
    [
        ("corp.com", "MAILER-DAEMON@corp.com", "mx.corp.com", "bounced"),
        ("corp.com", "Mail Delivery <postmaster@mx.corp.com>", "mx.corp.com", "bounced"),
        ("corp.com", "MAILER-DAEMON@corp.com", "", "delivered"),
        ("corp.com", "mary@corp.com", "mx.corp.com", "delivered"),
        ("corp.com", "MAILER-DAEMON@evil.com", "mx.evil.com", "delivered"),
        ("corp.com", "eve@corp.com (<postmaster@corp.com)", "mx.corp.com", "delivered"),
        ("corp.com", "eve@corp.com, <postmaster@corp.com>", "mx.corp.com", "delivered"),
        ("gmail.com", "mailer-daemon@gmail.com", "mx.gmail.com", "delivered"),
    ],
    ids=["own", "own-host", "unvouched", "a-person", "a-stranger", "a-comment", "two-authors", "a-provider"],
)
async def test_the_postmaster_of_the_recipients_own_domain_is_believed(
    story: Story, domain: str, author: str, vouched: str, state: str
) -> None:
    """SPF of the name in HELO speaks for the null sender (RFC 7208 §2.4)."""
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    host = author.strip(">)").rpartition("@")[2].removeprefix("mx.")
    story.world.mx(domain)
    if host != domain:
        story.world.mx(host)
    if vouched:
        zones = story.world.dns
        zones.publish(vouched, *zones.zones[vouched], 'TXT "v=spf1 ip4:127.0.0.0/8 -all"')
    sent = await crm.becomes(await crm.send(JANET, f"john@{domain}"), "delivered")
    [mail] = story.world.inbox(f"john@{domain}")
    report = standard(HEADER_FROM, f"Message-ID: {mail.headers['Message-ID']}")
    report = report.replace(b"MAILER-DAEMON@corp.com", author.encode()).replace(
        JOHN.encode(), f"john@{domain}".encode()
    )
    assert (await story.world.writes(None, HEADER_FROM, report, helo=f"mx.{host}")).accepted
    await crm.hears("bounced", sent)
    assert await crm.states(sent) == [state]


async def test_a_bounce_of_which_nothing_of_ours_is_left_changes_nothing(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com")
    sent = await crm.becomes(await crm.send(JANET, JOHN), "delivered")
    trace = str(story.world.inbox(JOHN)[0].headers["Homing-Trace"])
    forged = trace[:-1] + ("a" if trace[-1] != "a" else "b")
    for header in (f"X-Other: {trace}", f"Homing-Trace: {forged}", "Message-ID: <1@corp.com>"):
        assert (await story.world.writes(None, HEADER_FROM, standard(HEADER_FROM, header))).accepted

    async def worked_on() -> bool:
        return await story.app.database.read(inbound_states) == ["done"] * 3

    await until(worked_on)
    assert await crm.states(sent) == ["delivered"]
