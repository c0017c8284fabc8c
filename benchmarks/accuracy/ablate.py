"""What each family of rules is worth, and how many mails bear witness to each rule.

    python benchmarks/accuracy/ablate.py FOLDER [--truth FILE] [--witnesses]

Scores the mails again and again (see score.py), each time without one family: the rules about one receiver, of words,
of codes, of hints, of bare replies; the signatures of one kind; the forms of one program. A family whose absence
changes nothing is either covered by others or knowledge that these mails do not need; one whose absence costs much is
what the figures rest on. `--witnesses` lists for each rule how many rows it decided, and names those that have
exactly one without being marked as narrow.
"""

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from score import Row, all_rules, our_answers, read_truth, score, table

from homing.loop.plain import read_plain
from homing.loop.rulebook import Form, Rule, Rules, Signature, assemble
from homing.loop.understand import understand
from homing.loop.understood import see
from homing.mail.mime import read_mail

Entry = Rule | Signature | Form


def family(entry: Entry) -> str:
    match entry:
        case Rule():
            receiver = f"receiver: {entry.id.partition('.')[0]}"
            return receiver if entry.family == "receiver" else f"rules: {entry.family}"
        case Signature():
            return f"signatures: {entry.what}"
        case Form():
            return f"forms: {entry.family}"


def entries(rules: Rules) -> list[Entry]:
    return [*rules.all, *rules.signatures, *rules.forms]


def without(name: str, rules: Rules) -> Rules:
    """The rules without a family."""
    return assemble(
        tuple(rule for rule in rules.all if family(rule) != name),
        tuple(each for each in rules.signatures if family(each) != name),
        tuple(form for form in rules.forms if family(form) != name),
    )


def witnesses(folder: Path, files: Sequence[str], rules: Rules) -> Counter[str]:
    """How many mails each entry decided something for: the verdict, what the mail is, or where its recipients stand."""
    seen: Counter[str] = Counter()
    for file in files:
        raw = (folder / file).read_bytes()
        found = understand(raw, rules=rules)
        mail = read_mail(raw)
        notice = read_plain(mail, rules)
        borne = see(mail, rules).borne
        decided = {found.rule, *(report.verdict.rule for report in found.reports)}
        decided |= {notice.form.id} if notice.form else set()
        decided |= {name for names in borne.values() for name in names}
        seen.update(decided)
    return seen


def ablated(
    folder: Path, truths: Mapping[str, Sequence[Row]], rules: Rules
) -> Iterator[tuple[str, int, dict[str, str]]]:
    sizes = Counter(family(entry) for entry in entries(rules))
    for name in sorted(sizes):
        scores = score(truths, our_answers(folder, truths, without(name, rules)))
        yield name, sizes[name], scores["all"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--witnesses", action="store_true")
    options = parser.parse_args()
    rules = all_rules()
    truths = read_truth(options.truth or options.folder / "truth.jsonl")
    if options.witnesses:
        _show_witnesses(rules, witnesses(options.folder, list(truths), rules))
        return 0
    whole = score(truths, our_answers(options.folder, truths, rules))["all"]
    named = [
        ("nothing", whole),
        *((f"{name} ({size})", each) for name, size, each in ablated(options.folder, truths, rules)),
    ]
    same = [name for name, each in named[1:] if each.counts == whole.counts]
    sys.stdout.write(table("without", [(name, each) for name, each in named if name not in same]) + "\n")
    sys.stdout.write(f"\nWithout any one of these nothing changes: {', '.join(same)}.\n")
    return 0


def _show_witnesses(rules: Rules, seen: Counter[str]) -> None:
    by_family: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries(rules):
        by_family[family(entry)].append(entry)
    for name in sorted(by_family):
        shown = ", ".join(f"{each.id} {seen[each.id]}{' narrow' if each.narrow else ''}" for each in by_family[name])
        sys.stdout.write(f"{name}: {shown}\n")
    single = [entry.id for entry in entries(rules) if seen[entry.id] == 1 and not entry.narrow]
    sys.stdout.write(f"\n{len(entries(rules))} entries, {sum(entry.narrow for entry in entries(rules))} narrow.\n")
    sys.stdout.write(f"One witness, not narrow: {', '.join(single) or 'none'}\n")


if __name__ == "__main__":
    sys.exit(main())
