"""A process under strace, and its system calls as strace tells them."""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .others import absent, program

_SHOWN = 40_000
"""Octets of a string that the trace shows; the gateway reads at most 32 KiB at a time."""

READS = frozenset({"read", "readv", "recvfrom", "recvmsg"})
WRITES = frozenset({"write", "writev", "sendto", "sendmsg"})
FILE_WRITES = frozenset({"write", "pwrite64"})
SYNCS = frozenset({"fsync", "fdatasync"})

_LINE = re.compile(r"(?P<thread>\d+) +(?P<name>\w+)\((?:\d+<(?P<path>[^>]*)>)?(?P<rest>.*)")
_RESUMED = re.compile(r"(?P<thread>\d+) +<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)")
_UNFINISHED = "<unfinished ...>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A system call on a file or socket. `began` and `ended` count lines of the trace: other threads come in between.

    `text` has its arguments and result as strace shows them.
    """

    name: str
    path: str
    text: str
    began: int
    ended: int

    @property
    def succeeded(self) -> bool:
        return not self.text.rpartition(" = ")[2].startswith("-")


def traced(command: list[str], trace: Path) -> list[str]:
    """The command that runs `command` under strace; its process is the command's own, which a signal reaches."""
    strace = str(program("strace", "strace"))
    if subprocess.run([strace, "-qq", "-o", "/dev/null", "true"], capture_output=True).returncode:
        absent("strace may not trace here: `make system-deps` installed it, but this machine forbids ptrace")
    names = ",".join(sorted(READS | WRITES | FILE_WRITES | SYNCS))
    options = ["-f", "-y", "-q", "--seccomp-bpf", "-s", str(_SHOWN), "-e", f"trace={names}"]
    return [strace, "-D", *options, "-o", str(trace), *command]


def calls_in(lines: Iterable[str]) -> list[Call]:
    """All calls, in the order in which they began."""
    calls: list[Call] = []
    open_calls: dict[str, tuple[int, re.Match[str]]] = {}
    for number, line in enumerate(lines):
        if (resumed := _RESUMED.match(line)) and resumed["thread"] in open_calls:
            began, match = open_calls.pop(resumed["thread"])
            text = match["rest"].removesuffix(_UNFINISHED) + resumed["rest"]
        elif (match := _LINE.match(line)) and line.endswith(_UNFINISHED):
            open_calls[match["thread"]] = (number, match)
            continue
        elif match:
            began, text = number, match["rest"]
        else:
            continue
        calls.append(Call(name=match["name"], path=match["path"] or "", text=text, began=began, ended=number))
    return sorted(calls, key=lambda call: call.began)
