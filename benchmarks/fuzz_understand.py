"""Mutated mails must never make the reader stumble, hang or grow.

    python benchmarks/fuzz_understand.py FOLDER... [--minutes 10] [--seed 1]

Takes the mails below the folders, mutates them (bits, lines, cuts, splices, repeated blocks, hostile tokens) and
reads each. Prints a line of figures every minute; stops with status 1, keeping the mail in `stumble.eml`, when
reading raised, took more than a second of CPU, or the process grew beyond 600 MB.
"""

import argparse
import json
import random
import resource
import sys
import time
from importlib import resources
from pathlib import Path

from homing.loop.evidence import What
from homing.loop.reading.rulebook import CLASSES, RULE_FILES, Rules, load_rules
from homing.loop.reading.understand import understand

SLOW_SECONDS = 1.0
LARGEST_KILOBYTES = 600 << 10
TOKENS = (
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=B\n",
    b"Content-Type: message/delivery-status\n\n",
    b"Content-Transfer-Encoding: base64\n",
    b"Final-Recipient: rfc822; \n",
    b"Status: 5.1.1\n",
    b"Action: \xff\n",
    b"=?utf-8?b?",
    b"=?iso-2022-jp?q?\x1b?=",
    b"{" * 2000,
    b'{"notificationType":"Bounce","bounce":{"bouncedRecipients":[{}]}}',
    b"--B\n" * 50,
    b"<<<<<<<<<<@@@@@@@@@@>>>>>>>>>>",
    b"a@b.c " * 200,
    b"\x00\xff\xfe",
    b"\n" * 500,
    b" " * 5000,
    b"your message to " * 300,
    "存在しません\n".encode("euc_jp"),
    b"From: <>\n",
)


def rules() -> Rules:
    folder = resources.files("homing.loop.reading")
    return load_rules(*(folder.joinpath(name).read_text("utf-8") for name in RULE_FILES))


def mutated(mail: bytes, other: bytes, dice: random.Random) -> bytes:
    data = bytearray(mail)
    for _ in range(dice.randint(1, 8)):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(8):
            case 0 if data:
                data[at % len(data)] = dice.randrange(256)
            case 1:
                del data[at : at + dice.choice((1, 10, 100, 1000))]
            case 2:
                data[at:at] = dice.choice(TOKENS)
            case 3:
                data[at:at] = other[dice.randrange(len(other) + 1) :][: dice.choice((20, 200, 2000))]
            case 4:
                data[at:at] = bytes(data[at : at + 200]) * dice.randint(1, 20)
            case 5:
                data[at:] = other[dice.randrange(len(other) + 1) :]
            case 6:
                lines = bytes(data).split(b"\n")
                dice.shuffle(lines[: dice.randint(1, 40)])
                data = bytearray(b"\n".join(lines[dice.randrange(3) :]))
            case _:
                data = bytearray(
                    bytes(data).replace(b"\n", dice.choice((b"\r", b"\r\n", b"\n\n")), dice.randint(1, 99))
                )
    return bytes(data)


def stumble(mail: bytes, known: Rules) -> tuple[str, float]:
    """What went wrong, "" if nothing, and the CPU seconds that reading took."""
    began = time.process_time()
    try:
        found = understand(mail, rules=known)
    except Exception as error:  # noqa: BLE001 - whatever it raises is what we look for
        return f"raised {error!r}", 0
    took = time.process_time() - began
    if took > SLOW_SECONDS:
        return f"took {took:.2f} s", took
    if not isinstance(found.what, What) or any(r.verdict.failure_class not in CLASSES for r in found.reports):
        return f"answered nonsense: {found.what!r}", took
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > LARGEST_KILOBYTES:
        return "grew too large", took
    return "", took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    paths = sorted(path for folder in options.folders for path in folder.rglob("*") if path.is_file())
    mails = [path.read_bytes()[: 64 << 10] for path in paths if path.suffix in {".eml", ".txt"}]
    dice, known = random.Random(options.seed), rules()
    began = shown = time.monotonic()
    done, slowest = 0, 0.0
    while (now := time.monotonic()) - began < 60 * options.minutes:
        mail = mutated(dice.choice(mails), dice.choice(mails), dice)
        wrong, took = stumble(mail, known)
        done, slowest = done + 1, max(slowest, took)
        if wrong:
            Path("stumble.eml").write_bytes(mail)
            sys.stderr.write(f"mail {done} (seed {options.seed}) {wrong}; kept in stumble.eml\n")
            return 1
        if now - shown > 60:
            shown = now
            report(done, slowest, len(mails), now - began)
    report(done, slowest, len(mails), time.monotonic() - began)
    return 0


def report(done: int, slowest: float, seeds: int, seconds: float) -> None:
    figures = {
        "mails": done,
        "slowest_cpu_milliseconds": round(1000 * slowest),
        "seed_mails": seeds,
        "minutes": round(seconds / 60, 1),
        "cpu_seconds": round(time.process_time()),
        "mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
