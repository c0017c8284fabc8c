"""`homing serve`: the gateway until it is told to stop."""

import asyncio
import errno
import sys
from pathlib import Path

import structlog

from homing.cli.endings import ExitCode, Unsuccessful, unsuccessful
from homing.config import BadSettings, Settings, load_settings
from homing.loop.problem import Fault, Problem


def settings_from(config: Path | None) -> Settings:
    """The settings of a command. Raises Unsuccessful where they are wrong."""
    default = Path("homing.toml")
    file = config or (default if default.exists() else None)
    try:
        return load_settings(file)
    except BadSettings as error:
        faults = [line.partition(": ") for line in str(error).splitlines()]
        problem = Problem(
            status=0,
            code="settings-invalid",
            title="The settings make no sense; docs/settings.md has them all.",
            faults=tuple(Fault(name, "setting-invalid", message) for name, _, message in faults),
        )
        raise Unsuccessful(ExitCode.INPUT, problem) from None


def serve(config: Path | None) -> None:
    settings = settings_from(config)
    log_to_stderr()
    from homing.app import serve as run
    from homing.store.lock import AlreadyOpen

    try:
        _run(run(settings))
    except AlreadyOpen as error:
        raise unsuccessful(ExitCode.OTHER, "database-in-use", str(error)) from None
    except OSError as error:
        if error.errno not in _CANNOT_LISTEN:
            raise
        title = f"Cannot listen: {error.strerror}"
        detail = "Another program has the port, or a port below 1024 needs the capability CAP_NET_BIND_SERVICE."
        raise unsuccessful(ExitCode.OTHER, "cannot-listen", title, detail) from None


_CANNOT_LISTEN = frozenset({errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL})


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
