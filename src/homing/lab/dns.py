"""The lab's DNS server: a dict of zones, changed at will, on loopback over UDP and TCP.

It answers with authority for every name in `zones` and denies all others, except where a name is told to fail.
Time to live is 0, so a change is seen at once.
"""

import asyncio
import struct
from dataclasses import dataclass, field
from enum import StrEnum
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

_PORTS_TRIED = 10
_UDP_ROOM = 512
_UDP_MOST = 1232  # whatever size the client announces (RFC 6891 §6.2.5)
_CHAIN_LIMIT = 10


class Failing(StrEnum):
    """How a name can fail. `lame`: the server does not serve the zone and refers to another one. `garbled`: the answer
    denies the name and gives its address at the same time. `bogus`: SERVFAIL unless the query disables checking, as a
    validating resolver treats a name whose signatures are wrong (RFC 4035 §3.2.2)."""

    SERVFAIL = "servfail"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    LAME = "lame"
    GARBLED = "garbled"
    BOGUS = "bogus"


@dataclass
class DnsServer:
    """`zones` maps a name to its records as a zone file has them: `{"corp.com": ["MX 10 mx.corp.com"]}`.

    A name like `*.corp.com` stands for all that do not exist below it. `failing` overrides `zones`, for a name and
    everything below it. `signed` are names in zones with right signatures, each with everything below it: answers about
    them have the AD bit. `asked` lists (name, type) of all questions.
    """

    zones: dict[str, list[str]] = field(default_factory=dict)
    failing: dict[str, Failing] = field(default_factory=dict)
    signed: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    servers: list[tuple[str, int]] = field(default_factory=list)
    _datagrams: list[asyncio.DatagramTransport] = field(default_factory=list)
    _streams: list[asyncio.Server] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        return self.servers[0]

    def publish(self, name: str, *records: str) -> None:
        """Sets all records of a name."""
        self.zones[name.lower()] = list(records)

    def publish_text(self, name: str, text: str) -> None:
        """Sets a TXT record however long (RFC 1035 §3.3.14: strings of at most 255 octets)."""
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        pieces = (escaped[start : start + 200] for start in range(0, len(escaped), 200))
        self.publish(name, "TXT " + " ".join(f'"{piece}"' for piece in pieces))

    async def start(self, ip: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Listens on UDP and TCP at the same port; returns address and port. Started twice, it is two servers."""
        for tries_left in range(_PORTS_TRIED if port == 0 else 1, 0, -1):
            streams = await asyncio.start_server(self._stream, ip, port)
            chosen = streams.sockets[0].getsockname()[1]
            try:
                datagrams = await self._datagrams_at(ip, chosen)
                break
            except OSError:  # taken for UDP: somebody asks a question from there
                streams.close()
                if tries_left == 1:
                    raise
        self._streams.append(streams)
        self._datagrams.append(datagrams)
        self.servers.append((ip, chosen))
        return ip, chosen

    async def _datagrams_at(self, ip: str, port: int) -> asyncio.DatagramTransport:
        loop = asyncio.get_running_loop()
        datagrams, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=(ip, port))
        return datagrams

    async def close(self) -> None:
        for datagrams in self._datagrams:
            datagrams.close()
        for streams in self._streams:
            streams.close()
            await streams.wait_closed()

    def answer(self, wire: bytes) -> dns.message.Message | None:
        """The response to one question, None if the server is to stay silent."""
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return None
        if not query.question:
            return None
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        self.asked.append((name, dns.rdatatype.to_text(question.rdtype)))
        response = dns.message.make_response(query)
        match self._failure(name):
            case Failing.TIMEOUT:
                return None
            case Failing.SERVFAIL:
                response.set_rcode(dns.rcode.SERVFAIL)
            case Failing.BOGUS if not query.flags & dns.flags.CD:
                response.set_rcode(dns.rcode.SERVFAIL)
            case Failing.REFUSED:
                response.set_rcode(dns.rcode.REFUSED)
            case Failing.LAME:
                response.authority.append(_rrset(dns.name.root, "NS a.root-servers.net."))
            case Failing.GARBLED:
                response.set_rcode(dns.rcode.NXDOMAIN)
                for record in ("A 127.0.0.1", "AAAA ::1", "MX 0 mx.invalid."):
                    response.answer.append(_rrset(question.name, record))
            case None | Failing.BOGUS:
                self._fill(response, name, question.rdtype)
        return response

    def _failure(self, name: str) -> Failing | None:
        return next((self.failing[one] for one in _at_and_above(name) if one in self.failing), None)

    def _fill(self, response: dns.message.Message, name: str, kind: dns.rdatatype.RdataType) -> None:
        response.flags |= dns.flags.AA
        if any(one in self.signed for one in _at_and_above(name)):
            response.flags |= dns.flags.AD
        for _ in range(_CHAIN_LIMIT):
            records = self.zones.get(name) or self.zones.get(self._wildcard(name), [])
            wanted = [record for record in records if record.split()[0] == dns.rdatatype.to_text(kind)]
            alias = next((record for record in records if record.split()[0] == "CNAME"), None)
            if wanted:
                response.answer.append(_rrset(dns.name.from_text(name), *wanted))
                return
            if alias is None:
                break
            response.answer.append(_rrset(dns.name.from_text(name), alias))
            name = alias.split()[1].rstrip(".").lower()
        if not self._exists(name) and self._wildcard(name) not in self.zones:
            response.set_rcode(dns.rcode.NXDOMAIN)
        top = dns.name.from_text(name.rpartition(".")[2])
        response.authority.append(_rrset(top, "SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 0"))

    def _exists(self, name: str) -> bool:
        return any(known == name or known.endswith(f".{name}") for known in self.zones)

    def _wildcard(self, name: str) -> str:
        """The wildcard below the closest encloser (RFC 4592 §3.3.1); what exists itself has none."""
        if self._exists(name):
            return ""
        while "." in name and not self._exists(name):
            name = name.partition(".")[2]
        return f"*.{name}"

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                response = self.answer(await reader.readexactly(length))
                if response is not None:
                    wire = response.to_wire(max_size=65_535)
                    writer.write(struct.pack("!H", len(wire)) + wire)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@dataclass
class _Datagrams(asyncio.DatagramProtocol):
    server: DnsServer
    transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        response = self.server.answer(data)
        if response is None or self.transport is None:
            return
        room = min(max(response.request_payload, _UDP_ROOM), _UDP_MOST)
        self.transport.sendto(response.to_wire(max_size=room, prefer_truncation=True), addr)


def _at_and_above(name: str) -> list[str]:
    labels = name.split(".")
    return [".".join(labels[start:]) for start in range(len(labels))]


def _rrset(name: dns.name.Name, *records: str) -> dns.rrset.RRset:
    kinds = [record.split(maxsplit=1) for record in records]
    rdatas = [
        dns.rdata.from_text(dns.rdataclass.IN, kind, text, origin=dns.name.root, relativize=False)
        for kind, text in kinds
    ]
    return dns.rrset.from_rdata_list(name, 0, rdatas)
