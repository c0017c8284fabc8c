"""What the DNS says of a domain, and which way that leaves."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from homing.lab.dns import DnsServer, Failing
from homing.loop.evidence import RouteFault, Unroutable
from homing.net import route
from homing.net.dns import AS_PUBLISHED, Resolver
from homing.net.route import Host, Route, Router, Skipped

US, OURS = "mx.ours.net", "8.8.4.4"


@pytest.fixture
async def servers() -> AsyncIterator[tuple[DnsServer, DnsServer]]:
    pair = (DnsServer(), DnsServer())
    for server in pair:
        await server.start()
    yield pair
    for server in pair:
        await server.close()


def router_of(servers: tuple[DnsServer, DnsServer], **settings: object) -> Router:
    silent = any(Failing.TIMEOUT in server.failing.values() for server in servers)
    addresses = [server.address for server in servers]
    resolver = Resolver(addresses, keep=AS_PUBLISHED, timeout=0.2 if silent else 5)
    return Router(resolver, own_name=US, keep=0, **settings)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    zones: dict[str, list[str]]
    expected: list[str] | RouteFault
    second: dict[str, list[str]] | None = None
    """What the other resolver says, where it says something else."""
    failing: dict[str, Failing] = field(default_factory=dict)
    detail: str = ""


MX = {"corp.com": ["MX 10 mx.corp.com"]}
CASES = [
    Case(name="one exchange", zones=MX | {"mx.corp.com": ["A 8.8.8.8"]}, expected=["8.8.8.8"]),
    Case(
        name="order of preference, IPv4 first",
        zones={
            "corp.com": ["MX 20 b.corp.com", "MX 10 a.corp.com"],
            "a.corp.com": ["AAAA 2a00::1", "A 8.8.8.8"],
            "b.corp.com": ["A 9.9.9.9"],
        },
        expected=["8.8.8.8", "2a00::1", "9.9.9.9"],
    ),
    Case(name="implicit MX", zones={"corp.com": ["A 8.8.8.8"]}, expected=["8.8.8.8"]),
    Case(
        name="alias of a domain with an exchange",
        zones={"corp.com": ["CNAME other.net"], "other.net": ["MX 5 mx.other.net"], "mx.other.net": ["A 8.8.8.8"]},
        expected=["8.8.8.8"],
    ),
    Case(name="no such domain", zones={}, expected=RouteFault.NO_SUCH_DOMAIN, detail="confirmed"),
    Case(
        name="denied by one, known to the other",
        zones={},
        second=MX,
        expected=RouteFault.LOOKUP_FAILED,
        detail="nobody confirms",
    ),
    Case(name="null MX", zones={"corp.com": ["MX 0 ."]}, expected=RouteFault.NULL_MX, detail="takes no mail"),
    Case(
        name="null MX says one, an exchange the other",
        zones={"corp.com": ["MX 0 ."]},
        second=MX,
        expected=RouteFault.LOOKUP_FAILED,
    ),
    Case(
        name="a root among exchanges is passed over",
        zones={"corp.com": ["MX 0 .", "MX 10 mx.corp.com"], "mx.corp.com": ["A 8.8.8.8"]},
        expected=["8.8.8.8"],
    ),
    Case(
        name="SERVFAIL",
        zones=MX,
        failing={"corp.com": Failing.SERVFAIL},
        expected=RouteFault.LOOKUP_FAILED,
        detail="servfail",
    ),
    Case(
        name="timeout",
        zones=MX,
        failing={"corp.com": Failing.TIMEOUT},
        expected=RouteFault.LOOKUP_FAILED,
        detail="timeout",
    ),
    Case(name="lame", zones=MX, failing={"corp.com": Failing.LAME}, expected=RouteFault.LOOKUP_FAILED, detail="lame"),
    Case(
        name="refused",
        zones=MX,
        failing={"corp.com": Failing.REFUSED},
        expected=RouteFault.LOOKUP_FAILED,
        detail="refused",
    ),
    Case(
        name="the exchange cannot be looked up",
        zones=MX,
        failing={"mx.corp.com": Failing.SERVFAIL},
        expected=RouteFault.LOOKUP_FAILED,
        detail="mx.corp.com",
    ),
    Case(name="the exchange does not exist", zones=MX, expected=RouteFault.BROKEN_MX, detail="no such name"),
    Case(
        name="the exchange exists for the other",
        zones=MX,
        second=MX | {"mx.corp.com": ["A 8.8.8.8"]},
        expected=RouteFault.LOOKUP_FAILED,
        detail="nobody confirms",
    ),
    Case(
        name="the other names a second exchange",
        zones=MX,
        second={"corp.com": [*MX["corp.com"], "MX 20 b.corp.com"]},
        expected=RouteFault.LOOKUP_FAILED,
        detail="nobody confirms",
    ),
    Case(name="the exchange has no address", zones=MX | {"mx.corp.com": ["TXT hi"]}, expected=RouteFault.BROKEN_MX),
    Case(name="no exchange and no address", zones={"corp.com": ["TXT hi"]}, expected=RouteFault.NO_MAIL_HOST),
    Case(
        name="no exchange and no address, or an address",
        zones={"corp.com": ["TXT hi"]},
        second={"corp.com": ["AAAA 2a00::1"]},
        expected=RouteFault.LOOKUP_FAILED,
    ),
    Case(name="only names below it", zones={"www.corp.com": ["A 8.8.8.8"]}, expected=RouteFault.NO_MAIL_HOST),
    Case(
        name="the exchange is an address",
        zones={"corp.com": ["MX 0 8.8.8.8"]},
        expected=RouteFault.BROKEN_MX,
        detail="an address where a name belongs",
    ),
    Case(name="two null MX", zones={"corp.com": ["MX 0 .", "MX 10 ."]}, expected=RouteFault.BROKEN_MX),
    Case(
        name="private",
        zones=MX | {"mx.corp.com": ["A 10.0.0.1", "AAAA ::ffff:10.0.0.1"]},
        expected=RouteFault.PRIVATE_ADDRESS,
        detail="mx.corp.com: 10.0.0.1 is private",
    ),
    Case(
        name="loopback as implicit MX",
        zones={"corp.com": ["A 127.0.0.1"]},
        expected=RouteFault.PRIVATE_ADDRESS,
        detail="loopback",
    ),
    Case(
        name="ourselves",
        zones=MX | {"mx.corp.com": [f"A {OURS}"]},
        expected=RouteFault.PRIVATE_ADDRESS,
        detail="our own address",
    ),
    Case(
        name="a private host is passed over while another is usable",
        zones={
            "corp.com": ["MX 1 in.corp.com", "MX 2 out.corp.com"],
            "in.corp.com": ["A 192.168.0.1"],
            "out.corp.com": ["A 8.8.8.8"],
        },
        expected=["8.8.8.8"],
    ),
    Case(
        name="a host that may yet be usable outweighs a private one",
        zones={"corp.com": ["MX 1 in.corp.com", "MX 2 out.corp.com"], "in.corp.com": ["A 192.168.0.1"]},
        failing={"out.corp.com": Failing.TIMEOUT},
        expected=RouteFault.LOOKUP_FAILED,
        detail="192.168.0.1 is private",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_ways(servers: tuple[DnsServer, DnsServer], case: Case) -> None:
    for server, zones in zip(servers, (case.zones, case.zones if case.second is None else case.second), strict=True):
        server.zones = {US: [f"A {OURS}"], **zones}
        server.failing = case.failing
    way = await router_of(servers).route("corp.com")
    if isinstance(case.expected, list):
        assert isinstance(way, Route)
        assert [host.ip for host in way.hosts] == case.expected
    else:
        assert isinstance(way, Unroutable)
        assert way.fault is case.expected
        assert case.detail in way.detail


async def test_a_dead_domain_one_slip_away_brings_a_suggestion(servers: tuple[DnsServer, DnsServer]) -> None:
    way = await router_of(servers).route("gmial.com")
    assert isinstance(way, Unroutable)
    assert (way.fault, way.suggestion) == (RouteFault.NO_SUCH_DOMAIN, "gmail.com")


async def test_equal_preferences_share_the_load(servers: tuple[DnsServer, DnsServer]) -> None:
    servers[0].publish("corp.com", "MX 10 a.corp.com", "MX 10 b.corp.com", "MX 20 c.corp.com")
    for number, letter in enumerate("abc", start=1):
        servers[0].publish(f"{letter}.corp.com", f"A 8.8.8.{number}")
    numbers = iter([0.1, 0.9, 0.5, 0.9, 0.1, 0.5])
    resolver = Resolver([servers[0].address], keep=AS_PUBLISHED)
    router = Router(resolver, dice=lambda: next(numbers))
    names = []
    for _ in range(2):
        way = await router.route("corp.com")
        assert isinstance(way, Route)
        names.append([host.name for host in way.hosts])
    assert names[0][2] == names[1][2] == "c.corp.com"
    assert names[0][:2] == names[1][1::-1]


async def test_a_way_is_remembered_but_a_failure_is_not(servers: tuple[DnsServer, DnsServer]) -> None:
    resolver = Resolver([servers[0].address], keep=AS_PUBLISHED)
    router = Router(resolver, smtp_port=2525, keep=60)
    servers[0].failing["com"] = Failing.SERVFAIL
    assert isinstance(await router.route("corp.com"), Unroutable)
    servers[0].failing.clear()
    servers[0].publish("corp.com", "A 8.8.8.8")
    expected = Route(hosts=(Host("corp.com", "8.8.8.8", 2525),))
    assert await router.route("corp.com") == expected
    asked = len(servers[0].asked)
    assert await router.route("Corp.com.") == expected
    assert len(servers[0].asked) == asked


async def test_what_is_remembered_is_asked_again_in_time(
    servers: tuple[DnsServer, DnsServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = 1000.0
    monkeypatch.setattr(route, "time", SimpleNamespace(monotonic=lambda: ticks))
    resolver = Resolver([servers[0].address], keep=AS_PUBLISHED, clock=lambda: 0.0)
    servers[0].publish("corp.com", "MX 10 mx.corp.com")
    servers[0].publish("mx.corp.com", "A 8.8.8.8")
    servers[0].publish(US, f"A {OURS}")
    router = Router(resolver, own_name=US, keep=90)
    for after, ways, own in ((0, 1, 1), (89, 1, 1), (1, 2, 2), (89, 2, 2), (1, 3, 3)):
        ticks += after
        await router.route("corp.com")
        asked = servers[0].asked
        assert (asked.count(("corp.com", "MX")), asked.count((US, "A"))) == (ways, own), after


async def test_the_lab_may_be_private_but_never_ourselves(servers: tuple[DnsServer, DnsServer]) -> None:
    servers[0].publish(US, f"A {OURS}")
    servers[0].publish("corp.com", "MX 10 mx.corp.com")
    servers[0].publish("mx.corp.com", "A 127.0.1.1", f"A {OURS}")
    way = await router_of(servers, allow_private=True).route("corp.com")
    assert isinstance(way, Route)
    assert [host.ip for host in way.hosts] == ["127.0.1.1"]
    assert way.skipped == (Skipped("mx.corp.com", f"{OURS} is our own address"),)
