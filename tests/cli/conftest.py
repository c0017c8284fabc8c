"""A command line without a server, on a fresh folder."""

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from .console import Cli, settings_in


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that nobody listens on, and that nobody else gets meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with keys and an empty database, as the first command leaves it."""
    folder = tmp_path_factory.mktemp("prepared")
    assert Cli(settings_in(folder, 1))("org", "list").document() == {"organizations": []}
    return folder / "homing"


@pytest.fixture
def cli(tmp_path: Path, dead_port: int, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    shutil.copytree(prepared, tmp_path / "homing")
    monkeypatch.chdir(tmp_path)  # no homing.toml of anybody's
    yield Cli(settings_in(tmp_path, dead_port))
    structlog.reset_defaults()
