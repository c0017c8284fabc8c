"""A bug is one line for a person and everything for a program, under the same id wherever it strikes again."""

import io
import json
import sys

import pytest
import structlog

from homing.cli.log import log_to_stderr
from homing.mail.reply import Reply


class Stderr(io.StringIO):
    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def logged(monkeypatch: pytest.MonkeyPatch, *bugs: str, terminal: bool, tracebacks: bool = False) -> list[str]:
    stderr = Stderr(terminal=terminal)
    monkeypatch.setattr(sys, "stderr", stderr)
    log_to_stderr(tracebacks=tracebacks)
    for bug in bugs:
        try:
            Reply.of(250, bug).no_such_thing  # noqa: B018
        except AttributeError as error:
            error.args = (bug,)
            structlog.get_logger().exception("delivery attempt broke", delivery="dlv_1")
    return stderr.getvalue().splitlines()


def test_a_person_reads_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = logged(monkeypatch, "one\nFORGED: \x1b[31mall is well", "two", terminal=True)
    assert len(lines) == 2
    for word in ("delivery attempt broke", "dlv_1", "AttributeError: one FORGED", "test_log.py:", "exception_id"):
        assert word in lines[0]
    assert "Traceback" not in "".join(lines)


def test_the_traceback_comes_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = logged(monkeypatch, "one", terminal=True, tracebacks=True)
    assert any("Traceback" in line for line in lines)
    assert len(lines) < 15, "no more than Python itself would show"


def test_a_program_reads_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = map(json.loads, logged(monkeypatch, "one", "two", terminal=False))
    assert (one["error"], two["error"]) == ("AttributeError: one", "AttributeError: two")
    assert one["exception_id"] == two["exception_id"], "the same bug"
    assert one["exception"].startswith("Traceback")
    assert one["at"].partition(":")[0].endswith("test_log.py")


def test_another_place_is_another_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    [one] = map(json.loads, logged(monkeypatch, "one", terminal=False))
    stderr = Stderr(terminal=False)
    monkeypatch.setattr(sys, "stderr", stderr)
    log_to_stderr()
    try:
        Reply.of(250, "ok").no_such_thing  # noqa: B018
    except AttributeError:
        structlog.get_logger().exception("delivery attempt broke")
    other = json.loads(stderr.getvalue())
    assert other["exception_id"] != one["exception_id"]


def test_what_is_no_bug_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = Stderr(terminal=False)
    monkeypatch.setattr(sys, "stderr", stderr)
    log_to_stderr()
    structlog.get_logger().info("homing is ready", smtp=25)
    told = json.loads(stderr.getvalue())
    assert {"exception_id", "error"}.isdisjoint(told)
    assert (told["event"], told["smtp"], told["level"]) == ("homing is ready", 25, "info")
