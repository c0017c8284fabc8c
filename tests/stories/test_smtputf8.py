"""An address with letters beyond ASCII among the recipients (RFC 6531): it is nobody's trouble but its own."""

import email
import email.policy

from homing.lab.mx import Site
from homing.mail.smtp_client import Silence

from .gateway import Application, Story, plain_text, until
from .zones import signatures

JANET = "janet@example.net"
JOHN, JILL = "john@odd.com", "jill@utf.com"
JOERG, JOSE = "jörg@utf.com", "josé@odd.com"
OFFERED_NOT = Silence.SMTPUTF8_NOT_OFFERED.value.replace("_", "-")


async def _janets(story: Story) -> tuple[Application, Site, Site]:
    """Her application; the server of odd.com does not offer SMTPUTF8, that of utf.com does."""
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    return crm, story.world.lacks("odd.com", "SMTPUTF8"), story.world.mx("utf.com")


async def test_who_needs_no_smtputf8_gets_a_copy_that_needs_none(story: Story) -> None:
    crm, odd, utf = await _janets(story)
    to = [JOHN, {"name": "Jörg Voß", "address": JOERG}, {"name": "Jo", "address": "jo@bücher.example"}]
    story.world.mx("xn--bcher-kva.example")
    sent = await crm.send(JANET, *to, cc=[JOSE], bcc=[JILL], text="Grüße von Janet")
    await crm.becomes(sent, "delivered", "delivered", "delivered", "bounced", "delivered")

    [johns], [jills], [joergs] = odd.inbox(JOHN), utf.inbox(JILL), utf.inbox(JOERG)
    for mail in (johns, jills):
        assert mail.content.isascii()
        header = email.message_from_bytes(mail.content, policy=email.policy.default)
        assert [str(one) for one in header["To"].addresses] == [JOHN, "Jo <jo@xn--bcher-kva.example>"]
        assert [group.display_name for group in header["To"].groups] == [None, "Jörg Voß", None]
        assert [(group.display_name, group.addresses) for group in header["Cc"].groups] == [(JOSE, ())]
    assert f"<{JOERG}>".encode() in joergs.content
    assert f"Cc: {JOSE}\r\n".encode() in joergs.content
    for mail in (johns, jills, joergs):
        assert [result for *_, result in await signatures(story, mail)] == ["pass"]
        assert plain_text(mail) == "Grüße von Janet\r\n"

    [failed] = [one for one in (await crm.message(sent))["deliveries"] if one["state"] == "bounced"]
    assert (failed["recipient"], failed["verdict"]["rule"]) == (JOSE, OFFERED_NOT)
    [letter] = await story.world.mx("example.net").wait_for(JANET)
    assert "letters beyond a to z" in plain_text(letter)


async def test_answers_to_such_a_copy_and_its_bounces_come_home(story: Story) -> None:
    crm, odd, _ = await _janets(story)
    odd.replies(JOHN, "Thank you both.")
    sent = await crm.send(JANET, JOHN, JOERG)
    await crm.becomes(sent, "delivered", "delivered")
    [answer] = await story.world.mx("example.net").wait_for(JANET)
    assert answer.envelope_sender == JOHN
    assert "Thank you both." in plain_text(answer)
    assert odd.inbox(JOHN)[0].addresses("To") == [JOHN], "an answer to all goes to those whom he can write to"

    odd.bounces_later(JOHN)
    again = await crm.send(JANET, JOHN, JOERG)
    await crm.becomes(again, "bounced", "delivered")


async def test_every_attempt_sends_the_same_copy(story: Story) -> None:
    crm, odd, _ = await _janets(story)
    odd.closes_after_dot(JOHN)
    sent = await crm.send(JANET, JOHN, JOERG)
    await crm.becomes(sent, "deferred", "delivered")
    story.advance(hours=1)

    async def delivered() -> bool:
        return await crm.states(sent) == ["delivered", "delivered"]

    await until(delivered)
    assert len({mail.content for mail in odd.inbox(JOHN)}) == 1


async def test_a_correction_sends_the_address_that_needs_none_a_copy_that_needs_none(story: Story) -> None:
    crm, odd, _ = await _janets(story)
    sent = await crm.send(JANET, JOSE, cc=[JOERG])
    message = await crm.becomes(sent, "bounced", "delivered")
    [failed] = [one for one in message["deliveries"] if one["state"] == "bounced"]
    right = await crm.call("POST", f"/v1/deliveries/{failed['id']}/resend", {"recipient": JOHN})
    assert right.status_code == 202, right.text
    [mail] = await odd.wait_for(JOHN)
    assert mail.content.isascii()
    assert mail.addresses("To") == [JOHN]


async def test_a_person_with_such_an_address_is_never_named_raw_to_a_server_that_cannot_take_it(story: Story) -> None:
    """Reply-To is his, and nobody could answer him without it."""
    crm, odd, utf = await _janets(story)
    await crm.person("Jörg Voß", JOERG)
    sent = await crm.send(JOERG, JOHN, JILL)
    await crm.becomes(sent, "bounced", "delivered")
    assert odd.inbox(JOHN) == []
    [jills] = utf.inbox(JILL)
    assert f"Reply-To: {JOERG}\r\n".encode() in jills.content
    failed, _ = (await crm.message(sent))["deliveries"]
    assert failed["verdict"]["rule"] == OFFERED_NOT
