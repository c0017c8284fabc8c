"""The secrets on disk."""

from datetime import UTC, datetime
from pathlib import Path

from homing.app.key_files import Keys
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
