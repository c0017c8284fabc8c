"""What comes in is held against SPF, DKIM and DMARC: evidence, and never in the way."""

import sqlalchemy as sa

from homing.lab.dns import Failing
from homing.lab.returned_mail import Failure, bounce, human_reply
from homing.mail.dkim import SigningKey, sign
from homing.store import inbound

from .gateway import Application, Story, until

JANET, JOHN = "janet@example.net", "john@corp.com"
HEADER_FROM = "message-service@post.acme-mail.com"


async def _sent_to_john(story: Story) -> tuple[Application, dict[str, object]]:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    story.world.mx("corp.com")
    sent = await crm.send(JANET, JOHN)
    await crm.becomes(sent, "delivered")
    return crm, sent


def _newest(conn: sa.Connection) -> inbound.Inbound:
    newest = inbound.get(conn, inbound.list_page(conn, limit=1).lines[0].id)
    assert newest is not None
    return newest


async def _kept(story: Story) -> inbound.Inbound:
    """The newest mail that was worked on."""

    async def there() -> inbound.Inbound | None:
        newest = await story.app.database.read(_newest)
        return newest if newest.state is inbound.InboundState.DONE else None

    found: inbound.Inbound = await until(there)
    return found


async def test_a_bounce_says_whether_its_host_may_speak_for_its_domain(story: Story) -> None:
    crm, sent = await _sent_to_john(story)
    [mail] = story.world.inbox(JOHN)
    story.world.dns.publish("mx.late.org", "A 127.0.0.1", 'TXT "v=spf1 a -all"')
    story.world.dns.publish_text("_dmarc.late.org", "v=DMARC1; p=reject")
    returned = bounce("mx.late.org", mail.envelope_sender or "", mail.content, Failure(final_recipient=JOHN))
    await story.world.writes("x@late.org", mail.envelope_sender or "", returned)
    await crm.becomes(sent, "bounced")
    bounced = await crm.hears("bounced", sent)
    assert bounced["data"]["authentication"] == "spf=none(late.org) dkim=none dmarc=fail(mx.late.org)"

    story.world.dns.publish("late.org", 'TXT "v=spf1 include:mx.late.org -all"')
    await story.world.writes("x@late.org", mail.envelope_sender or "", returned)

    async def twice() -> bool:
        return (await crm.types_of(sent)).count("bounced") == 2

    await until(twice)
    authentication = (await _kept(story)).authentication
    assert authentication is not None
    assert authentication.summary == "spf=pass(late.org) dkim=none dmarc=pass(mx.late.org)"
    assert authentication.spf.term == "include:mx.late.org"
    assert authentication.dmarc is not None
    assert authentication.dmarc.tree_walk.organizational_domain == "late.org"


async def test_a_persons_reply_is_verified_with_the_key_of_his_domain(story: Story) -> None:
    await _sent_to_john(story)
    [mail] = story.world.inbox(JOHN)
    key = SigningKey.generate("corp.com", "k1")
    story.world.dns.publish("corp.com", "MX 10 mx.corp.com", 'TXT "v=spf1 ip4:192.0.2.1 -all"')
    story.world.dns.publish_text(key.dns_name, key.dns_record())
    story.world.dns.publish_text("_dmarc.corp.com", "v=DMARC1; p=reject; aspf=s")
    reply = human_reply(JOHN, HEADER_FROM, mail.content, "Thank you!")
    now = int(story.clock().timestamp())
    signature = sign(reply, key, now, now + 3600)
    for content, dkim, dmarc in (
        (signature + reply, "pass(corp.com)", "pass"),
        (signature + reply + b"P.S. My account has changed.\r\n", "fail", "fail"),
    ):
        assert (await story.world.writes(JOHN, HEADER_FROM, content)).accepted
        authentication = (await _kept(story)).authentication
        assert authentication is not None
        assert authentication.summary == f"spf=fail(corp.com) dkim={dkim} dmarc={dmarc}(corp.com)"


async def test_dns_that_is_silent_keeps_no_bounce_waiting(story: Story) -> None:
    crm, sent = await _sent_to_john(story)
    [mail] = story.world.inbox(JOHN)
    story.app.receiver.inbound_authentication.patience = 0.2
    story.world.dns.failing["stranger.net"] = Failing.TIMEOUT
    returned = bounce("mx.stranger.net", mail.envelope_sender or "", mail.content, Failure(final_recipient=JOHN))
    await story.world.writes(None, mail.envelope_sender or "", returned)
    await crm.becomes(sent, "bounced")
    bounced = await crm.hears("bounced", sent)
    assert bounced["data"]["authentication"] == (
        "spf=temperror(mx.stranger.net) dkim=none dmarc=temperror(mx.stranger.net)"
    )


async def test_where_the_two_methods_of_dmarc_differ_both_are_told(story: Story) -> None:
    """A sibling of the From domain as return path: aligned by the public suffix list, not by the tree walk."""
    crm, sent = await _sent_to_john(story)
    [mail] = story.world.inbox(JOHN)
    story.world.dns.publish("notes.late.org", 'TXT "v=spf1 ip4:127.0.0.1 -all"')
    story.world.dns.publish_text("_dmarc.post.late.org", "v=DMARC1; p=reject")
    returned = bounce("post.late.org", mail.envelope_sender or "", mail.content, Failure(final_recipient=JOHN))
    await story.world.writes("x@notes.late.org", mail.envelope_sender or "", returned)
    bounced = await crm.hears("bounced", sent)
    assert bounced["data"]["authentication"] == "spf=pass(notes.late.org) dkim=none dmarc=fail/pass(post.late.org)"
