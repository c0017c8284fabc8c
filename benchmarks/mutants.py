"""Plants a bug in each constant of loop/ and flow/, one at a time, and tells which of them no test notices.

A constant is a name in capitals that a module binds, or the default of a field or parameter. Its mutants: each number
in it becomes smaller (30 days become 21), each member of a set, tuple or table is left out, a short text gets a letter
more. A mutant lives in a copy of `src` in a temporary folder. The tests that may notice it run in stages, until one
fails: the namesakes of the module, those that name the constant, those that import the module or lie beside its
namesakes, all of the room.

`benchmarks/mutants.toml` has the constants that no test need watch, and why. Exit status 1: a mutant survived that is
not accepted there, or an entry there is stale. A bar on a terminal, JSON lines elsewhere."""

import argparse
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from constants import ROOT, SOURCE, Mutant, all_mutants

TESTS = ROOT / "tests"
ACCEPTED = Path(__file__).with_suffix(".toml")
KINDS = ("number", "member", "text")
_PRELOADED = ("hypothesis", "sqlalchemy", "cryptography.x509", "pydantic", "httpx2", "fastapi", "dns.resolver")


def accepted() -> dict[str, str]:
    """The reason for each constant, PATH:NAME, that no test need watch."""
    return tomllib.loads(ACCEPTED.read_text("utf-8"))


def stages(mutant: Mutant, texts: dict[Path, str]) -> list[list[str]]:
    """The tests that may notice it, nearest first. `texts`: the test files and what stands in them."""
    module = Path(mutant.path).with_suffix("")
    room = TESTS / module.parts[0]
    own = TESTS / module.parent / f"test_{module.name}.py"
    namesakes = [file for file in texts if file.stem.startswith(f"test_{module.name}") and "stories" not in file.parts]
    dotted, parent = ".".join(("homing", *module.parts)), ".".join(("homing", *module.parts[:-1]))
    imports = re.compile(rf"{re.escape(dotted)}\b|from {re.escape(parent)} import (?:\([^)]*|[^\n]*)\b{module.name}\b")
    named = re.compile(rf"\b{re.escape(mutant.name.rpartition('.')[2].split(',')[0])}\b")
    importing = [file for file, text in texts.items() if imports.search(text) and "stories" not in file.parts]
    beside = [file for file in texts if file.parent == own.parent]
    wanted: list[list[Path]] = [
        sorted(namesakes, key=lambda file: file != own),
        [file for file in importing if named.search(texts[file])],
        sorted({*beside, *importing}, key=lambda file: (room not in file.parents, file)),
        [file for file in texts if room in file.parents],
    ]
    seen: set[Path] = set()
    found = []
    for files in wanted:
        found.append([str(file.relative_to(ROOT)) for file in files if file not in seen])
        seen.update(files)
    return [files for files in found if files]


class Bench:
    """A copy of `src` in which one mutant at a time lives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writes = 0
        shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))

    def write(self, path: str, source: bytes) -> None:
        """A time of its own for each write: stale bytecode would hide the mutant."""
        file = self.folder / "src" / "homing" / path
        file.write_bytes(source)
        self._writes += 1
        moment = time.time() + 10 * self._writes
        os.utime(file, (moment, moment))

    def first_failure(self, tests: list[str], broken: set[str], limit: float) -> str:
        """The first test that fails, empty where all pass. In a fork, which has the heavy libraries already."""
        log = self.folder / "log"
        child = os.fork()
        if child == 0:
            os.setsid()
            _run_pytest(self.folder, log, tests, sorted(broken))
        end = time.monotonic() + limit
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                break
            if time.monotonic() > end:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return f"{tests[0]} (no end in {limit:.0f} s)"
            time.sleep(0.05)
        if os.waitstatus_to_exitcode(status) in {0, 5}:
            return ""
        failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", log.read_text("utf-8", errors="replace"), re.MULTILINE)
        return failed[1] if failed else f"{tests[0]} (did not run)"


def _run_pytest(folder: Path, log: Path, tests: list[str], broken: list[str]) -> None:
    with log.open("wb") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    os.chdir(ROOT)
    os.environ |= {
        "PYTHONPATH": str(folder / "src"),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
    }
    # Without our own folder: dkim.py in it would stand for the library of that name.
    others = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]
    sys.path[:] = [str(folder / "src"), str(ROOT), *others]
    import pytest

    without = [f"--deselect={one}" for one in broken]
    status = pytest.main(["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:randomly", *without, *tests])
    sys.stdout.flush()
    os._exit(int(status))


class Run:
    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.arguments = arguments
        self.accepted = accepted()
        self.texts = {file: file.read_text("utf-8") for file in sorted(TESTS.rglob("test_*.py"))}
        self.sound: set[str] = set()
        self.broken: set[str] = set()
        """Tests that fail without a mutant prove nothing."""
        self.benches: SimpleQueue[Bench] = SimpleQueue()
        for number in range(arguments.jobs):
            self.benches.put(Bench(folder / str(number)))

    def killer(self, mutant: Mutant) -> str:
        """The test that noticed the mutant; empty for a survivor."""
        bench = self.benches.get()
        source = (SOURCE / mutant.path).read_bytes()
        changed = source[: mutant.start] + mutant.new.encode() + source[mutant.end :]
        try:
            for tests in stages(mutant, self.texts)[: self.arguments.stages]:
                while tests := [file for file in tests if file not in self.broken]:
                    bench.write(mutant.path, changed)
                    failed = bench.first_failure(tests, self.broken, self.arguments.limit)
                    bench.write(mutant.path, source)
                    if not failed or self._sound(bench, failed):
                        break
                if tests and failed:
                    return failed
            return ""
        finally:
            self.benches.put(bench)

    def _sound(self, bench: Bench, test: str) -> bool:
        """Whether it passes without a mutant. One that does not, or hangs its stage, proves nothing and is left out."""
        if test not in self.sound:
            again = test if test not in self.broken else test.partition("::")[0]
            if bench.first_failure([again], set(), self.arguments.limit):
                self.broken.add(again)
                return False
            self.sound.add(test)
        return True

    def verdict(self, mutant: Mutant) -> dict[str, Any]:
        began = time.monotonic()
        killer = self.killer(mutant)
        reason = self.accepted.get(mutant.at, "")
        return {
            "at": f"{mutant.path}:{mutant.line}",
            "name": mutant.name,
            "change": mutant.change,
            "verdict": "killed" if killer else "accepted" if reason else "survived",
            "by": killer or reason,
            "seconds": round(time.monotonic() - began, 1),
        }


def _chosen(arguments: argparse.Namespace) -> list[Mutant]:
    """`--only loop/retry` is a beginning of paths; `--only loop/retry.py:LIFETIME` is one constant."""
    kinds = arguments.kinds.split(",")
    only = tuple(arguments.only)
    of_kind = [mutant for mutant in all_mutants() if mutant.kind in kinds]
    return [mutant for mutant in of_kind if not only or mutant.at in only or mutant.path.startswith(only)]


def _verdicts(run: Run, mutants: list[Mutant]) -> Iterator[dict[str, Any]]:
    with ThreadPoolExecutor(run.arguments.jobs) as pool:
        yield from pool.map(run.verdict, mutants)


def _shown(verdicts: Iterator[dict[str, Any]], total: int) -> list[dict[str, Any]]:
    """A bar and what survived on a terminal, each verdict as a line of JSON elsewhere."""
    found = []
    if not sys.stdout.isatty():
        for verdict in verdicts:
            print(json.dumps(verdict), flush=True)
            found.append(verdict)
        return found
    from rich.progress import Progress

    with Progress() as progress:
        task = progress.add_task("mutants", total=total)
        for verdict in verdicts:
            found.append(verdict)
            progress.advance(task)
            if verdict["verdict"] == "survived":
                progress.print(f"{verdict['at']} {verdict['name']}: {verdict['change']} survived", markup=False)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], help="beginning of a path, or PATH:NAME")
    parser.add_argument("--kinds", default=",".join(KINDS), help="number,member,text")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--stages", type=int, default=4, help="how many stages of tests to run, 1 to 4")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds for one stage of tests")
    parser.add_argument("--list", action="store_true", help="tell the mutants, run nothing")
    arguments = parser.parse_args()
    mutants = _chosen(arguments)
    if arguments.list:
        print("\n".join(f"{one.path}:{one.line} {one.name} {one.kind} {one.change}" for one in mutants))
        return 0
    for module in _PRELOADED:
        __import__(module)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        run = Run(arguments, Path(folder))
        verdicts = _shown(_verdicts(run, mutants), len(mutants))
    counts = Counter(verdict["verdict"] for verdict in verdicts)
    stale = _stale(run.accepted, mutants, verdicts)
    print(json.dumps({"constants": len({one.at for one in mutants}), **counts, "broken": sorted(run.broken)}))
    print("".join(f"stale: {one}\n" for one in stale), end="")
    return 1 if counts["survived"] or stale else 0


def _stale(entries: dict[str, str], mutants: list[Mutant], verdicts: list[dict[str, Any]]) -> list[str]:
    """Accepted constants that are no more, or of which every mutant was made and noticed."""
    every = Counter(mutant.at for mutant in all_mutants())
    killed = Counter(one.at for one, told in zip(mutants, verdicts, strict=True) if told["verdict"] == "killed")
    return [at for at in entries if killed[at] == every[at]]


if __name__ == "__main__":
    sys.exit(main())
