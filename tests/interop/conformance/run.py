"""One server, all its scenarios: inside the namespaces, with a gateway and the far end around it."""

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from homing.lab.world import World
from tests.stories.gateway import a_story

from . import namespace
from .beyond import the_far_end
from .cell import JANET, Cell, Finding
from .fetch import debian, npm
from .judge import judge
from .machine import Machine, a_machine
from .scenarios import SCENARIOS, Expected
from .server import Server


class Look(Protocol):
    async def __call__(self, names: Iterable[str], *, verbose: bool = False) -> dict[str, Any]: ...


@asynccontextmanager
async def looking_at(server: Server) -> AsyncIterator[Look]:
    """The server runs; what is given looks at it, and returns its version and its findings."""
    machine = a_machine()
    world = World("acme-mail.com", smtp_port=25)
    async with AsyncExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        story = await running.enter_async_context(a_story(folder, lab=world, smtp_port=25, gather_letters_minutes=0))
        await world.dns.start(namespace.NAMES, 53)
        await running.enter_async_context(the_far_end(world.dns, namespace.SERVER, namespace.SRS))
        machine.take_log()
        lay_out(server, machine)
        await server.start(machine)
        application = await story.application()
        await application.person("Janet Roe", JANET)

        async def look(names: Iterable[str], *, verbose: bool = False) -> dict[str, Any]:
            findings = []
            for name in names:
                began, before = time.monotonic(), len(machine.lines())
                finding = await _cell(Cell(story, application, server.name, name, SCENARIOS[name]), server)
                findings.append(finding)
                print(_line(finding, time.monotonic() - began), file=sys.stderr, flush=True)
                if verbose and finding.differs:
                    print(*machine.lines()[before:], sep="\n", file=sys.stderr, flush=True)
            return {"version": _version(server, machine), "cells": [finding.document() for finding in findings]}

        yield look


def lay_out(server: Server, machine: Machine) -> None:
    machine.unpack(debian(server.name, server.packages))
    if server.npm:
        machine.bind(npm(server.name, server.npm), "/opt/npm")


async def _cell(cell: Cell, server: Server) -> Finding:
    reason = server.lacks.get(cell.name)
    if reason:
        return Finding(server.name, cell.name, live=False, why=reason)
    try:
        finding = await asyncio.wait_for(cell.run(), 2 * cell.scenario.patience + 60)
    except Exception as error:  # noqa: BLE001 - one cell that breaks must not hide the others
        finding = Finding(server.name, cell.name, why=f"{type(error).__name__}: {error}")
    finding.differs = judge(finding, _expected(server, cell.name))
    return finding


def _expected(server: Server, name: str) -> Expected:
    """What can be concluded from what this server says."""
    expected = SCENARIOS[server.words_of.get(name, name)].expected
    if name in server.waiting:
        expected = replace(expected, kinds=("soft",), suppressed=0)
    return replace(expected, classes=("undetermined",)) if name in server.silent else expected


def _line(finding: Finding, seconds: float) -> str:
    what = "n/a because " + finding.why if not finding.live else finding.state
    differs = "  DIFFERS: " + "; ".join(finding.differs) if finding.differs else ""
    return f"{finding.server:10} {finding.scenario:20} {seconds:5.1f} s  {what}{differs}"


def _version(server: Server, machine: Machine) -> str:
    *command, pattern = server.version
    done = machine.run(*command, check=False)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else "?"
