"""Each kind of DNS answer stays what it is, from the wire to the value."""

import asyncio
from collections.abc import AsyncIterator

import dns.message
import pytest

from homing.lab.dns import DnsServer, Failing
from homing.mail.dns_question import Ask, RecordType
from homing.net.dns import (
    AS_PUBLISHED,
    Answer,
    Found,
    Keep,
    LookupFailed,
    LookupFault,
    Mx,
    NoData,
    NoSuchName,
    Resolver,
)
from homing.net.public_address import why_not_public
from tests.patience import until


@pytest.fixture
async def server() -> AsyncIterator[DnsServer]:
    server = DnsServer()
    await server.start()
    yield server
    await server.close()


@pytest.fixture
def resolver(server: DnsServer) -> Resolver:
    return Resolver([server.address], keep=AS_PUBLISHED)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_mail_exchanges_come_best_first_and_at_most_twenty(server: DnsServer, resolver: Resolver) -> None:
    server.publish("many.com", *(f"MX {number} mx{number}.many.com" for number in reversed(range(60))))
    answer = await resolver.mx("Many.com.")
    assert isinstance(answer, Found)
    assert answer.records == tuple(Mx(preference=number, exchange=f"mx{number}.many.com") for number in range(20))


async def test_addresses_are_at_most_five_of_a_kind_ipv4_first(server: DnsServer, resolver: Resolver) -> None:
    server.publish(
        "mx.com", *(f"AAAA 2a00::{number}" for number in range(1, 9)), *(f"A 8.8.8.{number}" for number in range(9))
    )
    answer = await resolver.addresses("mx.com")
    assert isinstance(answer, Found)
    assert len(answer.records) == 10
    assert all(":" not in ip for ip in answer.records[:5])


async def test_a_long_answer_comes_over_tcp_and_text_is_joined(server: DnsServer, resolver: Resolver) -> None:
    more_than_udp_takes = [f'TXT "{one * 250}" "{"b" * 250}"' for one in "acd"]
    server.publish("key.com", *more_than_udp_takes)
    answer = await resolver.txt("key.com")
    assert isinstance(answer, Found)
    assert set(answer.records) == {one * 250 + "b" * 250 for one in "acd"}


FAILURES = [
    (Failing.SERVFAIL, LookupFault.SERVFAIL),
    (Failing.REFUSED, LookupFault.REFUSED),
    (Failing.TIMEOUT, LookupFault.TIMEOUT),
    (Failing.LAME, LookupFault.LAME),
    (Failing.GARBLED, LookupFault.GARBLED),
]


@pytest.mark.parametrize(("failing", "why"), FAILURES)
async def test_a_failure_is_never_a_denial(server: DnsServer, failing: Failing, why: LookupFault) -> None:
    timeout = 0.2 if failing is Failing.TIMEOUT else 5
    resolver = Resolver([server.address], keep=AS_PUBLISHED, timeout=timeout)
    server.failing["bad.com"] = failing
    shown = f"127.0.0.1#{server.address[1]}"
    assert await resolver.mx("bad.com") == LookupFailed(why=why, server=shown)
    assert await resolver.addresses("mx.bad.com") == LookupFailed(why=why, server=shown)


class HalfDead(DnsServer):
    """Plays dead when asked for one type of record."""

    silent_for = "A"

    def answer(self, wire: bytes) -> dns.message.Message | None:
        response = super().answer(wire)
        return None if self.asked[-1][1] == self.silent_for else response


@pytest.mark.parametrize("silent_for", ["A", "AAAA"])
async def test_half_an_answer_is_not_a_denial_but_may_do(silent_for: str) -> None:
    server = HalfDead(zones={"six.com": ["AAAA 2a00::1"], "four.com": ["A 8.8.8.8"]})
    server.silent_for = silent_for
    await server.start()
    resolver = Resolver([server.address], keep=AS_PUBLISHED, timeout=0.5)
    answers = [await resolver.addresses(name) for name in ("four.com", "six.com")]
    await server.close()
    reply, unheard = answers if silent_for == "AAAA" else reversed(answers)
    assert isinstance(reply, Found)
    assert isinstance(unheard, LookupFailed)
    assert unheard.why is LookupFault.TIMEOUT


async def test_a_long_key_is_published_whole(server: DnsServer, resolver: Resolver) -> None:
    text = 'v=DKIM1; n="a\\b"; p=' + "A" * 700
    server.publish_text("s._domainkey.corp.com", text)
    answer = await resolver.txt("s._domainkey.corp.com")
    assert isinstance(answer, Found)
    assert answer.records == (text,)


async def test_denials(server: DnsServer, resolver: Resolver) -> None:
    server.publish("corp.com", "A 8.8.8.8")
    shown = f"127.0.0.1#{server.address[1]}"
    assert await resolver.mx("corp.com") == NoData(server=shown)
    assert await resolver.mx("nosuch.com") == NoSuchName(server=shown, authoritative=True)
    assert await resolver.mx("com") == NoData(server=shown), "a name above another exists"
    assert isinstance(await resolver.mx("a" * 64 + ".com"), NoSuchName)


async def test_aliases_are_followed_and_bounded(server: DnsServer, resolver: Resolver) -> None:
    server.publish("www.corp.com", "CNAME corp.com")
    server.publish("corp.com", "MX 10 mx.corp.com")
    assert isinstance(await resolver.mx("www.corp.com"), Found)
    server.publish("dead.corp.com", "CNAME nosuch.com")
    assert isinstance(await resolver.mx("dead.corp.com"), NoSuchName)
    for number in range(40):
        server.publish(f"a{number}.loop.com", f"CNAME a{(number + 1) % 40}.loop.com")
    before = len(server.asked)
    answer = await resolver.mx("a0.loop.com")
    assert isinstance(answer, LookupFailed)
    assert answer.why is LookupFault.GARBLED
    assert len(server.asked) - before <= 20


async def test_the_next_server_is_asked_when_one_fails(server: DnsServer) -> None:
    server.publish("corp.com", "MX 10 mx.corp.com")
    broken = DnsServer(failing={"com": Failing.SERVFAIL})
    await broken.start()
    try:
        resolver = Resolver([broken.address, server.address], keep=AS_PUBLISHED)
        answer = await resolver.mx("corp.com")
        assert isinstance(answer, Found)
        assert answer.server.endswith(str(server.address[1]))
    finally:
        await broken.close()


async def test_answers_are_remembered_for_their_time_clamped(server: DnsServer) -> None:
    clock = Clock()
    resolver = Resolver([server.address], keep=Keep(), clock=clock)
    server.publish("corp.com", "MX 10 mx.corp.com")
    server.failing["bad.com"] = Failing.SERVFAIL
    for _ in range(3):
        await resolver.mx("corp.com")
        await resolver.mx("nosuch.com")
        await resolver.mx("bad.com")
    assert server.asked.count(("corp.com", "MX")) == 1, "TTL 0 is kept for a minute"
    assert server.asked.count(("nosuch.com", "MX")) == 3, "a denial with TTL 0 is not"
    assert server.asked.count(("bad.com", "MX")) == 2, "two rounds, then five seconds of rest"
    clock.now += 59
    await resolver.mx("corp.com")
    assert server.asked.count(("corp.com", "MX")) == 1
    clock.now += 2
    await resolver.mx("corp.com")
    assert server.asked.count(("corp.com", "MX")) == 2


async def test_many_askers_one_question(server: DnsServer, resolver: Resolver) -> None:
    server.publish("corp.com", "MX 10 mx.corp.com")
    await asyncio.gather(*(resolver.mx("corp.com") for _ in range(50)))
    assert server.asked.count(("corp.com", "MX")) == 1


async def test_a_denial_is_confirmed_by_another_resolver(server: DnsServer) -> None:
    other = DnsServer()
    await other.start()
    try:
        resolver = Resolver([server.address, other.address], keep=AS_PUBLISHED)
        first = await resolver.mx("nosuch.com")
        assert isinstance(first, NoSuchName)
        assert await resolver.confirm_no_such_name("nosuch.com", first)
        other.publish("nosuch.com", "MX 10 mx.corp.com")
        assert not await resolver.confirm_no_such_name("nosuch.com", first)
    finally:
        await other.close()


async def test_a_denial_is_confirmed_by_the_zones_own_server(server: DnsServer) -> None:
    zone = DnsServer(zones={"corp.com": ["A 8.8.8.8"]})
    ip, port = await zone.start()
    server.publish("com", "NS ns.nic.net")
    server.publish("ns.nic.net", f"A {ip}")
    try:
        resolver = Resolver([server.address], keep=AS_PUBLISHED, zone_port=port, allow_private=True)
        first = await resolver.mx("nosuch.com")
        assert isinstance(first, NoSuchName)
        assert await resolver.confirm_no_such_name("nosuch.com", first)
        assert ("nosuch.com", "MX") in zone.asked
        assert not await resolver.confirm_no_such_name("corp.com", first)
    finally:
        await zone.close()


async def test_a_lone_resolver_must_deny_again_ten_minutes_later(server: DnsServer) -> None:
    clock = Clock()
    resolver = Resolver([server.address], keep=AS_PUBLISHED, clock=clock)
    first = await resolver.mx("nosuch.com")
    assert isinstance(first, NoSuchName)
    assert not await resolver.confirm_no_such_name("nosuch.com", first)
    clock.now += 599
    assert not await resolver.confirm_no_such_name("nosuch.com", first)
    clock.now += 2
    assert await resolver.confirm_no_such_name("nosuch.com", first)


PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2a00:1450:4001:81b::2005", "2606:4700::1111"]
NOT_PUBLIC = """
    0.0.0.0 10.1.2.3 100.64.0.1 100.127.255.255 127.0.0.1 127.8.8.8 169.254.169.254 172.16.0.1 172.31.255.255
    192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.9 224.0.0.1 239.1.1.1 240.0.0.1
    255.255.255.255 :: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::1 100::1
    2001::1 2001:db8::1 2002:7f00:1::1 2002:808:808::1 3fff::1 4000::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0
    fec0::1 ff02::1 5f00::1 127.1 2130706433 0x7f000001 0177.0.0.1 example.com
    """.split()  # noqa: SIM905


@pytest.mark.parametrize("ip", PUBLIC)
def test_public(ip: str) -> None:
    assert why_not_public(ip) is None


@pytest.mark.parametrize("ip", NOT_PUBLIC)
def test_not_public(ip: str) -> None:
    assert why_not_public(ip)


REASONS = [
    ("10.0.0.1", "private"),
    ("100.64.0.1", "shared by a carrier"),
    ("192.0.0.192", "reserved"),
    ("224.0.0.1", "multicast"),
    ("::ffff:10.0.0.1", "IPv4 in disguise (10.0.0.1: private)"),
    ("64:ff9b::7f00:1", "IPv4 behind a translator (127.0.0.1: loopback)"),
    ("2002:808:808::1", "IPv4 in a 6to4 tunnel (8.8.8.8: public)"),
    ("fec0::1", "private"),
]


@pytest.mark.parametrize(("ip", "reason"), REASONS)
def test_our_own_list_names_what_the_standard_library_may_miss(ip: str, reason: str) -> None:
    assert why_not_public(ip) == reason


async def test_who_checks_signatures_says_so(server: DnsServer, resolver: Resolver) -> None:
    server.publish("signed.com", "A 8.8.8.8")
    server.publish("corp.com", "A 8.8.8.8")
    server.signed.add("signed.com")
    for name, secure in (("signed.com", True), ("corp.com", False)):
        answer = await resolver.records(Ask(name, RecordType.A))
        assert isinstance(answer, Found)
        assert answer.secure is secure


async def test_every_server_of_a_zone_says_which_state_it_has(server: DnsServer) -> None:
    lagging = DnsServer(zones={"corp.com": ["SOA ns1.corp.com. h.corp.com. 41 3600 600 86400 60"]})
    _, port = server.address
    server.publish("corp.com", "NS ns1.corp.com.", "NS ns2.corp.com.", lagging.zones["corp.com"][0].replace("41", "42"))
    server.publish("ns1.corp.com", "A 127.0.0.1")
    server.publish("ns2.corp.com", "A 127.0.0.9")
    await lagging.start("127.0.0.9", port)
    try:
        resolver = Resolver([server.address], keep=AS_PUBLISHED, timeout=1, zone_port=port, allow_private=True)
        told = await resolver.starts_of_authority("mail.corp.com")
        answers = {one.server: one.answer.records[0].split()[2] for one in told if isinstance(one.answer, Found)}
        assert answers == {f"127.0.0.1#{port}": "42", f"127.0.0.9#{port}": "41"}
        server.publish("ns2.corp.com", "A 127.0.0.10")
        [_, silent] = sorted(await resolver.starts_of_authority("corp.com"), key=lambda one: one.server)
        assert isinstance(silent.answer, LookupFailed)
        assert await resolver.starts_of_authority("gone.net") == []
    finally:
        await lagging.close()


async def asked_by_then(server: DnsServer) -> int:
    """Questions about silent.com that have reached the server, once a later one about something else has."""
    before = len(server.asked)
    await Resolver([server.address], keep=AS_PUBLISHED).txt("marker.com")
    await until(lambda: ("marker.com", "TXT") in server.asked[before:])
    return sum(name.endswith(".silent.com") for name, _ in server.asked)


def asking_about(resolver: Resolver, many: int) -> list[asyncio.Task[Answer[str]]]:
    return [asyncio.create_task(resolver.txt(f"n{number}.silent.com")) for number in range(many)]


async def left_off(asking: list[asyncio.Task[Answer[str]]]) -> None:
    for one in asking:
        one.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


async def test_so_many_questions_are_under_way_at_once(server: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a socket of its own, and the process has other uses for its file descriptors."""
    monkeypatch.setattr("homing.net.dns.AT_ONCE", 8)
    server.failing["silent.com"] = Failing.TIMEOUT
    resolver = Resolver([server.address], timeout=60)
    asking = asking_about(resolver, 30)
    await until(lambda: len(server.asked) >= 8)
    assert await asked_by_then(server) == 8
    await left_off(asking)
    resolver.close()
    server.publish("corp.com", "MX 10 mx.corp.com")
    assert isinstance(await resolver.mx("corp.com"), Found), "the places are free again"
    assert await asked_by_then(server) == 8, "what nobody waited for any more is not asked"


async def test_nobody_waits_for_what_waits_in_anothers_share(
    server: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homing.net.dns.AT_ONCE", 8)
    server.failing["silent.com"] = Failing.TIMEOUT
    server.publish("corp.com", "MX 10 mx.corp.com")
    resolver = Resolver([server.address], timeout=60)
    share, other = resolver.share(2), resolver.share(2)
    asking = asking_about(share, 30)
    asking_elsewhere = asking_about(resolver.apart(3), 30)
    behind = asyncio.create_task(share.mx("corp.com"))
    await until(lambda: len(server.asked) >= 5)
    assert await asked_by_then(server) == 5
    for free in (resolver, other):
        assert isinstance(await free.mx("corp.com"), Found), "though the same question waits in the full share"
    assert not behind.done()
    assert isinstance(await share.mx("corp.com"), Found), "what others have learned is known to it"
    share.close()
    await left_off([*asking, *asking_elsewhere, behind])
    share.close()
    server.publish("corp.org", "MX 10 mx.corp.org")
    assert isinstance(await share.mx("corp.org"), Found), "its places are free again"


async def test_who_comes_when_a_question_was_just_left_off_asks_it_anew(
    server: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homing.net.dns.AT_ONCE", 1)
    server.failing["silent.com"] = Failing.TIMEOUT
    server.publish("corp.com", "MX 10 mx.corp.com")
    resolver = Resolver([server.address], timeout=0.5)
    asking = asking_about(resolver, 1)
    await until(lambda: len(server.asked) >= 1)
    first = [asyncio.create_task(one) for one in (resolver.txt("waits.silent.com"), resolver.mx("corp.com"))]
    await asyncio.sleep(0)
    for one in first:
        one.cancel()
    await asyncio.sleep(0)
    assert isinstance(await resolver.mx("corp.com"), Found)
    await asyncio.gather(*asking)
    assert "waits.silent.com" not in {name for name, _ in server.asked}, "nobody waited for it any more"


async def test_an_answer_that_is_too_large_for_any_record_of_ours_is_a_failure(server: DnsServer) -> None:
    resolver = Resolver([server.address], keep=Keep())
    server.publish_text("s._domainkey.corp.com", "v=DKIM1; p=" + "A" * 5_500)  # RSA with 32,768 bits
    server.publish_text("huge.com", "x" * 60_000)
    server.publish("many.com", *(f"A 10.0.{number // 250}.{number % 250}" for number in range(2_000)))
    assert isinstance(await resolver.txt("s._domainkey.corp.com"), Found)
    for found in (await resolver.txt("huge.com"), await resolver.addresses("many.com")):
        assert isinstance(found, LookupFailed)
        assert found.why is LookupFault.GARBLED


async def test_answers_that_are_kept_are_bounded_in_octets(server: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they lie in memory, where a text with one rare character takes four octets for each of all its characters."""
    monkeypatch.setattr("homing.net.dns.CACHE_OCTETS", 512 * 1024)
    resolver = Resolver([server.address], keep=Keep())
    names = [f"s{number}.evil.com" for number in range(12)]
    for name in names:
        server.publish_text(name, "x" * 14_000 + "\U0001f600")
        assert isinstance(await resolver.txt(name), Found)
    server.asked.clear()
    for name in reversed(names):
        await resolver.txt(name)
    again = {name for name, _ in server.asked}
    assert names[-1] not in again
    assert len(again) >= 3, "12 of them take 672 KiB"
