"""What an operator may say, and what is answered where it makes no sense."""

from pathlib import Path

import pytest

from homing.config import BadSettings, load_settings, server_of


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith("HOMING_"):
            monkeypatch.delenv(name)


def told(text: str, tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "homing.toml"
    file.write_text(text)
    with pytest.raises(BadSettings) as caught:
        load_settings(file)
    return {fault.path: fault.message for fault in caught.value.faults}


GOOD = 'operator_domain = "example.com"\n'


@pytest.mark.parametrize(
    ("line", "name", "words"),
    [
        ('from_domain = "not a domain"', "from_domain", "is not a domain name such as example.com"),
        ("smtp_port = 99999", "smtp_port", "less than or equal to 65535"),
        ('lifetime_hours = "long"', "lifetime_hours", "valid integer"),
        ('administrator = "nobody"', "administrator", 'has the form "name@example.com"'),
        ('public_url = "mail.example.com"', "public_url", "must begin with https:// or http://"),
        ('database_url = "mysql://there"', "database_url", "must begin with postgresql://"),
        ('dns_servers = ["resolver.example.com"]', "dns_servers", '"resolver.example.com" is not the address'),
        ('feedback_domains = ["arf.provider.net", "gmail.com"]', "feedback_domains", "is a mailbox provider"),
        ('sms_adapter = "twilio"', "settings", "needs sms_url, sms_account, sms_secret, sms_sender"),
        ('sms_adapter = "generic"', "settings", "needs sms_url"),
        ('tls_key = "key.pem"', "settings", "belong together"),
        ('return_domain = "bounces.example.com"', "settings", "must be a child of from_domain"),
        ("retention = 3", "retention", "There is no such setting."),
        ('sms_sendr = "x"', "sms_sendr", "Did you mean sms_sender?"),
        ("tenant_addresses = true", "tenant_addresses", "is now called organization_addresses"),
    ],
)
def test_a_setting_that_makes_no_sense(line: str, name: str, words: str, tmp_path: Path) -> None:
    assert words in told(GOOD + line, tmp_path)[name]


def test_what_is_required_says_how_to_give_it(tmp_path: Path) -> None:
    assert "HOMING_OPERATOR_DOMAIN" in told("", tmp_path)["operator_domain"]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    file = str(tmp_path / "homing.toml")
    assert told("operator_domain = \n", tmp_path)[file].startswith("This is not TOML: Invalid value (at line 1")
    with pytest.raises(BadSettings) as caught:
        load_settings(tmp_path / "nowhere.toml")
    assert caught.value.faults[0].message == "No such file or directory."


def test_a_list_in_the_environment_that_is_no_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMING_OPERATOR_DOMAIN", "example.com")
    monkeypatch.setenv("HOMING_DNS_SERVERS", "9.9.9.9")
    with pytest.raises(BadSettings, match="Write a list as JSON"):
        load_settings(None)


def test_an_old_name_in_the_environment_is_not_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMING_OPERATOR_DOMAIN", "example.com")
    monkeypatch.setenv("HOMING_TENANT_SELECTORS", "true")
    with pytest.raises(BadSettings, match="is now called organization_selectors"):
        load_settings(None)


def test_domains_are_kept_as_dns_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMING_OPERATOR_DOMAIN", "Bücher.example")
    assert load_settings(None).from_domain == "post.xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("9.9.9.9", ("9.9.9.9", 53)),
        ("127.0.0.1:5300", ("127.0.0.1", 5300)),
        ("2620:fe::fe", ("2620:fe::fe", 53)),
        ("[2620:fe::fe]", ("2620:fe::fe", 53)),
        ("[2620:fe::fe]:54", ("2620:fe::fe", 54)),
    ],
)
def test_resolvers(text: str, server: tuple[str, int]) -> None:
    assert server_of(text) == server
