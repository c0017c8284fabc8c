"""The doctor reaches out in the lab, to mail hosts, servers of zones, files and blocklists, and never for long."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import httpx2
import pytest

from homing.flow.doctor import Doctor
from homing.lab.dns import DnsServer, Failing
from homing.lab.world import World
from homing.loop.doctor.facts import DoctorFacts
from homing.loop.doctor.finding import Finding, Outcome
from homing.net.dns import AS_PUBLISHED, Resolver
from homing.net.fetch import Fetcher
from tests.loop.doctor.certificates import mark_certificate
from tests.patience import PATIENCE

OURS = "corp.com"
PICTURE = (
    b'<svg xmlns="http://www.w3.org/2000/svg" version="1.2" baseProfile="tiny-ps" viewBox="0 0 8 8">'
    b"<title>Corp</title></svg>"
)


@dataclass
class Visit:
    """The mail domain corp.com as our own, with a host that speaks real SMTP and TLS."""

    world: World
    doctor: Doctor
    files: dict[str, bytes]
    fetched: list[str] = field(default_factory=list)
    examined: DoctorFacts = field(default_factory=lambda: DoctorFacts(domain=OURS, hostname=f"mx.{OURS}"))

    async def finds(self, check: str) -> Finding:
        found = await self.doctor.examine(self.examined, probes=True)
        return next(one for one in found if one.check == check)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        url = f"https://{request.headers['host']}{request.url.path}"
        self.fetched.append(url)
        return httpx2.Response(200, content=self.files[url]) if url in self.files else httpx2.Response(404)


@pytest.fixture
async def visit() -> AsyncIterator[Visit]:
    async with World(hosts=2) as world:
        world.mx(OURS)
        _, port = world.dns.address
        resolver = Resolver([world.dns.address], keep=AS_PUBLISHED, timeout=5, zone_port=port, allow_private=True)
        transport = httpx2.MockTransport(lambda request: made.answer(request))  # noqa: PLW0108 - made below
        fetcher = Fetcher(resolver, allow_private=True, transport=transport)
        doctor = Doctor(
            resolver=resolver, fetcher=fetcher, hello=f"mx.{OURS}", smtp_port=world.smtp_port, allow_private=True
        )
        made = Visit(world, doctor, {})
        yield made
        await fetcher.close()


async def test_a_host_that_takes_mail(visit: Visit) -> None:
    assert (await visit.finds("MX03")).outcome is Outcome.OK
    assert (await visit.finds("RP01")).outcome is Outcome.OK
    assert visit.world.inbox(f"postmaster@{OURS}") == [], "nothing is sent"


@pytest.mark.parametrize("role", ["postmaster", "abuse"])
async def test_a_host_that_refuses_whoever_must_be_at_home(visit: Visit, role: str) -> None:
    """RFC 5321 §4.5.1, RFC 2142 §4."""
    visit.world.mx(OURS).refuses(f"{role}@{OURS}")
    found = await visit.finds("RP01")
    assert found.outcome is Outcome.WARNING
    assert f"{role}@{OURS}" in found.sentence
    assert found.evidence[0].query == f"mx.{OURS} port 25"


async def test_nobody_at_the_door(visit: Visit) -> None:
    visit.world.dns.publish(f"mx.{OURS}", "A 127.0.0.77")
    assert (await visit.finds("MX03")).outcome is Outcome.UNKNOWN


async def test_the_record_that_mends_tlsa_is_that_of_the_certificate_shown(visit: Visit) -> None:
    name = f"_25._tcp.mx.{OURS}"
    visit.world.dns.publish(name, f"TLSA 3 1 1 {'00' * 32}")
    broken = await visit.finds("TLS02")
    assert (broken.outcome, [record.name for record in broken.records]) == (Outcome.BROKEN, [name])
    assert any("STARTTLS" in one.query for one in broken.evidence)
    visit.world.dns.publish(name, f"TLSA {broken.records[0].value}")
    assert (await visit.finds("TLS02")).outcome is Outcome.UNKNOWN, "this resolver checks no signatures"
    visit.world.dns.signed.add("com")
    mended = await visit.finds("TLS02")
    assert mended.outcome is Outcome.OK
    assert any(one.secure for one in mended.evidence)


async def test_logo_and_certificate_are_fetched(visit: Visit) -> None:
    dns, base = visit.world.dns, f"https://{OURS}"
    dns.publish_text(f"default._bimi.{OURS}", f"v=BIMI1; l={base}/logo.svg; a={base}/mark.pem")
    dns.publish_text(f"_dmarc.{OURS}", "v=DMARC1; p=reject")
    dns.publish(OURS, *dns.zones[OURS], "A 127.0.0.78")
    assert "404" in (await visit.finds("BI01")).sentence
    visit.files = {f"{base}/logo.svg": PICTURE, f"{base}/mark.pem": mark_certificate(OURS)}
    found = await visit.finds("BI01")
    assert (found.outcome, found.evidence[0].answer) == (Outcome.OK, f"{len(PICTURE)} octets")
    visit.files[f"{base}/logo.svg"] = b"<!DOCTYPE svg [<!ENTITY a 'b'>]><svg/>"
    assert "document type" in (await visit.finds("BI01")).sentence


async def test_a_logo_inside_our_network_is_not_fetched(visit: Visit) -> None:
    visit.doctor.fetcher = Fetcher(visit.doctor.resolver, transport=httpx2.MockTransport(visit.answer))
    visit.world.dns.publish_text(f"default._bimi.{OURS}", "v=BIMI1; l=https://169.254.169.254/latest")
    visit.world.dns.publish_text(f"_dmarc.{OURS}", "v=DMARC1; p=reject")
    assert "cannot be had" in (await visit.finds("BI01")).sentence
    assert visit.fetched == []


async def test_servers_of_a_zone_in_different_states(visit: Visit) -> None:
    dns = visit.world.dns
    soa = f"SOA ns1.{OURS}. h.{OURS}. 7 3600 600 86400 60"
    dns.publish(OURS, *dns.zones[OURS], f"NS ns1.{OURS}.", f"NS ns2.{OURS}.", soa)
    dns.publish(f"ns1.{OURS}", "A 127.0.0.1")
    dns.publish(f"ns2.{OURS}", "A 127.0.0.9")
    other = DnsServer(zones={OURS: [soa.replace(" 7 ", " 6 ")]})
    await other.start("127.0.0.9", dns.address[1])
    try:
        found = await visit.doctor.examine(visit.examined)
        lagging = next(one for one in found if (one.check, one.about) == ("DNS01", OURS))
        assert lagging.outcome is Outcome.WARNING
        assert {one.query for one in lagging.evidence} == {f"{OURS} SOA"}
        other.zones[OURS] = [soa]
        found = await visit.doctor.examine(visit.examined)
        assert next(one for one in found if (one.check, one.about) == ("DNS01", OURS)).outcome is Outcome.OK
    finally:
        await other.close()


async def test_a_blocklist(visit: Visit) -> None:
    visit.examined = replace(visit.examined, egress=("8.8.4.4",), blocklists=("list.net",))
    assert (await visit.finds("DNS05")).outcome is Outcome.OK
    visit.world.dns.publish("4.4.8.8.list.net", "A 127.0.0.2")
    assert (await visit.finds("DNS05")).outcome is Outcome.WARNING
    visit.world.dns.failing["list.net"] = Failing.TIMEOUT
    visit.doctor.resolver = Resolver([visit.world.dns.address], keep=AS_PUBLISHED, timeout=0.5, allow_private=True)
    assert (await visit.finds("DNS05")).outcome is Outcome.UNKNOWN


async def test_it_never_takes_long(visit: Visit) -> None:
    """Nobody answers, and every question would wait for two minutes."""
    for top in ("com", "net", "arpa", "lab"):
        visit.world.dns.failing[top] = Failing.TIMEOUT
    visit.doctor.resolver = Resolver([visit.world.dns.address], keep=AS_PUBLISHED, timeout=2 * PATIENCE)
    visit.doctor.looking, visit.doctor.patience = 0.5, 0.5
    began = time.monotonic()
    found = await visit.doctor.examine(visit.examined, probes=True)
    assert time.monotonic() - began < 2 * PATIENCE, "one question to one server would take longer"
    assert {one.outcome for one in found} == {Outcome.UNKNOWN}
