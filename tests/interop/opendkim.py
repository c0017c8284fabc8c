"""OpenDKIM as a verifier that looks up no DNS: keys come from a file. Its exit code is 0 whatever it finds."""

import asyncio
import re
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from .others import program

_PATIENCE = 10.0


def configured(folder: Path, published: Mapping[str, str]) -> Path:
    """A configuration that verifies with these records, by their names."""
    lines = [f"{name} {record}\n" for name, record in published.items()]
    (folder / "opendkim.keys").write_text("".join(lines))
    config = folder / "opendkim.conf"
    config.write_text(f"TestPublicKeys {folder}/opendkim.keys\nMode v\nSyslog no\nAlwaysAddARHeader yes\n")
    return config


def verify(config: Path, folder: Path, messages: dict[str, bytes]) -> dict[str, str]:
    """What OpenDKIM says of each message, by the messages' names: "pass", or the reason for something else."""
    for name, content in messages.items():
        (folder / f"{name}.eml").write_bytes(content)
    files = ",".join(f"{name}.eml" for name in messages)
    command = [program("opendkim", "opendkim"), "-x", config, "-v", "-v", "-t", files]
    run = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    said = run.stdout + run.stderr
    return {name: _verdict(name, said) for name in messages}


def _verdict(name: str, said: str) -> str:
    if re.search(rf"{name}\.eml: verification \(.*\) succeeded", said):
        return "pass"
    failed = re.search(rf"{name}\.eml: verification \(.*\) failed: (.*)", said)
    return failed[1] if failed else f"not a word of {name}.eml in: {said}"


@asynccontextmanager
async def a_milter(config: Path, port: int) -> AsyncIterator[str]:
    """OpenDKIM beside a mail server, which asks it about each message; what the server's setting must say."""
    command = [program("opendkim", "opendkim"), "-f", "-x", config, "-p", f"inet:{port}@127.0.0.1"]
    with (config.parent / "opendkim.log").open("wb") as log:
        milter = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        await _until_it_listens(milter, port)
        yield f"inet:127.0.0.1:{port}"
    finally:
        milter.terminate()
        await asyncio.to_thread(milter.wait, _PATIENCE)


async def _until_it_listens(milter: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert milter.poll() is None, "OpenDKIM ended"
            assert time.monotonic() < deadline, "OpenDKIM does not listen"
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
