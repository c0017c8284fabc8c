"""Each behaviour of the lab's mail hosts, seen from outside over real SMTP on loopback."""

import asyncio
import json
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from homing.lab.behaviour import Mail
from homing.lab.dns import Failing
from homing.lab.mx import MxHost, Site
from homing.lab.returned_mail import Failure
from homing.lab.world import World
from homing.loop.evidence import RouteFault, Unroutable
from homing.mail.reply import Stage
from homing.net.dns import AS_PUBLISHED, Resolver
from homing.net.route import Route, Router
from homing.net.smtp_client import Envelope, SmtpClient, Transcript
from tests.patience import PATIENCE

TOKEN = "b+token@b.post.acme-mail.com"
MESSAGE = (
    b'From: "Joe Bloggs" <message-service@post.acme-mail.com>\r\nReply-To: joe@bloggs.org\r\nTo: john@corp.com\r\n'
    b"Subject: Call me\r\nMessage-ID: <m1@post.acme-mail.com>\r\n\r\nPlease call me.\r\n"
)


class Gateway:
    """The world as the gateway sees it: sends with its own client, and hears at its own MX door."""

    def __init__(self, world: World, heard: Site) -> None:
        self.world = world
        self.heard = heard
        resolver = Resolver(world.dns.servers, keep=AS_PUBLISHED, timeout=5)
        self.router = Router(resolver, world.smtp_port, allow_private=True, keep=0)
        self.client = SmtpClient("mx.post.acme-mail.com")

    async def send(self, recipient: str, content: bytes = MESSAGE, envelope_sender: str | None = TOKEN) -> Transcript:
        way = await self.router.route(recipient.rpartition("@")[2])
        assert isinstance(way, Route)
        connection = await self.client.acquire(way.hosts[0])
        assert not isinstance(connection, Transcript)
        return await connection.send(Envelope(envelope_sender=envelope_sender, recipient=recipient, content=content))

    async def comes_back(self, count: int = 1) -> Mail:
        return (await self.heard.wait_for(TOKEN, count, PATIENCE))[-1]


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with World("acme-mail.com") as world:
        heard = Site("b.post.acme-mail.com")
        door = MxHost("127.0.0.1", world.post, hostname="mx.post.acme-mail.com", site=heard)
        world.gateway_is_at("127.0.0.1", await door.start(0, None))
        gateway = Gateway(world, heard)
        yield gateway
        await gateway.client.close()
        await door.close()


def ending(transcript: Transcript) -> tuple[Stage, str]:
    return transcript.stage, str(transcript.reply or transcript.silence)


def report_of(mail: Mail) -> dict[str, str]:
    """The fields of the machine-readable part, as the standard library reads it."""
    message = message_from_bytes(mail.content)
    assert message.get_content_type() == "multipart/report"
    parts = message.get_payload()
    assert isinstance(parts, list)
    blocks = parts[1].get_payload()
    assert isinstance(blocks, list)
    return {name: value for block in blocks if isinstance(block, Message) for name, value in block.items()}


async def test_good(gateway: Gateway) -> None:
    gateway.world.mx("corp.com")
    assert ending(await gateway.send("john@corp.com")) == (Stage.DOT, "250 2.0.0 Ok: queued")
    (mail,) = gateway.world.inbox("john@corp.com")
    assert (mail.envelope_sender, mail.content, mail.hostname) == (TOKEN, MESSAGE, "mx.corp.com")
    assert mail.helo == "mx.post.acme-mail.com"
    assert mail.tls.startswith("TLSv1.")
    assert mail.addresses("Reply-To") == ["joe@bloggs.org"]


REFUSALS = [
    ("550 5.1.1 No such user", lambda site, reply: site.refuses("john@corp.com", reply), Stage.RCPT_TO),
    (
        "552 5.2.2 Mailbox is over its quota",
        lambda site, _: site.is_full("john@corp.com", permanent=True),
        Stage.RCPT_TO,
    ),
    ("452 4.2.2 Mailbox is over its quota", lambda site, _: site.is_full("john@corp.com"), Stage.RCPT_TO),
    ("421 4.3.2 Closing", lambda site, reply: site.refuses("john@corp.com", reply), Stage.RCPT_TO),
    ("554 5.7.1 Spam", lambda site, reply: site.refuses_content("john@corp.com", reply), Stage.DOT),
]


@pytest.mark.parametrize(("reply", "set_up", "stage"), REFUSALS)
async def test_refusals(gateway: Gateway, reply: str, set_up, stage: Stage) -> None:  # type: ignore[no-untyped-def]
    site = set_up(gateway.world.mx("corp.com"), reply)
    assert ending(await gateway.send("John@corp.com")) == (stage, reply)
    assert ending(await gateway.send("jane@corp.com")) == (Stage.DOT, "250 2.0.0 Ok: queued")
    assert site.inbox("john@corp.com") == []
    site.accepts_all()
    assert ending(await gateway.send("john@corp.com"))[0] is Stage.DOT


async def test_a_whole_domain_refuses(gateway: Gateway) -> None:
    gateway.world.mx("corp.com").refuses(None, "550 5.7.1 Go away")
    assert ending(await gateway.send("anybody@corp.com")) == (Stage.RCPT_TO, "550 5.7.1 Go away")


async def test_greylisting_takes_the_second_try(gateway: Gateway) -> None:
    gateway.world.mx("corp.com").greylists()
    for recipient in ("john@corp.com", "jane@corp.com"):
        assert ending(await gateway.send(recipient))[1].startswith("450 4.2.0")
        assert ending(await gateway.send(recipient))[1].startswith("250 ")


async def test_a_late_bounce_is_a_genuine_one(gateway: Gateway) -> None:
    gateway.world.mx("corp.com").bounces_later("john@corp.com")
    assert ending(await gateway.send("john@corp.com"))[0] is Stage.DOT
    back = await gateway.comes_back()
    assert (back.envelope_sender, back.helo) == (None, "mx.corp.com")
    fields = report_of(back)
    assert fields["Reporting-MTA"] == "dns; mx.corp.com"
    assert fields["Final-Recipient"] == "rfc822; john@corp.com"
    assert (fields["Action"], fields["Status"]) == ("failed", "5.1.1")
    assert b"Message-ID: <m1@post.acme-mail.com>" in back.content
    assert b"Please call me." not in back.content
    assert back.headers["Auto-Submitted"] == "auto-replied"


async def test_a_bounce_says_what_it_is_told_to_say(gateway: Gateway) -> None:
    failure = Failure(
        final_recipient="john@inside.corp.com",
        status="5.2.2",
        diagnostic_code="smtp; 552 5.2.2 Over quota",
        original_recipient="john@corp.com",
        original_envelope_id="msg_1",
    )
    gateway.world.mx("corp.com").bounces_later("john@corp.com", failure, delay=0)
    await gateway.send("john@corp.com")
    back = await gateway.comes_back()
    fields = report_of(back)
    assert (fields["Status"], fields["Diagnostic-Code"]) == ("5.2.2", "smtp; 552 5.2.2 Over quota")
    assert fields["Original-Recipient"] == "rfc822;john@corp.com"
    assert fields["Original-Envelope-Id"] == "msg_1"
    assert b"<john@inside.corp.com>: 552 5.2.2 Over quota" in back.content


async def test_a_bounce_before_its_own_250(gateway: Gateway) -> None:
    gateway.world.mx("corp.com").bounces_before_its_250("john@corp.com")
    sent = await gateway.send("john@corp.com")
    assert len(gateway.heard.mails) == 1, "it was there when the 250 came"
    assert ending(sent)[0] is Stage.DOT
    assert report_of(gateway.heard.mails[0])["Final-Recipient"] == "rfc822; john@corp.com"


async def test_no_bounce_of_a_bounce(gateway: Gateway) -> None:
    gateway.world.mx("corp.com").bounces_before_its_250("john@corp.com")
    assert ending(await gateway.send("john@corp.com", envelope_sender=None))[1].startswith("250 ")
    assert gateway.heard.mails == []


async def test_own_domain_refusing(gateway: Gateway) -> None:
    site = gateway.world.mx("corp.com").refuses_own_domain()
    stage, reply = ending(await gateway.send("john@corp.com", envelope_sender="janet@corp.com"))
    assert (stage, reply[:9]) == (Stage.MAIL_FROM, "550 5.7.1")
    forged = MESSAGE.replace(b"message-service@post.acme-mail.com", b"janet@corp.com")
    stage, reply = ending(await gateway.send("john@corp.com", forged))
    assert (stage, reply[:9]) == (Stage.DOT, "550 5.7.1")
    assert ending(await gateway.send("john@corp.com"))[1].startswith("250 ")
    assert len(site.mails) == 1


async def test_out_of_office(gateway: Gateway) -> None:
    gateway.world.mx("corp.com").is_out_of_office("john@corp.com", "Back on Monday.")
    await gateway.send("john@corp.com")
    back = await gateway.comes_back()
    assert back.envelope_sender is None
    assert back.headers["Auto-Submitted"] == "auto-replied"
    assert back.headers["In-Reply-To"] == "<m1@post.acme-mail.com>"
    assert b"Back on Monday." in back.content


async def test_a_forwarding_names_a_stranger(gateway: Gateway) -> None:
    gateway.world.mx("corp.com").forwards("john@corp.com", "john.private@elsewhere.net")
    await gateway.send("john@corp.com")
    fields = report_of(await gateway.comes_back())
    assert fields["Final-Recipient"] == "rfc822; john.private@elsewhere.net"
    assert fields["Remote-MTA"] == "dns; mx.elsewhere.net"


async def test_people_reply_where_they_should_or_where_they_should_not(gateway: Gateway) -> None:
    gateway.world.mx("corp.com").replies("good@corp.com").replies_to_from("bad@corp.com", "Oh!")
    bloggs = gateway.world.mx("bloggs.org")
    await gateway.send("good@corp.com")
    (reply,) = await bloggs.wait_for("joe@bloggs.org")
    assert (reply.envelope_sender, reply.headers["Subject"]) == ("good@corp.com", "Re: Call me")
    assert reply.headers["References"] == "<m1@post.acme-mail.com>"
    assert "Auto-Submitted" not in reply.headers
    gateway.heard.domain = "post.acme-mail.com"
    await gateway.send("bad@corp.com")
    (oops,) = await gateway.heard.wait_for("message-service@post.acme-mail.com")
    assert oops.envelope_sender == "bad@corp.com"


async def test_slow_and_closing(gateway: Gateway) -> None:
    site = gateway.world.mx("corp.com").is_slow("slow@corp.com", 0.3).closes_after_dot("gone@corp.com")
    started = asyncio.get_running_loop().time()
    assert ending(await gateway.send("slow@corp.com"))[1].startswith("250 ")
    assert asyncio.get_running_loop().time() - started >= 0.3
    assert ending(await gateway.send("gone@corp.com")) == (Stage.DOT, "closed")
    assert site.inbox("gone@corp.com") == []
    assert ending(await gateway.send("gone@corp.com"))[1].startswith("250 ")


async def test_a_host_takes_mail_for_its_own_domain_only(gateway: Gateway) -> None:
    gateway.world.mx("corp.com")
    gateway.world.dns.publish("other.org", "MX 10 mx.corp.com")
    assert ending(await gateway.send("x@other.org")) == (Stage.RCPT_TO, "550 5.7.1 Relaying denied")


async def test_each_domain_has_a_host_of_its_own(gateway: Gateway) -> None:
    for domain in ("corp.com", "school.net", "club.org"):
        gateway.world.mx(domain)
        await gateway.send(f"x@{domain}")
    hosts = {mail.hostname for site in gateway.world.sites for mail in site.mails}
    assert hosts == {"mx.corp.com", "mx.school.net", "mx.club.org"}
    assert gateway.world.mx("CORP.com") is gateway.world.mx("corp.com")
    with pytest.raises(ValueError, match="only 16"):
        [gateway.world.mx(f"d{number}.com") for number in range(17)]


async def test_names_fail_as_told(gateway: Gateway) -> None:
    gateway.world.dns.failing["down.com"] = Failing.SERVFAIL
    for domain, fault in (("nosuch.com", RouteFault.NO_SUCH_DOMAIN), ("down.com", RouteFault.LOOKUP_FAILED)):
        way = await gateway.router.route(domain)
        assert isinstance(way, Unroutable)
        assert way.fault is fault


async def test_somebody_out_there_writes(gateway: Gateway) -> None:
    sent = await gateway.world.writes("john@corp.com", TOKEN, MESSAGE)
    assert sent.accepted
    assert gateway.heard.inbox(TOKEN)[0].helo == "mx.corp.com"
    refused = await gateway.world.writes(None, "nobody@elsewhere.net", MESSAGE)
    assert not refused.accepted
    assert isinstance(refused.end, Unroutable)


async def test_a_journal_is_kept(tmp_path: Path) -> None:
    async with World(journal=tmp_path / "journal.jsonl", hosts=2, tls=False) as world:
        world.mx("corp.com")
        await world.writes("janet@school.net", "john@corp.com", MESSAGE)
        assert world.inbox("john@corp.com")[0].tls == ""
    (line,) = (tmp_path / "journal.jsonl").read_text().splitlines()
    read = json.loads(line)
    assert (read["recipient"], read["message_id"]) == ("john@corp.com", "<m1@post.acme-mail.com>")
    assert read["content"].encode("latin-1") == MESSAGE


async def test_the_gateways_key_can_be_looked_up(gateway: Gateway) -> None:
    record = "v=DKIM1; k=rsa; p=" + "A" * 392
    gateway.world.publish_key("h1", record)
    answer = await Resolver(gateway.world.dns.servers).txt("h1._domainkey.post.acme-mail.com")
    assert getattr(answer, "records", ()) == (record,)


async def test_a_wildcard_stands_for_what_does_not_exist_below_it(gateway: Gateway) -> None:
    world = gateway.world
    world.dns.publish("*.k1.dkim.acme.com", 'TXT "for all"')
    world.dns.publish("mine.k1.dkim.acme.com", 'TXT "for one"')
    world.dns.publish("deep.branch.k1.dkim.acme.com", 'TXT "deep"')
    resolver = Resolver(world.dns.servers, keep=AS_PUBLISHED, timeout=5)
    told = {}
    for name in ("any", "a.b", "mine", "below.mine", "branch", "other.branch"):
        answer = await resolver.txt(f"{name}.k1.dkim.acme.com")
        told[name] = getattr(answer, "records", type(answer).__name__)
    assert told == {
        "any": ("for all",),
        "a.b": ("for all",),
        "mine": ("for one",),
        "below.mine": "NoSuchName",
        "branch": "NoData",
        "other.branch": "NoSuchName",
    }
