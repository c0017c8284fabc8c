"""`homing suppression`: what a wrong rule did is taken back, and what another provider knew is imported."""

from collections.abc import Callable
from typing import Any

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
