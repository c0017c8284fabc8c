"""What a person sees on a terminal, and what strangers' text cannot do there."""

import errno
import io
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from homing.cli import alarms, inbound, loop_watch, timeline
from homing.cli.messages import picture
from homing.cli.output import cell, lines, sheet, table

from .console import Cli, environment, settings_in

HOSTILE = "[bold red]Ann[/] \x1b]0;owned\x07\x1b[2J\u202egnp.exe\r\nX: y"


def printed(thing: RenderableType) -> str:
    out = io.StringIO()
    Console(file=out, width=120, force_terminal=False).print(thing)
    return out.getvalue()


def test_nothing_is_markup_and_nothing_drives_the_terminal() -> None:
    for thing in (cell(HOSTILE), lines(HOSTILE), table(("A", "B"), [(HOSTILE, 1)]), sheet({"a": HOSTILE})):
        text = printed(thing)
        assert "[bold red]Ann[/]" in text
        assert not set(text) & {"\x1b", "\x07", "\r", "\u202e"}
    assert "\n" not in cell(HOSTILE).plain


@given(st.text())
def test_every_text_becomes_one_printable_line(text: str) -> None:
    assert cell(text).plain.replace("\u200c", "").replace("\u200d", "").isprintable()


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (True, "yes"), (False, "no"), ([], "–"), (["a", "b"], "a, b"), (7, "7"), ("delivered", "delivered")],
)
def test_values(value: object, shown: str) -> None:
    assert cell(value).plain == shown


def test_an_empty_table_says_so() -> None:
    assert printed(table(("A",), [])) == "None.\n"


def attempt(host: str, ip: str, stage: str, reply_code: int | None, text: str) -> dict[str, object]:
    said = {"reply_code": reply_code, "enhanced_status_code": "", "text": text, "receiver": "corp.com", "egress_ip": ""}
    said |= {"dialogue": f"> RCPT TO:<ann@example.org>\n< {reply_code} {HOSTILE}" if reply_code else None}
    return {"number": 1, "host": host, "ip": ip, "stage": stage, "in_doubt": False, **said}


def delivery() -> dict[str, object]:
    verdict = {"failure_class": "invalid_recipient", "rule": "esc-5.1.1", "matched": "no mailbox"}
    case = {
        "steps": [{"kind": "live", "state": "done"}, {"kind": "letter", "state": "heard"}],
        "actions": [{"step": 1, "result": "e-mail to joe@example.com"}],
    }
    return {
        "id": "dlv_1",
        "recipient": "ann@example.org",
        "state": "bounced",
        "attempts": [
            attempt("mx1", "", "route", None, "10.0.0.1 is private"),
            attempt("mx2", "8.8.8.8", "dot", 550, "no"),
        ],
        "verdict": verdict,
        "case": case,
    }


def test_a_mail_that_came_back_drives_no_terminal() -> None:
    names = ("id", "envelope_sender", "recipient", "purpose", "what", "message", "delivery", "helo", "ip", "tls")
    mail = dict.fromkeys(names, HOSTILE) | {"received_at": "2026-03-02T09:00:01Z", "flags": [], "verdict": None}
    text = printed(inbound.picture(mail | {"authentication": None, "head": f"{HOSTILE}\n550 no such user"}))
    assert "550 no such user" in text
    assert "[bold red]Ann[/]" in text
    assert not set(text) & {"\x1b", "\x07", "\r", "\u202e"}
    assert "Erased." in printed(inbound.picture(mail | {"authentication": None, "head": None}))


def test_a_message_is_shown_with_its_timeline_and_its_case() -> None:
    happened = {"at": "2026-03-02T09:00:01Z", "delivery": "dlv_1"}
    message = {
        "id": "msg_1",
        "human_sender": {"name": "Joe", "address": "joe@example.com"},
        "subject": HOSTILE,
        "stream": "default",
        "failure_policy": "default",
        "created_at": "2026-03-02T09:00:00Z",
        "deliveries": [delivery()],
        "timeline": [
            {**happened, "type": "queued", "data": {}},
            {**happened, "type": "bounced", "data": {"reply_code": 550, "text": f"no such user {HOSTILE}"}},
            {**happened, "type": "deferred", "data": {"why": "x", "rule": "words.busy", "matched": "too busy"}},
        ],
    }
    text = printed(picture(message))
    for words in ("msg_1", "invalid_recipient", "550 no such user", "e-mail to joe@example.com", "2026-03-02 09:00:01"):
        assert words in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "ann@example.org 1 mx1 corp.com route 10.0.0.1 is private" in lines
    assert "ann@example.org 1 mx2 [8.8.8.8] corp.com dot 550 no" in lines
    assert "RCPT TO" not in text
    told = printed(picture(message, dialogues=True))
    assert "attempt 1 for ann@example.org at mx2" in told
    assert "> RCPT TO:<ann@example.org>" in told
    assert "\x1b" not in told
    assert "\x1b" not in text
    whole = " ".join(text.split())
    assert "invalid_recipient (esc-5.1.1: “no mailbox”)" in whole, "the rule, and what it matched"
    assert "x [words.busy: “too busy”]" in whole


def test_alarms_are_told_with_what_to_do_and_drive_no_terminal() -> None:
    one = {
        "cause": "rate_limited gmail.unsolicited-rate google.com",
        "advice": "Send less.",
        "text": HOSTILE,
        "times": 4123,
        "delivery": "dlv_1",
        "first_at": "2026-03-02T09:00:00Z",
        "last_at": "2026-03-02T10:00:00Z",
        "told_at": None,
    }
    text = printed(alarms.picture({"alarms": [one]}))
    for words in (one["cause"], "4123 times since 2026-03-02 09:00:00", "Send less.", "not yet"):
        assert words in text
    assert "\x1b" not in text
    assert "None." in printed(alarms.picture({"alarms": []}))


def test_rounds_are_told_with_what_to_do_and_drive_no_terminal() -> None:
    one = {"round": 7, "ended_at": "2026-03-02T09:00:00Z", "fault": "refused", "said": HOSTILE, "cure": "Read it."}
    well = {**one, "round": 6, "fault": None, "said": "mx accepted the notice", "cure": ""}
    text = printed(loop_watch.picture({"state": "broken", "concluded_at": None, "rounds": [one, well]}))
    for words in ("broken", "never", "round 7", "refused", "Read it.", "concluded", "mx accepted the notice"):
        assert words in text
    assert "\x1b" not in text


def test_an_event_is_one_line() -> None:
    event = {
        "at": "2026-03-02T09:00:01Z",
        "type": "rerouted",
        "message": "msg_1",
        "delivery": None,
        "data": {"why": "x"},
    }
    assert printed(timeline.line(event, {})).split() == ["2026-03-02", "09:00:01", "rerouted", "msg_1", "x"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_gets_a_table_and_a_sentence(cli: Cli, tmp_path: Path, dead_port: int) -> None:
    cli("org", "create", "acme", "--display-name", "Acme Ltd").document()
    settings = settings_in(tmp_path, dead_port)
    assert "Acme Ltd" in at_terminal("org", "list", **settings)
    made = at_terminal("key", "create", "--org", "acme", **settings)
    assert "homing_live_" in made
    assert "shown this once" in made
    refused = at_terminal("org", "create", "Acme!", **settings)
    assert "error:" in refused
    assert "/name" in refused
    assert "text-form" in refused
    assert "{" not in refused


def at_terminal(*arguments: str, **variables: str) -> str:
    """What a command prints to a person."""
    import pty

    child, terminal = pty.fork()
    if child == 0:
        try:
            os.execve(sys.executable, [sys.executable, "-m", "homing", *arguments], environment(variables))
        finally:
            os._exit(127)
    heard = b""
    try:
        while chunk := os.read(terminal, 4096):
            heard += chunk
    except OSError as error:
        if error.errno != errno.EIO:  # Linux's way to say that the other side is closed
            raise
    finally:
        os.close(terminal)
        os.waitpid(child, 0)
    return heard.decode()
