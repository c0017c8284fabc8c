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


def test_no_garbage_is_looked_for_among_modules() -> None:
    look = """
import gc
from homing.cli.exits import no_garbage_collection
with no_garbage_collection():
    print(gc.isenabled(), gc.get_freeze_count())
    import fastapi
modules = gc.get_freeze_count()
with no_garbage_collection():
    import fastapi
print(gc.isenabled(), modules > 10_000, gc.get_freeze_count() == modules)
"""
    said = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True).stdout
    assert said.splitlines() == ["False 0", "True True True"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs getrusage")
def test_help_comes_at_once() -> None:
    made_of = min(_seconds("-c", "import typer, rich.console") for _ in range(5))
    assert min(_seconds("-m", "homing", "--help") for _ in range(5)) < TIMES * made_of


def _seconds(*arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
