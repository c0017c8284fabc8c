"""`homing bench`: figures that anyone can reproduce, as one JSON document.

Three processes besides this one: the gateway as it is (durable, signing), an application that submits over HTTP, and a
world with DNS and mail hosts on loopback. Messages are counted end to end: from the request to the host that has it.
"""

import asyncio
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
from rich.console import Console
from rich.progress import Progress

from homing.cli.load_client import HUMAN_SENDER, Answered, Gateway, Watching
from homing.config import Settings
from homing.mail.address import domain_of

OPERATOR = "acme-mail.com"
REFUSED = "refusing.example"
DOMAINS = 20
WARM_UP = 200
FAILURES_PER_SECOND = 20.0
PATIENCE = 60.0
"""Seconds without any progress after which a measurement is given up."""

_Process = Callable[[Connection, Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure. `size`: octets of each text; `failure_seconds`: how long refused messages are sent for;
    `folder`: where the gateway's data lies, for the disk decides; `streams`: live streams that are open while another
    round of the same messages is sent, half of them of the sending organization's people, half of other ones'."""

    messages: int = 2000
    clients: int = 20
    size: int = 5000
    failure_seconds: float = 10.0
    database_url: str = ""
    folder: Path | None = None
    streams: int = 0


def bench(plan: Plan) -> None:
    """Measure and print. Only the document goes to standard output."""
    print(json.dumps(measure(plan), indent=2))


def measure(plan: Plan) -> dict[str, Any]:
    """All figures of a run; the reference beside them is from the same run. Times in milliseconds unless named."""
    folder = Path(tempfile.mkdtemp(prefix="homing-bench-", dir=plan.folder))
    console = Console(stderr=True)
    try:
        signatures = _signatures_a_second()
        with _running(plan, folder) as bench, Progress(console=console, disable=not sys.stderr.isatty()) as progress:
            throughput = bench.throughput(progress)
            failures = bench.immediate_failure(progress)
            watched = bench.watched(progress) if plan.streams else None
    finally:
        shutil.rmtree(folder)
    return {
        "n": plan.messages,
        "clients": plan.clients,
        "size": plan.size,
        **throughput,
        "rsa2048_signatures_per_second_of_a_core": signatures,
        "immediate_failure": failures,
        **({"live_streams": watched} if watched else {}),
        "database": "postgresql" if plan.database_url else "sqlite",
        "cores": os.cpu_count(),
        "commit": _commit(),
        "versions": _versions(),
    }


@dataclass(slots=True, kw_only=True)
class _Bench:
    """The three processes at work."""

    plan: Plan
    world: Connection
    gateway: Connection
    application: Connection
    stream: str
    more_streams: Sequence[str]
    _number: int = 0

    def throughput(self, progress: Progress) -> dict[str, Any]:
        self._load(WARM_UP, progress, "warming up")
        _ask(self.world, "forget")
        before = _ask(self.gateway, "usage")
        answered, arrived = self._load(self.plan.messages, progress, "messages")
        after = _ask(self.gateway, "usage")
        begun = min(one.begun for one in answered)
        accepted = [one.answered - one.begun for one in answered]
        whole = [arrived[one.recipient] - one.begun for one in answered]
        count = len(answered)
        return {
            "messages_per_second": round(count / (max(arrived.values()) - begun), 1),
            "accepted_per_second": round(count / (max(one.answered for one in answered) - begun), 1),
            "gateway_cpu_ms_per_message": round((after["cpu"] - before["cpu"]) * 1000 / count, 3),
            "gateway_peak_rss_mb": after["rss_mb"],
            "accept_ms": _percentiles(accepted),
            "end_to_end_ms": _percentiles(whole),
        }

    def immediate_failure(self, progress: Progress) -> dict[str, Any]:
        """From the 202 of a message that is refused at RCPT to the octets of `bounced` on the live stream."""
        count = int(self.plan.failure_seconds * FAILURES_PER_SECOND)
        if not count:
            return {"n": 0}
        task = progress.add_task("immediate failures", total=None)
        recipients = [f"nobody{number}@{REFUSED}" for number in range(count)]
        announced = list(_ask(self.application, ("failures", recipients, FAILURES_PER_SECOND, self.stream)).values())
        progress.update(task, total=1, completed=1)
        return {
            "n": count,
            "messages_per_second": FAILURES_PER_SECOND,
            "unheard": count - len(announced),
            **{f"{name}_ms": value for name, value in _percentiles(announced).items()},
        }

    def watched(self, progress: Progress) -> dict[str, Any]:
        """What the same messages cost while live streams are open, as a ratio to rounds before and afterwards."""
        before = self._round(progress, "before the streams")
        _ask(self.application, ("watch", self.more_streams))
        beside = self._round(progress, f"beside {len(self.more_streams)} streams")
        received = _ask(self.application, ("unwatch",))
        after = self._round(progress, "after the streams")
        without = (before + after) / 2
        return {
            "n": len(self.more_streams),
            "events_received": received,
            "gateway_cpu_ms_per_message": round(beside, 3),
            "without": [round(before, 3), round(after, 3)],
            "ratio": round(beside / without, 3),
        }

    def _round(self, progress: Progress, title: str) -> float:
        """Milliseconds of the gateway's processor a message."""
        _ask(self.world, "forget")
        before = _ask(self.gateway, "usage")
        answered, _ = self._load(self.plan.messages, progress, title)
        return float(_ask(self.gateway, "usage")["cpu"] - before["cpu"]) * 1000 / len(answered)

    def _load(self, count: int, progress: Progress, title: str) -> tuple[list[Answered], dict[str, float]]:
        """Send so many, and wait until all have arrived."""
        numbers = range(self._number, self._number + count)
        self._number += count
        recipients = [f"m{number}@{_domain(number % DOMAINS)}" for number in numbers]
        task = progress.add_task(title, total=2 * count)
        answered = _ask(self.application, ("messages", recipients, self.plan.clients), partial(progress.update, task))
        since, seen = time.monotonic(), 0
        while (arrived := _ask(self.world, "count")) < count:
            since = time.monotonic() if arrived > seen else since
            seen = arrived
            if time.monotonic() > since + PATIENCE:
                raise RuntimeError(f"only {arrived} of {count} messages arrived")
            progress.update(task, completed=count + arrived)
            time.sleep(0.05)
        progress.update(task, completed=2 * count)
        return answered, _ask(self.world, "arrived")


@contextmanager
def _running(plan: Plan, folder: Path) -> Iterator[_Bench]:
    with _process(_world, None) as world:
        settings = _settings(plan, folder, world.recv())
        with _process(_gateway, settings) as gateway:
            ready = gateway.recv()
            key, stream, more = _prepare(ready["http_port"], ready["administrator"], plan.streams)
            application = Gateway(port=ready["http_port"], key=key, size=plan.size)
            with _process(_application, application) as client:
                yield _Bench(
                    plan=plan, world=world, gateway=gateway, application=client, stream=stream, more_streams=more
                )


def _settings(plan: Plan, folder: Path, world: dict[str, Any]) -> Settings:
    return Settings(
        operator_domain=OPERATOR,
        data_dir=folder,
        database_url=plan.database_url,
        http_port=0,
        http_connections=max(1000, 4 * plan.streams),
        smtp_host="127.0.0.1",
        smtp_port=0,
        dns_servers=world["dns_servers"],
        lab_outbound_port=world["smtp_port"],
        lab_private_addresses=True,
    )


def _prepare(port: int, administrator: str, streams: int) -> tuple[str, str, list[str]]:
    """An organization without limits and a human sender who is believed: a key, the path of his live stream, and those
    of others: half of them of his organization, half each of another one."""
    headers = {"Authorization": f"Bearer {administrator}"}
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30, trust_env=False) as http:

        def post(path: str, **body: Any) -> Any:
            response = http.post(path, json=body).raise_for_status()
            return response.json()

        def organization() -> Any:
            name = f"bench-{uuid4().hex[:12]}"
            made = post("/v1/organizations", name=name, display_name=name, rate_limit=10**9, daily_cap=10**9)
            http.headers["Homing-Organization"] = made["id"]
            return made["id"]

        def stream_of(address: str) -> Any:
            human_sender = post("/v1/human_senders", name="Janet Roe", address=address, proof_letter=False)["id"]
            post(f"/v1/human_senders/{human_sender}/prove")
            return post(f"/v1/human_senders/{human_sender}/stream_token")["url"]

        key = post(f"/v1/organizations/{organization()}/keys", name="bench", scopes=["send", "read"])["key"]
        own = stream_of(HUMAN_SENDER)
        more = [stream_of(f"janet{number}@crm.example") for number in range(streams // 2)]
        for _ in range(streams - len(more)):
            organization()
            more.append(stream_of(HUMAN_SENDER))
        return key, own, more


# -- the processes ---------------------------------------------------------------------------------------------------


@contextmanager
def _process(role: _Process, argument: object) -> Iterator[Connection]:
    """A fresh interpreter in that role, and the pipe to it."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_play, args=(role, theirs, argument), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join(10)
        process.kill()


def _play(role: _Process, pipe: Connection, argument: object) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(role(pipe, argument))
    else:
        uvloop.run(role(pipe, argument))


def _ask(pipe: Connection, question: object, progress: Callable[..., None] | None = None) -> Any:
    """A process's answer; numbers before it tell how far it is."""
    pipe.send(question)
    while isinstance(answer := pipe.recv(), _Done):
        if progress:
            progress(completed=answer.count)
    return answer


@dataclass(frozen=True, slots=True)
class _Done:
    count: int


async def _questions(pipe: Connection) -> Any:
    """The next request; None when the other side has closed the pipe."""
    try:
        return await asyncio.to_thread(pipe.recv)
    except EOFError:
        return None


async def _world(pipe: Connection, _: None) -> None:
    from homing.lab.dns import DnsServer
    from homing.lab.sink import Sink

    dns, sink = DnsServer(), Sink(REFUSED)
    ip, port = await dns.start()
    addresses = [f"127.0.1.{number + 1}" for number in range(DOMAINS)]
    smtp_port = await sink.start(addresses)
    for number, address in enumerate(addresses):
        dns.publish(_domain(number), f"MX 10 mx.{_domain(number)}")
        dns.publish(f"mx.{_domain(number)}", f"A {address}")
    for domain in (REFUSED, domain_of(HUMAN_SENDER)):
        dns.publish(domain, f"MX 10 mx.{_domain(0)}")
    pipe.send({"dns_servers": [f"{ip}:{port}"], "smtp_port": smtp_port})
    while question := await _questions(pipe):
        match question:
            case "count":
                pipe.send(len(sink.arrived))
            case "arrived":
                pipe.send(sink.arrived)
            case "forget":
                sink.arrived.clear()
                pipe.send(None)
    await sink.close()
    await dns.close()


async def _gateway(pipe: Connection, settings: Settings) -> None:
    from homing.app import build, freeze_startup_objects
    from homing.cli.log import log_to_stderr
    from homing.net.dns import Resolver
    from homing.net.route import Router

    log_to_stderr()
    app = build(settings)
    # A lab's DNS may change at any moment and is asked each time; here ways are remembered, as out in the world.
    servers = [(ip, int(port)) for ip, _, port in (text.partition(":") for text in settings.dns_servers)]
    app.deliverer.agent.router = Router(Resolver(servers), settings.lab_outbound_port, allow_private=True)
    async with app.running():
        freeze_startup_objects()
        pipe.send({"http_port": app.http_port, "administrator": app.keys.administrator})
        while await _questions(pipe):
            used = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send({"cpu": used.ru_utime + used.ru_stime, "rss_mb": round(used.ru_maxrss / 1024)})


async def _application(pipe: Connection, gateway: Gateway) -> None:
    def progress(count: int) -> None:
        if count % 50 == 0:
            pipe.send(_Done(count))

    watching = Watching(gateway.port)
    while question := await _questions(pipe):
        match question:
            case ("watch", streams):
                await watching.begin(streams)
                pipe.send(None)
            case ("unwatch",):
                pipe.send(await watching.end())
            case ("messages", recipients, connections):
                pipe.send(await gateway.messages(recipients, connections, progress))
            case ("failures", recipients, rate, stream):
                pipe.send(await gateway.failures(recipients, rate, stream))


# -- figures ---------------------------------------------------------------------------------------------------------


def _domain(number: int) -> str:
    return f"sink{number}.example"


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    ranked = sorted(seconds) or [float("nan")]
    return {name: round(ranked[int(share * (len(ranked) - 1))] * 1000, 1) for name, share in _SHARES.items()}


_SHARES = {"p50": 0.50, "p99": 0.99, "max": 1.0}


def _signatures_a_second(seconds: float = 1.0) -> int:
    """Raw RSA-2048 signatures on one core, PKCS #1 v1.5 with SHA-256 (RFC 6376 §3.3)."""
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256

    key = rsa.generate_private_key(65537, 2048)
    begun, count = time.monotonic(), 0
    while time.monotonic() < begun + seconds:
        key.sign(b"x" * 500, padding.PKCS1v15(), SHA256())
        count += 1
    return int(count / (time.monotonic() - begun))


def _commit() -> str | None:
    """What `git describe` says of this source, if it is a checkout."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own words alone
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.strip()


def _versions() -> dict[str, str]:
    from homing.store.sqlite import driver

    names = ("homing", "cryptography", "sqlalchemy", "fastapi", "uvicorn", "uvloop")
    return {
        "python": platform.python_version(),
        "sqlite": driver().sqlite_version,
        "system": f"{platform.system()} {platform.release()}",
        **{name: version(name) for name in names},
    }
