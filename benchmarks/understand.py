"""How fast and how well returned mail is read, beside Sisimai for Perl, in one run on one core.

    python benchmarks/understand.py FOLDER [--truth FILE] [--rounds 3]

FOLDER holds mails (*.eml, *.txt, below it too). With a truth file (a JSON object a line: "file" relative to FOLDER,
"recipient", "class", "kind", and "accept_recipients", "accept_classes", "accept_kinds") only its mails are read, and
our answers are scored. Rounds of both engines alternate; each engine's best round counts, and for the comparison the
middle one of the rounds' quotients, because both are then slowed by the same neighbours. Start-up and reading from the
disk do not count. Sisimai comes with `apt-get install libsisimai-perl`. Prints one JSON object.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from statistics import median
from typing import cast

from homing.loop.reading.explanation import Row, rows
from homing.loop.reading.rulebook import RULE_FILES, Rules, load_rules
from homing.loop.reading.understand import understand

SISIMAI = r"""
use strict; use warnings; use Sisimai;
my @mails;
while (my $path = <STDIN>) { chomp $path; open my $file, '<', $path or next; local $/; push @mails, scalar <$file>; }
my ($user, $system) = times;
my $found = 0;
for my $mail (@mails) {
    my $copy = $mail;
    my $read = eval { Sisimai->make(\$copy, delivered => 1) };
    $found++ if $read && @$read;
}
my ($user_after, $system_after) = times;
my $cpu = $user_after + $system_after - $user - $system;
printf '{"version": "%s", "cpu": %.3f, "understood": %d}', $Sisimai::VERSION, $cpu, $found;
"""

Truths = Mapping[str, list[Mapping[str, object]]]


def rules() -> Rules:
    folder = resources.files("homing.loop.reading")
    return load_rules(*(folder.joinpath(name).read_text("utf-8") for name in RULE_FILES))


def read_truths(path: Path) -> Truths:
    found: dict[str, list[Mapping[str, object]]] = defaultdict(list)
    for line in path.read_text("utf-8").splitlines():
        truth = json.loads(line)
        found[truth["file"]].append(truth)
    return found


def ours(mails: Iterable[bytes], known: Rules) -> float:
    """CPU seconds."""
    began = time.process_time()
    for mail in mails:
        understand(mail, rules=known)
    return time.process_time() - began


def sisimai(paths: Iterable[Path]) -> Mapping[str, object] | None:
    """Its version, CPU seconds, and of how many mails it made something; None where it is not installed."""
    perl = shutil.which("perl")
    if perl is None or subprocess.run([perl, "-MSisimai", "-e1"], capture_output=True, check=False).returncode:
        return None
    listed = "\n".join(str(path.resolve()) for path in paths)
    run = subprocess.run([perl, "-e", SISIMAI], input=listed, capture_output=True, text=True, check=True)
    return cast("Mapping[str, object]", json.loads(run.stdout))


def accepted(truth: Mapping[str, object], name: str, more: str) -> set[object]:
    listed = truth.get(more) or []
    assert isinstance(listed, list)
    return {truth.get(name), *listed}


def score(truths: Truths, read: Callable[[str], tuple[Row, ...]]) -> dict[str, float]:
    """Shares of recipients found, classes and kinds right, in percent, over the rows of the truth."""
    right = dict.fromkeys(("recipient", "class", "kind"), 0)
    total = named = 0
    for file, expected in truths.items():
        given = read(file)
        for truth in expected:
            wanted = {str(each or "").lower() for each in accepted(truth, "recipient", "accept_recipients")}
            row = next((row for row in given if row["address"].lower() in wanted), None)
            if truth.get("recipient"):
                named += 1
                right["recipient"] += row is not None
            row = row or (given[0] if given and len(expected) == 1 else None)
            total += 1
            nothing = "none" in accepted(truth, "kind", "accept_kinds")
            right["kind"] += row["kind"] in accepted(truth, "kind", "accept_kinds") if row else nothing
            right["class"] += row["class"] in accepted(truth, "class", "accept_classes") if row else nothing
    return {
        "recipient": round(100 * right["recipient"] / max(named, 1), 1),
        "class": round(100 * right["class"] / max(total, 1), 1),
        "kind": round(100 * right["kind"] / max(total, 1), 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    truths = read_truths(options.truth) if options.truth else None
    found = sorted(path for path in options.folder.rglob("*") if path.suffix in {".eml", ".txt"} and path.is_file())
    paths = [options.folder / file for file in truths] if truths else found
    mails, known = [path.read_bytes() for path in paths], rules()
    times: list[float] = []
    others: list[Mapping[str, object]] = []
    for _ in range(options.rounds):
        times.append(ours(mails, known))
        other = sisimai(paths)
        others += [other] if other else []
    speed = len(mails) / min(times)
    figures: dict[str, object] = {"mails": len(mails), "ours_mails_per_cpu_second": round(speed)}
    if others:
        taken = [float(str(other["cpu"])) for other in others]
        figures["sisimai_version"] = others[0]["version"]
        figures["sisimai_mails_per_cpu_second"] = round(len(mails) / min(taken))
        quotients = [theirs / our for theirs, our in zip(taken, times, strict=True)]
        figures["times_as_fast"] = round(median(quotients), 1)
        figures["times_as_fast_least_and_most"] = [round(min(quotients), 1), round(max(quotients), 1)]
    else:
        figures["sisimai"] = "not compared: libsisimai-perl is not installed"
    if truths:
        known_paths = dict(zip(truths, mails, strict=True))
        figures["ours_right_percent"] = score(truths, lambda file: rows(understand(known_paths[file], rules=known)))
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
