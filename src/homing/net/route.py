"""Which hosts take the mail of a domain (RFC 5321 §5.1), and why there are none.

A stranger decides what a domain's MX says: it may point inside our network or at ourselves. Such hosts are never tried.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from cachetools import TTLCache
from dns.inet import is_address

from homing.loop.domains.domain_typos import suggest
from homing.loop.evidence import RouteFault, Unroutable
from homing.net.dns import Answer, Found, LookupFailed, Mx, NoData, NoSuchName, Resolver, is_null_mx
from homing.net.public_address import why_not_public

ROUTE_LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class Host:
    """One server to connect to."""

    name: str
    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """A host that the DNS names, and why nobody is asked there."""

    host: str
    why: str

    def __str__(self) -> str:
        return f"{self.host}: {self.why}"


@dataclass(frozen=True, slots=True)
class Route:
    """Hosts in the order in which to try them. `skipped`: those that the DNS names too, and that were left out."""

    hosts: tuple[Host, ...]
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True)
class _Exchange:
    """The usable hosts behind one exchange, and what is wrong with the others."""

    preference: int
    hosts: tuple[Host, ...]
    faults: tuple[tuple[RouteFault, Skipped], ...]


OWN_KEPT = 60.0
"""Seconds for which the addresses of our own name are remembered."""

_AT_ONCE = 4
"""Mail hosts of one domain whose addresses are asked for at once: many silent ones keep nobody else waiting."""

_Ip = IPv4Address | IPv6Address
_Way = tuple[_Exchange, ...] | Unroutable
"""The remembered part of a route: a domain's exchanges, not yet shuffled by the dice."""


class Router:
    """Finds the route to a domain.

    Hosts at the addresses of `own_name` are never used, so that mail does not loop. `allow_private` is for the lab
    only. `dice` give numbers from 0 up to 1 and spread the load over exchanges of equal preference. A route is
    remembered for `keep` seconds.
    """

    def __init__(
        self,
        resolver: Resolver,
        smtp_port: int = 25,
        allow_private: bool = False,
        *,
        own_name: str | None = None,
        dice: Callable[[], float] = lambda: 0.0,
        keep: float = 60.0,
    ) -> None:
        self._resolver = resolver
        self._smtp_port = smtp_port
        self._allow_private = allow_private
        self._own_name = own_name
        self._own: TTLCache[str, frozenset[_Ip], float] = TTLCache(1, OWN_KEPT, time.monotonic)
        self._dice = dice
        self._known: TTLCache[str, _Way, float] = TTLCache(ROUTE_LIMIT, keep, time.monotonic)

    async def route(self, domain: str) -> Route | Unroutable:
        """The route to `domain` (A-label form), or an Unroutable, which tells whether asking again may help."""
        way = await self._way(domain.rstrip(".").lower())
        if isinstance(way, Unroutable):
            return way
        ranked = sorted(way, key=lambda exchange: (exchange.preference, self._dice()))
        return Route(
            hosts=tuple(host for exchange in ranked for host in exchange.hosts),
            skipped=tuple(host for exchange in ranked for _, host in exchange.faults),
        )

    async def _way(self, domain: str) -> _Way:
        known = self._known.get(domain)
        if known is not None:
            return known
        way = await self._find(domain)
        if not (isinstance(way, Unroutable) and way.fault is RouteFault.LOOKUP_FAILED):
            self._known[domain] = way
        return way

    async def _find(self, domain: str) -> _Way:
        answer = await self._resolver.mx(domain)
        match answer:
            case NoSuchName(server=server):
                if await self._resolver.confirm_no_such_name(domain, answer):
                    return _unroutable(domain, RouteFault.NO_SUCH_DOMAIN, f"no such domain, says {server}, confirmed")
                detail = f"no such domain, says {server}, but nobody confirms it"
                return _unroutable(domain, RouteFault.LOOKUP_FAILED, detail)
            case LookupFailed(why=why, server=server):
                return _unroutable(domain, RouteFault.LOOKUP_FAILED, f"MX of {domain}: {why} at {server}")
            case NoData():
                return await self._by_exchanges(domain, answer, (Mx(preference=0, exchange=domain),))
            case Found(records=records) if is_null_mx(records):
                return await self._by_null_mx(domain, answer)
            case Found(records=records):
                named = tuple(mx for mx in records if mx.exchange != ".")
                return await self._by_exchanges(domain, answer, named)

    async def _by_null_mx(self, domain: str, answer: Found[Mx]) -> Unroutable:
        if await self._resolver.confirm_null_mx(domain, answer):
            detail = f"takes no mail (null MX), says {answer.server}, confirmed"
            return _unroutable(domain, RouteFault.NULL_MX, detail)
        detail = f"takes no mail (null MX), says {answer.server}, but nobody confirms it"
        return _unroutable(domain, RouteFault.LOOKUP_FAILED, detail)

    async def _by_exchanges(self, domain: str, answer: Found[Mx] | NoData, records: tuple[Mx, ...]) -> _Way:
        own = await self._own_addresses()
        room = asyncio.Semaphore(_AT_ONCE)

        async def asked(mx: Mx) -> Answer[str]:
            async with room:
                return await self._resolver.addresses(mx.exchange)

        answers = await asyncio.gather(*map(asked, records))
        exchanges = tuple(self._exchange(mx, answer, own) for mx, answer in zip(records, answers, strict=True))
        if any(exchange.hosts for exchange in exchanges):
            return exchanges
        faults = [fault for exchange in exchanges for fault in exchange.faults]
        detail = "; ".join(str(host) for _, host in faults) or "MX names no host"
        # A host that could not be looked up may yet be usable, so it outweighs a host that can never be.
        for fault in (RouteFault.LOOKUP_FAILED, RouteFault.PRIVATE_ADDRESS):
            if any(each is fault for each, _ in faults):
                return _unroutable(domain, fault, detail)
        return await self._without_host(domain, answer, detail, [mx.exchange for mx in records])

    async def _without_host(
        self, domain: str, answer: Found[Mx] | NoData, detail: str, exchanges: list[str]
    ) -> Unroutable:
        """No exchange has an address: final as soon as a second source says so (RFC 5321 §5.1)."""
        names = [exchange for exchange in exchanges if not is_address(exchange)]
        if not await self._resolver.confirm_no_mail_host(domain, answer, names):
            return _unroutable(domain, RouteFault.LOOKUP_FAILED, f"{detail}, but nobody confirms it")
        fault = RouteFault.NO_MAIL_HOST if isinstance(answer, NoData) else RouteFault.BROKEN_MX
        return _unroutable(domain, fault, f"{detail}, confirmed")

    async def _own_addresses(self) -> frozenset[_Ip]:
        """The addresses of our own name, or those that it had up to a minute ago."""
        if not self._own_name:
            return frozenset()
        known = self._own.get(self._own_name)
        if known is not None:
            return known
        found = await self._resolver.addresses(self._own_name)
        own = frozenset(map(ip_address, found.records)) if isinstance(found, Found) else frozenset()
        self._own[self._own_name] = own
        return own

    def _exchange(self, mx: Mx, answer: Answer[str], own: frozenset[_Ip]) -> _Exchange:
        match answer:
            case Found(records=addresses):
                refused = [(ip, self._why_unusable(ip, own)) for ip in addresses]
                return _Exchange(
                    mx.preference,
                    tuple(Host(mx.exchange, ip, self._smtp_port) for ip, why in refused if why is None),
                    tuple(
                        (RouteFault.PRIVATE_ADDRESS, Skipped(mx.exchange, f"{ip} is {why}"))
                        for ip, why in refused
                        if why is not None
                    ),
                )
            case LookupFailed(why=why, server=server):
                fault = (RouteFault.LOOKUP_FAILED, Skipped(mx.exchange, f"{why} at {server}"))
            case NoSuchName() if is_address(mx.exchange):
                fault = (RouteFault.BROKEN_MX, Skipped(mx.exchange, "an address where a name belongs"))
            case NoSuchName(server=server):
                fault = (RouteFault.BROKEN_MX, Skipped(mx.exchange, f"no such name, says {server}"))
            case NoData(server=server):
                fault = (RouteFault.BROKEN_MX, Skipped(mx.exchange, f"no address, says {server}"))
        return _Exchange(mx.preference, (), (fault,))

    def _why_unusable(self, ip: str, own: frozenset[_Ip]) -> str | None:
        if ip_address(ip) in own:
            return "our own address"
        return None if self._allow_private else why_not_public(ip)


def _unroutable(domain: str, fault: RouteFault, detail: str) -> Unroutable:
    suggestion = None if fault is RouteFault.LOOKUP_FAILED else suggest(domain)
    return Unroutable(fault=fault, detail=detail, suggestion=suggestion)
