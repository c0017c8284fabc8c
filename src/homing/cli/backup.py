"""`homing backup`: the database as of one moment, large mails and keys, in a folder that is whole or not there."""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from homing.cli.exits import ExitCode, bad_input, importing, unsuccessful
from homing.cli.options import Config
from homing.cli.output import sheet, show

if TYPE_CHECKING:
    from homing.config import Settings
    from homing.loop.store_mark import StoreMark

Step = Callable[[str, int, int], None]
"""Is told what is copied, how much of it has been, and how much there is in all (0: nobody knows)."""

_KEYS = ("token-keys.json", "secret.key", "secret.key.before", "administrator.key", "dkim-*.pem")


def backup(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder; what is there stays untouched.")],
    config: Config = None,
) -> None:
    """Back up the database, large mails and keys into a new folder, while the gateway runs or not.

    On the gateway's machine, as its user. The folder holds secrets. How to restore it: docs/runbook.md.
    """
    from homing.cli.serve import settings_from

    settings = settings_from(config)
    if folder.exists():
        raise bad_input("FOLDER", "folder-exists", f"{folder} is there already, and a backup overwrites nothing.")
    with importing():
        from sqlalchemy.exc import SQLAlchemyError

        from homing.store.backup import BackupFailed
    part = folder.with_name(f"{folder.name}.part")
    try:
        part.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        message = f"{part} is there: another backup is under way, or one was broken off. Remove it then."
        raise bad_input("FOLDER", "folder-exists", message) from None
    try:
        with _progress() as told:
            _fill(part, settings, told)
        part.rename(folder)
        _sync(folder.parent)
    except (BackupFailed, SQLAlchemyError, OSError) as error:
        raise unsuccessful(ExitCode.OTHER, "backup-failed", "There is no backup.", str(error)) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    document = _told(folder, settings)
    show(document, lambda: sheet(document))


def _fill(part: Path, settings: "Settings", told: Step) -> None:
    """The database first: whatever large mail it names is still there afterwards, unless it is erased by then."""
    from homing.flow.store_watch import write_note
    from homing.loop.store_mark import StoreMark

    mark = _database(part, settings, told)
    # Ahead of the copy: whoever starts from this folder knows that it was restored.
    write_note(part, StoreMark(mark.generation, mark.mark + 1))
    for pattern in _KEYS:
        for file in settings.data_dir.glob(pattern):
            _copy(file, part / file.name)
    mails = list(settings.spool.glob("*.eml"))
    spool = part / settings.spool.name
    spool.mkdir(mode=0o700)
    for number, mail in enumerate(mails, 1):
        _copy(mail, spool / mail.name, missing_ok=True)
        told("large mails", number, len(mails))
    for place in (spool, part):
        _sync(place)


def _database(part: Path, settings: "Settings", told: Step) -> "StoreMark":
    from homing.store.backup import BackupFailed, copy_sqlite, dump_postgresql

    if not settings.database_url.startswith("sqlite:///"):
        told("database", 0, 0)
        file = part / "homing.dump"
        file.touch(mode=0o600)
        dump_postgresql(settings.database_url, file)
        _sync(file)
        return asyncio.run(_mark_of(settings.database_url))
    source = Path(settings.database_url.removeprefix("sqlite:///"))
    if not source.exists():
        raise BackupFailed(f"there is no database at {source}")
    file = part / "homing.db"
    file.touch(mode=0o600)
    mark = copy_sqlite(source, file, lambda done, whole: told("database", done, whole))
    _sync(file)
    return mark


async def _mark_of(url: str) -> "StoreMark":
    """At least that of the dump, which was made before."""
    from homing.store import store_mark
    from homing.store.database import Database

    database = Database.open(url)
    try:
        return (await database.read(store_mark.standing)).mark
    finally:
        await database.close()


def _copy(source: Path, target: Path, *, missing_ok: bool = False) -> None:
    target.touch(mode=0o600)
    try:
        shutil.copyfile(source, target)
        shutil.copystat(source, target)
    except FileNotFoundError:
        if not missing_ok:
            raise
        target.unlink()
        return
    target.chmod(0o600)
    _sync(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _progress() -> Iterator[Step]:
    """Moves a bar on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _name, _done, _whole: None
        return
    from rich.console import Console
    from rich.progress import Progress, TaskID

    tasks: dict[str, TaskID] = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:

        def told(name: str, done: int, whole: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=None)
            progress.update(tasks[name], completed=done, total=whole or None)

        yield told


def _told(folder: Path, settings: "Settings") -> dict[str, object]:
    files = sorted(file.relative_to(folder).as_posix() for file in folder.iterdir() if file.is_file())
    sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    return {
        "backup": str(folder),
        "octets": sum(sizes),
        "files": files,
        "large_mails": len(list((folder / settings.spool.name).iterdir())),
        "not_in_it": _left_out(settings),
    }


def _left_out(settings: "Settings") -> list[str]:
    """What a restored gateway needs besides."""
    from pydantic import SecretStr

    secrets = [
        name
        for name in type(settings).model_fields
        if isinstance(value := getattr(settings, name), SecretStr) and value.get_secret_value()
    ]
    files = [str(file) for file in (settings.tls_certificate, settings.tls_key) if file]
    return ["the settings (file and environment)", *secrets, *files]
