"""What each family of rules is worth.

    python benchmarks/accuracy/ablate.py FOLDER [--truth FILE]

Scores the mails again and again (see score.py), each time without one family: the rules about one receiver, of words,
of codes, of hints, of bare replies; the signatures of one kind; the forms of one program. A family whose absence
changes nothing is either covered by others or knowledge that these mails do not need; one whose absence costs much is
what the figures rest on. Then without all that is known of receivers, of programs, and of both: what is left is what
a mail from an unknown system meets. Which mails bear witness to each rule: see witnesses.py.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from score import Row, Score, all_rules, our_answers, read_truth, score, table

from homing.loop.reading.rulebook import Form, Rule, Rules, Signature, assemble

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


def without(rules: Rules, taken: Callable[[Entry], bool]) -> Rules:
    """The rules without some."""
    return assemble(
        tuple(rule for rule in rules.all if not taken(rule)),
        tuple(each for each in rules.signatures if not taken(each)),
        tuple(form for form in rules.forms if not taken(form)),
    )


def _of_a_receiver(entry: Entry) -> bool:
    return isinstance(entry, Rule) and entry.family == "receiver"


def _of_a_program(entry: Entry) -> bool:
    return isinstance(entry, Form) and entry.family not in {"general", "common wording"}


KNOWLEDGE: Mapping[str, Callable[[Entry], bool]] = {
    "all receivers": _of_a_receiver,
    "forms of all programs": _of_a_program,
    "receivers and programs": lambda entry: _of_a_receiver(entry) or _of_a_program(entry),
}
"""All that is known of single systems."""


def ablated(folder: Path, truths: Mapping[str, Sequence[Row]], rules: Rules) -> Iterator[tuple[str, Score]]:
    sizes = Counter(family(entry) for entry in entries(rules))
    takings = {f"{name} ({sizes[name]})": lambda entry, name=name: family(entry) == name for name in sorted(sizes)}
    for name, taken in {**takings, **KNOWLEDGE}.items():
        yield name, score(truths, our_answers(folder, truths, without(rules, taken)))["all"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--truth", type=Path)
    options = parser.parse_args()
    rules = all_rules()
    truths = read_truth(options.truth or options.folder / "truth.jsonl")
    whole = score(truths, our_answers(options.folder, truths, rules))["all"]
    named = [("nothing", whole), *ablated(options.folder, truths, rules)]
    same = [name for name, each in named[1:] if each.counts == whole.counts]
    sys.stdout.write(table("without", [(name, each) for name, each in named if name not in same]) + "\n")
    sys.stdout.write(f"\nWithout any one of these nothing changes: {', '.join(same)}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
