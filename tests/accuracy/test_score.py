"""Our scorer gives the figures of the one that the bounce corpora bring along, and our words are theirs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from homing.loop.reading.rulebook import CLASSES, kind_of
from tests.corpora import CORPORA

ROOT = Path(__file__).resolve().parent.parent.parent
SAME = {
    "mails": "mails",
    "rcpt": "named",
    "rcpt_found": "found",
    "out_rcpt": "given",
    "out_ok": "given right",
    "cls_n": "classed",
    "cls_ok": "class",
    "grp_ok": "group",
    "kind_n": "rows",
    "kind_ok": "kind",
    "hard_n": "hard",
    "hard_ok": "hard found",
    "nothard_n": "not hard",
    "false_hard": "false hard",
    "del_n": "delays",
    "del_ok": "delay found",
    "fail_n": "failures",
    "fail_as_delayed": "failed as delay",
    "cmp_n": "complaints",
    "cmp_ok": "complaint found",
    "ar_n": "autos",
    "ar_ok": "auto found",
    "st_n": "statuses",
    "st_ok": "status",
    "nonreport": "ordinary",
    "nonreport_fp": "ordinary as report",
}
"""Counts of the corpora's scorer, and ours."""


@pytest.fixture
def benches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "accuracy"))


@pytest.mark.usefixtures("benches")
def test_the_taxonomy_is_that_of_the_rules() -> None:
    import taxonomy

    assert taxonomy.GROUPS.keys() == taxonomy.MEANINGS.keys() == CLASSES
    assert {kind_of(each) for each in CLASSES} == taxonomy.KINDS.keys()
    assert set(taxonomy.SISIMAI.values()) <= CLASSES


@pytest.mark.corpora
@pytest.mark.usefixtures("benches")
def test_the_taxonomy_is_that_of_the_corpora() -> None:
    import taxonomy

    theirs: dict[str, object] = {}
    exec((CORPORA / "bounces" / "eval" / "taxonomy.py").read_text("utf-8"), theirs)
    assert (theirs["GROUP"], theirs["SISIMAI"]) == (taxonomy.GROUPS, taxonomy.SISIMAI)


@pytest.mark.corpora
@pytest.mark.usefixtures("benches")
def test_both_scorers_count_the_same(tmp_path: Path) -> None:
    import score

    bounces = CORPORA / "bounces"
    shutil.copytree(bounces / "eval", tmp_path / "eval", ignore=shutil.ignore_patterns("hostile", "out"))
    (tmp_path / "eval" / "out").mkdir(exist_ok=True)
    truths = score.read_truth(bounces / "eval" / "truth.jsonl")
    answers = score.our_answers(bounces, truths, score.all_rules())
    wrong = {file: rows if number % 3 else rows[:-1] for number, (file, rows) in enumerate(answers.items())}
    for name, given in (("right", answers), ("wrong", wrong)):
        lines = (json.dumps({"file": file, "recipients": rows}) + "\n" for file, rows in given.items())
        (tmp_path / "eval" / "out" / f"{name}.jsonl").write_text("".join(lines), "utf-8")
        command = [sys.executable, "eval/evaluate.py", name, "--with-synthetic", "--json"]
        told = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
        theirs, ours = json.loads(told), score.score(truths, given)["all"].counts
        assert {their: theirs.get(their, 0) for their in SAME} == {their: ours[our] for their, our in SAME.items()}
