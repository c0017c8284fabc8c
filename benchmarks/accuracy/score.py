"""How well returned mail is read, on any folder of mails with a truth file.

    python benchmarks/accuracy/score.py FOLDER [--truth FILE] [--answers FILE] [--errors]

The truth file (default FOLDER/truth.jsonl) has a JSON object a line, one for each recipient of each mail: "file"
(relative to FOLDER), "source", "recipient" (null: the mail names nobody), "class", "kind", "action" ("failed",
"delayed" or ""), and what else a careful reader may say: "accept_recipients", "accept_classes", "accept_kinds".
`--answers` scores another reader, from lines as `homing explain --jsonl` prints them. Prints a table in Markdown, a
row for each source.

recall, precision: recipients found, and how many of those given are right. class, group, kind (see taxonomy.py): rows
with the right answer, out of all (without an answer: wrong). status: rows with the enhanced status code that the mail
reports, where it reports one. hard: clear hard bounces found. false hard: rows called hard that must not be.
delays found; failures called delays; complaints and automatic answers found; ordinary mails taken for reports.
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from taxonomy import GROUPS

from homing.loop.reading.explanation import rows
from homing.loop.reading.rulebook import RULE_FILES, Rules, load_rules
from homing.loop.reading.understand import understand

Row = Mapping[str, Any]
COLUMNS = (
    ("recall", "found", "named"),
    ("precision", "given right", "given"),
    ("class", "class", "classed"),
    ("group", "group", "classed"),
    ("kind", "kind", "rows"),
    ("hard", "hard found", "hard"),
    ("false hard", "false hard", "not hard"),
    ("delays", "delay found", "delays"),
    ("failed as delay", "failed as delay", "failures"),
    ("complaints", "complaint found", "complaints"),
    ("auto-replies", "auto found", "autos"),
    ("status", "status", "statuses"),
)


@dataclass
class Score:
    counts: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def cells(self) -> list[str]:
        shown = [str(self.counts["mails"])]
        for _, right, total in COLUMNS:
            whole = self.counts[total]
            shown.append(f"{100 * self.counts[right] / whole:.1f}" if whole else "–")
        ordinary = self.counts["ordinary"]
        return [*shown, f"{self.counts['ordinary as report']}/{ordinary}" if ordinary else "–"]


def read_truth(path: Path) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for line in path.read_text("utf-8").splitlines():
        truth = json.loads(line)
        found[truth["file"]].append(truth)
    return found


def all_rules() -> Rules:
    folder = resources.files("homing.loop.reading")
    return load_rules(*(folder.joinpath(name).read_text("utf-8") for name in RULE_FILES))


def our_answers(folder: Path, files: Iterable[str], rules: Rules) -> dict[str, Sequence[Row]]:
    return {file: rows(understand((folder / file).read_bytes(), rules=rules)) for file in files}


def read_answers(path: Path) -> dict[str, Sequence[Row]]:
    lines = (json.loads(line) for line in path.read_text("utf-8").splitlines())
    return {line["file"]: line["recipients"] for line in lines}


def score(truths: Mapping[str, Sequence[Row]], answers: Mapping[str, Sequence[Row]]) -> dict[str, Score]:
    """By source, and "all"."""
    scores: dict[str, Score] = defaultdict(Score)
    for file, expected in truths.items():
        for source in ("all", str(expected[0].get("source") or "–")):
            _mail(scores[source], file, expected, answers.get(file, ()))
    return scores


def _bare(address: object) -> str:
    return str(address or "").strip().strip("<>").lower()


def _right(truth: Row, name: str, more: str) -> set[Any]:
    return {truth[name], *truth.get(more, ())}


def _mail(score: Score, file: str, expected: Sequence[Row], given: Sequence[Row]) -> None:
    count = score.counts
    count["mails"] += 1
    if all(truth["class"] == "not_a_report" for truth in expected):
        count["ordinary"] += 1
        if any(row["kind"] != "none" for row in given):
            count["ordinary as report"] += 1
            score.errors.append(f"{file}: an ordinary mail, taken for {[row['class'] for row in given]}")
        return
    left = list(given)
    for truth in expected:
        wanted = {_bare(each) for each in _right(truth, "recipient", "accept_recipients") if each}
        row = next((row for row in left if _bare(row["address"]) in wanted), None)
        if row is not None:
            left.remove(row)
        if truth["recipient"] and (row is not None or None not in truth.get("accept_recipients", ())):
            count["named"] += 1
            count["found"] += row is not None
            if row is None:
                score.errors.append(f"{file}: {truth['recipient']} missed in {[each['address'] for each in given]}")
        _row(score, file, truth, row or (given[0] if given and len(expected) == 1 else None))
    known = {_bare(each) for truth in expected for each in _right(truth, "recipient", "accept_recipients") if each}
    for row in given:
        if row["address"]:
            count["given"] += 1
            count["given right"] += _bare(row["address"]) in known or not known


def _row(score: Score, file: str, truth: Row, row: Row | None) -> None:
    count, kinds = score.counts, _right(truth, "kind", "accept_kinds")
    kind = row["kind"] if row else "none"
    count["rows"] += 1
    count["kind"] += kind in kinds
    if truth["class"] != "undetermined":
        count["classed"] += 1
        classes = _right(truth, "class", "accept_classes")
        right = row is not None and row["class"] in classes
        count["class"] += right
        count["group"] += row is not None and GROUPS.get(row["class"]) in {GROUPS[each] for each in classes}
        if not right:
            got = f"{row['class']} by {row['reason']}" if row else "no answer"
            score.errors.append(f"{file}: {truth['recipient']} is {truth['class']}, got {got}")
    if kind not in kinds:
        score.errors.append(f"{file}: {truth['recipient']} is {truth['kind']}, got {kind}")
    if truth["kind"] == "hard" and kinds == {"hard"}:
        count["hard"] += 1
        count["hard found"] += kind == "hard"
    if "hard" not in kinds:
        count["not hard"] += 1
        count["false hard"] += kind == "hard"
    for name, total, found in (("complaint", "complaints", "complaint found"), ("auto-reply", "autos", "auto found")):
        if truth["kind"] == name:
            count[total] += 1
            count[found] += kind == name
    if truth.get("status"):
        count["statuses"] += 1
        count["status"] += row is not None and row.get("status") == truth["status"]
    delayed = row is not None and row["action"] == "delayed"
    if truth.get("action") == "delayed":
        count["delays"] += 1
        count["delay found"] += delayed
    elif truth.get("action") == "failed":
        count["failures"] += 1
        count["failed as delay"] += delayed


def table(first: str, named: Iterable[tuple[str, Score]]) -> str:
    heads = [first, "mails", *(name for name, _, _ in COLUMNS), "ordinary as report"]
    lines = [heads, ["---"] * len(heads), *([name, *each.cells()] for name, each in named)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--answers", type=Path)
    parser.add_argument("--errors", action="store_true")
    options = parser.parse_args()
    truth = options.truth or options.folder / "truth.jsonl"
    if not truth.is_file():
        parser.error(f"there is no truth file {truth}: say where it is with --truth FILE")
    truths = read_truth(truth)
    answers = read_answers(options.answers) if options.answers else our_answers(options.folder, truths, all_rules())
    scores = score(truths, answers)
    sys.stdout.write(table("source", scores.items()) + "\n")
    if options.errors:
        sys.stdout.write("".join(f"- {error}\n" for error in scores["all"].errors))
    return 0


if __name__ == "__main__":
    sys.exit(main())
