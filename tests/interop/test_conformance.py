"""A handful of cells of docs/conformance.md, live; the whole is `make conformance`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .conformance import namespace
from .conformance.fetch import fetched
from .conformance.page import text
from .conformance.scenarios import QUICK, SCENARIOS
from .conformance.servers import SERVERS
from .others import absent, as_root

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.mark.parametrize("server", ["postfix", "exim"])
def test_what_a_real_server_says_is_understood(server: str) -> None:
    as_root(server)
    if reason := namespace.why_not():
        absent(f"no namespaces here: {reason}")
    if not fetched(server):
        absent(f"no {server}: run `make system-deps`, which downloads it")
    command = [sys.executable, "-m", "tests.interop.conformance", server, "--quick"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr


def test_the_page_is_what_the_runs_found() -> None:
    found = json.loads((DOCS / "conformance.json").read_text("utf-8"))
    assert (DOCS / "conformance.md").read_text("utf-8") == text(found)


def test_every_cell_is_live_or_has_its_reason() -> None:
    found = json.loads((DOCS / "conformance.json").read_text("utf-8"))
    assert set(found) == set(SERVERS)
    for server, result in found.items():
        assert [cell["scenario"] for cell in result["cells"]] == list(SCENARIOS), server
        assert [cell for cell in result["cells"] if not cell["live"] and not cell["why"]] == []


def test_the_quick_ones_are_scenarios() -> None:
    assert set(QUICK) < set(SCENARIOS)
