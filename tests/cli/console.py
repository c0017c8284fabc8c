"""The command line as its users run it: in this process, or as a process of its own."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import typer.main
import typer.testing
from typer.testing import CliRunner

from homing.cli import app

typer.testing._get_command = cache(typer.main.get_command)  # to make all our commands anew takes 0.1 s


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def document(self) -> Any:
        assert self.code == 0, (self.code, self.out, self.err)
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        assert self.code != 0, self.out
        return dict(json.loads(self.err.splitlines()[-1]))


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """Ours without any setting of Homing's, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOMING_")}
    return kept | {"COLUMNS": "120"} | dict(more)


@dataclass(slots=True)
class Cli:
    """Commands with settings in the environment and no server: the API in this process."""

    settings: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, stdin: str | None = None, **more: str) -> Ended:
        variables: dict[str, str | None] = {name: None for name in os.environ if name.startswith("HOMING_")}
        result = CliRunner().invoke(app, list(arguments), input=stdin, env=variables | self.settings | more)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)


def in_own_process(*arguments: str, **variables: str) -> Ended:
    done = subprocess.run(
        [sys.executable, "-m", "homing", *arguments],
        env=environment(variables),
        capture_output=True,
        text=True,
        timeout=240,  # seconds; a busy machine starts slowly
        stdin=subprocess.DEVNULL,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


async def in_a_thread(*arguments: str, **variables: str) -> Ended:
    """In this process, while its loop goes on and writes nothing."""
    return await asyncio.to_thread(Cli(), *arguments, **variables)


async def beside(*arguments: str, **variables: str) -> Ended:
    """A process of its own, while this one goes on."""
    return await asyncio.to_thread(in_own_process, *arguments, **variables)


def settings_in(folder: Path, port: int) -> dict[str, str]:
    return {
        "HOMING_OPERATOR_DOMAIN": "operator.example",
        "HOMING_DATA_DIR": str(folder / "homing"),
        "HOMING_HTTP_PORT": str(port),
    }
