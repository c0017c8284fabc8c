"""`homing serve`: the gateway until it is told to stop."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from homing.cli.exits import ExitCode, Unsuccessful, importing, unsuccessful
from homing.cli.log import log_to_stderr
from homing.config import BadSettings, Settings, load_settings
from homing.loop.problem import Problem


def settings_from(config: Path | None) -> Settings:
    """The settings of a command. Raises Unsuccessful where they are wrong."""
    default = Path("homing.toml")
    file = config or (default if default.exists() else None)
    try:
        return load_settings(file)
    except BadSettings as error:
        raise _bad_settings(error) from None


def serve(config: Path | None) -> None:
    settings = settings_from(config)
    log_to_stderr(tracebacks=settings.log_tracebacks)
    with importing():
        from homing.app import serve as run

    with opening(settings):
        _run(run(settings))


@contextmanager
def opening(settings: Settings) -> Iterator[None]:
    """What can be wrong with the machine when a gateway's data, database and ports are opened: raises Unsuccessful."""
    from sqlalchemy.exc import SQLAlchemyError

    from homing.app import CannotListen
    from homing.store.lock import AlreadyOpen
    from homing.store.migrations import NewerSchema
    from homing.store.postgres import NotDurable

    try:
        yield
    except BadSettings as error:
        raise _bad_settings(error) from None
    except CannotListen as error:
        title = f"Cannot listen at {error.host}:{error.port}: {error.reason}."
        raise unsuccessful(ExitCode.OTHER, "cannot-listen", title, _LISTENING.format(setting=error.setting)) from None
    except AlreadyOpen as error:
        raise unsuccessful(ExitCode.OTHER, "database-in-use", f"{error}.") from None
    except NewerSchema as error:
        title = "A newer version of Homing has used this database."
        raise unsuccessful(ExitCode.OTHER, "database-newer", title, f"{error}.") from None
    except (SQLAlchemyError, NotDurable) as error:
        raise unsuccessful(ExitCode.OTHER, "database-unusable", "Cannot use the database.", str(error)) from None
    except PermissionError as error:
        raise unsuccessful(ExitCode.OTHER, "data-unreadable", _cannot(error, settings), _WHOSE) from None
    except OSError as error:
        if error.filename is None and settings.database_url.startswith("postgres"):
            detail = f"{error}. Is it running, and is database_url right?"
            raise unsuccessful(ExitCode.OTHER, "database-unusable", "Cannot reach the database.", detail) from None
        raise unsuccessful(ExitCode.OTHER, "data-unreadable", _cannot(error, settings)) from None


_LISTENING = (
    "Another program may have this port; choose another one in {setting}. "
    "For ports below 1024 the program needs the capability CAP_NET_BIND_SERVICE (docs/runbook.md)."
)
_WHOSE = "Run this as the user of the gateway, or choose another folder in data_dir."


def _cannot(error: OSError, settings: Settings) -> str:
    return f"Cannot open the gateway's data: {error.strerror or error}: {error.filename or settings.data_dir}"


def _bad_settings(error: BadSettings) -> Unsuccessful:
    title = "The settings are not valid; docs/settings.md lists them all."
    return Unsuccessful(ExitCode.INPUT, Problem(status=0, code="settings-invalid", title=title, faults=error.faults))


def _run(main: object) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)  # type: ignore[arg-type]
    else:
        uvloop.run(main)  # type: ignore[arg-type]
