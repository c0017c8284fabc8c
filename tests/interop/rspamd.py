"""rspamd as a verifier: its SPF, DKIM and DMARC and nothing else of it, asking the lab's DNS. Slow to start."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from homing.lab.dns import DnsServer
from tests.stories.gateway import free_port

from .others import program
from .scenarios import HELO, Scenario, records

_PATIENCE = 60.0
_CONFIG = """
options {{
    filters = "dkim";
    dns {{ nameserver = ["127.0.0.1:{dns}"]; timeout = 2s; sockets = 1; retransmits = 3; }}
    local_addrs = [];
    tempdir = "{folder}";
    url_tld = "/usr/share/publicsuffix/public_suffix_list.dat";
    pidfile = "{folder}/pid";
    cache_file = "{folder}/cache";
    control_socket = "{folder}/control mode=0600";
    hs_cache_dir = "{folder}/";
    stats_file = "{folder}/stats";
    history_file = "{folder}/history";
    dynamic_conf = "{folder}/dynamic";
    task_timeout = 20s;
}}
logging {{ type = "console"; level = "warning"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; }}
modules {{ path = "{plugins}/dmarc.lua"; path = "{plugins}/spf.lua"; }}
actions {{ reject = 100; }}
spf {{ }}
dkim {{ }}
dmarc {{ }}
"""
_PLUGINS = Path("/usr/share/rspamd/plugins")
_WORDS = {
    "spf": {"R_SPF_ALLOW": "pass", "R_SPF_FAIL": "fail", "R_SPF_NA": "none"},
    "dkim": {"R_DKIM_ALLOW": "pass", "R_DKIM_REJECT": "fail", "R_DKIM_PERMFAIL": "fail", "R_DKIM_NA": "none"},
    "dmarc": {
        "DMARC_POLICY_ALLOW": "pass",
        "DMARC_POLICY_REJECT": "fail",
        "DMARC_POLICY_SOFTFAIL": "fail",
        "DMARC_NA": "none",
    },
}


@dataclass(frozen=True, slots=True)
class Rspamd:
    http: httpx2.AsyncClient

    async def verdict(self, scenario: Scenario) -> dict[str, str]:
        """Its word on each of spf, dkim and dmarc; "absent" where it has none."""
        envelope = {"IP": scenario.ip, "Helo": HELO, "From": scenario.mail_from, "Rcpt": "john@receiver.com"}
        answer = await self.http.post("/checkv2", content=scenario.raw, headers=envelope)
        symbols = answer.json()["symbols"]
        return {
            what: next((word for symbol, word in words.items() if symbol in symbols), "absent")
            for what, words in _WORDS.items()
        }


@asynccontextmanager
async def an_rspamd(folder: Path) -> AsyncIterator[Rspamd]:
    """A running rspamd whose DNS are the scenarios' records."""
    command = program("rspamd", "rspamd")
    dns = DnsServer()
    _, dns_port = await dns.start()
    for name, known in records().items():
        dns.publish(name, *(f"{kind} {_quoted(text) if kind == 'TXT' else text}" for kind, text in known))
    port = free_port()
    config = folder / "rspamd.conf"
    config.write_text(_CONFIG.format(dns=dns_port, folder=folder, port=port, plugins=_PLUGINS))
    with (folder / "rspamd.log").open("wb") as log:
        process = subprocess.Popen(
            [command, "-f", "-i", "-c", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            await _until_it_answers(process, http, folder)
            yield Rspamd(http)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, _PATIENCE)
        await dns.close()


def _quoted(text: str) -> str:
    """A TXT record as a zone file has it: strings of at most 255 octets (RFC 1035 §3.3.14)."""
    return " ".join(f'"{text[start : start + 200]}"' for start in range(0, len(text), 200))


async def _until_it_answers(process: "subprocess.Popen[bytes]", http: httpx2.AsyncClient, folder: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            await http.get("/ping")
        except httpx2.TransportError:
            said = (folder / "rspamd.log").read_text(errors="replace")
            assert process.poll() is None, f"rspamd ended: {said}"
            assert time.monotonic() < deadline, f"rspamd does not answer: {said}"
            await asyncio.sleep(0.2)
        else:
            return
