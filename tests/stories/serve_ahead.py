"""`homing serve` whose clock stands ahead of ours, so that retries of hours come due when it is started again.

`python -m tests.stories.serve_ahead --ahead MINUTES [--mutant NAME]`; everything else comes from the environment.
"""

import argparse
import asyncio
import signal
from datetime import timedelta

import uvloop

from homing import app
from homing.app import shared
from homing.cli.log import log_to_stderr
from homing.config import load_settings

from .mutants import MUTANTS


async def serve(ahead: timedelta) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    clock = app.Clock()
    clock.advance(ahead)
    async with app.build(load_settings(None), clock).running():
        await stop.wait()


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--ahead", type=float, required=True)
    arguments.add_argument("--mutant", choices=sorted(MUTANTS))
    told = arguments.parse_args()
    if told.mutant:
        shared.Database = MUTANTS[told.mutant]  # type: ignore[misc]
    log_to_stderr()
    uvloop.run(serve(timedelta(minutes=told.ahead)))


if __name__ == "__main__":
    main()
