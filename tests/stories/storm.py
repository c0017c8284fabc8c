"""A gateway that is killed again and again while messages flow, the application and the world outside living on.

Each is a process of its own. The gateway's clock jumps ahead while it is dead, so that its retries come due.
"""

import asyncio
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2

from homing.app import Keys, build
from homing.config import Settings
from homing.loop import ids
from homing.loop.model import HumanSenderId, OrganizationId
from homing.loop.token import Tokens
from homing.store import human_senders

from .invariants import Aftermath, Report
from .outside import HUMAN_SENDER, OPERATOR
from .rows import rows

ROOT = Path(__file__).resolve().parent.parent.parent
CONNECTIONS = 20
STEP = 20.0
"""Minutes that the gateway's clock jumps ahead at each restart."""
CLOCK_JUMP = 180.0
"""The same when the storm is over."""
PATIENCE = 120.0
GENTLE = 8
"""Every so many lives of the gateway, one ends by SIGTERM."""

_UNDONE = """
SELECT (SELECT count(*) FROM delivery WHERE state IN ('queued', 'sending'))
     + (SELECT count(*) FROM delivery WHERE state = 'deferred' AND next_attempt_at <= {now})
     + (SELECT count(*) FROM action WHERE state = 'running' OR (state = 'due' AND due_at <= {now}))
     + (SELECT count(*) FROM inbound WHERE state IN ('waiting', 'working'))
"""
_LEFT = """
SELECT (SELECT count(*) FROM attempt WHERE ended_at IS NULL)
     + (SELECT count(*) FROM delivery WHERE state = 'sending')
     + (SELECT count(*) FROM action WHERE state = 'running')
     + (SELECT count(*) FROM inbound WHERE state = 'working')
"""
_PUT_OFF = """
SELECT (SELECT count(*) FROM delivery WHERE state = 'deferred') + (SELECT count(*) FROM action WHERE state = 'due')
"""


def steady_port() -> int:
    """A port that nobody is given while the gateway is dead. Outside of the system's own range, or a client that knocks
    at it again and again would one day be connected with itself."""
    while True:
        port = random.randrange(15_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@dataclass
class Storm:
    """At least `kills` kills while at least `messages` messages flow, `rate` a second. The same seed gives the same
    moments, as far as machines do. `postgresql`: the URL of its database, else the embedded one."""

    folder: Path
    seed: int
    kills: int
    messages: int
    rate: float = 100.0
    mutant: str | None = None
    postgresql: str | None = None
    http_port: int = field(default_factory=steady_port)
    smtp_port: int = field(default_factory=steady_port)
    _settings: dict[str, Any] = field(default_factory=dict)
    _ahead: float = 0.0
    _killed: int = 0

    def blow(self) -> Report:
        dice = random.Random(self.seed)
        print(f"storm: seed {self.seed}, {self.kills} kills, {self.messages} messages, mutant {self.mutant}")
        with self._outside() as world:
            self._settings = self._settings_in(world)
            key = asyncio.run(self._prepare())
            with self._process("applicant", *self._application(key), log="applicant.log") as application:
                for life in itertools.count(1):
                    if self._killed >= self.kills:
                        break
                    if life % GENTLE == 0:
                        self._live_and_stop(dice)
                    else:
                        self._live_and_die(dice)
                with self._gateway() as gateway:
                    _wait(gateway, self._listens)
                    self._flow(gateway)
                    application.send_signal(signal.SIGTERM)
                    assert application.wait(300) == 0
                    self._quiet(gateway)
                    _stop(gateway)
            self._drain()
        return self._aftermath().report()

    def _live_and_die(self, dice: random.Random) -> None:
        """One life of the gateway. Now and then it does not even get to its feet."""
        with self._gateway() as gateway:
            if dice.random() < 0.15:
                time.sleep(dice.uniform(0.5, 3.0))
            else:
                _wait(gateway, self._listens)
                time.sleep(dice.uniform(0.05, 2.5))
            assert gateway.poll() is None, "the gateway ended by itself"
            os.killpg(gateway.pid, signal.SIGKILL)
            gateway.wait()
            self._killed += 1

    def _live_and_stop(self, dice: random.Random) -> None:
        """One life that ends as an operator ends it, in the middle of everything: nothing is left in doubt."""
        with self._gateway() as gateway:
            _wait(gateway, self._listens)
            time.sleep(dice.uniform(0.5, 1.5))
            _stop(gateway)
            assert self._count(_LEFT) == 0, "a clean stop left something under way"

    def _flow(self, gateway: subprocess.Popen[str]) -> None:
        """On a slow machine few messages flow between two kills: let most of the others flow now."""
        while self._acknowledged() < self.messages * 0.8:
            assert gateway.poll() is None, "the gateway ended by itself"
            time.sleep(0.5)  # to read them all takes time, which the gateway needs

    def _drain(self) -> None:
        """Let hours pass until nothing is left to try."""
        while self._count(_PUT_OFF):
            with self._gateway(CLOCK_JUMP) as gateway:
                _wait(gateway, self._listens)
                self._quiet(gateway)
                _stop(gateway)

    def _quiet(self, gateway: subprocess.Popen[str]) -> None:
        _wait(gateway, lambda: self._count(_UNDONE.format(now=int(self._now().timestamp() * 1_000_000))) == 0)

    # -- the processes -------------------------------------------------------------------------------------------------

    @contextmanager
    def _outside(self) -> Iterator[dict[str, Any]]:
        with self._process("outside", str(self._ledger), str(self.smtp_port), log="outside.log") as outside:
            assert outside.stdout is not None
            yield json.loads(outside.stdout.readline())

    @contextmanager
    def _gateway(self, step: float = STEP) -> Iterator[subprocess.Popen[str]]:
        self._ahead += step
        mutant = ("--mutant", self.mutant) if self.mutant else ()
        with self._process("serve_ahead", "--ahead", str(self._ahead), *mutant, log="gateway.log") as gateway:
            yield gateway

    @contextmanager
    def _process(self, module: str, *arguments: str, log: str) -> Iterator[subprocess.Popen[str]]:
        # Whoever is born so often must not compile everything anew each time.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPYCACHEPREFIX": str(self.folder.parent / "pycache"), **_as_environment(self._settings)}
        with (self.folder / log).open("a") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", f"tests.stories.{module}", *arguments],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        with process:
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _application(self, key: str) -> tuple[str, ...]:
        url = f"http://127.0.0.1:{self.http_port}"
        return str(self._told), url, key, str(self.seed), str(self.messages), str(self.rate)

    def _settings_in(self, world: dict[str, Any]) -> dict[str, Any]:
        return {
            "operator_domain": OPERATOR,
            "data_dir": str(self.folder / "homing"),
            "database_url": self._database,
            "http_port": self.http_port,
            "smtp_host": "127.0.0.1",
            "smtp_port": self.smtp_port,
            "dns_servers": world["dns_servers"],
            "lab_outbound_port": world["smtp_port"],
            "lab_private_addresses": True,
            "deliveries_at_once": CONNECTIONS,
        }

    async def _prepare(self) -> str:
        """An organization without limits and a human sender who is believed; the organization's key."""
        app = build(Settings(**self._settings))
        administrator = {"Authorization": f"Bearer {app.keys.administrator}"}
        transport = httpx2.ASGITransport(app.http)
        async with app.storing(), httpx2.AsyncClient(transport=transport, base_url="http://gateway") as http:
            body = {"name": "crm", "display_name": "Widget CRM", "rate_limit": 10**9, "daily_cap": 10**9}
            made = await http.post("/v1/organizations", json=body, headers=administrator)
            assert made.status_code == 201, made.text
            organization = made.json()["id"]
            body = {"name": "storm", "scopes": ["send", "read", "manage"]}
            keyed = await http.post(f"/v1/organizations/{organization}/keys", json=body, headers=administrator)
            assert keyed.status_code == 201, keyed.text
            own = {"Authorization": f"Bearer {keyed.json()['key']}"}
            body = {"name": "Janet Roe", "address": HUMAN_SENDER}
            sender = await http.post("/v1/human_senders", json=body, headers=own)
            assert sender.status_code == 201, sender.text
            whose = ids.read("organization", organization), ids.read("human_sender", sender.json()["id"])
            assert whose[0] and whose[1]
            await app.database.write(
                human_senders.prove, OrganizationId(whose[0]), HumanSenderId(whose[1]), app.clock()
            )
        return str(keyed.json()["key"])

    # -- what can be seen ----------------------------------------------------------------------------------------------

    @property
    def _ledger(self) -> Path:
        return self.folder / "outside.jsonl"

    @property
    def _told(self) -> Path:
        return self.folder / "told.jsonl"

    def _now(self) -> datetime:
        return datetime.now(UTC) + timedelta(minutes=self._ahead)

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.http_port), 1):
            return True
        return False

    def _acknowledged(self) -> int:
        return len(_lines(self._told))

    def _count(self, query: str) -> int:
        [row] = rows(self._database, query)
        return int(next(iter(row.values())))

    @property
    def _database(self) -> str:
        return self.postgresql or f"sqlite:///{self.folder / 'homing' / 'homing.db'}"

    def _aftermath(self) -> Aftermath:
        settings = Settings(**self._settings)
        return Aftermath(
            database=self._database,
            told=_lines(self._told),
            outside=_lines(self._ledger),
            tokens=Tokens(Keys.in_folder(settings.data_dir, settings, self._now()).tokens),
            now=self._now(),
            kills=self._killed,
            connections=CONNECTIONS,
        )


def _as_environment(settings: dict[str, Any]) -> dict[str, str]:
    return {
        f"HOMING_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in settings.items()
    }


def _lines(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    whole = file.read_text("utf-8").rpartition("\n")[0]
    return [json.loads(line) for line in whole.split("\n") if line]


def _wait(process: subprocess.Popen[str], look: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not look():
        assert process.poll() is None, "the process ended by itself"
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def _stop(gateway: subprocess.Popen[str]) -> None:
    """As an operator would."""
    gateway.send_signal(signal.SIGTERM)
    assert gateway.wait(PATIENCE) == 0
