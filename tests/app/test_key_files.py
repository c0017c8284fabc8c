"""The secrets on disk."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from homing.app.key_files import Keys, exposed
from homing.config import Settings

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_no_secret_shows_where_an_object_is_printed(tmp_path: Path) -> None:
    settings = Settings(operator_domain="operator.example", data_dir=tmp_path)
    keys = Keys.in_folder(tmp_path, settings, NOW)
    printed = repr(keys)
    for secret in (keys.secret, keys.tokens[0].secret, keys.signing[0].private_key):
        assert repr(secret) not in printed
    assert keys.administrator not in printed
    assert "h1" in printed


@pytest.mark.parametrize(
    ("mode", "said"),
    [(0o700, ""), (0o500, ""), (0o750, "see what is in it"), (0o711, "see"), (0o777, "replace"), (0o720, "replace")],
)
def test_a_folder_that_others_can_enter_is_told_of_and_left_as_it_is(tmp_path: Path, mode: int, said: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(mode)
    found = exposed(folder)
    assert said in found
    assert bool(found) == bool(said)
    assert folder.stat().st_mode & 0o777 == mode


def test_a_folder_that_is_yet_to_be_made_is_well(tmp_path: Path) -> None:
    assert exposed(tmp_path / "data") == ""
