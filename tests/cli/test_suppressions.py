"""`homing suppression`: what a wrong rule did is taken back, and what another provider knew is imported."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import typer

from homing.cli import suppression_lifts

from .console import Cli

RULE = "gmail.unsolicited-rate"  # one that we have
OTHER = "microsoft.quota"


@pytest.fixture
def two(cli: Cli) -> Cli:
    """Two organizations, none of which is meant unless it is named."""
    for name in ("acme", "other"):
        cli("org", "create", name, "--display-name", name.title()).document()
    return cli


def known(cli: Cli, organization: str, *lines: str) -> None:
    """Suppressions from elsewhere, as `address,reason,created_at`, all of whose reasons were given by RULE."""
    put(
        cli,
        organization,
        [dict(zip(("address", "reason", "created_at"), line.split(","), strict=True)) for line in lines],
    )


def put(cli: Cli, organization: str, entries: list[dict[str, Any]], rule: str | None = RULE) -> None:
    from homing.cli.client import Target, reach

    with pytest.MonkeyPatch.context() as patch:
        for name, value in cli.settings.items():
            patch.setenv(name, value)
        with reach(Target(org=organization)) as gateway:
            body = {"strict": True, "suppressions": [entry | {"rule": rule} for entry in entries]}
            assert gateway.call("POST", "/v1/suppressions/import", body)["added"] == len(entries)


def names(cli: Cli, *options: str) -> list[str]:
    return [one["address"].partition("@")[0] for one in cli("suppression", *options).document()["suppressions"]]


@pytest.fixture
def full(two: Cli) -> Cli:
    lines = [f"a{day}@example.org,invalid_recipient,2025-01-0{day}T00:00:00Z" for day in (1, 2, 3)]
    known(two, "acme", *lines)
    known(two, "other", "o@example.org,mailbox_full,2025-01-02T00:00:00Z")
    put(two, "acme", [{"address": "right@example.org", "reason": "invalid_recipient"}], OTHER)
    return two


def test_a_wrong_rule_is_listed_first_and_then_taken_back(full: Cli) -> None:
    assert sorted(names(full, "undo", "--rule", RULE)) == ["a1", "a2", "a3", "o"]
    assert len(names(full, "list", "--org", "acme")) == 4, "to list them lifts nothing"
    assert full("suppression", "undo", "--rule", RULE, "--yes").document() == {"rule": RULE, "lifted": 4}
    assert full("suppression", "undo", "--rule", RULE, "--yes").document() == {"rule": RULE, "lifted": 0}
    assert names(full, "list", "--org", "acme") == ["right"]
    [record] = full("suppression", "lifted", "--org", "other").document()["lifted"]
    assert (record["address"], record["why"]) == ("o@example.org", f"rule {RULE} was wrong")


def test_a_wrong_rule_of_one_organization_since_a_day(full: Cli) -> None:
    since = ("undo", "--rule", RULE, "--org", "acme", "--since", "2025-01-02")
    assert names(full, *since) == ["a2", "a3"]
    assert names(full, *since, "--until", "2025-01-03") == ["a2"]
    assert full("suppression", *since, "--yes").document()["lifted"] == 2
    assert names(full, "list", "--org", "acme") == ["a1", "right"]
    assert names(full, "list", "--org", "other") == ["o"]


def test_a_rule_that_nobody_knows_is_an_error(full: Cli) -> None:
    for more in ((), ("--yes",)):
        ended = full("suppression", "undo", "--rule", "no.such-rule", *more)
        assert (ended.code, ended.error["code"]) == (5, "rule-unknown")
    assert "no.such-rule" in ended.error["detail"]


def test_suppressions_are_lifted_by_reason_and_period(full: Cli) -> None:
    dead = ("lift", "--org", "acme", "--reason", "invalid_recipient")
    assert names(full, *dead, "--since", "2025-01-02", "--until", "2025-02-01T10:00:00") == ["a2", "a3"]
    done = full("suppression", *dead, "--until", "2025-01-02", "--why", "an error of theirs", "--yes").document()
    assert (done["reason"], done["lifted"]) == ("invalid_recipient", 1)
    assert names(full, "list", "--org", "acme") == ["a2", "a3", "right"]
    assert full("suppression", "lifted", "--org", "acme").document()["lifted"][0]["why"] == "an error of theirs"
    assert full("suppression", "lift", "--reason", "mailbox_full").error["code"] == "organization-required"


@pytest.mark.parametrize(
    "options", [(), ("a1@example.org", "--reason", "manual"), ("a1@example.org", "--since", "2025-01-01")]
)
def test_an_address_and_a_reason_are_two_things(full: Cli, options: tuple[str, ...]) -> None:
    assert full("suppression", "lift", "--org", "acme", *options).code == 4
    assert len(names(full, "list", "--org", "acme")) == 4


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool | None], list[str]]:
    """Somebody at the terminal who answers so; None: whose standard input is no terminal. Returns what was asked."""

    def answers(yes: bool | None) -> list[str]:
        asked: list[str] = []

        def confirm(question: str, **_: object) -> bool:
            asked.append(question)
            return bool(yes)

        monkeypatch.setattr(suppression_lifts, "for_person", lambda: True)
        monkeypatch.setattr("homing.cli.output.for_person", lambda: True)
        monkeypatch.setattr(typer, "confirm", confirm)
        monkeypatch.setattr(suppression_lifts, "_asks", lambda: yes is not None)
        return asked

    return answers


def test_a_person_sees_them_and_is_asked(full: Cli, person: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suppression_lifts, "SHOWN", 2)
    undo = ("suppression", "undo", "--rule", RULE)
    asked = person(False)
    ended = full(*undo, COLUMNS="200")
    assert "a1@example.org" in ended.out
    assert "a3@example.org" not in ended.out
    assert "4 suppressions of 2 organizations, the first 2 of them above." in ended.err
    assert (asked, "Nothing was lifted." in ended.err) == (["Lift all of them?"], True)
    assert person(None) == []
    assert "add --yes" in full(*undo).err
    asked = person(True)
    assert "Lifted 4 suppressions." in full(*undo).err
    assert asked == ["Lift all of them?"]
    ended = full(*undo, "--yes")
    assert "Nothing to lift." in ended.err


def test_what_a_wrong_rule_read_counts_no_more(full: Cli, person: Any, tmp_path: Path) -> None:
    undo = ("suppression", "undo", "--rule", OTHER)
    full(*undo, "--yes").document()
    with closing(sqlite3.connect(tmp_path / "homing" / "homing.db")) as store, store:
        row = ("SELECT id, 'default', 'a@example.org', ?, ?, 'weak', ? FROM organization", uuid4().hex, 10**15, OTHER)
        store.execute(f"INSERT INTO hearsay {row[0]} WHERE name = 'acme'", row[1:])
    asked = person(False)
    assert "Late reports about 1 message, read by this rule, count against addresses." in full(*undo).err
    assert asked == ["Let the reports count no more?"]
    person(True)
    assert "The reports count no more." in full(*undo).err
    assert "Nothing to lift." in full(*undo).err


EXPORT = """EmailAddress,SuppressionReason,Origin,CreatedAt
dead@example.org,HardBounce,Recipient,2025-01-02T03:04:05+01:00
angry@example.org,SpamComplaint,Recipient,2025-01-02T03:04:05Z
soft@example.org,SoftBounce,Recipient,2025-01-02T03:04:05Z
nobody,HardBounce,Recipient,2025-01-02T03:04:05Z
left@example.org,ManualSuppression,Recipient,never
"""


@pytest.fixture
def export(tmp_path: Path) -> Path:
    file = tmp_path / "suppressions.csv"
    file.write_text(EXPORT)
    return file


def test_an_export_is_imported_and_what_is_left_out_is_told(two: Cli, export: Path) -> None:
    imports = ("suppression", "import", str(export), "--org", "acme", "--stream", "news")
    done = two(*imports).document()
    assert {name: done[name] for name in ("format", "added", "strengthened", "kept", "skipped", "faulty")} == {
        "format": "postmark",
        "added": 2,
        "strengthened": 0,
        "kept": 0,
        "skipped": 1,
        "faulty": 2,
    }
    assert [(one["line"], one["code"]) for one in done["lines"]] == [
        (4, "row-transient"),
        (5, "address-syntax"),
        (6, "moment-form"),
    ]
    assert done["codes"] == {"row-transient": 1, "address-syntax": 1, "moment-form": 1}
    again = two(*imports).document()
    assert (again["added"], again["kept"]) == (0, 2)
    angry, dead = two("suppression", "list", "--org", "acme").document()["suppressions"]
    assert (angry["reason"], angry["stream"]) == ("complaint", "news")
    assert (dead["reason"], dead["created_at"]) == ("invalid_recipient", "2025-01-02T02:04:05Z")
    assert dead["evidence"].startswith("imported from Postmark on ")
    assert names(two, "list", "--org", "other") == []


def test_of_very_many_lines_the_first_are_told_and_all_are_counted(
    two: Cli, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homing.cli.suppression_import.LINES_TOLD", 1)
    done = two("suppression", "import", str(export), "--org", "acme").document()
    assert [one["line"] for one in done["lines"]] == [4]
    assert done["codes"] == {"row-transient": 1, "address-syntax": 1, "moment-form": 1}


def test_nothing_is_imported_from_a_file_with_faults_if_all_is_asked_for(two: Cli, export: Path) -> None:
    ended = two("suppression", "import", str(export), "--org", "acme", "--strict")
    assert (ended.code, ended.error["code"]) == (4, "import-faulty")
    assert [(one["pointer"], one["code"]) for one in ended.error["errors"]] == [
        ("line 5", "address-syntax"),
        ("line 6", "moment-form"),
    ]
    assert names(two, "list", "--org", "acme") == []
    export.write_text("".join(EXPORT.splitlines(keepends=True)[:4]))
    done = two("suppression", "import", str(export), "--org", "acme", "--strict").document()
    assert (done["added"], done["skipped"]) == (2, 1)


def test_a_list_from_standard_input_and_in_many_batches(two: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homing.cli.suppression_import.AT_ONCE", 2)
    text = "".join(f"a{number}@example.org\n" for number in range(5))
    imports = ("suppression", "import", "-", "--org", "acme", "--format", "csv", "--reason", "unsubscribe")
    done = two(*imports, stdin=text).document()
    assert (done["format"], done["added"]) == ("csv", 5)
    listed = two("suppression", "list", "--org", "acme").document()["suppressions"]
    assert {one["reason"] for one in listed} == {"unsubscribe"}
    done = two(*imports, "--strict", stdin="a9@example.org\n").document()
    assert done["added"] == 1


def test_a_file_of_another_program(two: Cli, tmp_path: Path) -> None:
    wide = tmp_path / "wide.csv"
    wide.write_bytes("Email;Reason\r\njosé@example.org;spam\r\n".encode("utf-16"))
    done = two("suppression", "import", str(wide), "--org", "acme").document()
    assert (done["format"], done["added"]) == ("csv", 1)
    for encoding in ("utf-16-le", "utf-16-be", "utf-8-sig"):
        wide.write_bytes(f"Email\tReason\r\njosé.{encoding}@example.org\tspam\r\n".encode(encoding))
        assert two("suppression", "import", str(wide), "--org", "acme").document()["added"] == 1
    latin = tmp_path / "latin.csv"
    latin.write_bytes("email\njosé@example.org\nann@example.org\n".encode("latin-1"))
    done = two("suppression", "import", str(latin), "--org", "acme").document()
    assert ([one["line"] for one in done["lines"]], done["added"]) == ([2], 1)


def test_of_a_file_whose_lines_cannot_be_told_apart_nothing_is_imported(
    two: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homing.cli.suppression_import.AT_ONCE", 1)
    file = tmp_path / "file.csv"
    file.write_text('address,details,reason\na@example.org,,spam\nb@example.org,"550,spam\nc@example.org,,spam\n')
    for more in ((), ("--strict",)):
        ended = two("suppression", "import", str(file), "--org", "acme", *more)
        assert (ended.code, [(one["pointer"], one["code"]) for one in ended.error["errors"]]) == (
            4,
            [("line 3", "quote-stray")],
        )
    assert names(two, "list", "--org", "acme") == []


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("address,created_at\n", "format-unclear"),
        ("", "file-empty"),
        ("name,town\nJ,Y\n", "format-unknown"),
        (None, "file-unreadable"),
    ],
)
def test_a_file_that_is_none(two: Cli, tmp_path: Path, content: str | None, code: str) -> None:
    file = tmp_path / "file.csv"
    if content is not None:
        file.write_text(content)
    ended = two("suppression", "import", str(file), "--org", "acme")
    assert (ended.code, [one["code"] for one in ended.error["errors"]]) == (4, [code])


def test_a_person_sees_which_lines_were_left_out(two: Cli, export: Path, person: Any) -> None:
    person(None)
    ended = two("suppression", "import", str(export), "--org", "acme", COLUMNS="200")
    assert "row-transient" in ended.out
    assert "An address has the form" in ended.out
    assert "Skipped lines" in ended.err


def test_the_options_offer_what_can_be_read() -> None:
    from typing import get_args

    from homing.cli import suppressions
    from homing.loop import suppression_import

    assert get_args(suppressions.Format) == tuple(suppression_import.Format)
    assert get_args(suppressions.Reason) == suppression_import.REASONS
