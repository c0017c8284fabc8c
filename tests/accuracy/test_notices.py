"""Notices in words, composed in the forms of many programs: whom they name, and why."""

import json
from pathlib import Path

import pytest

from homing.loop.reading.understand import understand
from tests.loop.reading.rules import RULES

LINES = (Path(__file__).parent / "notices.jsonl").read_text("utf-8").splitlines()


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_a_notice_names_whom_and_why(line: str) -> None:
    notice = json.loads(line)
    found = understand(notice["mail"].encode(), rules=RULES)
    assert [report.address for report in found.reports] == notice["recipients"], found.rule
    if notice["class"]:
        assert {report.verdict.failure_class for report in found.reports} == {notice["class"]}
