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
    typer.Option("--config", "-c", envvar="HOMING_CONFIG", help="Settings file (TOML), default ./homing.toml."),
]


@app.callback()
def homing() -> None:
    """E-mail that reports back."""


@app.command()
def serve(config: Config = None) -> None:
    """Run the gateway: API and pages, MX door, and all its workers, in this process."""
    from homing.cli.serve import serve

    serve(config)


@app.command()
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End when the story has been told; exit 0 only if it came true.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port of the page and the API.")] = 8025,
    folder: Annotated[Path, typer.Option(help="Where everything is kept; emptied first.")] = Path("demo-data"),
) -> None:
    """Play both stories with real SMTP on loopback, and stay up to be looked at."""
    from homing.cli.demo import DemoOptions, run

    raise typer.Exit(run(DemoOptions(folder=folder, port=port, once=once)))


def main() -> None:
    """Entry point of `homing`."""
    app()
