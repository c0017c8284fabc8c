"""`homing backup`: whole or not there, never over something else; and what is held after a restore."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from homing.flow.store_watch import NOTE, read_note
from homing.store import backup as copies
from homing.store.sqlite import driver

from .console import Cli


def rows(file: Path, query: str) -> list[Any]:
    connection = driver().connect(f"{file.as_uri()}?immutable=1", uri=True)
    try:
        return list(connection.execute(query).fetchall())
    finally:
        connection.close()


def test_a_backup_is_whole_and_starts_ahead_of_its_database(cli: Cli, tmp_path: Path) -> None:
    data, target = tmp_path / "homing", tmp_path / "backup"
    cli("org", "create", "acme", "--display-name", "Acme Ltd").document()
    (data / "inbound" / f"{'0' * 32}.eml").write_bytes(b"the rest of a large mail")
    (data / "ballast").write_bytes(b"room")
    told = cli("backup", str(target), HOMING_SMS_SECRET="hush").document()
    expected = {NOTE, "homing.db", "token-keys.json", "secret.key", "administrator.key"}
    keys = {file.name for file in data.glob("dkim-*.pem")}
    assert {file.name for file in target.iterdir()} == {*expected, *keys, "inbound"}
    assert set(told["files"]) == expected | keys
    assert told["large_mails"] == 1
    assert told["not_in_it"] == ["the settings (file and environment)", "sms_secret"]
    assert rows(target / "homing.db", "SELECT name FROM organization") == [("acme",)]
    [(generation, mark)] = rows(target / "homing.db", "SELECT generation, mark FROM store_mark")
    note = read_note(target)
    assert note is not None
    assert (note.generation, note.mark) == (generation, mark + 1)
    assert {file.stat().st_mode & 0o777 for file in target.rglob("*") if file.is_file()} == {0o600}
    assert {folder.stat().st_mode & 0o777 for folder in (target, target / "inbound")} == {0o700}
    for name in keys | {"token-keys.json", f"inbound/{'0' * 32}.eml"}:
        assert (target / name).read_bytes() == (data / name).read_bytes()


def test_it_overwrites_nothing(cli: Cli, tmp_path: Path) -> None:
    for taken in ("backup", "backup.part"):
        (tmp_path / taken).mkdir()
        (tmp_path / taken / "mine").write_text("x")
        refused = cli("backup", str(tmp_path / "backup"))
        assert (refused.code, refused.error["errors"][0]["code"]) == (4, "folder-exists")
        assert (tmp_path / taken / "mine").read_text() == "x"
        shutil.rmtree(tmp_path / taken)


def test_what_breaks_leaves_no_half_backup(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = tmp_path / "homing" / "homing.db"
    content = bytearray(database.read_bytes())
    content[4096 * 3 : 4096 * 5] = b"\xff" * 8192
    for damage in (lambda: database.write_bytes(content), database.unlink):
        damage()
        refused = cli("backup", str(tmp_path / "backup"))
        assert (refused.code, refused.error["code"]) == (1, "backup-failed")
        assert not list(tmp_path.glob("backup*"))
    monkeypatch.setenv("PATH", str(tmp_path))
    refused = cli("backup", str(tmp_path / "backup"), HOMING_DATABASE_URL="postgresql://u:hush@127.0.0.1:1/x")
    assert "pg_dump" in refused.error["detail"]
    assert not list(tmp_path.glob("backup*"))


def test_a_password_is_no_argument_that_others_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$PGPASSWORD" "$@" > {tmp_path}/said\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(copies.BackupFailed, match="code 1"):
        copies.dump_postgresql("postgresql://u:hu%2Fsh@db.example/x?ssl=require", tmp_path / "dump")
    password, *arguments = (tmp_path / "said").read_text().split("|")
    assert password == "hu/sh"
    assert "--dbname=postgresql://u@db.example/x?sslmode=require" in arguments


def test_after_a_restore_all_is_held_and_says_so(cli: Cli, tmp_path: Path) -> None:
    data, target = tmp_path / "homing", tmp_path / "backup"
    assert cli("store", "show").document()["state"] == "ok"
    before = cli("store", "show").document()["generation"]
    cli("backup", str(target)).document()
    assert cli("store", "release").error["code"] == "store-not-held"
    cli("org", "create", "acme", "--display-name", "Acme Ltd").document()
    shutil.rmtree(data)
    shutil.copytree(target, data)
    shown = cli("store", "show").document()
    assert (shown["state"], shown["deliveries"], shown["actions"]) == ("held", 0, 0)
    assert shown["held_at"] is not None
    assert cli("org", "list").document() == {"organizations": []}
    assert [one["cause"] for one in cli("alarms", "list").document()["alarms"]] == ["store-held"]
    released = cli("store", "release").document()
    assert (released["state"], released["held_at"], released["generation"] > before) == ("ok", None, True)
    assert cli("alarms", "list").document() == {"alarms": []}
    assert cli("store", "hold").document()["state"] == "held"


def test_it_is_told_how_far_the_copy_has_come(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "_PAGES", 10)
    steps: list[tuple[int, int]] = []
    copies.copy_sqlite(tmp_path / "homing" / "homing.db", tmp_path / "copy", lambda *step: steps.append(step))
    assert len(steps) > 5
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]


def test_what_waits_is_canceled_one_by_one_or_by_the_message(cli: Cli) -> None:
    cli("org", "create", "acme", "--display-name", "Acme Ltd").document()
    cli.settings["HOMING_ORG"] = "acme"
    cli("sender", "create", "--name=Joe", "--address=joe@example.com", "--proved").document()
    to = [part for name in ("ann", "bob", "eve") for part in ("--to", f"{name}@friend.example")]
    sent = cli("send", "--from-person", "joe@example.com", *to, "--text", "Hello").document()
    first, *others = [one["id"] for one in sent["deliveries"]]
    assert cli("messages", "cancel", first).document() == {"canceled": [first]}
    assert sorted(cli("messages", "cancel", sent["id"]).document()["canceled"]) == sorted(others)
    assert cli("messages", "cancel", sent["id"]).document() == {"canceled": []}
    assert {one["state"] for one in cli("messages", "show", sent["id"]).document()["deliveries"]} == {"canceled"}
