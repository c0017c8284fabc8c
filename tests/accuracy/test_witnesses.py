"""Rules that may fit a single mail are few, and say so."""

from pathlib import Path

import pytest

from tests.corpora import CORPORA

_AT_MOST = 0.1


@pytest.fixture
def benches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parent.parent.parent / "benchmarks" / "accuracy"))


@pytest.mark.corpora
@pytest.mark.usefixtures("benches")
def test_a_rule_with_one_mail_for_its_only_witness_is_marked_narrow() -> None:
    import witnesses
    from score import all_rules, read_truth

    rules, bounces = all_rules(), CORPORA / "bounces"
    files = [file for file in read_truth(bounces / "eval" / "truth.jsonl") if "/synthetic/" not in file]
    visible = witnesses.told_by((bounces / file for file in files), rules)
    found = witnesses.narrow(rules, visible, witnesses.composed(rules))
    entries = witnesses.entries(rules)
    assert found == {entry.id for entry in entries if entry.narrow}
    assert len(found) <= _AT_MOST * len(entries)
