"""The reader against mails that were composed for it, each set of which is a folder beside this file."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path

import pytest

from homing.loop.reading.classify import load_rules
from homing.loop.reading.explanation import rows
from homing.loop.reading.understand import understand

_HERE = Path(__file__).parent
AT_LEAST = {
    "composed": 0.95,
    "earlier": 0.95,
    "round1": 0.98,
    "round2": 0.98,
    "round3": 0.98,
    "round4": 0.98,
    "round5": 0.98,
    "round6": 0.98,
    "returned": 0.95,
}
"""The sets, and the share of rows that must be right in each."""

Truth = Mapping[str, object]
Given = Mapping[str, str]


def truths(name: str) -> dict[str, list[Truth]]:
    """The lines of a set's truth.jsonl by file."""
    by_file: dict[str, list[Truth]] = defaultdict(list)
    for line in (_HERE / name / "truth.jsonl").read_text("utf-8").splitlines():
        truth = json.loads(line)
        by_file[truth["file"]].append(truth)
    return dict(by_file)


SETS = {name: truths(name) for name in AT_LEAST}
TRUTHS = {file: rows for one in SETS.values() for file, rows in one.items()}


def bare(address: object) -> str:
    return str(address or "").strip().strip("<>").lower()


def names(truth: Truth) -> set[str]:
    """The addresses that count as this row's recipient; "" where it may stay unknown."""
    accepted = truth["accept_recipients"]
    assert isinstance(accepted, list)
    return {bare(each) for each in (truth["recipient"], *accepted)}


def answers(truth: Truth, axis: str) -> set[object]:
    accepted = truth[f"accept_{'classes' if axis == 'class' else 'kinds'}"]
    assert isinstance(accepted, list)
    return {truth[axis], *accepted}


def is_ordinary(file: str) -> bool:
    return all(truth["class"] == "not_a_report" for truth in TRUTHS[file])


def judged(truths: Sequence[Truth], given: Sequence[Given]) -> list[str]:
    """What is wrong with the given rows of one mail, a sentence a row; empty when all are right."""
    left, wrong = list(given), []
    for truth in truths:
        row = next((row for row in left if bare(row["address"]) in names(truth)), None)
        if row is None and len(truths) == len(left) == 1:
            row = left[0]
        if row is not None:
            left.remove(row)
        if found := list(mistakes(truth, row)):
            wrong.append(f"{truth['recipient'] or 'nobody'}: {', '.join(found)}")
    known = set().union(*(names(truth) for truth in truths))
    wrong += [f"{row['address']}: no recipient of this mail" for row in left if bare(row["address"]) not in known]
    return wrong


def mistakes(truth: Truth, row: Given | None) -> Iterator[str]:
    if row is None:
        if "none" not in answers(truth, "kind"):
            yield f"no row, but {truth['class']}"
        return
    if bare(row["address"]) not in names(truth) and "" not in names(truth):
        yield f"named {row['address'] or 'nobody'}"
    for axis in ("class", "kind"):
        if row[axis] not in answers(truth, axis):
            yield f"{axis} {row[axis]}, not {truth[axis]}"
    if truth["action"] and row["action"] != truth["action"]:
        yield f"action {row['action'] or 'none'}, not {truth['action']}"


@pytest.fixture(scope="module")
def given() -> dict[str, tuple[Given, ...]]:
    """What the reader says of each mail, in the rows of `homing explain --jsonl`."""
    room = sorted(resources.files("homing.loop.reading").iterdir(), key=lambda file: file.name)
    rules = load_rules(*(file.read_text("utf-8") for file in room if file.name.endswith(".toml")))
    return {file: rows(understand((_HERE / file).read_bytes(), rules=rules)) for file in TRUTHS}


@pytest.mark.parametrize("name", AT_LEAST)
def test_the_reader_is_right_of_most_rows(name: str, given: dict[str, tuple[Given, ...]]) -> None:
    expected = SETS[name]
    wrong = [f"{file}: {each}" for file in expected for each in judged(expected[file], given[file])]
    total = sum(map(len, expected.values()))
    print(*wrong, f"{len(wrong)} wrong of {total} rows in {len(expected)} mails", sep="\n")
    assert len(wrong) <= (1 - AT_LEAST[name]) * total


def test_no_ordinary_mail_is_taken_for_a_report(given: dict[str, tuple[Given, ...]]) -> None:
    ordinary = {file: given[file] for file in TRUTHS if is_ordinary(file)}
    assert len(ordinary) > 50
    taken = {file: rows for file, rows in ordinary.items() if any(row["kind"] != "none" for row in rows)}
    assert not taken, "\n".join(f"{file}: {rows}" for file, rows in taken.items())


def test_every_mail_has_a_truth() -> None:
    mails = {path.relative_to(_HERE).as_posix() for path in _HERE.rglob("*.eml")}
    assert mails == TRUTHS.keys()
    assert len(SETS["composed"]) >= 320
    assert all(truth["why"] for truths in SETS["composed"].values() for truth in truths)


_HARD: Truth = {
    "recipient": "jim@oldboat.example",
    "accept_recipients": [],
    "class": "invalid_recipient",
    "accept_classes": ["inactive_mailbox"],
    "kind": "hard",
    "accept_kinds": [],
    "action": "failed",
}
_ROW: Given = {"address": "Jim@oldboat.example", "class": "inactive_mailbox", "kind": "hard", "action": "failed"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((_ROW,), ""),
        ((), "no row"),
        (({**_ROW, "address": ""},), "named nobody"),
        (({**_ROW, "class": "policy"},), "class policy"),
        (({**_ROW, "kind": "soft"},), "kind soft"),
        (({**_ROW, "action": "delayed"},), "action delayed"),
        ((_ROW, {**_ROW, "address": "ida@oarlock.example"}), "no recipient of this mail"),
    ],
    ids=["right", "silent", "nameless", "class", "kind", "action", "invented"],
)
def test_a_wrong_row_is_seen(given: tuple[Given, ...], says: str) -> None:
    assert says in " ".join(judged([_HARD], given))
    assert bool(judged([_HARD], given)) == bool(says)
