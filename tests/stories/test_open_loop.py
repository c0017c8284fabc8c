"""The open loop, closed: Janet's mail fails, and something useful is done about it."""

import asyncio
import re
from datetime import timedelta
from pathlib import Path

import pytest

from homing.lab.behaviour import QUEUED, Good, Mail, send_bounce
from homing.lab.outbound import Outbound
from homing.lab.returned_mail import Failure, bounce
from homing.mail.dkim_verification import verify
from homing.mail.reply import Reply
from homing.store import tables

from .gateway import Story, a_story, plain_text, until

JANET, JOHN = "janet@example.net", "john@corp.com"
TOKEN_SENDER = re.compile(r"b\+[a-z2-7]{48}@b\.post\.acme-mail\.com")


async def test_a_misspelt_address_is_refused_at_once_and_janet_hears_of_it(story: Story) -> None:
    crm = await story.application()
    janet = await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").refuses(JOHN, "550 5.1.1 No such user here")

    sent = await crm.send(JANET, JOHN, "mary@corp.com", subject="Our call this morning")
    message = await crm.becomes(sent, "bounced", "delivered")

    john, mary = message["deliveries"]
    assert (john["bounced"], john["verdict"]["failure_class"], john["verdict"]["kind"]) == (
        "immediate",
        "invalid_recipient",
        "hard",
    )
    assert john["attempts"][0]["stage"] == "rcpt_to"
    assert john["attempts"][0]["reply_code"] == 550
    assert mary["case"] is None

    [letter] = await story.world.mx("example.net").wait_for(JANET)
    text = plain_text(letter)
    above, _, below = text.partition("-" * 72)
    for word in ("Our call this morning", JOHN, "UTC", "no mailbox", "correct the address"):
        assert word in above
    assert "550" not in above
    assert "5.1.1" in below
    assert letter.addresses("From") == ["message-service@post.acme-mail.com"]
    assert TOKEN_SENDER.fullmatch(letter.envelope_sender or "")
    assert letter.headers["Auto-Submitted"] == "auto-generated"

    live = await crm.hears("notified", sent)
    assert (live["data"]["channel"], live["human_sender"]) == ("live", janet)
    assert JOHN in live["data"]["title"]

    async def heard() -> bool:
        return (await crm.message(sent))["deliveries"][0]["case"]["state"] == "notified"

    await until(heard)  # her mail host has the letter before our record has its answer


async def test_what_goes_out_is_honest_signed_and_unlike_for_each_recipient(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    to, blind = "mary@corp.com", "boss@other.org"
    story.world.mx("corp.com")
    story.world.mx("other.org")
    sent = await crm.send(JANET, to, bcc=[blind], html="<p>Hello</p>")
    await crm.becomes(sent, "delivered", "delivered")
    [for_mary] = story.world.inbox(to)
    [for_boss] = story.world.inbox(blind)
    assert for_mary.envelope_sender != for_boss.envelope_sender
    assert for_mary.headers["Message-ID"] == for_boss.headers["Message-ID"]
    assert for_mary.headers["Homing-Trace"] != for_boss.headers["Homing-Trace"]
    for mail in (for_mary, for_boss):
        assert TOKEN_SENDER.fullmatch(mail.envelope_sender or "")
        assert str(mail.headers["From"]) == '"Janet" <message-service@post.acme-mail.com>'
        assert mail.addresses("Reply-To") == [JANET]
        assert blind.encode() not in mail.content
        assert mail.envid is None or mail.envid
        assert mail.tls.startswith("TLSv1")
        [key] = story.app.keys.signing
        verified = verify(mail.content, lambda name, key=key: key.dns_record() if name == key.dns_name else None)
        assert verified.passed_for("post.acme-mail.com")


async def test_a_mail_that_was_accepted_comes_back_later(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    diagnostic = "smtp; 550 5.1.1 <john@corp.com>: unknown user"
    failure = Failure(final_recipient=JOHN, diagnostic_code=diagnostic)
    story.world.mx("corp.com")
    sent = await crm.send(JANET, JOHN)
    await crm.becomes(sent, "delivered")
    [mail] = story.world.inbox(JOHN)
    returned = bounce("mx.corp.com", str(mail.envelope_sender), mail.content, failure)
    assert (await story.world.writes(None, str(mail.envelope_sender), returned)).accepted
    message = await crm.becomes(sent, "bounced")
    [delivery] = message["deliveries"]
    assert delivery["bounced"] == "late"
    types = await crm.types_of(sent)
    assert types[:3] == ["queued", "delivered", "bounced"]
    [letter] = await story.world.mx("example.net").wait_for(JANET)
    assert "came back" in plain_text(letter).lower()
    bounced = await crm.hears("bounced", sent)
    assert bounced["data"]["late"] is True
    assert bounced["data"]["reporting_mta"] == "mx.corp.com"


async def test_janet_is_on_vacation_so_her_telephone_rings(story: Story) -> None:
    crm = await story.application()
    await crm.policy("urgent", {"kind": "letter"}, {"kind": "sms", "only_if_unheard": True})
    await crm.person("Janet Roe", JANET, phone="+442079460001")
    story.world.mx("example.net").is_out_of_office(JANET)
    story.world.mx("corp.com").refuses(JOHN)
    sent = await crm.send(JANET, JOHN, failure_policy="urgent")
    await crm.hears("fallback_sent", sent)
    [text] = await until(lambda: story.world.sms.inbox("+442079460001"))
    assert JOHN in text.text
    assert len(text.text) <= 160
    [delivery] = (await crm.message(sent))["deliveries"]
    assert [step["state"] for step in delivery["case"]["steps"]] == ["unheard", "heard"]
    assert "autoresponded" in [event["type"] for event in await crm.events()]
    told = await crm.hears("action_failed", sent)
    why = f"e-mail to {JANET}: a program answered it, out of office for example"
    assert (told["data"]["channel"], told["data"]["why"]) == ("letter", why)
    assert delivery["case"]["actions"][0]["result"] == why


async def test_the_page_says_why_a_letter_was_not_heard(tmp_path: Path) -> None:
    async with a_story(tmp_path, open_pages_here=True) as story:
        crm = await story.application()
        await crm.person("Janet Roe", JANET)
        story.world.mx("example.net").is_out_of_office(JANET)
        story.world.mx("acme-admin.com")
        story.world.mx("corp.com").refuses(JOHN)
        sent = await crm.send(JANET, JOHN)
        await crm.hears("action_failed", sent)
        page = (await story.http.get(f"/messages/{sent['id']}")).text
    why = f"e-mail to {JANET}: a program answered it, out of office for example"
    assert f'E-mail: reached nobody <span class="quiet">({why})</span>' in page
    assert f"Could not tell anybody by e-mail: {why}" in page


async def test_with_nobody_left_to_tell_the_failure_is_unheard_and_says_so(story: Story) -> None:
    crm = await story.application()
    await crm.policy("thin", {"kind": "letter"}, {"kind": "sms", "only_if_unheard": True})
    await crm.person("Janet Roe", JANET, phone="+442079460002")
    story.world.mx("example.net").refuses(JANET, "550 5.2.1 Mailbox disabled")
    story.world.sms.undelivered.add("+442079460002")
    story.world.mx("corp.com").refuses(JOHN)
    sent = await crm.send(JANET, JOHN, failure_policy="thin")
    await crm.hears("unheard", sent)
    [delivery] = (await crm.message(sent))["deliveries"]
    assert delivery["case"]["state"] == "unheard"
    assert [step["state"] for step in delivery["case"]["steps"]] == ["unheard", "unheard"]
    assert delivery["case"]["actions"][0]["result"] == f"e-mail to {JANET}: it bounced"
    letters = [one for one in await crm.events() if one["type"] == "opened_case"]
    assert len(letters) == 1, "a letter that bounces opens no case of its own"


async def test_the_administrator_is_told_when_the_letter_comes_to_nothing(story: Story) -> None:
    story.world.mx("acme-admin.com")
    crm = await story.application(administrator="boss@acme-admin.com")
    await story.proves("boss@acme-admin.com")
    await crm.person("Janet Roe", JANET)
    story.world.mx("example.net").refuses(JANET)
    story.world.mx("corp.com").refuses(JOHN)
    await crm.send(JANET, JOHN, subject="Quarterly figures")
    [letter] = await story.world.mx("acme-admin.com").wait_for("boss@acme-admin.com")
    text = plain_text(letter)
    assert "Quarterly figures" in text
    assert JANET in text


class _Hasty(Good):
    """Bounces at once, and says 250 only when it is told to."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def at_dot(self, mail: Mail, post: Outbound) -> Reply | None:
        await send_bounce(mail, post, Failure(final_recipient=mail.recipient))
        await self.go_on.wait()
        return QUEUED


async def test_a_bounce_can_outrun_its_own_250(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    hasty = _Hasty()
    story.world.mx("corp.com").behaves(JOHN, hasty)
    sent = await crm.send(JANET, JOHN)
    await crm.becomes(sent, "bounced")
    hasty.go_on.set()

    async def attempt_ended() -> bool:
        return bool((await crm.message(sent))["deliveries"][0]["attempts"][0]["ended_at"])

    await until(attempt_ended)
    message = await crm.message(sent)
    [delivery] = message["deliveries"]
    assert delivery["state"] == "bounced"
    assert delivery["attempts"][0]["reply_code"] == 250, "the 250 is kept on the attempt, and changes nothing"
    assert "delivered" not in [event["type"] for event in message["timeline"]]
    await story.world.mx("example.net").wait_for(JANET)


async def test_a_failure_behind_a_forwarder_is_not_ours_and_a_person_hears(story: Story) -> None:
    """The same name in a foreign domain is another address. The second message adds an event, and no second letter."""
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    home = story.world.mx("example.net")
    story.world.mx("corp.com").forwards(JOHN, "john@elsewhere.org")
    sent = await crm.send(JANET, JOHN)
    event = await crm.hears("forwarding_failed", sent)
    assert event["data"]["final_recipient"] == "john@elsewhere.org"
    assert "suppress" not in event["data"]
    [letter] = await home.wait_for(JANET)
    assert "behind this address it failed" in " ".join(plain_text(letter).split())
    [delivery] = (await crm.becomes(sent, "delivered"))["deliveries"]
    assert (delivery["case"]["kind"], delivery["case"]["failure"]) == ("forwarding_failure", None)
    again = await crm.send(JANET, JOHN)
    later = await crm.hears("forwarding_failed", again)
    assert later["data"]["case"] == delivery["case"]["id"]
    assert (await crm.becomes(again, "delivered"))["deliveries"][0]["case"] is None
    assert len(home.inbox(JANET)) == 1


async def test_what_failed_behind_a_forwarder_is_sent_to_another_address(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").forwards(JOHN, "gone@elsewhere.org")
    at_home = story.world.mx("home.org")
    sent = await crm.send(JANET, JOHN)
    [letter] = await story.world.mx("example.net").wait_for(JANET)
    assert "If you know another address of this person" in " ".join(plain_text(letter).split())
    link = story.link(letter, "/correct/")
    page = await story.http.get(link)
    assert page.status_code == 200
    assert "Send it to another address" in page.text
    assert "behind this address it failed" in page.text
    assert 'name="recipient" value=""' in page.text
    posted = await story.http.post(link, data={"recipient": "john@home.org"})
    assert "on its way to john@home.org" in posted.text
    [mail] = await at_home.wait_for("john@home.org")
    assert str(mail.headers["Subject"]) == "Your call"
    [delivery] = (await crm.becomes(sent, "delivered"))["deliveries"]
    assert delivery["case"]["state"] == "resolved"
    assert (await story.http.get(link)).text == posted.text


async def test_a_company_that_refuses_its_own_domain_from_outside_gets_its_mail(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", "janet@corp.com")
    story.world.mx("corp.com").refuses_own_domain()
    sent = await crm.send("janet@corp.com", JOHN)
    await crm.becomes(sent, "delivered")
    [mail] = story.world.inbox(JOHN)
    assert mail.addresses("Reply-To") == ["janet@corp.com"]
    impersonated = b"From: janet@corp.com\r\nTo: john@corp.com\r\nSubject: x\r\n\r\nx\r\n"
    refused = await story.world.writes("janet@corp.com", JOHN, impersonated)
    assert not refused.accepted, "the defence that impersonators made companies drop still stands"


async def test_a_domain_that_does_not_exist_is_told_with_the_one_that_was_meant(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    sent = await crm.send(JANET, "john@gmial.com")
    message = await crm.becomes(sent, "bounced")
    assert message["deliveries"][0]["verdict"]["failure_class"] == "invalid_domain"
    live = await crm.hears("notified", sent)
    assert live["data"]["suggestion"] == "john@gmail.com"


async def test_the_corrected_address_is_sent_to_once_from_the_link_in_the_letter(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    site = story.world.mx("corp.com").refuses("jonh@corp.com")
    sent = await crm.send(JANET, "jonh@corp.com", subject="The offer")
    await crm.becomes(sent, "bounced")
    [letter] = await story.world.mx("example.net").wait_for(JANET)
    link = story.link(letter, "/correct/")
    page = await story.http.get(link)
    assert page.status_code == 200
    assert "jonh@corp.com" in page.text
    assert site.mails == [], "looking changes nothing"
    for _ in range(2):
        pressed = await story.http.post(link, data={"recipient": JOHN})
        assert pressed.status_code == 200, pressed.text
    [mail] = await site.wait_for(JOHN)
    assert mail.addresses("To") == [JOHN]
    [delivery] = (await crm.message(sent))["deliveries"]
    assert delivery["case"]["state"] == "resolved"
    assert (await crm.types_of(sent)).count("resent") == 1
    assert len(site.inbox(JOHN)) == 1


async def test_a_link_that_outlives_the_message_says_so(story: Story) -> None:
    """A letter of a late bounce, read when what the message said is erased: nobody is asked for an address in vain."""
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    site = story.world.mx("corp.com")
    sent = await crm.send(JANET, JOHN)
    await crm.becomes(sent, "delivered")
    [mail] = site.inbox(JOHN)
    story.clock.advance(timedelta(days=20))
    returned = bounce("mx.corp.com", str(mail.envelope_sender), mail.content, Failure(final_recipient=JOHN))
    assert (await story.world.writes(None, str(mail.envelope_sender), returned)).accepted
    await crm.becomes(sent, "bounced")
    [letter] = await story.world.mx("example.net").wait_for(JANET)
    link = story.link(letter, "/correct/")
    story.clock.advance(timedelta(days=20))
    assert (await story.http.get(link)).status_code == 200
    await story.app.tidier.forget()
    for page in (await story.http.get(link), await story.http.post(link, data={"recipient": JOHN})):
        assert page.status_code == 410
        assert "no longer kept" in page.text
        assert JOHN in page.text
        assert "<form" not in page.text
    assert len(site.inbox(JOHN)) == 1


async def test_greylisting_costs_patience_and_nothing_else(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").greylists()
    sent = await crm.send(JANET, JOHN)
    await crm.becomes(sent, "deferred")
    story.advance(minutes=2)
    message = await crm.becomes(sent, "delivered")
    first, second = message["deliveries"][0]["attempts"]
    assert (first["reply_code"], second["reply_code"]) == (450, 250)
    assert len(story.world.inbox(JOHN)) == 1


async def test_nobody_answers_for_five_days(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").is_full(JOHN)
    sent = await crm.send(JANET, JOHN)
    await crm.becomes(sent, "deferred")
    story.advance(days=6)
    message = await crm.becomes(sent, "expired")
    assert message["deliveries"][0]["verdict"]["failure_class"] == "mailbox_full"
    [letter] = await story.world.mx("example.net").wait_for(JANET)
    assert "full" in plain_text(letter)


async def test_a_server_that_takes_the_message_and_hangs_up_leaves_a_doubt_that_is_told(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").closes_after_dot(JOHN, times=99)
    sent = await crm.send(JANET, JOHN)
    message = await crm.becomes(sent, "deferred")
    [delivery] = message["deliveries"]
    assert delivery["possibly_delivered"] is True
    assert delivery["attempts"][0]["in_doubt"] is True
    story.advance(days=6)
    await crm.becomes(sent, "expired")
    [letter] = await story.world.mx("example.net").wait_for(JANET)
    assert "Your message may not have arrived." in " ".join(plain_text(letter).split())


async def test_every_attempt_sends_the_same_bytes(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").is_slow(JOHN, 0.2)
    sent = await crm.send(JANET, JOHN)
    await crm.becomes(sent, "delivered")
    first = story.world.inbox(JOHN)[0]
    # As after a crash that lost the result: the delivery is due once more.
    again = tables.delivery.update().values(state="deferred", next_attempt_at=story.clock(), queue=None)
    await story.app.database.write(lambda conn: conn.execute(again.where(tables.delivery.c.recipient == JOHN)).rowcount)
    story.advance(hours=3)
    second = (await story.world.mx("corp.com").wait_for(JOHN, 2))[1]
    assert first.content == second.content
    assert first.envelope_sender == second.envelope_sender


@pytest.mark.parametrize("when", ["hold", "act"])
async def test_a_policy_may_hold_back_where_the_mail_may_have_arrived(story: Story, when: str) -> None:
    crm = await story.application()
    await crm.policy("careful", {"kind": "letter", "when_possibly_delivered": when})
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com").closes_after_dot(JOHN, times=99)
    sent = await crm.send(JANET, JOHN, failure_policy="careful")
    await crm.becomes(sent, "deferred")
    story.clock.advance(timedelta(days=6))
    await crm.becomes(sent, "expired")
    if when == "hold":
        await crm.hears("unheard", sent)
        assert story.world.inbox(JANET) == []
    else:
        [letter] = await story.world.mx("example.net").wait_for(JANET)
        assert "may not have arrived" not in " ".join(plain_text(letter).split())
