"""Reading an MTA-STS policy (RFC 8461 §3.2)."""

from collections.abc import Sequence
from dataclasses import dataclass

_MODES = ("enforce", "testing", "none")
_LONGEST_AGE = 31_557_600


@dataclass(frozen=True, slots=True, kw_only=True)
class StsPolicy:
    """What senders are asked to do. `hosts` are names, or "*." and a name for one label below it."""

    mode: str
    hosts: tuple[str, ...]
    max_age: int


def read_policy(text: str) -> tuple[StsPolicy, tuple[str, ...]]:
    """The policy, and all its faults in sentences."""
    pairs = [line.partition(":") for line in text.splitlines() if line.strip()]
    values = [(key.strip(), value.strip()) for key, _, value in pairs]
    first = dict(reversed(values))
    hosts = tuple(value.lower() for key, value in values if key == "mx")
    mode, age = first.get("mode", ""), first.get("max_age", "")
    faults = []
    if first.get("version") != "STSv1":
        faults.append("version: STSv1 is missing.")
    if mode not in _MODES:
        faults.append("mode: must be enforce, testing or none.")
    if not (age.isascii() and age.isdigit() and int(age) <= _LONGEST_AGE):
        faults.append("max_age: must be seconds, a year at most.")
    if not hosts and mode != "none":
        faults.append("It names no mx:.")
    return StsPolicy(mode=mode, hosts=hosts, max_age=0 if faults else int(age)), tuple(faults)


def matches(patterns: Sequence[str], host: str) -> bool:
    """Whether a policy's hosts cover this one (§4.1): a wildcard stands for exactly one label."""
    above = host.partition(".")[2]
    return any(host == pattern or (pattern.startswith("*.") and above == pattern[2:]) for pattern in patterns)
