"""A migrated SQLite database in no time: a copy of one that this process made once."""

from pathlib import Path
from tempfile import TemporaryDirectory

from homing.store.database import Database

_made: list[bytes] = []


async def migrated_database(file: Path) -> Path:
    """Write it to `file`, which it returns."""
    if not _made:
        with TemporaryDirectory() as folder:
            original = Path(folder) / "homing.db"
            database = Database.open(f"sqlite:///{original}", durable=False)
            await database.start()
            await database.migrate()
            await database.close()
            assert not original.with_name("homing.db-wal").exists(), "not all of it is in the file"
            _made.append(original.read_bytes())
    file.write_bytes(_made[0])
    return file
