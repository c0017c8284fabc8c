"""Every exit code, and errors in the one form."""

import http.server
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from homing.cli.exits import ExitCode

from .console import Cli, Ended, in_own_process, settings_in


def ends_with(ended: Ended, code: ExitCode, word: str) -> None:
    assert ended.code == code, (ended.out, ended.err)
    assert ended.out == ""
    assert ended.error["code"] == word
    assert ended.error["exit_code"] == code
    assert ended.error["title"]


def test_a_folder_that_cannot_be_made_is_another_error(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = cli("org", "list", HOMING_DATA_DIR=str(tmp_path / "file"))
    ends_with(ended, ExitCode.OTHER, "data-unreadable")


def test_a_wrong_key(cli: Cli) -> None:
    ends_with(cli("org", "list", "--key", "wrong"), ExitCode.AUTH, "key-invalid")


def test_no_key_for_a_gateway_elsewhere(cli: Cli, dead_port: int) -> None:
    ended = cli("org", "list", "--url", f"http://127.0.0.1:{dead_port}")
    ends_with(ended, ExitCode.AUTH, "key-missing")


def test_a_key_that_may_not(cli: Cli) -> None:
    cli("org", "create", "acme").document()
    key = cli("key", "create", "--org", "acme").document()["key"]
    ends_with(cli("org", "pause", "acme", "--key", key), ExitCode.AUTH, "scope-missing")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("nonsense",), "usage"),
        (("org", "create"), "usage"),
        (("org", "list", "--nonsense"), "usage"),
        (("messages", "list", "--limit", "many"), "usage"),
        (("org", "create", "Acme!"), "invalid-request"),
        (("org", "set", "acme"), "invalid-input"),
        (("org", "list", "--url", "mail.example.com", "--key", "x"), "invalid-input"),
        (("org", "list", "--key", "schlüssel"), "invalid-input"),
        (("key", "create"), "invalid-input"),
        (("key", "create", "--admin", "--org", "acme"), "invalid-input"),
        (("policy", "create", "p", "--org", "acme"), "invalid-input"),
        (("policy", "create", "p", "--org", "acme", "--step", "sms:soon"), "invalid-input"),
        (("policy", "create", "p", "--step", "log"), "organization-required"),
        (("send", "--from-person", "a@example.com", "--metadata", "x", "--org", "acme"), "invalid-input"),
    ],
)
def test_input_that_makes_no_sense(cli: Cli, arguments: tuple[str, ...], word: str) -> None:
    ends_with(cli(*arguments), ExitCode.INPUT, word)


def test_all_faults_of_a_request_are_told_with_their_place(cli: Cli) -> None:
    cli("org", "create", "acme").document()
    ended = cli("send", "--org", "acme", "--from-person", "nobody", "--to", "also nobody", "--text", "x")
    ends_with(ended, ExitCode.INPUT, "invalid-request")
    assert [one["pointer"] for one in ended.error["errors"]] == ["/human_sender/address", "/to/0/address"]
    assert all(one["code"] and one["message"] for one in ended.error["errors"])
    assert ended.error["request_id"]


def test_settings_that_make_no_sense(cli: Cli) -> None:
    ended = cli("org", "list", HOMING_OPERATOR_DOMAIN="a.example", HOMING_RETURN_DOMAIN="b.example")
    ends_with(ended, ExitCode.INPUT, "settings-invalid")
    assert "return_domain" in ended.error["errors"][0]["message"]
    no_file = cli("org", "list", "--config", "missing.toml")
    ends_with(no_file, ExitCode.INPUT, "settings-invalid")
    assert no_file.error["errors"][0]["pointer"] == "missing.toml"


@pytest.mark.parametrize("arguments", [("org", "show", "nobody"), ("messages", "list", "--org", "nobody")])
def test_what_is_not_there(cli: Cli, arguments: tuple[str, ...]) -> None:
    ends_with(cli(*arguments), ExitCode.NOT_FOUND, "not-found")


def test_an_organization_that_is_not_there_is_named(cli: Cli) -> None:
    assert "“nobody”" in cli("messages", "list", "--org", "nobody").error["detail"]
    assert "--org" in cli("messages", "list").error["detail"]


def serving(tmp_path: Path, **more: str) -> Ended:
    """`homing serve` that cannot begin."""
    ports = {"HOMING_SMTP_PORT": "0", "HOMING_SMTP_HOST": "127.0.0.1", "HOMING_HTTP_PORT": "0"}
    return in_own_process("serve", **settings_in(tmp_path, 0) | ports | more)


@pytest.mark.parametrize("door", ["smtp", "http"])
def test_a_port_that_another_program_has(tmp_path: Path, door: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ended = serving(tmp_path, **{f"HOMING_{door.upper()}_PORT": port})
    ends_with(ended, ExitCode.OTHER, "cannot-listen")
    assert f"127.0.0.1:{port}: Address already in use" in ended.error["title"]
    assert f"{door}_port" in ended.error["detail"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = serving(tmp_path, HOMING_DATA_DIR=str(tmp_path / "file" / "data"))
    ends_with(ended, ExitCode.OTHER, "data-unreadable")
    assert str(tmp_path / "file") in ended.error["title"]


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    pem = tmp_path / "mx.pem"
    for content in (None, "not PEM"):
        if content:
            pem.write_text(content)
        ended = serving(tmp_path, HOMING_TLS_CERTIFICATE=str(pem), HOMING_TLS_KEY=str(pem))
        ends_with(ended, ExitCode.INPUT, "settings-invalid")
        assert ended.error["errors"][0]["pointer"] == "tls_certificate"


def test_a_database_that_does_not_answer(cli: Cli, tmp_path: Path, dead_port: int) -> None:
    away = {"HOMING_DATABASE_URL": f"postgresql://homing@127.0.0.1:{dead_port}/homing"}
    for ended in (serving(tmp_path, **away), cli("org", "list", **away)):
        ends_with(ended, ExitCode.OTHER, "database-unusable")
        assert "database_url" in ended.error["detail"]


def test_nobody_listens(cli: Cli, dead_port: int) -> None:
    ended = cli("org", "list", "--url", f"http://127.0.0.1:{dead_port}", "--key", "x")
    ends_with(ended, ExitCode.NETWORK, "gateway-unreachable")


@pytest.mark.parametrize("stranger", [b"<h1>Mail inbox</h1>", b'["ok"]'], indirect=True)
def test_another_program_listens(cli: Cli, stranger: str) -> None:
    ends_with(cli("org", "list", "--url", stranger, "--key", "x"), ExitCode.NETWORK, "not-a-gateway")


def test_another_program_on_our_port_is_not_taken_for_a_gateway(cli: Cli, stranger: str) -> None:
    """And so is not shown the administrator's key."""
    ended = cli("org", "list", HOMING_HTTP_PORT=stranger.rpartition(":")[2])
    assert ended.document() == {"organizations": []}
    assert Stranger.shown == []


def test_waiting_without_a_gateway(cli: Cli) -> None:
    cli("org", "create", "acme").document()
    message = ("--from-person", "a@example.com", "--to", "b@example.com", "--text", "x", "--wait", "--org", "acme")
    ends_with(cli("send", *message), ExitCode.NETWORK, "gateway-not-running")
    ends_with(cli("events", "follow", "--org", "acme"), ExitCode.NETWORK, "gateway-not-running")


def test_too_much_for_today(cli: Cli) -> None:
    cli("org", "create", "acme", "--daily-cap", "0").document()
    cli("sender", "create", "--org", "acme", "--name", "A", "--address", "a@example.com", "--proved").document()
    message = ("--from-person", "a@example.com", "--to", "b@example.com", "--text", "x", "--org", "acme")
    ended = cli("send", *message)
    ends_with(ended, ExitCode.RATE, "daily-cap")
    assert ended.error["retry_after"] > 0


def test_a_database_that_another_process_has_open(cli: Cli, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    cli("org", "list").document()
    with (tmp_path / "homing" / "homing.db.lock").open("r+") as lock:
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = cli("org", "list")
    ends_with(ended, ExitCode.NETWORK, "database-in-use")
    assert str(os.getpid()) in ended.error["title"]
    assert "--url" in ended.error["detail"]


def test_help_is_no_error() -> None:
    ended = in_own_process("--help")
    assert (ended.code, ended.err) == (0, "")
    assert "Exit codes" in ended.out


@pytest.mark.parametrize("arguments", [(), ("org",), ("policy",)])
def test_half_a_command_gets_help(cli: Cli, arguments: tuple[str, ...]) -> None:
    ended = cli(*arguments)
    assert (ended.code, ended.err) == (ExitCode.INPUT, "")
    assert "Commands" in ended.out


class Stranger(http.server.BaseHTTPRequestHandler):
    """Some other program: the same answer to everything."""

    shown: ClassVar[list[str]] = []
    body: ClassVar[bytes]

    def do_GET(self) -> None:
        if "Authorization" in self.headers:
            self.shown.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(params=[b"<h1>Mail inbox</h1>", b'["ok"]', b'{"status": "up"}'])
def stranger(request: pytest.FixtureRequest) -> Iterator[str]:
    Stranger.shown.clear()
    Stranger.body = request.param
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
