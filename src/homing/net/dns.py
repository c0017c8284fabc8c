"""Questions to the DNS (RFC 1035). Every answer is a value, and different answers stay different.

"No such name", "the name has no such record" and "the look-up failed" lead to different ends of a delivery, so they
are never merged. A name is dead only when a second source says so too (`confirm_no_such_name`).
"""

import asyncio
import contextlib
import copy
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, replace

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset
from cachetools import FIFOCache, TLRUCache

from homing.loop.domains.publication import Observation
from homing.mail.dns_question import Answer as Answer
from homing.mail.dns_question import Ask, RecordT
from homing.mail.dns_question import Found as Found
from homing.mail.dns_question import LookupFailed as LookupFailed
from homing.mail.dns_question import LookupFault as LookupFault
from homing.mail.dns_question import NoData as NoData
from homing.mail.dns_question import NoSuchName as NoSuchName
from homing.net.public_address import why_not_public

MX_LIMIT = 20
ADDRESS_LIMIT = 5
CNAME_LIMIT = 8
CACHE_OCTETS = 32 * 1024 * 1024
"""What all answers that are kept take up in memory."""
LARGEST_ANSWER = 16 * 1024
"""Octets of an answer's records: four times what the longest keys and policies need, for other TXT records stand beside
them. The server of a larger one counts as failing."""
AT_ONCE = 128
DENIALS = 20_000
ZONE_SERVERS = 8
ZONE_PATIENCE = 8.0
"""Seconds to find the servers of a zone."""
DENIED_AGAIN_AFTER = 600.0
"""Seconds between two denials by the same resolver for both to count, if no other server can be asked."""

Server = tuple[str, int]
"""IP address and port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mx:
    """A mail exchange; lower preferences come first. Exchange "." alone means that the domain takes no mail."""

    preference: int
    exchange: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How long answers are kept, in seconds: positive ones between `least` and `most`, the others at most so long."""

    least: float = 60.0
    most: float = 86_400.0
    negative: float = 60.0
    failure: float = 5.0


AS_PUBLISHED = Keep(least=0.0, negative=0.0, failure=0.0)
"""No minimum: zones may change from one moment to the next, as in the lab."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """An answer in text form and how long it may be kept; `alias` is a CNAME that the server did not follow."""

    answer: Answer[str]
    ttl: float
    alias: str | None = None


@dataclass(slots=True, eq=False)
class _Question:
    """A question that somebody waits for: how many do, and whether it has a place."""

    task: asyncio.Task[Answer[str]] | None = None
    waiting: int = 0
    begun: bool = False


def system_servers() -> tuple[Server, ...]:
    """The machine's own resolvers; at most three, like the C library."""
    configured = dns.resolver.Resolver(configure=True)
    return tuple((str(ip), configured.port) for ip in configured.nameservers[:3])


class Resolver:
    """Asks `servers` in order, remembers answers, and asks a question once however many wait for its answer.

    At most `AT_ONCE` questions are under way, each with one socket; the others wait, first come, first served. So that
    nobody takes all of these places, askers have a `share` of them, or places `apart`.

    `timeout` is for one question to one server, in seconds; every server is asked up to twice. `zone_port` is the port
    of the zones' own servers, which are asked for a second opinion; `allow_private` lets their addresses be private.
    """

    def __init__(
        self,
        servers: Sequence[Server] | None = None,
        *,
        keep: Keep | None = None,
        timeout: float = 2.0,
        zone_port: int = 53,
        allow_private: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._servers = tuple(servers) if servers else system_servers()
        self._keep = keep or Keep()
        self._timeout = timeout
        self._zone_port = zone_port
        self._allow_private = allow_private
        self._clock = clock
        self._known: TLRUCache[tuple[str, str], _Reply, float] = TLRUCache(
            CACHE_OCTETS, self._kept_until, clock, getsizeof=_octets
        )
        self._asking: dict[tuple[str, str], _Question] = {}
        self._denied: FIFOCache[str, float] = FIFOCache(DENIALS)
        self._places: tuple[asyncio.Semaphore, ...] = (asyncio.Semaphore(AT_ONCE),)

    def apart(self, at_once: int) -> "Resolver":
        """This resolver, with the same memory, for askers who have places of their own and take none of the others'."""
        return self._with(asyncio.Semaphore(at_once))

    def share(self, at_once: int) -> "Resolver":
        """This resolver, with the same memory, for one asker, who has at most `at_once` of its places. Nobody else
        waits for a question that waits here. To be closed when the asker is done."""
        return self._with(asyncio.Semaphore(at_once), *self._places)

    def _with(self, *places: asyncio.Semaphore) -> "Resolver":
        other = copy.copy(self)
        vars(other).update(_asking={}, _places=places)
        return other

    def close(self) -> None:
        """Leave off all that is under way here."""
        for question in self._asking.values():
            if question.task is not None:
                question.task.cancel()

    async def mx(self, name: str) -> Answer[Mx]:
        """The mail exchanges of a domain, best first; at most 20 (RFC 5321 §5.1)."""
        answer = _as_mx(await self._lookup(name, "MX"))
        match answer:
            case Found(records=records, server=server):
                ranked = sorted(records, key=lambda mx: mx.preference)
                return Found(records=tuple(ranked[:MX_LIMIT]), server=server)
            case _:
                return answer

    async def addresses(self, name: str) -> Answer[str]:
        """At most five IPv4 and five IPv6 addresses, IPv4 first: receivers judge IPv6 senders more harshly."""
        four, six = await asyncio.gather(self._lookup(name, "A"), self._lookup(name, "AAAA"))
        match four, six:
            case Found(), Found():
                records = four.records[:ADDRESS_LIMIT] + six.records[:ADDRESS_LIMIT]
                return Found(records=records, server=four.server)
            case (Found() as one, _) | (_, Found() as one):
                return replace(one, records=one.records[:ADDRESS_LIMIT])
            case (LookupFailed(), _) | (NoSuchName(), NoSuchName()):
                return four
            case (_, LookupFailed()):
                return six
            case _:
                return NoData(server=four.server)

    async def txt(self, name: str) -> Answer[str]:
        """Text records, the strings of each joined (RFC 7208 §3.3)."""
        return await self._lookup(name, "TXT")

    async def records(self, ask: Ask) -> Answer[str]:
        """What any question is answered, each record in the text that `RecordType` names."""
        return await self._lookup(ask.name, ask.record_type.value)

    async def everywhere(self, name: str, kind: str, rests_at: str | None = None) -> list[Observation]:
        """The current answers of each resolver and two of the zone's own servers, none from the cache
        (`loop.domains.publication`).

        `rests_at`: the name at the end of the aliases; the servers of its own zone are asked about it. If they cannot
        be found in time, the list holds no observations of theirs.
        """
        zone: list[Server] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ZONE_PATIENCE):
                zone = await self._zone_servers(rests_at or name)
        askings = [
            *(self._placed([server], name, kind) for server in self._servers),
            *(self._placed([server], rests_at or name, kind, recursive=False) for server in zone),
        ]
        reply = await asyncio.gather(*askings)
        return [
            Observation(server=_shown(server), authoritative=place >= len(self._servers), answer=one.answer)
            for place, (server, one) in enumerate(zip((*self._servers, *zone), reply, strict=True))
        ]

    async def starts_of_authority(self, name: str) -> list[Observation]:
        """The SOA record of the closest enclosing zone at each of its servers, at most eight, none from the cache."""
        zone = ""
        servers: list[Server] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ZONE_PATIENCE):
                zone, servers = await self._zone(name, ZONE_SERVERS)
        reply = await asyncio.gather(
            *(self._placed([server], zone, "SOA", recursive=False) for server in servers),
        )
        return [
            Observation(server=_shown(server), authoritative=True, answer=one.answer)
            for server, one in zip(servers, reply, strict=True)
        ]

    async def is_bogus(self, name: str) -> bool:
        """Whether the records of a name are withheld because their signatures are wrong: SERVFAIL, and yet an answer
        where checking is disabled (RFC 4035 §3.2.2)."""
        first = await self.txt(name)
        if not isinstance(first, LookupFailed) or first.why is not LookupFault.SERVFAIL:
            return False
        async with self._place():
            reply = [
                await self._ask_once(server, name, "TXT", recursive=True, checked=False) for server in self._servers
            ]
        return any(not isinstance(one.answer, LookupFailed) for one in reply)

    async def time_to_live(self, name: str, kind: str) -> float | None:
        """The seconds for which the resolver still caches a record, which was published with at least that TTL."""
        reply = await self._placed(self._servers, name, kind)
        return reply.ttl if isinstance(reply.answer, Found) else None

    async def confirm_no_such_name(self, name: str, first: NoSuchName) -> bool:
        """Whether a second source says at once that the name does not exist: another resolver, or the zone's own.

        Where neither can be asked, a second denial by the same resolver ten minutes after its first one counts.
        """
        second = await self._second_opinion(name, "MX", first.server)
        return self._agrees(f"nxdomain {name}", second, isinstance(second, NoSuchName))

    async def confirm_null_mx(self, name: str, first: Found[Mx]) -> bool:
        """Whether a second source says too that the domain takes no mail (RFC 7505)."""
        second = _as_mx(await self._second_opinion(name, "MX", first.server))
        agrees = isinstance(second, Found) and is_null_mx(second.records)
        return self._agrees(f"null mx {name}", second, agrees)

    async def confirm_no_mail_host(self, name: str, first: Found[Mx] | NoData, hosts: Collection[str]) -> bool:
        """Whether a second source says too that the domain names these hosts for its mail, or none, and that none of
        them has an address. `hosts` without those that are no names; the domain itself where it has no MX."""
        claim = f"no mail host {name}"
        second = _as_mx(await self._second_opinion(name, "MX", first.server))
        alike = isinstance(second, NoData) if isinstance(first, NoData) else _exchanges(first) == _exchanges(second)
        if not alike:
            return self._agrees(claim, second, False)
        for host in hosts:
            for kind in ("A", "AAAA"):
                address = await self._second_opinion(host, kind, first.server)
                if not isinstance(address, NoData | NoSuchName):
                    return self._agrees(claim, address, False)
        return self._agrees(claim, second, True)

    def _agrees(self, claim: str, second: Answer[RecordT], agrees: bool) -> bool:
        if agrees or not isinstance(second, LookupFailed):
            self._denied.pop(claim, None)
            return agrees
        return self._clock() - self._denied.setdefault(claim, self._clock()) >= DENIED_AGAIN_AFTER

    async def _second_opinion(self, name: str, kind: str, first_server: str) -> Answer[str]:
        others = [server for server in self._servers if _shown(server) != first_server]
        reply = await self._placed(others, name, kind)
        if isinstance(reply.answer, LookupFailed):
            reply = await self._placed(await self._zone_servers(name), name, kind, recursive=False)
        return reply.answer

    async def _zone_servers(self, name: str) -> list[Server]:
        """Two servers of the closest enclosing zone."""
        return (await self._zone(name, 2))[1]

    async def _zone(self, name: str, at_most: int) -> tuple[str, list[Server]]:
        """The closest enclosing zone and servers of it: for an alias or a name that does not exist, its parent's."""
        labels = name.rstrip(".").split(".")
        for start in range(len(labels)):
            zone = ".".join(labels[start:])
            found = await self._lookup(zone, "NS")
            if isinstance(found, Found):
                break
        else:
            return "", []
        addresses = await asyncio.gather(*(self.addresses(host) for host in found.records[:at_most]))
        firsts = [answer.records[0] for answer in addresses if isinstance(answer, Found)]
        return zone, [(ip, self._zone_port) for ip in firsts if self._allow_private or why_not_public(ip) is None]

    async def _lookup(self, name: str, kind: str) -> Answer[str]:
        key = (name.rstrip(".").lower(), kind)
        known = self._known.get(key)
        if known is not None:
            return known.answer
        question = self._asking.get(key)
        if question is None:
            question = self._asking[key] = _Question()
            question.task = asyncio.create_task(self._learn(key, question))
        assert question.task is not None
        question.waiting += 1
        try:
            return await asyncio.shield(question.task)
        finally:
            question.waiting -= 1
            if not question.waiting and not question.begun:
                self._forget(key, question)
                question.task.cancel()

    async def _learn(self, key: tuple[str, str], question: _Question) -> Answer[str]:
        try:
            async with self._place():
                question.begun = True
                reply = await self._ask_in_turn(self._servers, *key)
            self._known[key] = reply
            return reply.answer
        finally:
            self._forget(key, question)

    def _forget(self, key: tuple[str, str], question: _Question) -> None:
        if self._asking.get(key) is question:
            del self._asking[key]

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """A place for one question at a time: in the smallest share first, so that who waits there holds no other."""
        async with contextlib.AsyncExitStack() as held:
            for places in self._places:
                await held.enter_async_context(places)
            yield

    def _kept_until(self, _key: tuple[str, str], reply: _Reply, now: float) -> float:
        match reply.answer:
            case Found():
                return now + min(max(reply.ttl, self._keep.least), self._keep.most)
            case LookupFailed():
                return now + self._keep.failure
            case _:
                return now + min(reply.ttl, self._keep.negative)

    async def _placed(self, servers: Sequence[Server], name: str, kind: str, *, recursive: bool = True) -> _Reply:
        async with self._place():
            return await self._ask_in_turn(servers, name, kind, recursive=recursive)

    async def _ask_in_turn(self, servers: Sequence[Server], name: str, kind: str, *, recursive: bool = True) -> _Reply:
        reply = _failed(LookupFault.UNREACHABLE, "no server known")
        for _ in range(2):
            for server in servers:
                reply = await self._ask(server, name, kind, recursive=recursive)
                if not isinstance(reply.answer, LookupFailed):
                    return reply
        return reply

    async def _ask(self, server: Server, name: str, kind: str, *, recursive: bool) -> _Reply:
        """One server's answer, after following the aliases that it left to us."""
        ttl = self._keep.most
        for _ in range(CNAME_LIMIT):
            reply = await self._ask_once(server, name, kind, recursive=recursive)
            ttl = min(ttl, reply.ttl)
            if reply.alias is None:
                return replace(reply, ttl=ttl)
            name = reply.alias
        return _failed(LookupFault.GARBLED, _shown(server))

    async def _ask_once(self, server: Server, name: str, kind: str, *, recursive: bool, checked: bool = True) -> _Reply:
        ip, port = server
        try:
            query = dns.message.make_query(name, kind, use_edns=0, payload=1232)
        except dns.exception.DNSException:
            return _Reply(answer=NoSuchName(server="none: this is no DNS name", authoritative=True), ttl=0)
        query.flags |= dns.flags.AD  # say whether the signatures are right (RFC 6840 §5.7)
        if not recursive:
            query.flags &= ~dns.flags.RD
        if not checked:
            query.flags |= dns.flags.CD
        try:
            response, _ = await dns.asyncquery.udp_with_fallback(
                query, ip, timeout=self._timeout, port=port, ignore_unexpected=True, ignore_errors=True
            )
            return _read(response, _shown(server))
        except dns.exception.Timeout:
            return _failed(LookupFault.TIMEOUT, _shown(server))
        except dns.exception.DNSException:
            return _failed(LookupFault.GARBLED, _shown(server))
        except (OSError, EOFError):
            return _failed(LookupFault.UNREACHABLE, _shown(server))


def is_null_mx(records: Sequence[Mx]) -> bool:
    """RFC 7505 §3: a single exchange that is the root."""
    return len(records) == 1 and records[0].exchange == "."


_RECORD_HEAD = 12
"""Octets of a record before its data, its name compressed (RFC 1035 §4.1.3)."""
_ENTRY = 1024
"""About what an answer takes up in memory beside its records."""
_RCODES = {dns.rcode.SERVFAIL: LookupFault.SERVFAIL, dns.rcode.REFUSED: LookupFault.REFUSED}


def _read(response: dns.message.Message, server: str) -> _Reply:
    """What a response means (RFC 2308 §2). Raises DNSException for one that contradicts itself."""
    rcode = response.rcode()
    if rcode not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
        return _failed(_RCODES.get(rcode, LookupFault.GARBLED), server)
    if not isinstance(response, dns.message.QueryMessage):
        return _failed(LookupFault.GARBLED, server)
    chain = response.resolve_chaining()
    authoritative = bool(response.flags & dns.flags.AA)
    if chain.answer is not None:
        secure = bool(response.flags & dns.flags.AD)
        records = _texts(chain.answer)
        if sum(_RECORD_HEAD + len(record) for record in records) > LARGEST_ANSWER:
            return _failed(LookupFault.GARBLED, server)
        return _Reply(answer=Found(records=records, server=server, secure=secure), ttl=chain.minimum_ttl)
    if rcode == dns.rcode.NXDOMAIN:
        return _Reply(answer=NoSuchName(server=server, authoritative=authoritative), ttl=chain.minimum_ttl)
    if chain.cnames:
        alias = chain.canonical_name.to_text(omit_final_dot=True)
        return _Reply(answer=NoData(server=server), ttl=chain.minimum_ttl, alias=alias)
    if not authoritative and not response.flags & dns.flags.RA:
        return _failed(LookupFault.LAME, server)
    return _Reply(answer=NoData(server=server), ttl=chain.minimum_ttl)


def _octets(reply: _Reply) -> int:
    """What a kept answer takes up in memory: text with rare characters needs up to four octets for each of them."""
    records = reply.answer.records if isinstance(reply.answer, Found) else ()
    return _ENTRY + sum(sys.getsizeof(record) + 8 for record in records)


def _texts(rrset: dns.rrset.RRset) -> tuple[str, ...]:
    if rrset.rdtype == dns.rdatatype.TXT:
        return tuple(b"".join(rdata.strings).decode("utf-8", "replace") for rdata in rrset)
    return tuple(rdata.to_text() for rdata in rrset)


def _as_mx(answer: Answer[str]) -> Answer[Mx]:
    if not isinstance(answer, Found):
        return answer
    pairs = (record.split() for record in answer.records)
    records = tuple(
        Mx(preference=int(preference), exchange=exchange.lower().rstrip(".") or ".") for preference, exchange in pairs
    )
    return Found(records=records, server=answer.server)


def _exchanges(answer: Answer[Mx]) -> frozenset[Mx]:
    return frozenset(answer.records) if isinstance(answer, Found) else frozenset()


def _failed(why: LookupFault, server: str) -> _Reply:
    return _Reply(answer=LookupFailed(why=why, server=server), ttl=0)


def _shown(server: Server) -> str:
    ip, port = server
    return ip if port == 53 else f"{ip}#{port}"
