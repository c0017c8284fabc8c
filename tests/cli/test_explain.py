"""`homing explain`: mails from everywhere, a line each for programs, a card each for people."""

import contextlib
import io
import json
import mailbox
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from homing.cli.explain import Explained, picture_of
from homing.cli.explain_card import card, summary
from homing.cli.mailboxes import LARGEST, Found, files_below, mails_in
from homing.loop.reading.understand import understand
from tests.loop.reading.rules import RULES
from tests.loop.reading.test_explanation import UNKNOWN_USER, dsn

from .console import Cli, environment

BOUNCE = dsn(UNKNOWN_USER)
LUNCH = b"From: ann@corp.example\nSubject: Lunch?\n\nAt one.\n\nFrom there we go on.\n"
FIELDS = ["file", "secs", "error", "what", "recipients"]


@pytest.fixture
def bounce(tmp_path: Path) -> str:
    file = tmp_path / "bounce.eml"
    file.write_bytes(BOUNCE)
    return str(file)


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_a_line_for_each_mail_in_order(bounce: str, tmp_path: Path) -> None:
    lunch = tmp_path / "lunch.eml"
    lunch.write_bytes(LUNCH)
    ended = Cli()("explain", "--jsonl", str(lunch), bounce)
    first, second = lines(ended.out)
    assert ended.code == 0
    assert [list(one) for one in (first, second)] == [FIELDS, FIELDS]
    assert (first["file"], first["error"], first["recipients"]) == (str(lunch), None, [])
    assert (second["file"], second["what"]) == (bounce, "bounce")
    assert second["recipients"][0]["class"] == "invalid_recipient"
    assert 0 < second["secs"] < 1


def test_paths_come_on_standard_input(bounce: str) -> None:
    ended = Cli()("explain", "--jsonl", "-", stdin=f"{bounce}\n{bounce}\n")
    assert [one["file"] for one in lines(ended.out)] == [bounce, bounce]


def test_a_mail_comes_on_standard_input() -> None:
    (one,) = lines(Cli()("explain", "-", stdin=BOUNCE.decode()).out)
    assert (one["file"], one["what"]) == ("-", "bounce")


def test_a_file_that_cannot_be_read_has_its_line_all_the_same(bounce: str) -> None:
    ended = Cli()("explain", "--jsonl", "/no/such/file", "nul\0byte", bounce)
    missing, impossible, there = lines(ended.out)
    assert ended.code == 0
    assert missing["error"] == "No such file or directory"
    assert impossible["error"]
    assert [missing["what"], missing["recipients"]] == ["unknown", []]
    assert there["what"] == "bounce"


def test_nothing_to_read_on_a_terminal_is_an_error() -> None:
    ours, terminal = os.openpty()
    try:
        command = [sys.executable, "-m", "homing", "explain"]
        done = subprocess.run(command, stdin=terminal, capture_output=True, timeout=60)
    finally:
        os.close(ours)
        os.close(terminal)
    assert done.returncode == 4


def test_at_a_terminal_there_are_cards_and_a_summary(bounce: str) -> None:
    ours, terminal = os.openpty()
    command = [sys.executable, "-m", "homing", "explain", bounce, bounce, "/no/such/file"]
    variables = environment({"TERM": "xterm", "COLUMNS": "100"})
    process = subprocess.Popen(command, stdout=terminal, stderr=subprocess.DEVNULL, env=variables)
    os.close(terminal)
    text = all_of(ours)
    assert process.wait(60) == 1
    assert text.count("There is no mailbox") == 2
    assert "No such file or directory" in text
    assert "invalid_recipient" in text.rpartition("Count")[2]


def at_a_terminal(*arguments: str, columns: int = 80) -> tuple[int, str]:
    """The exit code, and what stands on the screen."""
    ours, terminal = os.openpty()
    command = [sys.executable, "-m", "homing", "explain", *arguments]
    variables = environment({"TERM": "dumb", "COLUMNS": str(columns)})
    process = subprocess.Popen(command, stdout=terminal, stderr=terminal, env=variables)
    os.close(terminal)
    text = all_of(ours)
    return process.wait(60), text


OTHER_FILES = [
    (b"", "It has no header"),
    (b"\xd0\xcf\x11\xe0" + bytes(600), "save the mail as .eml"),
    (b"PK\x03\x04rest", "unpack it first"),
    ("From: ann@corp.example\r\n\r\nhello".encode("utf-16"), "UTF-16"),
]


@pytest.mark.parametrize(("content", "says"), OTHER_FILES, ids=["empty", "msg", "zip", "utf-16"])
def test_a_file_that_is_no_mail_says_what_to_do(content: bytes, says: str) -> None:
    found = understand(content, rules=RULES)
    picture = picture_of(Explained(Found("odd", content), found, 0.0))
    assert says in shown(picture)


def test_what_is_missing_or_empty_says_so_and_ends_with_a_code(tmp_path: Path) -> None:
    code, text = at_a_terminal(str(tmp_path))
    assert (code, "There is no mail." in text) == (5, True)
    code, text = at_a_terminal(str(tmp_path / "nowhere"))
    assert (code, "Is the path right?" in " ".join(text.split())) == (1, True)


def test_a_mail_that_reports_on_nobody_tells_what_follows_all_the_same() -> None:
    text = shown(card(understand(LUNCH, rules=RULES), "lunch.eml"))
    assert "unexplained_return" in text


def test_an_mbox_of_windows_with_separators_in_its_bodies(tmp_path: Path) -> None:
    separator = b"From MAILER-DAEMON Mon Mar  2 09:00:00 2026\r\n"
    quoted = b"From: ann@corp.example\r\nSubject: Lunch?\r\n\r\nFrom there on\r\n>From here\r\nFrom us 2026\r\n\r\n"
    file = tmp_path / "box"
    file.write_bytes(separator + quoted + separator + BOUNCE.replace(b"\n", b"\r\n"))
    first, second = mails_in(str(file))
    assert understand(second.raw, rules=RULES).what == "bounce"
    assert first.raw.endswith(b"2026\r\n\r\n")


def test_folders_and_maildirs(tmp_path: Path) -> None:
    box = mailbox.Maildir(tmp_path / "box")
    box.add(BOUNCE)
    box.add_folder("Sent").add(LUNCH)
    (tmp_path / "box" / "tmp" / "half").write_bytes(b"half")
    (tmp_path / "box" / "dovecot-uidlist").write_bytes(b"3 V1")
    (tmp_path / ".hidden").write_bytes(b"")
    (tmp_path / "a.eml").write_bytes(LUNCH)
    found = list(files_below([str(tmp_path)]))
    assert found[0] == str(tmp_path / "a.eml")
    assert sorted(Path(file).read_bytes() for file in found) == sorted([LUNCH, LUNCH, BOUNCE])


def test_an_mbox_is_read_mail_by_mail(tmp_path: Path) -> None:
    box = mailbox.mbox(tmp_path / "box")
    box.add(BOUNCE)
    box.add(LUNCH)
    box.flush()
    file = str(tmp_path / "box")
    assert [one.file for one in mails_in(file)] == [f"{file}#1", f"{file}#2"]
    bounced, lunch = lines(Cli()("explain", "--jsonl", file).out)
    assert (bounced["what"], lunch["recipients"]) == ("bounce", [])


def test_one_mail_that_begins_as_in_an_mbox_keeps_its_name(tmp_path: Path) -> None:
    file = tmp_path / "one"
    separator = b"From MAILER-DAEMON Mon Mar  2 09:00:00 2026\n"
    file.write_bytes(separator + LUNCH + separator + b"stands in the text, for no empty line is before it.\n")
    assert [one.file for one in mails_in(str(file))] == [str(file)]


SEPARATOR = b"From MAILER-DAEMON Mon Mar  2 09:00:00 2026\n"
COPY = SEPARATOR + LUNCH


@pytest.mark.parametrize(
    "mail",
    [
        SEPARATOR + b"Subject: failure notice\n\nSorry.\n\n--- Below this line is a copy of the message.\n\n" + COPY,
        SEPARATOR + b"Subject: x\n\n----- Unsent message follows -----\n\n" + COPY,
        SEPARATOR + b"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nSaid:\n\n" + COPY + b"\n--b--\n",
        SEPARATOR + b"Subject: x\n\nAs it stands there:\n\n" + SEPARATOR + b"and no more\n",
        b"From my point of view, this is no mbox.\n\n" + COPY,
    ],
)
def test_a_file_is_one_mail_unless_it_is_an_mbox_beyond_doubt(mail: bytes, tmp_path: Path) -> None:
    file = tmp_path / "one"
    file.write_bytes(mail)
    assert [(one.file, one.raw) for one in mails_in(str(file))] == [(str(file), mail)]


def test_mails_of_many_parts_in_an_mbox(tmp_path: Path) -> None:
    parts = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nSaid.\n--b--\n\n"
    file = tmp_path / "box"
    file.write_bytes((SEPARATOR + parts) * 3)
    assert [one.raw for one in mails_in(str(file))] == [SEPARATOR + parts] * 3


def test_no_more_than_a_mebibyte_of_a_mail_is_read(tmp_path: Path) -> None:
    file = tmp_path / "large"
    for opening in (b"", b"From a Mon Mar  2 09:00:00 2026\n"):
        file.write_bytes(opening + LUNCH + b"x" * 3 * LARGEST)
        (found,) = mails_in(str(file))
        assert len(found.raw) == LARGEST


def all_of(terminal: int) -> str:
    """What is written to the other side of a terminal, until nobody holds it any more (EIO on Linux)."""
    pieces = []
    with contextlib.suppress(OSError), open(terminal, "rb", buffering=0) as file:
        while piece := file.read(1 << 16):
            pieces.append(piece)
    return b"".join(pieces).decode()


def shown(picture: object) -> str:
    console = Console(file=io.StringIO(), width=110, force_terminal=True)
    console.print(picture)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_card_says_what_whom_why_and_what_follows() -> None:
    text = shown(card(understand(BOUNCE, rules=RULES), "bounce.eml"))
    for words in ("bounce.eml", "jon@corp.example", "invalid_recipient", "There is no mailbox", "Rule", "Matched"):
        assert words in text
    assert "bounced (late)" in text


def test_a_card_shows_hostile_words_and_does_not_obey_them() -> None:
    hostile = UNKNOWN_USER.replace("no such user here", "no such user [red]x[/red] \x1b]0;owned\x07\x1b[2J \u202egnp")
    text = shown(card(understand(dsn(hostile), rules=RULES), "a\x1b[2Jb\n.eml"))
    assert "[red]x[/red]" in text
    assert "\x1b]0;" not in text
    assert "\x1b[2J" not in text
    assert "\u202e" not in text


def test_many_recipients_do_not_fill_the_screen() -> None:
    blocks = [UNKNOWN_USER.replace("jon", f"jon{number}") for number in range(40)]
    text = shown(card(understand(dsn(*blocks), rules=RULES), "many.eml"))
    assert "35 more recipients" in text


def test_a_summary_counts() -> None:
    assert "7" in shown(summary(Counter({("bounce", "policy", "soft"): 7})))
