"""`homing config check`: secrets stay secret, doubts are told, and the records can be published as they are."""

from pathlib import Path
from typing import Any

import pytest
from dns.zonefile import read_rrsets

from tests.stories.gateway import a_story

from .console import Cli, beside
from .test_running import own_settings


def test_settings_and_records(cli: Cli) -> None:
    found = cli("config", "check").document()
    assert found["settings"]["from_domain"] == "post.operator.example"
    names = {(record["name"], record["type"]) for record in found["dns"]}
    assert {
        ("b.post.operator.example", "MX"),
        ("b.post.operator.example", "TXT"),
        ("post.operator.example", "MX"),
        ("h1._domainkey.post.operator.example", "TXT"),
        ("_dmarc.post.operator.example", "TXT"),
        ("_dmarc.operator.example", "TXT"),
    } <= names
    assert 'h1._domainkey.post.operator.example. 3600 IN TXT "v=DKIM1; k=rsa; p=' in found["zone"]


def records_in(found: dict[str, Any]) -> dict[str, str]:
    return {record["name"]: record["value"] for record in found["dns"] if "_domainkey" in record["name"]}


def test_keys_are_those_of_now(cli: Cli) -> None:
    """Not those of the file, which knows the first start alone."""
    h1, h2 = (f"{selector}._domainkey.post.operator.example" for selector in ("h1", "h2"))
    first = records_in(cli("config", "check").document())
    assert list(first) == [h1]
    cli("dkim", "revoke", "h1").document()
    assert records_in(cli("config", "check").document()) == {h1: "v=DKIM1; p="}
    cli("dkim", "rotate")  # makes the next ones, and says that their records are not there yet
    after = records_in(cli("config", "check").document())
    assert set(after) == {h1, h2}
    assert len({*after.values(), first[h1], "v=DKIM1; p="}) == 4
    zone = cli("dkim", "zone").out
    read = [(str(one.name), len(one)) for one in read_rrsets(zone, rdclass=None, relativize=False)]
    assert sorted(read) == sorted((f"{name}.", 1) for name in after), "it is a zone file and nothing else"
    assert set(zone.splitlines()) <= set(cli("config", "check").document()["zone"].splitlines())


def test_organizations_own_selectors(cli: Cli) -> None:
    found = cli("config", "check", HOMING_ORGANIZATION_SELECTORS="true").document()
    h1 = "h1._domainkey.post.operator.example"
    assert records_in(found)[h1] == records_in(found)[f"*.{h1}"]


async def test_keys_of_a_gateway_that_runs(tmp_path: Path) -> None:
    """On either database nothing but a look is taken: who runs is not disturbed."""
    async with a_story(tmp_path) as story:
        [key] = (await story.http.get("/v1/dkim_keys", headers=story.administrator)).json()["dkim_keys"]
        await story.http.post(f"/v1/dkim_keys/{key['id']}/revoke", headers=story.administrator)
        found = (await beside("config", "check", **own_settings(story))).document()
        assert records_in(found)[key["record_name"]] == "v=DKIM1; p="


@pytest.mark.parametrize("url", ["postgresql://homing@127.0.0.1:9/homing", "sqlite:///{folder}"])
def test_a_database_that_cannot_be_read(cli: Cli, tmp_path: Path, url: str) -> None:
    found = cli("config", "check", HOMING_DATABASE_URL=url.format(folder=tmp_path)).document()
    assert any(one.startswith("database_url") for one in found["warnings"])
    assert list(records_in(found)) == ["h1._domainkey.post.operator.example"]


def test_secrets_are_hidden(cli: Cli) -> None:
    secrets = {
        "HOMING_ADMINISTRATOR_KEY": "hush-key",
        "HOMING_SMS_SECRET": "hush-sms",
        "HOMING_DATABASE_URL": "postgresql://homing:hush-db@127.0.0.1/homing",
        "HOMING_SMS_URL": "https://me:hush-url@sms.example/send",
    }
    ended = cli("config", "check", **secrets)
    assert "hush" not in ended.out
    assert ended.document()["settings"]["database_url"] == "postgresql://homing:…@127.0.0.1/homing"
    assert ended.document()["settings"]["administrator_key"] == "(set)"


@pytest.mark.parametrize(
    ("variables", "word"),
    [
        ({"HOMING_LAB_OUTBOUND_PORT": "2525"}, "lab_outbound_port"),
        ({"HOMING_LAB_PRIVATE_ADDRESSES": "true"}, "lab_private_addresses"),
        ({"HOMING_HTTP_HOST": "0.0.0.0"}, "http_host"),
        ({"HOMING_PUBLIC_URL": "http://mail.operator.example"}, "public_url"),
        ({"HOMING_DATA_DIR": "here"}, "data_dir"),
        ({"HOMING_SMTP_PROT": "2525"}, "HOMING_SMTP_PROT"),
        ({}, "tls_certificate"),
        ({}, "administrator"),
    ],
)
def test_what_is_doubtful_is_told(cli: Cli, variables: dict[str, str], word: str) -> None:
    assert any(one.startswith(word) for one in cli("config", "check", **variables).document()["warnings"])


def test_a_folder_that_others_can_enter_is_told_of(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o755)
    told = cli("config", "check", HOMING_DATA_DIR=str(folder)).document()["warnings"]
    assert any(one.startswith("data_dir: its mode is 0755") for one in told)


def test_nothing_is_told_of_what_is_well(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "pem").write_text("")
    well = {
        "HOMING_PUBLIC_URL": "https://mail.operator.example",
        "HOMING_TLS_CERTIFICATE": str(tmp_path / "pem"),
        "HOMING_TLS_KEY": str(tmp_path / "pem"),
        "HOMING_ADMINISTRATOR": "boss@operator.example",
    }
    assert cli("config", "check", **well).document()["warnings"] == []


def test_a_check_makes_no_keys(cli: Cli, tmp_path: Path) -> None:
    found = cli("config", "check", HOMING_DATA_DIR=str(tmp_path / "new")).document()
    assert not (tmp_path / "new").exists()
    assert any("no DKIM key yet" in one for one in found["warnings"])
