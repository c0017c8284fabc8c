"""Which mails bear witness to each rule.

    python benchmarks/accuracy/witnesses.py FOLDER [--truth FILE] [--all]

A mail bears witness to a rule when the rule decides something about it: a verdict, what the mail is, or how its notice
is laid out. Counted are the mails of FOLDER, which the rules' makers could see, and what is independent of them: the
composed mails and replies in tests/accuracy, written after the published wording of servers or by people who had read
neither these mails nor the rules. A rule's own example is no witness, for it was composed for the rule.

A rule that has exactly one mail of FOLDER and nothing else is `narrow`: it may fit that mail alone. Prints what is
narrow and not marked, or marked and not narrow; with `--all` every rule by family, with the mails of FOLDER and the
independent witnesses (3+12).
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from ablate import entries, family
from score import all_rules, read_truth

from homing.loop.reading.classify import classify
from homing.loop.reading.returned_mail import see
from homing.loop.reading.rulebook import Rules
from homing.loop.reading.understand import understand
from homing.mail.mime import read_mail

OURS = Path(__file__).resolve().parent.parent.parent / "tests" / "accuracy"


def told_by(mails: Iterable[Path], rules: Rules) -> Counter[str]:
    """How many of the mails bear witness to each entry."""
    seen: Counter[str] = Counter()
    for path in mails:
        raw = path.read_bytes()
        found, mail = understand(raw, rules=rules), read_mail(raw)
        view = see(mail, rules)
        form = view.notice.form
        decided = {found.rule, *(report.verdict.rule for report in found.reports)}
        decided |= {form.id} if form else set()
        decided |= {name for names in view.borne.values() for name in names}
        seen.update(decided)
    return seen


def composed(rules: Rules) -> Counter[str]:
    """Witnesses that do not depend on any mail of the makers."""
    seen = told_by(sorted(OURS.rglob("*.eml")), rules)
    seen.update(classify(None, stage=None, status="", text=text, remote_mta="", rules=rules).rule for text in replies())
    return seen


def replies() -> Iterator[str]:
    for path in sorted(OURS.rglob("replies.tsv")):
        for line in path.read_text("utf-8").splitlines():
            yield line.split("\t")[-1]


def narrow(rules: Rules, visible: Counter[str], independent: Counter[str]) -> set[str]:
    return {each.id for each in entries(rules) if visible[each.id] == 1 and not independent[each.id]}


def by_family(rules: Rules, visible: Counter[str], independent: Counter[str]) -> Iterator[str]:
    shown: dict[str, list[str]] = {}
    for each in entries(rules):
        marked = " narrow" if each.narrow else ""
        shown.setdefault(family(each), []).append(f"{each.id} {visible[each.id]}+{independent[each.id]}{marked}")
    for name in sorted(shown):
        yield f"* {name}: {', '.join(shown[name])}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    rules = all_rules()
    truths = read_truth(options.truth or options.folder / "truth.jsonl")
    visible = told_by((options.folder / file for file in truths if "/synthetic/" not in file), rules)
    independent = composed(rules)
    found, marked = narrow(rules, visible, independent), {each.id for each in entries(rules) if each.narrow}
    if options.all:
        sys.stdout.write("".join(by_family(rules, visible, independent)) + "\n")
    told = {"entries": len(entries(rules)), "narrow": len(found), "share": round(len(found) / len(entries(rules)), 3)}
    told |= {"not marked": sorted(found - marked), "marked and not narrow": sorted(marked - found)}
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
    return 0 if found == marked else 1


if __name__ == "__main__":
    sys.exit(main())
