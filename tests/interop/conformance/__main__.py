"""The command line: `python -m tests.interop.conformance [SERVER…] [--only SCENARIO…] [--quick] [--write]`."""

import argparse
import asyncio
import faulthandler
import json
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, NoReturn

from . import namespace, page
from .fetch import debian, npm
from .run import looking_at
from .scenarios import QUICK, SCENARIOS
from .servers import SERVERS

_RESULT = "result.json"


def main() -> int:
    options = _options()
    if options.inside:
        _inside(options)
    names = options.servers or list(SERVERS)
    for name in names:
        _fetch(name)
    if options.fetch:
        return 0
    if reason := namespace.why_not():
        raise SystemExit(reason)
    results = {name: _looked_at(name, options) for name in names}
    broken = [name for name, result in results.items() if result is None]
    found = {name: result for name, result in results.items() if result is not None}
    if options.write:
        page.write(found)
    differing = [cell for result in found.values() for cell in result["cells"] if cell["differs"]]
    print(page.summary(found), file=sys.stderr)
    if options.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    for name in broken:
        print(f"{name}: it could not be run", file=sys.stderr)
    return 1 if differing or broken else 0


def _inside(options: argparse.Namespace) -> NoReturn:
    """The first process of the namespaces. When it ends, all others there end: nothing needs to be stopped."""
    faulthandler.register(signal.SIGUSR1)
    try:
        namespace.settle_in()
        asyncio.run(_tell(options))
    except Exception:  # noqa: BLE001 - whatever it was, it is told, and the process must end
        traceback.print_exc()
    os._exit(1)


async def _tell(options: argparse.Namespace) -> None:
    (name,) = options.servers
    async with looking_at(SERVERS[name]) as look:
        result = await look(options.only, verbose=options.verbose)
        Path(options.inside, _RESULT).write_text(json.dumps(result), "utf-8")
        os._exit(0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.interop.conformance", description=__doc__)
    parser.add_argument("servers", nargs="*", choices=[*SERVERS, []], help="which servers; all if none is named")
    parser.add_argument("--only", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS), metavar="SCENARIO")
    parser.add_argument("--quick", dest="only", action="store_const", const=list(QUICK), help="a handful, in seconds")
    parser.add_argument("--write", action="store_true", help="write docs/conformance.md and .json")
    parser.add_argument("--json", action="store_true", help="print the findings")
    parser.add_argument("--fetch", action="store_true", help="download the servers, and no more")
    parser.add_argument("--verbose", action="store_true", help="show the server's log where a cell differs")
    parser.add_argument("--inside", metavar="FOLDER", help=argparse.SUPPRESS)
    return parser.parse_args()


def _fetch(name: str) -> None:
    server = SERVERS[name]
    debian(name, server.packages)
    if server.npm:
        npm(name, server.npm)


def _looked_at(name: str, options: argparse.Namespace) -> dict[str, Any] | None:
    """The findings of a server, None where it could not be run."""
    verbose = ["--verbose"] if options.verbose else []
    with tempfile.TemporaryDirectory(prefix="homing-conformance-") as folder:
        command = [name, "--inside", folder, *verbose, "--only", *options.only]
        status = namespace.enter(command, folder)
        return json.loads(Path(folder, _RESULT).read_text("utf-8")) if status == 0 else None


if __name__ == "__main__":
    sys.exit(main())
