"""Options that several commands share."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer


def config_option(**more: Any) -> Any:
    """`more`: where help shows it."""
    help_text = "Settings file (TOML), default ./homing.toml."
    return typer.Option("--config", "-c", envvar="HOMING_CONFIG", help=help_text, **more)


Config = Annotated[Path | None, config_option()]

Moment = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="UTC.", metavar="MOMENT")
]


def utc(moment: datetime | None) -> str | None:
    """A moment that was given on the command line, as the API takes it (RFC 3339)."""
    return None if moment is None else f"{moment.isoformat()}Z"
