"""What SPF, DKIM and DMARC say of a mail that came in: asked of the DNS, never waited for, and no refusal."""

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from homing.flow.authenticate_inbound import InboundAuthentication
from homing.lab.dns import DnsServer, Failing
from homing.loop.model import InboundId
from homing.mail.dkim import SigningKey, sign
from homing.net.dns import AS_PUBLISHED, Resolver
from homing.store.inbound import Inbound, InboundState
from tests.flow.deliver.scene import Clock
from tests.patience import PATIENCE
from tests.silent_dns import has_free_places, patient
from tests.store.scenes import NOW, fresh

CORP = "corp.example"
KEY = SigningKey.generate_ed25519(CORP, "k1")
MAIL = f"From: John <john@{CORP}>\r\nTo: joe@bloggs.example\r\nSubject: Re: Your call\r\n\r\nThank you!\r\n".encode()
HOST = "127.0.7.1"


@pytest.fixture
def authentication(dns: DnsServer, clock: Clock, tmp_path: Path) -> InboundAuthentication:
    """Where the domain corp.example has published all three."""
    dns.publish(CORP, f'TXT "v=spf1 ip4:{HOST} -all"')
    dns.publish_text(KEY.dns_name, KEY.dns_record())
    dns.publish_text(f"_dmarc.{CORP}", "v=DMARC1; p=reject")
    resolver = Resolver(dns.servers, keep=AS_PUBLISHED, timeout=5, allow_private=True)
    return InboundAuthentication(
        resolver=resolver, suffix_of=_last_label, clock=clock, spool=tmp_path, patience=PATIENCE
    )


def _last_label(name: str) -> str:
    return name.rpartition(".")[2]


def a_mail(raw: bytes | None = MAIL, ip: str = HOST, spool: str | None = None) -> Inbound:
    return Inbound(
        id=InboundId(fresh()),
        received_at=NOW,
        envelope_sender=f"john@{CORP}",
        recipient="message-service@post.example",
        purpose="header_from",
        organization=None,
        delivery=None,
        ip=ip,
        helo=f"mx.{CORP}",
        tls="",
        size=len(raw or b""),
        flags=frozenset(),
        raw=raw,
        spool=spool,
        state=InboundState.WORKING,
        what=None,
        verdict=None,
        authentication=None,
        tries=1,
        erase_at=None,
    )


def signed(raw: bytes = MAIL) -> bytes:
    moment = int(NOW.timestamp())
    return sign(raw, KEY, moment, moment + 3600) + raw


Change = Callable[[DnsServer], object]


def nothing(dns: DnsServer) -> None:
    pass


def silent(name: str) -> Change:
    return lambda dns: dns.failing.update({name: Failing.SERVFAIL})


CASES: dict[str, tuple[Inbound, Change, str]] = {
    "all is well": (a_mail(signed()), nothing, "spf=pass dkim=pass(corp.example) dmarc=pass"),
    "another host, unsigned": (a_mail(ip="127.0.7.2"), nothing, "spf=fail dkim=none dmarc=fail"),
    "another host, signed": (a_mail(signed(), "127.0.7.2"), nothing, "spf=fail dkim=pass(corp.example) dmarc=pass"),
    "changed on its way": (a_mail(signed() + b"P.S.\r\n", "127.0.7.2"), nothing, "spf=fail dkim=fail dmarc=fail"),
    "no record at all": (a_mail(), lambda dns: dns.zones.clear(), "spf=none dkim=none dmarc=none"),
    "no address of the client": (a_mail(signed(), ip=""), nothing, "spf=none dkim=pass(corp.example) dmarc=pass"),
    "the DNS fails": (a_mail(signed()), silent(CORP), "spf=temperror dkim=temperror dmarc=temperror"),
    "the key cannot be had": (
        a_mail(signed(), "127.0.7.2"),
        silent(KEY.dns_name),
        "spf=fail dkim=temperror dmarc=temperror",
    ),
    "the policy cannot be had": (
        a_mail(signed()),
        silent(f"_dmarc.{CORP}"),
        "spf=pass dkim=pass(corp.example) dmarc=temperror",
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_what_the_three_say_and_silence_is_never_a_fail(
    authentication: InboundAuthentication, dns: DnsServer, case: str
) -> None:
    mail, change, expected = CASES[case]
    change(dns)
    found = (await authentication.authenticate(mail)).summary
    assert _without(found, f"({CORP})", keep="dkim=pass") == expected


def _without(summary: str, domain: str, keep: str) -> str:
    return " ".join(word if word.startswith(keep) else word.removesuffix(domain) for word in summary.split())


async def test_no_from_no_dmarc(authentication: InboundAuthentication, dns: DnsServer) -> None:
    """Nobody is asked about a domain that the mail does not clearly name."""
    two = MAIL.replace(b"From: ", b"From: Jack <jack@other.example>, ", 1)
    found = await authentication.authenticate(a_mail(two))
    assert found.dmarc is None
    assert not {name for name, _ in dns.asked if name.startswith("_dmarc")}


async def test_a_silent_dns_is_given_up_after_the_patience_and_is_a_temporary_error(
    authentication: InboundAuthentication, dns: DnsServer
) -> None:
    """One question to this resolver would take a minute, and each domain needs several."""
    dns.failing["example"] = Failing.TIMEOUT
    authentication.resolver = Resolver(dns.servers, keep=AS_PUBLISHED, timeout=2 * PATIENCE)
    authentication.patience = 0.1
    async with asyncio.timeout(PATIENCE):
        found = await authentication.authenticate(a_mail(signed()))
    assert _without(found.summary, f"({CORP})", "dkim=pass") == "spf=temperror dkim=temperror dmarc=temperror"


async def test_what_a_mail_has_not_heard_in_time_is_left_off(
    authentication: InboundAuthentication, dns: DnsServer
) -> None:
    authentication.resolver = resolver = patient(dns, 2)
    authentication.patience = 0.1
    dns.failing["example"] = Failing.TIMEOUT
    await authentication.authenticate(a_mail(signed()))
    assert await has_free_places(dns, resolver)


def test_the_patience_of_a_gateway_is_a_few_seconds() -> None:
    [patience] = [one.default for one in dataclasses.fields(InboundAuthentication) if one.name == "patience"]
    assert 0 < patience <= 3


async def test_all_of_a_large_mail_is_judged_and_not_the_part_that_the_store_keeps(
    authentication: InboundAuthentication, tmp_path: Path
) -> None:
    whole = signed(MAIL + b"x" * 100 + b"\r\n")
    spool = tmp_path / "spooled"
    spool.write_bytes(whole)
    mail = a_mail(whole[:-50], spool=spool.name)
    assert (await authentication.authenticate(mail)).dkim.passed
    spool.unlink()
    found = await authentication.authenticate(mail)
    assert not found.dkim.passed
    assert found.spf.result == "pass", "the rest is judged all the same"


async def test_a_signature_is_judged_at_the_gateways_time(authentication: InboundAuthentication, clock: Clock) -> None:
    assert (await authentication.authenticate(a_mail(signed()))).dkim.passed
    clock.now = NOW + timedelta(hours=2)
    assert not (await authentication.authenticate(a_mail(signed()))).dkim.passed


async def test_a_mail_whose_bytes_are_erased_breaks_nothing(authentication: InboundAuthentication) -> None:
    found = await authentication.authenticate(a_mail(raw=None))
    assert (found.dkim.signatures, found.dmarc) == ((), None)
