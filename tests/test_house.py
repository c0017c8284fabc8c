"""The house keeps its measures: small files, small functions, and a test file for each file of `flow/`."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "homing"
FLOW = SOURCE / "flow"

MOST_LINES = {"file": 600, "function": 60}


def lines_of(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def test_no_file_is_longer_than_600_lines() -> None:
    code = [path for room in ("src", "tests", "benchmarks") for path in (ROOT / room).rglob("*.py")]
    assert not {str(path.relative_to(ROOT)): lines for path in code if (lines := lines_of(path)) > MOST_LINES["file"]}


def test_no_function_is_longer_than_60_lines() -> None:
    long = {}
    for path in SOURCE.rglob("*.py"):
        if "versions" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MOST_LINES["function"]:
                    long[f"{path.relative_to(SOURCE)}:{node.name}"] = lines
    assert not long


@pytest.mark.parametrize(
    "path",
    [path.relative_to(FLOW) for path in sorted(FLOW.rglob("*.py")) if path.name != "__init__.py"],
    ids=str,
)
def test_each_file_of_flow_has_a_test_file_of_its_own(path: Path) -> None:
    assert (ROOT / "tests" / "flow" / path.parent / f"test_{path.name}").is_file()
