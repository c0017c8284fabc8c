"""Speaks to a person at a terminal; JSON when the output is not a terminal.

Every command imports what it needs when it runs, so that `homing --help` is quick.
"""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="homing",
    help="E-mail that reports back: a gateway that closes the loop.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", envvar="HOMING_CONFIG", help="Settings file (TOML), default ./homing.toml."
    ),
]


@app.callback()
def homing() -> None:
    """E-mail that reports back."""


@app.command()
def serve(config: Config = None) -> None:
    """Run the gateway: API and pages, MX door, and all its workers, in this process."""
    from homing.cli.serve import serve

    serve(config)


def main() -> None:
    """Entry point of `homing`."""
    app()
