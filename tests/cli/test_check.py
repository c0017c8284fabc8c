"""`homing config check`: secrets stay secret, doubts are told, and the records can be published as they are."""

from pathlib import Path

import pytest

from .console import Cli


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
