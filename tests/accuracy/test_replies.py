"""Replies of servers, composed after their published wording, and the class that a careful reader gives them."""

from pathlib import Path

import pytest

from homing.loop.classify import classify
from tests.loop.reading import RULES

REPLIES = [line.split("\t") for line in (Path(__file__).parent / "replies.tsv").read_text("utf-8").splitlines()]


@pytest.mark.parametrize(("failure_class", "text"), REPLIES, ids=range(len(REPLIES)))
def test_a_reply_has_its_class(failure_class: str, text: str) -> None:
    verdict = classify(None, stage=None, status="", text=text, remote_mta="", rules=RULES)
    assert verdict.failure_class == failure_class, verdict
