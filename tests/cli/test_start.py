"""The command line starts quickly: what a command needs is imported when it runs."""

import resource
import subprocess
import sys

import pytest

HEAVY = {
    "fastapi",
    "sqlalchemy",
    "pydantic",
    "pydantic_settings",
    "httpx2",
    "structlog",
    "uvicorn",
    "cryptography",
    "dns",
}
TIMES = 6
"""`homing --help` takes at most so many times the processor time of importing what it is made of: a fraction of a
second on an idle machine."""


def test_help_imports_nothing_heavy() -> None:
    look = f"import sys, homing.cli; print(sorted({HEAVY!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", look], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.skipif(sys.platform == "win32", reason="needs getrusage")
def test_help_comes_at_once() -> None:
    made_of = min(_seconds("-c", "import typer, rich.console") for _ in range(5))
    assert min(_seconds("-m", "homing", "--help") for _ in range(5)) < TIMES * made_of


def _seconds(*arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
