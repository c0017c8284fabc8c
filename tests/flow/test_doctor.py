"""The doctor at work in the lab's DNS: planted mistakes are named with their cures, and silence is no mistake."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache

import httpx2
import pytest

from homing.flow.doctor import Doctor
from homing.lab.dns import DnsServer, Failing
from homing.loop.doctor.examined import in_use, ourselves, somebody
from homing.loop.doctor.facts import DoctorFacts, PublishedAt
from homing.loop.doctor.finding import Finding, Outcome
from homing.loop.domains.identity import OperatorIdentity
from homing.mail.dkim import SigningKey
from homing.mail.dns_question import Answer, Ask, Found, RecordType
from homing.net.dns import AS_PUBLISHED, Resolver
from homing.net.fetch import Fetcher
from tests.silent_dns import has_free_places, patient, under_way

OPERATOR = OperatorIdentity(from_domain="post.acme-mail.com", return_domain="b.post.acme-mail.com")
FROM, RETURN, HELO = OPERATOR.from_domain, OPERATOR.return_domain, "mx.acme-mail.com"
IP = "127.0.3.1"
NOW = datetime(2026, 3, 2, tzinfo=UTC)
POLICY = f"version: STSv1\nmode: enforce\nmx: {HELO}\nmax_age: 604800\n"


@cache
def published_key() -> PublishedAt:
    return in_use(SigningKey.generate(FROM, "h1"), OPERATOR, NOW)


@dataclass
class Clinic:
    dns: DnsServer
    doctor: Doctor
    examined: DoctorFacts
    policy: tuple[int, str] = (200, POLICY)
    fetched: list[str] = field(default_factory=list)

    async def findings(self, **options: bool) -> tuple[Finding, ...]:
        return await self.doctor.examine(self.examined, **options)

    async def wrong(self, **options: bool) -> dict[str, Finding]:
        """What is broken or at risk, by check and name."""
        return {
            f"{one.check} {one.about}": one
            for one in await self.findings(**options)
            if one.outcome in (Outcome.BROKEN, Outcome.WARNING)
        }

    def publish(self, name: str, *texts: str, more: tuple[str, ...] = ()) -> None:
        self.dns.publish(name, *more, *(f'TXT "{text}"' for text in texts))

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.fetched.append(f"{request.method} {request.headers['host']}{request.url.path}")
        status, text = self.policy
        return httpx2.Response(status, text=text)


@pytest.fixture
async def clinic() -> AsyncIterator[Clinic]:
    dns = DnsServer()
    await dns.start()
    resolver = Resolver(dns.servers, keep=AS_PUBLISHED, timeout=5, allow_private=True)
    examined = ourselves("acme-mail.com", OPERATOR, HELO, keys=(published_key(),), egress=(IP,))
    fetcher = Fetcher(
        resolver,
        allow_private=True,
        transport=httpx2.MockTransport(lambda request: made.answer(request)),  # noqa: PLW0108 - made below
    )
    made = Clinic(
        dns, Doctor(resolver=resolver, fetcher=fetcher, hello=HELO, smtp_port=25, allow_private=True), examined
    )
    mend_all(made)
    yield made
    await fetcher.close()
    await dns.close()


def mend_all(clinic: Clinic) -> None:
    """Everything as `homing config check` says, and what only the operator can know."""
    clinic.dns.zones.clear()
    for name in {record.name for record in clinic.examined.publish}:
        records = [record for record in clinic.examined.publish if record.name == name]
        clinic.dns.publish(name, *(f"{record.type} {as_rdata(record.in_zone())}" for record in records))
    clinic.publish(HELO, "v=spf1 a -all", more=(f"A {IP}",))
    clinic.dns.publish("1.3.0.127.in-addr.arpa", f"PTR {HELO}.")
    for name in (FROM, RETURN):
        clinic.publish(f"_smtp._tls.{name}", f"v=TLSRPTv1; rua=mailto:tlsrpt@{FROM}")
        clinic.publish(f"_mta-sts.{name}", "v=STSv1; id=1")
        clinic.dns.publish(f"mta-sts.{name}", f"A {IP}")


def as_rdata(line: str) -> str:
    return line.split(" IN ")[1].partition(" ")[2]


async def test_what_config_check_says_is_all_that_is_needed(clinic: Clinic) -> None:
    assert await clinic.wrong() == {}
    assert clinic.fetched == [f"GET mta-sts.{name}/.well-known/mta-sts.txt" for name in (FROM, RETURN)]


Plant = Callable[[Clinic], None]

MISTAKES: dict[str, tuple[Plant, set[str]]] = {
    "two SPF records": (
        lambda c: c.publish(RETURN, f"v=spf1 a:{HELO} -all", "v=spf1 include:old.com -all", more=(f"MX 10 {HELO}.",)),
        {f"SPF01 {RETURN}", f"SPF05 {RETURN}"},
    ),
    "a slip in the SPF record": (
        lambda c: c.publish(RETURN, f"v=spf1 a:{HELO} ip4:1.2.3 -all", more=(f"MX 10 {HELO}.",)),
        {f"SPF02 {RETURN}", f"SPF05 {RETURN}"},
    ),
    "includes without end": (
        lambda c: c.publish(
            RETURN, "v=spf1 " + " ".join(f"exists:e{n}.n.co" for n in range(11)) + " -all", more=(f"MX 10 {HELO}.",)
        ),
        {f"SPF03 {RETURN}", f"SPF04 {RETURN}", f"SPF05 {RETURN}"},
    ),
    "another address than ours": (
        lambda c: c.publish(RETURN, "v=spf1 ip4:192.0.2.7 -all", more=(f"MX 10 {HELO}.",)),
        {f"SPF05 {RETURN}"},
    ),
    "the whole world may send": (
        lambda c: c.publish(FROM, "v=spf1 +all", more=(f"MX 10 {HELO}.",)),
        {f"SPF06 {FROM}"},
    ),
    "no key": (
        lambda c: c.dns.zones.pop(f"h1._domainkey.{FROM}"),
        {f"{check} h1._domainkey.{FROM}" for check in ("DK02", "DK04", "DK08")},
    ),
    "another key": (
        lambda c: c.dns.publish_text(f"h1._domainkey.{FROM}", SigningKey.generate(FROM, "h1").dns_record()),
        {f"{check} h1._domainkey.{FROM}" for check in ("DK04", "DK08")},
    ),
    "a key on trial": (
        lambda c: c.dns.publish_text(f"h1._domainkey.{FROM}", f"{published_key().record}; t=y"),
        {f"DK06 h1._domainkey.{FROM}"},
    ),
    "two DMARC records": (
        lambda c: c.publish(f"_dmarc.{FROM}", "v=DMARC1; p=none", f"v=DMARC1; p=none; rua=mailto:dmarc@{FROM}"),
        {f"DM01 {FROM}"},
    ),
    "no DMARC at the organization, and siblings": (
        lambda c: (c.dns.zones.pop("_dmarc.acme-mail.com"), sibling(c))[0],
        {f"DM06 {FROM}", f"DM07 {FROM}"},
    ),
    "reports to somebody who does not want them": (
        lambda c: c.publish(f"_dmarc.{FROM}", f"v=DMARC1; p=none; rua=mailto:dmarc@{FROM},mailto:a@reports.net"),
        {f"DM05 {FROM}"},
    ),
    "an address without its name": (
        lambda c: c.dns.publish("1.3.0.127.in-addr.arpa", "PTR pool-1.provider.net."),
        {f"PTR01 {IP}", f"PTR02 {IP}"},
    ),
    "nowhere for bounces to go": (
        lambda c: c.publish(RETURN, f"v=spf1 a:{HELO} -all"),
        {f"MX01 {RETURN}"},
    ),
    "a loose end": (
        lambda c: c.dns.publish(f"_dmarc.{FROM}", "CNAME dmarc.gone.net."),
        {f"DM12 {FROM}", f"DNS03 _dmarc.{FROM}"},
    ),
}


def sibling(clinic: Clinic) -> None:
    clinic.examined = replace(clinic.examined, return_domain="b.acme-mail.com")
    clinic.publish("b.acme-mail.com", f"v=spf1 a:{HELO} -all", more=(f"MX 10 {HELO}.",))


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_planted_mistake_is_named_with_its_cure(clinic: Clinic, mistake: str) -> None:
    plant, expected = MISTAKES[mistake]
    plant(clinic)
    wrong = await clinic.wrong()
    beside = {"TLS01 b.acme-mail.com", "TLS03 b.acme-mail.com"}  # what nobody published for the sibling
    assert set(wrong) - beside == expected
    assert all(one.cure and (one.evidence or one.check == "MX03") for one in wrong.values())


@pytest.mark.parametrize("failing", [Failing.SERVFAIL, Failing.TIMEOUT, Failing.REFUSED])
async def test_a_dns_that_fails_proves_nothing(clinic: Clinic, failing: Failing) -> None:
    clinic.dns.failing["com"] = failing
    clinic.dns.failing["arpa"] = failing
    clinic.doctor.at_once = 60
    if failing is Failing.TIMEOUT:
        clinic.doctor.resolver = Resolver(clinic.dns.servers, keep=AS_PUBLISHED, timeout=0.2, allow_private=True)
    found = await clinic.findings()
    asked = [one for one in found if one.evidence]
    assert {one.outcome for one in asked} == {Outcome.UNKNOWN}
    assert len(asked) > 40


async def test_an_examination_has_few_questions_under_way_and_leaves_none(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homing.flow.doctor.QUESTIONS", 3)
    clinic.doctor.resolver = resolver = patient(clinic.dns, 4)
    assert await under_way(clinic.dns, clinic.findings(), "com", 3) == 3
    for _ in range(3):
        await under_way(clinic.dns, clinic.findings(), "com", 3)
    assert await has_free_places(clinic.dns, resolver)


async def test_wrong_signatures_are_told_from_silence(clinic: Clinic) -> None:
    clinic.dns.failing[RETURN] = Failing.BOGUS
    found = {f"{one.check} {one.about}": one for one in await clinic.findings()}
    assert found[f"DNS02 {RETURN}"].outcome is Outcome.BROKEN
    assert found[f"SPF01 {RETURN}"].outcome is Outcome.UNKNOWN
    assert found[f"DNS02 {FROM}"].outcome is Outcome.OK


async def test_a_policy_that_cannot_be_had(clinic: Clinic) -> None:
    clinic.policy = (404, "")
    wrong = await clinic.wrong()
    assert {f"TLS01 {FROM}", f"TLS01 {RETURN}"} == set(wrong)
    assert "HTTP status 404" in wrong[f"TLS01 {FROM}"].sentence


async def test_a_report_does_not_contradict_itself(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server says one thing, then another; no two checks hear different ones."""
    asked: Counter[Ask] = Counter()

    async def turning(ask: Ask) -> Answer[str]:
        asked[ask] += 1
        if ask == Ask(RETURN, RecordType.TXT):
            text = f"v=spf1 a:{HELO} -all" if asked[ask] % 2 else "v=spf1 -all +all include:gone.net"
            return Found(records=(text,), server="ns1")
        return await Resolver.records(clinic.doctor.resolver, ask)

    monkeypatch.setattr(clinic.doctor.resolver, "records", turning)
    found = [one for one in await clinic.findings() if one.check.startswith("SPF")]
    assert {one.outcome for one in found} == {Outcome.OK}
    assert set(asked.values()) == {1}


async def test_progress_is_told(clinic: Clinic) -> None:
    told: list[tuple[int, int]] = []
    found = await clinic.doctor.examine(clinic.examined, progress=lambda done, of: told.append((done, of)))
    assert told == [(done, len(found)) for done in range(1, len(found) + 1)]


async def test_a_stranger(clinic: Clinic) -> None:
    clinic.publish("corp.com", "v=spf1 mx -all", more=("MX 10 mx.corp.com.",))
    clinic.dns.publish("mx.corp.com", "A 192.0.2.9")
    clinic.examined = somebody("corp.com", egress=("192.0.2.9", "192.0.2.10"))
    wrong = await clinic.wrong()
    assert {"SPF05 corp.com", "DM01 corp.com"} <= set(wrong)
    assert wrong["SPF05 corp.com"].records[0].value == "v=spf1 ip4:192.0.2.10 mx -all"


async def test_egress_is_found_by_the_name_in_ehlo(clinic: Clinic) -> None:
    assert await clinic.doctor.egress_of(HELO) == (IP,)
    assert await clinic.doctor.egress_of("gone.net") == ()
