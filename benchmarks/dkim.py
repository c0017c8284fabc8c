"""How fast we sign, beside the bare RSA operation and dkimpy, in one run: `python benchmarks/dkim.py [ROUNDS]`.

CPU time of one thread, the best of interleaved rounds, one JSON object on standard output.
"""

import importlib
import json
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import process_time

import cryptography

from homing.mail.address import parse_address
from homing.mail.compose import Draft, Mailbox, compose, front
from homing.mail.dkim import SigningKey, body_hash, sign

BYTES = 5000
SIGNED_AT, EXPIRES_AT = 1_800_000_000, 1_800_600_000


def message() -> bytes:
    """A plain message of about 5 kB, as it leaves."""
    draft = Draft(
        subject="Your invoice of September",
        to=(Mailbox("John Smith", parse_address("john@example.org")),),
        date=datetime(2026, 9, 1, tzinfo=UTC),
        message_id="m1@post.example.com",
        text="Dear John,\n\nhere is  your invoice of September.\tPlease look at it.\n" * 70,
    )
    lines = front(parse_address("message-service@post.example.com"), "Joe Bloggs", None, "abcdefgh234567")
    return (lines + compose(draft))[: BYTES - 2] + b"\r\n"


def seconds_each(operation: Callable[[], object], times: int) -> float:
    began = process_time()
    for _ in range(times):
        operation()
    return (process_time() - began) / times


def dkimpy_signer(raw: bytes, pem: bytes) -> Callable[[], object]:
    """dkimpy installs a package `dkim`, which this file's own name hides while its folder is on the path."""
    sys.path = [folder for folder in sys.path if Path(folder).resolve() != Path(__file__).resolve().parent]
    sign = importlib.import_module("dkim").sign
    return lambda: sign(raw, b"k1", b"post.example.com", pem, canonicalize=(b"relaxed", b"relaxed"))


def main(rounds: int) -> None:
    raw, key = message(), SigningKey.generate("post.example.com", "k1")
    pem, known = key.pem(), body_hash(raw.partition(b"\r\n\r\n")[2])
    contenders: dict[str, tuple[Callable[[], object], int]] = {
        "raw_rsa_2048": (lambda: key.signature_of(raw), 400),
        "ours": (lambda: sign(raw, key, SIGNED_AT, EXPIRES_AT), 400),
        "ours_known_body_hash": (lambda: sign(raw, key, SIGNED_AT, EXPIRES_AT, known), 400),
        "dkimpy": (dkimpy_signer(raw, pem), 20),
    }
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(rounds):
        for name, (operation, times) in contenders.items():
            best[name] = min(best[name], seconds_each(operation, times))
    figures = {
        "bytes": len(raw),
        "rounds": rounds,
        "n": {name: times * rounds for name, (_, times) in contenders.items()},
        "per_second": {name: round(1 / seconds) for name, seconds in best.items()},
        "microseconds": {name: round(seconds * 1e6, 1) for name, seconds in best.items()},
        "ours_of_raw_rsa": round(best["raw_rsa_2048"] / best["ours"], 3),
        "ours_over_dkimpy": round(best["dkimpy"] / best["ours"], 1),
        "python": platform.python_version(),
        "cryptography": cryptography.__version__,
    }
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
