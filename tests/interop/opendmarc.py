"""OpenDMARC as a judge of alignment. It believes the Authentication-Results that stand on top, and its DNS is a file.

It is a milter, and so it is spoken to as a mail server speaks to one: packets of a length, a command and its data.
"""

import asyncio
import re
import struct
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.stories.gateway import free_port

from .others import program
from .scenarios import HELO, Scenario, records

_PATIENCE = 10.0
_US = "mx.receiver.com"
_CONFIG = """\
AuthservID {us}
TrustedAuthservIDs {us}
IgnoreHosts {folder}/nobody
PublicSuffixList /usr/share/publicsuffix/public_suffix_list.dat
RejectFailures false
Syslog no
TestDNSData {folder}/dns
"""
_END = frozenset({b"a", b"c", b"d", b"r", b"t", b"y"})
"""Accept, continue, discard, reject, tempfail, reply code: with each of these a milter's answer ends."""


@dataclass(frozen=True, slots=True)
class OpenDmarc:
    port: int

    async def verdict(self, scenario: Scenario, spf: str, dkim: str) -> str:
        """Its word on DMARC, given those of SPF and DKIM on the scenario's return path and signature."""
        signed_by = re.search(rb"^DKIM-Signature:[^:]*?\sd=([^;]*);", scenario.raw)
        signature = f"{dkim} header.d={signed_by[1].decode()}" if signed_by else "none"
        results = f"{_US}; spf={spf} smtp.mailfrom={scenario.mail_from.rpartition('@')[2]}; dkim={signature}"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            return await _Milter(reader, writer).judged(scenario, results)
        finally:
            writer.close()


@dataclass(slots=True)
class _Milter:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def judged(self, scenario: Scenario, results: str) -> str:
        await self._say(b"O", struct.pack("!III", 6, 0x1FF, 0))
        await self._say(b"C", _US.encode() + b"\0" + b"4" + struct.pack("!H", 25) + scenario.ip.encode() + b"\0")
        await self._say(b"H", HELO.encode() + b"\0")
        await self._say(b"M", f"<{scenario.mail_from}>".encode() + b"\0")
        await self._say(b"R", b"<john@receiver.com>\0")
        head, _, body = scenario.raw.partition(b"\r\n\r\n")
        fields = [b"Authentication-Results: " + results.encode(), *re.split(rb"\r\n(?![ \t])", head)]
        for name, _, value in (field.partition(b":") for field in fields):
            await self._say(b"L", name + b"\0" + value.strip().replace(b"\r\n", b"\n") + b"\0")
        await self._say(b"N")
        await self._say(b"B", body)
        said = await self._say(b"E")
        found = re.search(rb"dmarc=(\w+)", b" ".join(said))
        assert found is not None, said
        return found[1].decode()

    async def _say(self, command: bytes, data: bytes = b"") -> list[bytes]:
        """What it answered, packet by packet."""
        self.writer.write(struct.pack("!I", len(data) + 1) + command + data)
        said = []
        while True:
            (length,) = struct.unpack("!I", await self.reader.readexactly(4))
            packet = await self.reader.readexactly(length)
            said.append(packet)
            if packet[:1] in _END or packet[:1] == b"O":
                return said


@asynccontextmanager
async def an_opendmarc(folder: Path) -> AsyncIterator[OpenDmarc]:
    """A running OpenDMARC that knows the scenarios' records."""
    command = program("opendmarc", "opendmarc")
    lines = [f"{name} {text}\n" for name, known in records().items() for kind, text in known if kind == "TXT"]
    (folder / "dns").write_text("".join(lines))
    (folder / "nobody").write_text("203.0.113.255\n")
    config = folder / "opendmarc.conf"
    config.write_text(_CONFIG.format(us=_US, folder=folder))
    port = free_port()
    with (folder / "opendmarc.log").open("wb") as log:
        milter = subprocess.Popen(
            [command, "-f", "-c", config, "-p", f"inet:{port}@127.0.0.1"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        await _until_it_listens(milter, port, folder)
        yield OpenDmarc(port)
    finally:
        milter.terminate()
        await asyncio.to_thread(milter.wait, _PATIENCE)


async def _until_it_listens(milter: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert milter.poll() is None, (folder / "opendmarc.log").read_text(errors="replace")
            assert time.monotonic() < deadline, "OpenDMARC does not listen"
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
