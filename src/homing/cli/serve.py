"""`homing serve`: the gateway until it is told to stop."""

import asyncio
import sys
from pathlib import Path

import structlog
import typer

from homing.config import BadSettings, Settings, load_settings

BAD_INPUT = 4
"""Exit code for settings and arguments that make no sense."""


def settings_from(config: Path | None) -> Settings:
    """The settings of a command; ends it with a clear sentence where they are wrong."""
    default = Path("homing.toml")
    file = config or (default if default.exists() else None)
    try:
        return load_settings(file)
    except BadSettings as error:
        typer.echo(f"settings: {error}", err=True)
        typer.echo("hint: see docs/settings.md; the least is HOMING_OPERATOR_DOMAIN=example.com", err=True)
        raise typer.Exit(BAD_INPUT) from None


def serve(config: Path | None) -> None:
    settings = settings_from(config)
    log_to_stderr()
    from homing.app import serve as run
    from homing.store.lock import AlreadyOpen

    try:
        _run(run(settings))
    except AlreadyOpen as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def log_to_stderr() -> None:
    """JSON lines, or colours for a person."""
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _run(main: object) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)  # type: ignore[arg-type]
    else:
        uvloop.run(main)  # type: ignore[arg-type]
