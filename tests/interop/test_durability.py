"""What a kill cannot show, since it leaves the page cache alone: an acknowledgement waits for the disk.

The kernel's own record of `homing serve`: between the last octet that was read of a message and the first of the 202 or
250, its octets were written to the write-ahead log, and the log was synced.
"""

import asyncio
import os
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from homing.app import Keys, build
from homing.config import Settings
from homing.loop import ids
from homing.loop.model import HumanSenderId, OrganizationId
from homing.loop.token import Purpose, Tokens
from homing.store import human_senders
from tests.stories.gateway import free_port

from .strace import FILE_WRITES, READS, SYNCS, WRITES, Call, calls_in, traced

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 60.0
ACCEPTED = '"HTTP/1.1 202 Accepted'
KEPT = '"250 2.0.0 kept as inb_'
LOG = "/homing.db-wal"

_WITHOUT_SYNC = """
from functools import partial
from homing import cli
from homing.app import shared
shared.Database.open = partial(shared.Database.open, durable=False)
cli.app(["serve"])
"""
COMMANDS = {
    "honest": [sys.executable, "-m", "homing", "serve"],
    "without-sync": [sys.executable, "-c", _WITHOUT_SYNC],
    "too-early": [sys.executable, "-m", "tests.stories.serve_ahead", "--ahead", "0", "--mutant", "ack-before-commit"],
}


def a_mark() -> str:
    """A word that nothing else contains: it is looked for in what the process read and wrote."""
    return f"proof-{uuid4().hex}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What a gateway did while a message was submitted, and a small and a large mail came in, each with its mark."""

    calls: list[Call]
    submitted: str = field(default_factory=a_mark)
    small: str = field(default_factory=a_mark)
    large: str = field(default_factory=a_mark)

    def last(self, names: frozenset[str], path: str, text: str = "") -> Call:
        return [call for call in self.calls if _is(call, names, path, text)][-1]

    def first(self, names: frozenset[str], path: str, text: str = "", *, after: Call) -> Call:
        return next(call for call in self.calls if call.began > after.ended and _is(call, names, path, text))

    def waited(self, mark: str, answer: str) -> bool:
        """Whether the log held `mark` and was synced, between the last read of `mark` and the answer to it."""
        asked = self.last(READS, "", mark)
        answered = self.first(WRITES, "", answer, after=asked)
        between = [call for call in self.calls if asked.ended < call.began and call.ended < answered.began]
        kept = [call.ended for call in between if _is(call, FILE_WRITES, LOG, mark)]
        return any(kept and call.succeeded and call.began > kept[-1] for call in between if _is(call, SYNCS, LOG))


def _is(call: Call, names: frozenset[str], path: str, text: str = "") -> bool:
    return call.name in names and call.path.endswith(path) and text in call.text


def test_202_waits_for_the_disk(honest: Watched) -> None:
    assert honest.waited(honest.submitted, ACCEPTED)


def test_250_waits_for_the_disk(honest: Watched) -> None:
    assert "\\r\\n.\\r\\n" in honest.last(READS, "", honest.small).text  # that was the end of it
    assert honest.waited(honest.small, KEPT)


def test_250_to_a_large_mail_waits_for_its_file_and_the_name_of_it(honest: Watched) -> None:
    asked = honest.last(READS, "", honest.large)
    answered = honest.first(WRITES, "", KEPT, after=asked)
    (file,) = {call.path for call in honest.calls if call.name in FILE_WRITES and "/inbound/" in call.path}
    written = honest.last(FILE_WRITES, file)
    content = honest.first(SYNCS, file, after=written)
    name = honest.first(SYNCS, str(Path(file).parent), after=content)
    record = honest.first(SYNCS, LOG, after=name)
    assert all(sync.succeeded for sync in (content, name, record))
    assert asked.ended < written.began
    assert record.ended < answered.began


def test_the_check_sees_who_does_not_sync(tmp_path: Path) -> None:
    watched = watch("without-sync", tmp_path)
    assert not watched.waited(watched.submitted, ACCEPTED)
    assert not watched.waited(watched.small, KEPT)


def test_the_check_sees_who_answers_first(tmp_path: Path) -> None:
    watched = watch("too-early", tmp_path)
    assert not watched.waited(watched.submitted, ACCEPTED)
    assert watched.waited(watched.small, KEPT)  # the fault is in the 202 alone


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    return watch("honest", tmp_path_factory.mktemp("honest"))


def watch(kind: str, folder: Path) -> Watched:
    """Run such a gateway, let it take three messages, and end it."""
    watched = Watched(calls=[])
    settings = Settings(
        operator_domain="acme-mail.com",
        data_dir=folder / "homing",
        http_port=free_port(),
        smtp_host="127.0.0.1",
        smtp_port=free_port(),
        dns_servers=["127.0.0.1:9"],
    )
    key = asyncio.run(_prepared(settings))
    with _running(COMMANDS[kind], settings, folder) as process:
        _submit(settings, key, watched.submitted)
        _come_in(settings, f"Subject: small\r\n\r\n{watched.small}\r\n")
        _come_in(settings, "Subject: large\r\n\r\n" + ("x" * 70 + "\r\n") * 20_000 + watched.large + "\r\n")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    watched.calls.extend(calls_in(_complete(folder / "trace")))
    return watched


async def _prepared(settings: Settings) -> str:
    """An organization and a Janet who is believed; the organization's key."""
    app = build(settings)
    administrator = {"Authorization": f"Bearer {app.keys.administrator}"}
    transport = httpx2.ASGITransport(app.http)
    async with app.storing(), httpx2.AsyncClient(transport=transport, base_url="http://gateway") as http:
        body = {"name": "crm", "display_name": "Widget CRM"}
        organization = (await http.post("/v1/organizations", json=body, headers=administrator)).json()["id"]
        body = {"name": "test", "scopes": ["send"]}
        keyed = await http.post(f"/v1/organizations/{organization}/keys", json=body, headers=administrator)
        own = {"Authorization": f"Bearer {keyed.json()['key']}"}
        body = {"name": "Janet Roe", "address": "janet@example.com"}
        sender = (await http.post("/v1/human_senders", json=body, headers=own)).json()["id"]
        whose = ids.read("organization", organization), ids.read("human_sender", sender)
        assert whose[0] and whose[1]
        await app.database.write(human_senders.prove, OrganizationId(whose[0]), HumanSenderId(whose[1]), app.clock())
    return str(keyed.json()["key"])


@contextmanager
def _running(command: list[str], settings: Settings, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {
        "HOMING_OPERATOR_DOMAIN": settings.operator_domain,
        "HOMING_DATA_DIR": str(settings.data_dir),
        "HOMING_HTTP_PORT": str(settings.http_port),
        "HOMING_SMTP_HOST": settings.smtp_host,
        "HOMING_SMTP_PORT": str(settings.smtp_port),
        "HOMING_DNS_SERVERS": '["127.0.0.1:9"]',
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            traced(command, folder / "trace"),
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _until_it_listens(settings, process, folder / "log")
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _until_it_listens(settings: Settings, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            httpx2.get(f"http://127.0.0.1:{settings.http_port}/healthz")
        except httpx2.TransportError:
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.1)
        else:
            return


def _submit(settings: Settings, key: str, mark: str) -> None:
    body = {
        "human_sender": {"name": "Janet Roe", "address": "janet@example.com"},
        "to": ["john@corp.com"],
        "subject": mark,
        "text": "Hello",
    }
    url = f"http://127.0.0.1:{settings.http_port}/v1/messages"
    answer = httpx2.post(url, json=body, headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE)
    assert answer.status_code == 202, answer.text


def _come_in(settings: Settings, content: str) -> None:
    """A mail to an envelope sender of ours."""
    now = datetime.now(UTC)
    tokens = Tokens(Keys.in_folder(settings.data_dir, settings, now).tokens)
    token = tokens.mint(Purpose.ENVELOPE, uuid4(), made=now, last_day=(now + timedelta(days=1)).date())
    with smtplib.SMTP("127.0.0.1", settings.smtp_port, timeout=PATIENCE) as smtp:
        assert smtp.sendmail("", [f"b+{token}@{settings.return_domain}"], content) == {}


def _complete(trace: Path) -> list[str]:
    """The lines of a trace, once strace has written the last."""
    deadline = time.monotonic() + PATIENCE
    while not (text := trace.read_text(errors="replace")).endswith("+++ exited with 0 +++\n"):
        assert time.monotonic() < deadline, text[-1000:]
        time.sleep(0.05)
    return text.splitlines()
