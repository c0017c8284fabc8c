"""The tool that plants bugs in constants (`make mutants`) finds them, and its exceptions are about something."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "benchmarks"))

from constants import all_mutants, mutants_of  # noqa: E402
from mutants import stages  # noqa: E402

SOURCE = """
"Umlauts – ä – before"
GRACE = timedelta(days=30)
_SMALL, OTHER = 1, 2.0
KINDS = frozenset({"a", "b"})
LARGE = 20 * 1024 * 1024
PAGE = "/alarms"
PROSE = "A sentence stays."
lower = 3


@dataclass
class Terms:
    every: timedelta = timedelta(days=180)
    live: bool = True


def look(at: int = 7, *, name: str = "x") -> None: ...
"""


def test_what_is_planted() -> None:
    found = [(mutant.name, mutant.change) for mutant in mutants_of("loop/x.py", SOURCE.encode())]
    assert found == [
        ("GRACE", "30 -> 21"),
        ("_SMALL,OTHER", "1 -> 2"),
        ("_SMALL,OTHER", "2.0 -> 1.4"),
        ("KINDS", '{"a", "b"} -> {\'b\'}'),
        ("KINDS", '{"a", "b"} -> {\'a\'}'),
        ("LARGE", "20 -> 14"),
        ("PAGE", "\"/alarms\" -> '/alarmsx'"),
        ("Terms.every", "180 -> 126"),
        ("look.at", "7 -> 5"),
    ]
    for mutant in mutants_of("loop/x.py", SOURCE.encode()):
        assert SOURCE.encode()[mutant.start : mutant.end].decode() == mutant.old


@pytest.mark.parametrize(
    ("constant", "test", "stage"),
    [
        ("loop/retry.py:LIFETIME", "tests/loop/test_retry.py", 1),
        ("loop/domains/identity.py:OWN_DOMAIN", "tests/test_docs.py", 2),  # it imports the module from its package
        ("loop/doctor/spf.py:CHECKS", "tests/loop/doctor/test_catalogue.py", 2),  # it lies beside its namesakes
        ("loop/doctor/spf.py:CHECKS", "tests/loop/test_outcome.py", 3),
    ],
)
def test_the_tests_that_may_notice_run_nearest_first(constant: str, test: str, stage: int) -> None:
    texts = {file: file.read_text("utf-8") for file in sorted((ROOT / "tests").rglob("test_*.py"))}
    mutant = next(one for one in all_mutants() if one.at == constant)
    assert [place for place, files in enumerate(stages(mutant, texts), 1) if test in files] == [stage]


def test_every_accepted_constant_is_there_and_has_a_reason() -> None:
    accepted = tomllib.loads((ROOT / "benchmarks" / "mutants.toml").read_text("utf-8"))
    assert accepted.keys() <= {mutant.at for mutant in all_mutants()}
    assert all(len(reason) > 10 for reason in accepted.values())


@pytest.mark.slow
def test_a_contract_that_nobody_tests_is_told_of() -> None:
    """One constant, from planting to verdict."""
    command = [sys.executable, "benchmarks/mutants.py", "--only", "loop/subject.py:SUBJECT", "--stages", "1"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert '"change": "255 -> 178"' in run.stdout, run.stderr
