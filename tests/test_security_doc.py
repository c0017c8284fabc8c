"""docs/security.md names what shows each claim: every threat has its row, and every test that is named exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGE = (DOCS / "security.md").read_text("utf-8")
ROWS = {cells[0]: cells[1:] for line in PAGE.splitlines() if (cells := re.findall(r"(?<=\| ).+?(?= \|)", line))}
THREATS = [f"T{number}" for number in range(1, 39)]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
MARK = re.compile(r"\*\*(Partly|Not built)\*\*: \w")
LONGEST_LINE = 120


@cache
def names_in(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text("utf-8"))
    names = (node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(name for name in names if name.startswith("test_"))


@pytest.mark.parametrize("number", THREATS)
def test_each_threat_has_a_row_with_a_test_or_is_not_built(number: str) -> None:
    _, does, shown = ROWS[number]
    assert TEST.search(shown) or does.startswith("**Not built**: "), "a claim that nothing shows"
    assert does.count("**") == 2 * len(MARK.findall(does)), "a mark is followed by what is missing"
    assert not MARK.search(does) or MARK.match(does), "what is missing is said first"
    assert TEST.sub("", shown).strip(", ") == ""


def test_no_row_is_there_twice_or_unknown() -> None:
    assert re.findall(r"^\| (T\d+) \|", PAGE, re.MULTILINE) == THREATS


def test_every_test_that_is_named_exists() -> None:
    named = TEST.findall(PAGE)
    missing = [f"{path}::{name}" for path, name in named if not _exists(ROOT / path, name)]
    assert len(named) > len(THREATS)
    assert missing == []


def _exists(path: Path, name: str) -> bool:
    return path.is_file() and name in names_in(path)


def test_every_section_that_it_sends_the_operator_to_is_there() -> None:
    headings = re.findall(r"^#+ (.+)$", (DOCS / "runbook.md").read_text("utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    wanted = set(re.findall(r"\(runbook\.md#([\w-]+)\)", PAGE))
    assert wanted
    assert wanted - anchors == set()


def test_lines_are_short_but_for_rows() -> None:
    assert [line for line in PAGE.splitlines() if len(line) > LONGEST_LINE and not line.startswith("| ")] == []
