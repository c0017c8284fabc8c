"""Replies of servers and the class that a careful reader gives them; in the rounds the kind too, "a|b" for either."""

from pathlib import Path

import pytest

from homing.loop.model import Verdict
from homing.loop.reading.classify import classify
from tests.loop.reading.rules import RULES

_HERE = Path(__file__).parent
AT_LEAST = {"round1": 0.99, "round2": 0.99, "round3": 0.99, "round4": 0.99}
"""The rounds, and the share of their replies that must be right."""


def lines(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text("utf-8").splitlines()]


def verdict_on(text: str) -> Verdict:
    return classify(None, stage=None, status="", text=text, remote_mta="", rules=RULES)


REPLIES = lines(_HERE / "replies.tsv")


@pytest.mark.parametrize(("failure_class", "text"), REPLIES, ids=range(len(REPLIES)))
def test_a_reply_has_its_class(failure_class: str, text: str) -> None:
    verdict = verdict_on(text)
    assert verdict.failure_class == failure_class, verdict


@pytest.mark.parametrize("name", AT_LEAST)
def test_most_replies_of_a_round_are_right(name: str) -> None:
    replies = lines(_HERE / name / "replies.tsv")
    wrong = [
        f"{failure_class} {kind}, got {verdict.failure_class} {verdict.kind} by {verdict.rule}: {text}"
        for failure_class, kind, text in replies
        if (verdict := verdict_on(text)).failure_class not in failure_class.split("|")
        or verdict.kind not in kind.split("|")
    ]
    print(*wrong, sep="\n")
    assert len(wrong) <= (1 - AT_LEAST[name]) * len(replies)
