"""Each command, with the API in its own process: what it prints is what the API said."""

import json
from pathlib import Path

import pytest

from .console import Cli


@pytest.fixture
def acme(cli: Cli) -> Cli:
    cli("org", "create", "acme", "--display-name", "Acme Ltd").document()
    cli.settings["HOMING_ORG"] = "acme"
    return cli


def test_organizations_from_first_to_pause(cli: Cli) -> None:
    made = cli("org", "create", "acme", "--display-name", "Acme Ltd", "--daily-cap", "7").document()
    assert (made["name"], made["display_name"], made["daily_cap"]) == ("acme", "Acme Ltd", 7)
    assert [one["id"] for one in cli("org", "list").document()["organizations"]] == [made["id"]]
    changed = cli("org", "set", "acme", "--administrator", "boss@acme.example", "--cors-origin", "https://a.example")
    assert changed.document()["administrator"] == "boss@acme.example"
    assert changed.document()["cors_origins"] == ["https://a.example"]
    cleared = cli("org", "set", "acme", "--administrator", "", "--cors-origin", "").document()
    assert (cleared["administrator"], cleared["cors_origins"], cleared["daily_cap"]) == (None, [], 7)
    assert cli("org", "pause", "acme", "--reason", "unpaid").document()["pause_reason"] == "unpaid"
    assert cli("org", "show", "acme").document()["paused"] is True
    assert cli("org", "resume", made["id"]).document()["paused"] is False


def test_the_webhook_secret_is_told_once(acme: Cli) -> None:
    url = "https://app.example.com/homing"
    assert acme("org", "set", "acme", "--webhook-url", url).document()["webhook_secret"].startswith("whsec_")
    assert "webhook_secret" not in acme("org", "show", "acme").document()


def test_a_key_lets_its_organization_in_until_it_is_revoked(acme: Cli) -> None:
    made = acme("key", "create", "--org", "acme", "--scope", "read", "--name", "reports").document()
    own = {"HOMING_KEY": made["key"], "HOMING_ORG": ""}
    del acme.settings["HOMING_ORG"]
    assert acme("org", "show", HOMING_KEY=made["key"]).document()["name"] == "acme"
    assert acme("org", "list", HOMING_KEY=made["key"]).error["code"] == "scope-missing"
    listed = acme("key", "list", "--org", "acme").document()["keys"]
    assert [(one["name"], one["scopes"]) for one in listed] == [("reports", ["read"])]
    assert acme("key", "revoke", made["id"], "--org", "acme").document() == {"revoked": made["id"]}
    assert acme("org", "show", HOMING_KEY=own["HOMING_KEY"]).error["code"] == "key-invalid"


def test_an_administrators_key(cli: Cli) -> None:
    made = cli("key", "create", "--admin", "--name", "deploy").document()
    assert made["scopes"] == ["admin"]
    assert cli("org", "list", "--key", made["key"]).document() == {"organizations": []}
    assert [one["id"] for one in cli("key", "list", "--admin").document()["keys"]] == [made["id"]]
    cli("key", "revoke", made["id"], "--admin").document()
    assert cli("org", "list", "--key", made["key"]).error["code"] == "key-invalid"


def test_senders(acme: Cli) -> None:
    joe = acme("sender", "create", "--name=Joe", "--address=joe@example.com", "--proved", "--user=17").document()
    assert joe["proved_at"]
    assert joe["proof_letter_sent"] is False
    ann = acme("sender", "create", "--name=Ann", "--address=ann@example.com", "--phone=+442079460000").document()
    assert ann["proved_at"] is None
    assert ann["proof_letter_sent"] is True
    assert acme("sender", "letter", "ann@example.com").document() == {"id": ann["id"], "proof_letter_sent": True}
    assert acme("sender", "prove", "ANN@example.com").document()["proved_at"]
    listed = acme("sender", "list").document()["human_senders"]
    assert [(one["address"], one["application_user"]) for one in listed] == [
        ("ann@example.com", None),
        ("joe@example.com", "17"),
    ]


def test_people_are_attested_by_a_file(acme: Cli, tmp_path: Path) -> None:
    del acme.settings["HOMING_ORG"]
    key = acme("key", "create", "--admin", "--scope", "attest", "--name", "sign-up").document()
    acme.settings["HOMING_ORG"] = "acme"
    own = {"HOMING_KEY": key["key"]}
    file = tmp_path / "people.csv"
    lines = 'Name,address,phone\nJoe,joe@example.com,\n"Roe, Ann",ann@example.com,+442079460000\n'
    file.write_text("\ufeff" + lines, "utf-8")
    assert acme("sender", "attest", str(file), "--note", "sign-up", **own).document() == {"attested": 2, "made": 2}
    assert acme("sender", "attest", "-", stdin=lines, **own).document() == {"attested": 2, "made": 0}
    listed = acme("sender", "list").document()["human_senders"]
    assert [(one["name"], one["phone"], one["attested"]["by"]) for one in listed] == [
        ("Roe, Ann", "+442079460000", "sign-up"),
        ("Joe", None, "sign-up"),
    ]
    refused = acme("sender", "attest", "-", stdin=f"{lines}PayPal,x@example.com,\n", **own).error
    assert [(one["pointer"], one["code"]) for one in refused["errors"]] == [
        ("line 4 name", "display-name-impersonates")
    ]
    for wrong, code in (("address\nx@example.com\n", "format-unknown"), ("name,address\nJoe\n", "line-unreadable")):
        assert acme("sender", "attest", "-", stdin=wrong, **own).error["errors"][0]["code"] == code
    assert acme("sender", "list", **own).error["code"] == "scope-missing"


def test_a_name_that_is_somebody_elses_takes_a_reason(acme: Cli) -> None:
    refused = acme("org", "set", "acme", "--display-name", "PayPal").error
    assert [one["code"] for one in refused["errors"]] == ["display-name-impersonates"]
    reason = ("--display-name-reason", "They are PayPal.")
    assert acme("org", "set", "acme", "--display-name", "PayPal", *reason).document()["display_name"] == "PayPal"
    shown = acme("org", "show", "acme").document()["display_name_allowed"]
    assert (shown["by"], shown["reason"]) == ("settings", "They are PayPal.")
    made = acme("org", "create", "second", "--display-name", "Stripe", *reason).document()
    assert made["display_name_allowed"]["words"] == "Stripe"


def test_policies_by_steps_and_by_file(acme: Cli, tmp_path: Path) -> None:
    steps = ("--step", "live", "--step", "sms:if-unheard:delay=10m:kinds=hard,expired")
    made = acme("policy", "create", "urgent", *steps).document()
    assert [(one["kind"], one["delay_seconds"], one["only_if_unheard"]) for one in made["steps"]] == [
        ("live", 0, False),
        ("sms", 600, True),
    ]
    toml = tmp_path / "policy.toml"
    toml.write_text('[[steps]]\nkind = "letter"\n[[steps]]\nkind = "administrator"\nonly_if_unheard = true\n')
    assert len(acme("policy", "create", "calm", "--file", str(toml)).document()["steps"]) == 2
    document = tmp_path / "policy.json"
    document.write_text(json.dumps({"steps": made["steps"]}))
    assert acme("policy", "create", "again", "--file", str(document)).document()["steps"] == made["steps"]
    names = [one["name"] for one in acme("policy", "list").document()["failure_policies"]]
    assert sorted(names) == ["again", "calm", "default", "urgent"]
    assert acme("policy", "show", "calm").document()["steps"][0]["kind"] == "letter"
    for option, seconds in (
        (("--delay-told-after", "2h"), 7200),
        (("--delay-told-after", "never"), None),
        ((), 14_400),
    ):
        late = acme("policy", "create", "late", "--step", "letter", *option).document()
        assert late["delay_told_after_seconds"] == seconds
    wrong = acme("policy", "create", "late", "--step", "letter", "--delay-told-after", "soon")
    assert wrong.error["errors"][0]["pointer"] == "--delay-told-after"
    acme("policy", "remove", "late").document()
    acme("policy", "remove", "calm").document()
    assert acme("policy", "show", "calm").error["code"] == "not-found"


def test_suppressions(acme: Cli) -> None:
    made = acme("suppression", "add", "John@Example.org", "--evidence", "asked by telephone").document()
    assert (made["address"], made["reason"]) == ("john@example.org", "manual")
    assert len(acme("suppression", "list").document()["suppressions"]) == 1
    acme("suppression", "lift", "john@example.org").document()
    assert acme("suppression", "list").document()["suppressions"] == []
    assert acme("suppression", "lift", "john@example.org").error["code"] == "not-found"


def test_mail_that_came_back(acme: Cli) -> None:
    assert acme("inbound", "list", "--what", "bounce", "--purpose", "envelope").document() == {
        "inbound": [],
        "cursor": None,
    }
    assert acme("inbound", "show", "inb_" + "0" * 32).error["code"] == "not-found"


def test_what_is_sent_without_a_server_is_kept(acme: Cli, tmp_path: Path) -> None:
    acme("sender", "create", "--name", "Joe Bloggs", "--address", "joe@example.com", "--proved").document()
    file = tmp_path / "note.txt"
    file.write_text("attached")
    message = ("--to", "Ann Roe <ann@example.org>", "--bcc", "bob@example.org", "--subject", "Hello", "--text", "-")
    more = ("--attach", str(file), "--metadata", "call=4711", "--idempotency-key", "k1")
    accepted = acme("send", "--from-person", "joe@example.com", *message, *more, stdin="Dear Ann,\n").document()
    assert [one["state"] for one in accepted["deliveries"]] == ["queued", "queued"]
    again = acme("send", "--from-person", "joe@example.com", *message, *more, stdin="Dear Ann,\n").document()
    assert again == accepted
    found = acme("messages", "show", accepted["id"]).document()
    assert found["human_sender"]["name"] == "Joe Bloggs"
    assert found["metadata"] == {"call": "4711"}
    assert [event["type"] for event in found["timeline"]] == ["queued", "queued"]
    listed = acme("messages", "list", "--from-person", "joe@example.com", "--state", "queued", "--since", "2020-01-01")
    assert [one["id"] for one in listed.document()["messages"]] == [accepted["id"]]
    assert acme("messages", "list", "--until", "2020-01-01").document()["messages"] == []
    assert len(acme("events", "list").document()["events"]) == 2
    assert acme("events", "list", "--since", "2100-01-01").document()["events"] == []


def test_pages_are_written(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    written = cli("docs").document()["written"]
    assert "docs/states.md" in written
    assert (tmp_path / "docs" / "states.md").read_text().startswith("# States of a delivery")
