"""Speaks to a person at a terminal; JSON when the output is not a terminal.

Every command imports what it needs when it runs, so that `homing --help` is quick.
"""

from pathlib import Path
from typing import Annotated

import typer

from homing.cli import (
    alarms,
    check,
    dkim,
    domains,
    events,
    human_senders,
    inbound,
    loop_watch,
    messages,
    organizations,
    policies,
    store,
    suppressions,
)
from homing.cli.audit import audit
from homing.cli.backup import backup
from homing.cli.docs import docs
from homing.cli.doctor import doctor
from homing.cli.exits import Commands, importing
from homing.cli.explain import explain
from homing.cli.options import Config
from homing.cli.send import send

app = typer.Typer(
    name="homing",
    cls=Commands,
    help="E-mail that reports back: a gateway that closes the loop.",
    epilog="Exit codes: 0 done, 1 other, 2 key, 3 not delivered, 4 input, 5 not found, 7 unreachable, 8 too much.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def homing() -> None:
    """E-mail that reports back."""


@app.command()
def serve(config: Config = None) -> None:
    """Run the gateway: API and pages, MX door, and all its workers, in this process."""
    with importing():
        from homing.cli.serve import serve

    serve(config)


@app.command()
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Stop after the last scene; exit 0 only if all of them came true.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port of the page and the API.")] = 8025,
    folder: Annotated[Path, typer.Option(help="Where everything is kept; emptied first.")] = Path("demo-data"),
) -> None:
    """Play both stories with real SMTP on loopback, and stay up to be looked at."""
    with importing():
        from homing.cli.demo import DemoOptions, run

    raise typer.Exit(run(DemoOptions(folder=folder, port=port, once=once)))


app.command("send")(send)
app.command("explain")(explain)
app.command("doctor")(doctor)
app.command("audit")(audit)
app.command("backup")(backup)
app.command("docs")(docs)
for room in (
    organizations.organizations,
    organizations.keys,
    human_senders.people,
    policies.policies,
    suppressions.suppressions,
    domains.domains,
    dkim.dkim,
    messages.messages,
    inbound.inbound,
    alarms.alarms,
    loop_watch.loop,
    store.store,
    events.events,
    check.config,
):
    app.add_typer(room)


@app.command()
def bench(  # noqa: PLR0913 - each measure is an option
    messages: Annotated[int, typer.Option(min=20, help="How many are sent and counted.")] = 2000,
    clients: Annotated[int, typer.Option(min=1, help="HTTP connections that submit.")] = 20,
    size: Annotated[int, typer.Option(min=1, help="Octets of each text.")] = 5000,
    failure_seconds: Annotated[float, typer.Option(min=0, help="For how long refused messages are sent.")] = 10.0,
    database_url: Annotated[str, typer.Option(help="PostgreSQL; default: a fresh SQLite file.")] = "",
    folder: Annotated[
        Path | None, typer.Option(help="Where the gateway's data goes while it is measured: the disk decides.")
    ] = None,
    streams: Annotated[
        int, typer.Option(min=0, max=10_000, help="Live streams that are open during one more round of messages.")
    ] = 0,
) -> None:
    """Measure this machine: messages a second end to end, CPU, waiting times; one JSON document."""
    from homing.cli.bench import Plan, bench

    bench(
        Plan(
            messages=messages,
            clients=clients,
            size=size,
            failure_seconds=failure_seconds,
            database_url=database_url,
            folder=folder,
            streams=streams,
        )
    )


def main() -> None:
    """Entry point of `homing`."""
    app()
