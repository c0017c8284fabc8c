"""`make demo`: it ends well only if the whole story came true, and harms nothing on the way."""

import importlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from homing.cli.demo import MARK, DemoOptions
from homing.cli.demo_world import DemoWorld, expect
from homing.cli.exits import ExitCode

from .console import environment, in_own_process

demo = importlib.import_module("homing.cli.demo")  # the command has the same name


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_the_whole_story_comes_true(tmp_path: Path) -> None:
    ended = in_own_process("demo", "--once", "--port", "0", "--folder", str(tmp_path / "demo"))
    told = ended.document()
    assert len(told["came_true"]) == told["scenes"] == ended.err.count("✓")
    assert {line["outcome"] for line in told["messages"]} == {"delivered", "bounced", "expired"}


async def fails(_: DemoWorld) -> str:
    """The sun rises in the west
    It does not.
    """
    expect(False, "the sun rises in the west")
    return "never"


async def never_ends(_: DemoWorld) -> str:
    """Nothing comes
    It never does.
    """
    raise TimeoutError


@pytest.mark.parametrize(
    ("scene", "why"), [(fails, "it is not true that the sun rises in the west"), (never_ends, "did not come in time")]
)
def test_a_scene_that_does_not_come_true_says_why(
    scene: object, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "SCENES", (scene,))
    assert demo.run(DemoOptions(folder=tmp_path / "demo", port=0, once=True)) == 1
    said = capsys.readouterr()
    assert why in said.err
    assert json.loads(said.out)["came_true"] == []


def test_a_folder_of_somebody_elses_is_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    ended = in_own_process("demo", "--once", "--folder", str(tmp_path))
    assert (ended.code, ended.error["code"]) == (ExitCode.INPUT, "folder-in-use")
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ended = in_own_process("demo", "--once", "--port", port, "--folder", str(tmp_path / "demo"))
    assert (ended.code, ended.error["code"]) == (ExitCode.OTHER, "cannot-listen")
    assert "--port" in ended.error["detail"]


@pytest.mark.parametrize(("made", "seconds"), [("administrator.key", 0.0), ("homing.db", 1.0)])
def test_ctrl_c_ends_it_politely(made: str, seconds: float, tmp_path: Path) -> None:
    """While it is still coming up, and in the middle of the story: so long after it has made that file."""
    folder = tmp_path / "demo"
    arguments = ("demo", "--once", "--port", "0", "--folder", str(folder))
    running = subprocess.Popen(
        [sys.executable, "-m", "homing", *arguments],
        env=environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (folder / made).exists():
        assert running.poll() is None
        time.sleep(0.01)
    time.sleep(seconds)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 130
    assert "Traceback" not in err


def test_its_own_folder_is_emptied(tmp_path: Path) -> None:
    for name in (MARK, "old"):
        (tmp_path / name).touch()
    demo._emptied(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [MARK]
