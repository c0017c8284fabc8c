"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Any

import typer


def config_option(**more: Any) -> Any:
    """`more`: where help shows it."""
    help_text = "Settings file (TOML), default ./homing.toml."
    return typer.Option("--config", "-c", envvar="HOMING_CONFIG", help=help_text, **more)


Config = Annotated[Path | None, config_option()]
