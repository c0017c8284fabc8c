"""The way to the database: group commit, isolation of culprits, durability, one process per file."""

import asyncio
import importlib
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from homing.store import migrations, postgres, tables
from homing.store.database import Database
from homing.store.dialect import hopeless, on_postgresql
from homing.store.lock import AlreadyOpen
from homing.store.migrations import NewerSchema
from homing.store.postgres import NotDurable, PostgresRunner
from tests.patience import until
from tests.postgres import Cluster
from tests.store.scenes import NOW, a_statement, all_rows
from tests.store.schema import expression_indexes, reflected

_STREAM = tables.stream
_ORGANIZATION = "0" * 32


def _put(conn: sa.Connection, name: str) -> str:
    row = {"organization": sa.Uuid().python_type(_ORGANIZATION), "name": name, "bulk": False, "created_at": NOW}
    conn.execute(_STREAM.insert(), row)
    if name.startswith("bad"):
        raise ValueError(name)
    return name


def _put_all(conn: sa.Connection, names: list[str]) -> list[str]:
    return [_put(conn, name) for name in names]


async def _names(database: Database) -> list[str]:
    return [row["name"] for row in await database.read(all_rows, _STREAM)]


# -- schema ----------------------------------------------------------------------------------------------------------


async def test_the_migrated_schema_is_that_of_the_tables(database: Database) -> None:
    def differences(conn: sa.Connection) -> list[object]:
        with expression_indexes():
            return compare_metadata(MigrationContext.configure(conn), tables.metadata)

    assert await database.read(differences) == []


def _indexes_in_words(conn: sa.Connection) -> list[str]:
    if on_postgresql(conn):
        return []
    found = conn.exec_driver_sql("SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").scalars()
    return sorted(" ".join(sql.replace('"', "").split()) for sql in found)


async def test_defaults_checks_and_uniques_are_those_of_the_tables(database: Database) -> None:
    """What the comparison above does not look at: the same reflection from tables made without a migration."""

    def make(conn: sa.Connection) -> None:
        tables.metadata.drop_all(conn)
        tables.metadata.create_all(conn)

    migrated = await database.read(reflected), await database.read(_indexes_in_words)
    await database.write(make)
    assert migrated == (await database.read(reflected), await database.read(_indexes_in_words))


async def test_migrating_again_changes_nothing(database: Database) -> None:
    await asyncio.gather(database.migrate(), database.migrate())


async def test_migrations_that_fail_change_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def there(conn: sa.Connection) -> tuple[object, list[str]]:
        inspector = sa.inspect(conn)
        return conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalar(), inspector.get_table_names()

    def fail(config: Config, revision: str) -> None:
        upgrade_by_alembic(config, revision)
        raise RuntimeError("the last of them broke")

    def begin_anew(conn: sa.Connection) -> None:
        tables.metadata.drop_all(conn)
        conn.exec_driver_sql("DROP TABLE alembic_version")
        migrations.upgrade(conn, "0010")

    upgrade_by_alembic = migrations.command.upgrade
    await database.write(begin_anew)
    before = await database.read(there)
    monkeypatch.setattr(migrations.command, "upgrade", fail)
    with pytest.raises(RuntimeError, match="the last of them broke"):
        await database.migrate()
    assert await database.read(there) == before
    assert before[0] == "0010"
    monkeypatch.undo()
    await database.migrate()
    assert "alarm" in (await database.read(there))[1]


async def test_a_schema_of_a_newer_version_is_refused_and_left_alone(database: Database) -> None:
    await database.write(a_statement("UPDATE alembic_version SET version_num = 'from-tomorrow'"))
    with pytest.raises(NewerSchema, match=r"has schema from-tomorrow, .* knows those up to \d{4}"):
        await database.migrate()
    assert await database.read(a_statement("SELECT version_num FROM alembic_version")) == [("from-tomorrow",)]


# -- transactions ----------------------------------------------------------------------------------------------------


async def test_only_the_culprit_of_a_shared_transaction_fails(database: Database) -> None:
    wishes = ["a", "bad", "b", "c", "bad too", "d"]
    answers = await asyncio.gather(*(database.write_grouped(_put_all, name) for name in wishes), return_exceptions=True)
    assert [str(answer) for answer in answers] == wishes
    assert [isinstance(answer, ValueError) for answer in answers] == [name.startswith("bad") for name in wishes]
    assert await _names(database) == ["a", "b", "c", "d"]


async def test_what_one_write_raises_undoes_only_itself(database: Database) -> None:
    calls = [database.write(_put, name) for name in ("a", "bad", "b")]
    grouped = [database.write_grouped(_put_all, name) for name in ("bad c", "d")]
    answers = await asyncio.gather(*calls, *grouped, return_exceptions=True)
    assert [isinstance(answer, Exception) for answer in answers] == [False, True, False, True, False]
    assert await _names(database) == ["a", "b", "d"]


async def test_waiting_calls_share_a_transaction_and_get_their_own_answers(database: Database) -> None:
    batches: list[int] = []

    def count(conn: sa.Connection, items: list[int]) -> list[int]:
        batches.append(len(items))
        return [item * 2 for item in items]

    answers = await asyncio.gather(*(database.write_grouped(count, number) for number in range(300)))
    assert answers == [number * 2 for number in range(300)]
    assert sum(batches) == 300
    assert len(batches) < 100


async def test_a_canceled_caller_disturbs_nobody(database: Database) -> None:
    tasks = [asyncio.create_task(database.write_grouped(_put_all, f"n{number}")) for number in range(20)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(answer, str) for answer in answers) >= 19


async def test_reading_cannot_write(database: Database) -> None:
    with pytest.raises(sa.exc.DBAPIError, match=r"readonly|read-only"):
        await database.read(_put, "a")
    assert await _names(database) == []


async def test_closing_writes_what_waits(url: str) -> None:
    database = Database.open(url, durable=False)
    await database.start()
    waiting = [asyncio.ensure_future(database.write_grouped(_put_all, f"n{number:03}")) for number in range(50)]
    await asyncio.sleep(0)
    await database.close()
    assert await asyncio.gather(*waiting) == [f"n{number:03}" for number in range(50)]
    with pytest.raises(RuntimeError, match="closed"):
        await database.write(_put, "too late")
    database = Database.open(url, durable=False)
    await database.start()
    assert len(await _names(database)) == 50
    await database.close()


async def test_what_no_repetition_mends_is_told_from_what_may_pass(database: Database) -> None:
    await database.write(_put, "a")
    with pytest.raises(sa.exc.IntegrityError) as twice:
        await database.write(_put, "a")
    with pytest.raises(sa.exc.DBAPIError) as unknown:
        await database.write(a_statement("SELECT * FROM nowhere"))
    assert hopeless(twice.value)
    assert not hopeless(unknown.value)  # a table that is not there may be an upgrade that is not yet done
    assert not hopeless(TimeoutError())


only_postgresql = pytest.mark.parametrize("url", ["postgresql"], indirect=True)


@only_postgresql
async def test_a_commit_without_a_clear_answer_reaches_the_caller_and_runs_once(database: Database) -> None:
    """On PostgreSQL a COMMIT can fail; nobody may try again, for it may have been done."""
    await database.write(
        a_statement(
            """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'lost at commit'; END $$;
            """
        )
    )
    await database.write(
        a_statement(
            "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON stream DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    )
    runs: list[list[str]] = []

    def put(conn: sa.Connection, names: list[str]) -> list[str]:
        runs.append(names)
        return _put_all(conn, names)

    answers = await asyncio.gather(*(database.write_grouped(put, name) for name in "abc"), return_exceptions=True)
    assert all("lost at commit" in str(answer) for answer in answers)
    assert sum(len(run) for run in runs) == 3
    assert await _names(database) == []


@only_postgresql
async def test_a_connection_lost_before_commit_is_no_failure(database: Database) -> None:
    runs = 0

    def put(conn: sa.Connection, name: str) -> str:
        nonlocal runs
        runs += 1
        if runs == 1:
            conn.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        return _put(conn, name)

    assert await database.write(put, "a") == "a"
    assert await _names(database) == ["a"]


@only_postgresql
@pytest.mark.parametrize("name", ["n" * 65, "nul \0"], ids=["too long", "nul"])
async def test_data_that_postgresql_does_not_take_are_hopeless(database: Database, name: str) -> None:
    with pytest.raises(sa.exc.DBAPIError) as refused:
        await database.write(_put, name)
    assert hopeless(refused.value)


@only_postgresql
async def test_a_number_too_large_for_its_column_is_hopeless(database: Database) -> None:
    def count(conn: sa.Connection) -> None:
        conn.execute(sa.update(tables.usage).values(deliveries=2**40))

    with pytest.raises(sa.exc.DBAPIError) as refused:
        await database.write(count)
    assert hopeless(refused.value)


@only_postgresql
async def test_an_unreachable_server_fails_a_whole_batch_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    probes: list[dict[str, object]] = []

    async def nobody(*_: object, **options: object) -> object:
        probes.append(options)
        raise TimeoutError

    database = Database.open(url, durable=False)
    await database.start()
    assert isinstance(database._runner, PostgresRunner)
    await database._runner._engine.dispose()  # so that each needs a new connection
    with monkeypatch.context() as away:
        away.setattr(asyncpg, "connect", nobody)
        waiting = [database.write_grouped(_put_all, f"n{number}") for number in range(100)]
        answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(answer) for answer in answers} == {TimeoutError}
    assert len(probes) <= 3, "one after the other waited for a connection of his own"
    assert {(options["timeout"], options["command_timeout"]) for options in probes} == {(10, 60)}
    assert await database.write(_put, "back") == "back"
    await database.close()


@only_postgresql
async def test_a_server_that_falls_silent_is_given_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "COMMAND_TIMEOUT", 1)
    database = Database.open(url, durable=False)
    await database.start()
    runs = 0

    def sleep_all(conn: sa.Connection, names: list[str]) -> list[str]:
        nonlocal runs
        runs += 1
        conn.exec_driver_sql("SELECT pg_sleep(30)")
        return names

    waiting = [database.write_grouped(sleep_all, name) for name in "abcdefghij"]
    answers = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 30)
    assert {type(answer) for answer in answers} == {TimeoutError}
    assert runs <= 3
    assert await database.write(_put, "back") == "back"
    await database.close()


@only_postgresql
async def test_migrations_take_the_time_that_they_need(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "COMMAND_TIMEOUT", 1)
    database = Database.open(url, durable=False)
    await database.start()

    def slow(conn: sa.Connection) -> None:
        conn.exec_driver_sql("SELECT pg_sleep(1.5)")
        _put(conn, "migrated")

    monkeypatch.setattr("homing.store.database.upgrade", slow)
    await database.migrate()
    assert await _names(database) == ["migrated"]
    await database.close()


# -- durability ------------------------------------------------------------------------------------------------------


async def test_sqlite_really_syncs(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path / 'durable.db'}")
    await database.start()
    settings = {
        name: (await database.write(a_statement(f"PRAGMA {name}")))[0][0]
        for name in ("synchronous", "journal_mode", "foreign_keys", "wal_autocheckpoint")
    }
    assert settings == {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1, "wal_autocheckpoint": 0}
    assert (await database.read(a_statement("PRAGMA query_only")))[0][0] == 1
    await database.close()


async def test_a_durable_commit_waits_for_the_disk(tmp_path: Path) -> None:
    """Seen from outside: between the write and its answer the WAL was synced, once or more a transaction."""
    program = Path("/usr/bin/strace")
    if not program.exists():
        pytest.skip("no strace here")
    script = (
        "import asyncio, sys\n"
        "from homing.store.database import Database\n"
        "async def main():\n"
        "    database = Database.open(sys.argv[1])\n"
        "    await database.start()\n"
        "    await database.write(lambda conn: conn.exec_driver_sql('CREATE TABLE t (n INTEGER)') and None)\n"
        "    for _ in range(50):\n"
        "        await database.write(lambda conn: conn.exec_driver_sql('INSERT INTO t VALUES (1)') and None)\n"
        "    await database.close()\n"
        "asyncio.run(main())\n"
    )
    trace = tmp_path / "trace"
    url = f"sqlite:///{tmp_path / 'traced.db'}"
    command = [program, "-f", "-e", "trace=fdatasync,fsync", "-o", trace, sys.executable, "-c", script, url]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60)
    if done.returncode and b"ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    assert trace.read_text().count("sync(") >= 50


async def test_a_second_process_cannot_write(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'one.db'}"
    database = Database.open(url, durable=False)
    await database.start()
    script = (
        "import asyncio, sys\n"
        "from homing.store.database import Database\n"
        "asyncio.run(Database.open(sys.argv[1]).start())\n"
    )
    command = [sys.executable, "-c", script, url]
    other = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60)
    assert b"AlreadyOpen: another process (pid " in other.stderr
    with pytest.raises(AlreadyOpen):
        await Database.open(url).start()
    await database.close()
    again = Database.open(url, durable=False)
    await again.start()
    await again.close()


async def test_postgresql_that_forgets_is_refused(cluster: Cluster) -> None:
    """The tests' own server has fsync off, so it will do."""
    database = Database.open(cluster.url)
    with pytest.raises(NotDurable, match="off on this server: fsync"):
        await database.start()
    await database.close()


async def test_postgresql_that_answers_before_it_writes_is_refused(cluster: Cluster) -> None:
    async with cluster.database() as url:
        name = url.partition("?")[0].rpartition("/")[2]
        await cluster.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        database = Database.open(url)
        with pytest.raises(NotDurable, match="synchronous_commit"):
            await database.start()
        await database.close()


@pytest.mark.parametrize("url", ["mysql://x", "sqlite://", "homing.db", ""])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite:///"):
        Database.open(url)


async def test_the_wal_is_checkpointed_in_idle_gaps(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path / 'wal.db'}", durable=False)
    await database.start()
    await database.write(a_statement("CREATE TABLE t (n INTEGER)"))
    grown = (tmp_path / "wal.db").stat().st_size
    await until(lambda: (tmp_path / "wal.db").stat().st_size > grown)
    await database.close()
    assert (tmp_path / "wal.db-wal").stat().st_size == 0 if (tmp_path / "wal.db-wal").exists() else True


@pytest.mark.parametrize(
    ("evidence", "rule"),
    [
        (
            "mx.example.net answered on 2026-03-01 at rcpt_to: 550 5.1.1 no such user (rule words.unknown)",
            "words.unknown",
        ),
        ("mx.example.net answered on 2026-03-01 at rcpt_to: 550 (rule a.b)\n (rule words.unknown)", "words.unknown"),
        (f"bounce from mx.example.net on 2026-03-01: gone (rule code.5.1.1, mail inb_{'0' * 32})", "code.5.1.1"),
        (f"complaint on 2026-03-01 (rule arf, mail inb_{'0' * 32})", "arf"),
        ("the recipient left on 2026-03-01, by one-click", None),
        ("he asked (rule of the house)", None),
        ("bounced in March (rule words.unknown)", None),
        ("", None),
    ],
)
def test_the_rule_of_an_old_suppression_is_read_from_its_evidence(evidence: str, rule: str | None) -> None:
    migration = importlib.import_module("homing.store.migrations.versions.0021_rules_of_suppressions")
    found = migration._EVIDENCE.fullmatch(evidence)
    assert (found and found[1]) == rule
