"""What comes with Homing: under licences that an Apache-2.0 program may bring along, and asked about known weaknesses.

The licences are those that the installed distributions name themselves, those of what they bring along included.
"""

import json
import re
import runpy
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
AUDIT = runpy.run_path(str(ROOT / ".ci" / "audit"))

ALLOWED = {"MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "BSD", "ISC", "Apache-2.0", "PSF-2.0"}
CLASSIFIERS = {
    "MIT License": "MIT",
    "BSD License": "BSD",
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
}
EXCEPTIONS = {
    "publicsuffixlist": "MPL-2.0",
    "pyahocorasick": "BSD-3-Clause and Public-Domain",
    "pysqlite3": "",  # only the file LICENSE says it: zlib's
}
"""Each is in docs/dependencies.md, with a sentence."""


def run_time() -> list[str]:
    """The distributions that run with Homing on this machine, by the lock file."""
    lines = (ROOT / "requirements" / "run.txt").read_text().splitlines()
    pinned = [Requirement(line.rstrip(" \\")) for line in lines if re.match(r"[A-Za-z0-9]", line)]
    return [one.name for one in pinned if one.marker is None or one.marker.evaluate()]


def licence(named: metadata.PackageMetadata) -> str:
    """The SPDX expression, or what older metadata have for one; "" if they do not say."""
    if expression := named.get("License-Expression") or named.get("License"):
        return expression
    said = [one.rpartition(" :: ")[2] for one in named.get_all("Classifier", []) if one.startswith("License :: OSI")]
    return " AND ".join(CLASSIFIERS.get(one, one) for one in said)


def is_allowed(expression: str) -> bool:
    """Whether one of the alternatives consists of allowed licences alone."""
    plain = re.sub(r"[()]", " ", expression).removesuffix(" License")
    return any(all(part.strip() in ALLOWED for part in re.split(r"\bAND\b", one)) for one in re.split(r"\bOR\b", plain))


@pytest.mark.parametrize("name", run_time())
def test_the_licence_of_what_runs_with_homing(name: str) -> None:
    found = licence(metadata.metadata(name))
    if name in EXCEPTIONS:
        assert found == EXCEPTIONS[name], "the exception is about another licence"
        assert f"| `{name}` |" in (ROOT / "docs" / "dependencies.md").read_text()
    else:
        assert is_allowed(found), f"{name}: {found or 'unknown'}"


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 OR GPL-2.0-only", True),
        ("MIT AND PSF-2.0", True),
        ("(MIT AND BSD-3-Clause)", True),
        ("MIT AND GPL-3.0-or-later", False),
        ("AGPL-3.0-only", False),
        ("GNU General Public License v3 (GPLv3)", False),
        ("LGPL-2.1-only", False),
        ("Proprietary", False),
        ("", False),
    ],
)
def test_which_licences_are_allowed(expression: str, allowed: bool) -> None:
    assert is_allowed(expression) is allowed


def test_the_lock_file_holds_all_that_is_brought_along() -> None:
    there = {canonicalize_name(name) for name in run_time()}
    for name in there:
        for wanted in map(Requirement, metadata.requires(name) or []):
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                assert canonicalize_name(wanted.name) in there, f"{name} brings {wanted.name}"


# -- known weaknesses --------------------------------------------------------------------------------------------------

WELL = {"name": "sound", "version": "1.0", "vulns": []}
FAULT = {"id": "CVE-2099-1", "aliases": ["GHSA-x"], "fix_versions": ["1.1"], "description": "x"}
WEAK = {"name": "weak", "version": "1.0", "vulns": [FAULT]}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


def audited(*answers: list[dict[str, Any]] | None, strict: bool = False) -> tuple[int, list[str]]:
    """The status, and the services that were asked."""
    asked: list[str] = []

    def ask(service: str) -> dict[str, Any] | None:
        asked.append(service)
        answer = answers[len(asked) - 1]
        return None if answer is None else {"dependencies": json.loads(json.dumps(answer))}

    return AUDIT["status"](AUDIT["audit"](ask), strict=strict), asked


@pytest.mark.parametrize("strict", [False, True])
def test_a_known_weakness_fails(strict: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert audited([WELL, WEAK], strict=strict) == (1, ["pypi"])
    assert "weak 1.0: CVE-2099-1, GHSA-x; repaired in: 1.1" in capsys.readouterr().out
    assert audited(None, [WEAK], strict=strict)[0] == 1
    assert audited([UNKNOWN, WEAK], [UNKNOWN, WELL], strict=strict)[0] == 1


def test_nothing_known_is_well_and_needs_one_service(capsys: pytest.CaptureFixture[str]) -> None:
    assert audited([WELL], strict=True) == (0, ["pypi"])
    assert audited([WELL, UNKNOWN], [WELL, {**WELL, "name": "unknown"}], strict=True) == (0, ["pypi", "osv"])
    assert "COULD NOT ASK" not in capsys.readouterr().out


@pytest.mark.parametrize("answers", [(None, None), ([UNKNOWN], None), ([UNKNOWN, WELL], [UNKNOWN])])
def test_that_nobody_answers_is_said_and_fails_where_it_must_not_be(
    answers: tuple[Any, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert audited(*answers)[0] == 0
    assert "COULD NOT ASK" in capsys.readouterr().out
    assert audited(*answers, strict=True)[0] == 2
