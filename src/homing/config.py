"""All settings, in one place: a TOML file, then the environment (`HOMING_…`) over it.

A setting exists because somebody has a reason to turn it; everything else is a constant beside the code that uses it.
`docs/settings.md` is written from this file.
"""

import os
import re
import tomllib
from datetime import timedelta
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, IPvAnyNetwork, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from homing.loop.domains.identity import OperatorIdentity, is_freemail
from homing.loop.domains.sending_domains import Delegation
from homing.loop.problem import Fault
from homing.loop.retry import LIFETIME
from homing.mail.address import AddressError, parse_address, parse_domain

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def server_of(text: str) -> tuple[str, int]:
    """Address and port of a resolver: 9.9.9.9, 9.9.9.9:53, 2620:fe::fe or [2620:fe::fe]:53. Raises ValueError."""
    ip, _, port = text.rpartition(":") if text.count(":") == 1 or "]:" in text else (text, "", "53")
    return str(ip_address(ip.strip("[]"))), int(port)


def _domain(text: str) -> str:
    try:
        return parse_domain(text) if text else ""
    except AddressError:
        raise ValueError(f'"{text}" is not a domain name such as example.com') from None


def _mailbox(text: str | None) -> str | None:
    try:
        return str(parse_address(text)) if text else None
    except AddressError as error:
        raise ValueError(str(error)) from None


def _url(*beginnings: str) -> AfterValidator:
    def check(text: str) -> str:
        if text and not text.startswith(beginnings):
            raise ValueError(f"must begin with {' or '.join(beginnings)}")
        return text

    return AfterValidator(check)


def _servers(texts: list[str]) -> list[str]:
    for text in texts:
        try:
            server_of(text)
        except ValueError:
            raise ValueError(f'"{text}" is not the address of a resolver, as 9.9.9.9 or 9.9.9.9:53') from None
    return texts


def _secret_key(text: SecretStr | None) -> SecretStr | None:
    if text is not None and not re.fullmatch(r"[0-9A-Fa-f]{64}", text.get_secret_value().strip()):
        raise ValueError("must be 64 hexadecimal digits, as `openssl rand -hex 32` prints them")
    return text


def _feedback_domains(domains: list[str]) -> list[str]:
    for domain in domains:
        if is_freemail(domain):
            raise ValueError(f"{domain} is a mailbox provider, whose users could forge each other's complaints")
    return domains


Domain = Annotated[str, AfterValidator(_domain)]
WebUrl = Annotated[str, _url("https://", "http://")]
Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """The settings of an operator. Times are in the unit that the name gives."""

    model_config = SettingsConfigDict(env_prefix="HOMING_", extra="forbid")

    operator_domain: Domain = Field(description="Your organizational domain. Mail goes out under names below it.")
    from_domain: Domain = Field(
        default="", description="Domain of the header From, `post.` + operator_domain by default."
    )
    return_domain: Domain = Field(
        default="",
        description="Domain of the envelope sender; must be a child of from_domain. Default: `b.` before it.",
    )
    organization_addresses: bool = Field(
        default=False, description="Each organization has a From address of its own at from_domain, by its name."
    )
    organization_selectors: bool = Field(
        default=False,
        description="Each organization signs at from_domain under a DKIM selector of its own, such as "
        "`k3v5q2x7m4n6p8r2.h1`, so that reports tell organizations apart. Needs a wildcard record for each key.",
    )
    hostname: Domain = Field(
        default="", description="The name we give in EHLO and in our banner: `mx.` + operator_domain."
    )
    operator_name: str = Field(default="", description="What e-mails to people call you. Default: operator_domain.")

    data_dir: Path = Field(default=Path("homing-data"), description="Keys, spool files and the embedded database.")
    database_url: Annotated[str, _url("postgresql://", "postgres://", "sqlite:///")] = Field(
        default="", description="`postgresql://user:password@host/name`; empty: SQLite inside data_dir."
    )

    http_host: str = Field(default="127.0.0.1", description="Where the API and the pages listen.")
    http_port: Port = Field(default=8025, description="Port of the API and the pages.")
    http_connections: int = Field(
        default=1000,
        ge=16,
        le=50_000,
        description="Connections to the API and the pages at once, of which live streams take half at most, those "
        "of one organization a quarter. They are fewer where the process may not have as many file descriptors: the "
        "MX door keeps its own.",
    )
    public_url: WebUrl = Field(
        default="", description="URL of the API and the pages from outside, for links in e-mails."
    )
    administrator_key: SecretStr | None = Field(
        default=None,
        description="An API key that may do everything. Default: one made at the first start, in data_dir.",
    )
    trusted_proxies: list[IPvAnyNetwork] = Field(
        default=[],
        description="Addresses or networks of the proxies in front of the API and the pages. What they say of the "
        "scheme is believed, and what comes from them is never taken for a request from here. With a public_url "
        "of https and none named here, nothing is.",
        examples=[["127.0.0.1"]],
    )
    open_pages_here: bool = Field(
        default=False,
        description="Show the pages without a key to whoever comes from loopback, and not by a proxy.",
    )
    smtp_host: str = Field(default="0.0.0.0", description="Where bounces, complaints and replies come in.")  # noqa: S104
    smtp_port: Port = Field(default=25, description="Port of the MX door.")
    tls_certificate: Path | None = Field(default=None, description="PEM file for STARTTLS at the MX door.")
    tls_key: Path | None = Field(default=None, description="PEM file with its private key.")

    administrator: Annotated[str | None, AfterValidator(_mailbox)] = Field(
        default=None, description="Address to notify of failures that nobody else could be told of."
    )
    feedback_domains: Annotated[list[Domain], AfterValidator(_feedback_domains)] = Field(
        default_factory=list,
        description="Domains in From of the complaints that providers send you (feedback loops): signed by "
        "such a domain, a complaint counts although our own marks were removed from it.",
    )
    lifetime_hours: int = Field(
        default=LIFETIME // timedelta(hours=1), ge=1, le=720, description="How long we try before a delivery expires."
    )
    disk_reserve_mib: int = Field(
        default=256,
        ge=0,
        description="Mebibytes that stay free in data_dir: with less, nothing is accepted or sent. A file named "
        "ballast takes a quarter as much, and gives it to results if the disk fills up all the same.",
    )
    role_mail_mib_per_day: int = Field(
        default=256,
        ge=1,
        description="Mebibytes a day that are taken for each kind of address which belongs to no delivery: "
        "postmaster, abuse, reports, the unmonitored From; a quarter of it from one network. More is refused for "
        "the day, and an alarm tells of it.",
    )
    returned_mail_mib_per_day: int = Field(
        default=256,
        ge=128,
        description="Mebibytes a day that are taken at the return addresses of one organization, beside 64 KiB for "
        "each delivery, and as much of mail with a sender, which are always taken; a quarter of it from one network. "
        "More is refused for the day with 452, so that its senders come again, and an alarm tells of it. Allow more "
        "where many bounces bring back large attachments.",
    )
    content_retention_days: int = Field(default=30, ge=1, description="Contents of messages are erased after that.")
    reply_retention_days: int = Field(
        default=7, ge=1, description="Mail to the unmonitored From address is erased after that; a tombstone stays."
    )
    secret_key: Annotated[SecretStr | None, AfterValidator(_secret_key)] = Field(
        default=None,
        description="Seals private keys in the database: 64 hexadecimal digits, the same on all nodes of one database. "
        "Default: made at the first start, in data_dir.",
    )
    secret_key_before: Annotated[SecretStr | None, AfterValidator(_secret_key)] = Field(
        default=None,
        description="The secret key that was in use so far: the next start seals everything anew with `secret_key`. "
        "Default: what `secret.key.before` in data_dir says, if it is there.",
    )
    dkim_rotation_days: int = Field(
        default=180, ge=30, description="How long a DKIM key signs before the next one takes over."
    )
    dkim_ed25519: bool = Field(
        default=False,
        description="Sign with Ed25519 too (RFC 8463). Some large receivers still report such signatures as failed.",
    )
    dns_servers: Annotated[list[str], AfterValidator(_servers)] = Field(
        default_factory=list, description="Resolvers as `ip` or `ip:port`; empty: the system's."
    )
    gather_letters_minutes: int = Field(
        default=5,
        ge=0,
        le=60,
        description="After an e-mail about a failure, what else the same person must hear within so many minutes goes "
        "into one e-mail; 0: each goes alone and at once.",
    )
    loop_watch_minutes: int = Field(
        default=60,
        ge=0,
        le=1440,
        description="How often a notice is sent to our own return address, to see that failures are heard; 0: never.",
    )
    deliveries_at_once: int = Field(default=200, ge=1, le=5000, description="SMTP transactions in flight.")
    signer_threads: int = Field(default=0, ge=0, description="Threads that sign; 0: one per core.")

    log_tracebacks: bool = Field(
        default=False, description="Show tracebacks in the log on a terminal too; JSON lines have them always."
    )

    sms_adapter: Literal["none", "generic", "twilio"] = Field(default="none", description="How text messages are sent.")
    sms_url: WebUrl = Field(default="", description="The provider's URL (for twilio: its API's base).")
    sms_template: str = Field(
        default='{"to": "{to}", "text": "{text}", "reference": "{reference}", "callback": "{callback}"}',
        description="Body of a generic provider's request; the four words in braces are filled in, JSON-escaped.",
    )
    sms_account: str = Field(default="", description="Account id at the provider.")
    sms_secret: SecretStr = Field(default=SecretStr(""), description="Its password or bearer token.")
    sms_sender: str = Field(default="", description="The number or name that text messages come from.")

    lab_outbound_port: Port = Field(default=25, description="Lab only: the port on which every MX host is contacted.")
    lab_private_addresses: bool = Field(
        default=False, description="Lab only: deliver to loopback and private addresses, and call such URLs."
    )

    @model_validator(mode="after")
    def _fill_names(self) -> Self:
        self.from_domain = self.from_domain or f"post.{self.operator_domain}"
        self.return_domain = self.return_domain or f"b.{self.from_domain}"
        self.hostname = self.hostname or f"mx.{self.operator_domain}"
        self.operator_name = self.operator_name or self.operator_domain
        self.database_url = self.database_url or f"sqlite:///{self.data_dir / 'homing.db'}"
        self.public_url = (self.public_url or f"http://{self.http_host}:{self.http_port}").rstrip("/")
        if not self.return_domain.endswith(f".{self.from_domain}"):
            raise ValueError(
                f"return_domain {self.return_domain} must be a child of from_domain {self.from_domain}: "
                "the domains of siblings do not align under RFC 9989"
            )
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together: give both or neither")
        missing = [name for name in _NEEDED_BY[self.sms_adapter] if not _said(getattr(self, name))]
        if missing:
            raise ValueError(f"sms_adapter {self.sms_adapter} needs {', '.join(missing)}")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - fixed signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def operator(self) -> OperatorIdentity:
        named = self.operator_name != self.operator_domain
        name = self.operator_name if named else self.operator_domain.partition(".")[0]
        return OperatorIdentity(from_domain=self.from_domain, return_domain=self.return_domain, name=name)

    @property
    def delegation(self) -> Delegation:
        """Names of ours that organizations' domains lead to, with selectors that no other service will have."""
        prefix = self.operator_domain.partition(".")[0][:_PREFIX]
        return Delegation(
            operator_domain=self.operator_domain,
            dkim_domain=f"dkim.{self.operator_domain}",
            return_host=f"rp.{self.operator_domain}",
            hostname=self.hostname,
            selectors=(f"{prefix}1", f"{prefix}2"),
            reports_to=f"dmarc@{self.from_domain}",
        )

    @property
    def tagged(self) -> str | None:
        """The domain at which organizations have DKIM selectors of their own."""
        return self.from_domain if self.organization_selectors else None

    @property
    def lifetime(self) -> timedelta:
        return timedelta(hours=self.lifetime_hours)

    def lab_settings(self) -> list[str]:
        """The settings in force that only a lab should use."""
        found = []
        if self.lab_outbound_port != 25:
            found.append(f"lab_outbound_port = {self.lab_outbound_port}")
        if self.lab_private_addresses:
            found.append("lab_private_addresses = true")
        return found


_PREFIX = 20
"""Letters of the operator's name in a selector; "1" and "2" follow."""

_NEEDED_BY = {
    "none": (),
    "generic": ("sms_url",),
    "twilio": ("sms_url", "sms_account", "sms_secret", "sms_sender"),
}


def _said(value: str | SecretStr) -> bool:
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)


class BadSettings(Exception):  # noqa: N818
    """The settings do not make sense. `faults` says which and why; a path is the name of a setting, or a file."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{one.path}: {one.message}" for one in faults))
        self.faults = faults


_RENAMED = {"tenant_addresses": "organization_addresses", "tenant_selectors": "organization_selectors"}
"""Names that settings had in earlier versions. An old one in the environment would be ignored without a word."""


def load_settings(file: Path | None) -> Settings:
    """Settings from `file` (None: environment only) and the environment. Raises BadSettings."""
    if file is not None:
        _check_file(file)
    given = {name.upper() for name in os.environ}
    if faults := [_renamed(old) for old in _RENAMED if f"HOMING_{old.upper()}" in given]:
        raise BadSettings(*faults)

    class FromFile(Settings):
        model_config = SettingsConfigDict(env_prefix="HOMING_", extra="forbid", toml_file=file)

    try:
        return FromFile()
    except ValidationError as error:
        raise BadSettings(*map(_fault, error.errors())) from None
    except SettingsError as error:
        raise BadSettings(
            Fault("environment", "setting-invalid", f'{error}. Write a list as JSON: ["9.9.9.9"]')
        ) from None


def _renamed(old: str) -> Fault:
    return Fault(old, "setting-invalid", f"This setting is now called {_RENAMED[old]}.")


def _check_file(file: Path) -> None:
    try:
        tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise BadSettings(Fault(str(file), "settings-unreadable", f"{error.strerror}.")) from None
    except ValueError as error:
        raise BadSettings(Fault(str(file), "settings-unreadable", f"This is not TOML: {error}")) from None


def _fault(error: "ErrorDetails") -> Fault:
    name = ".".join(map(str, error["loc"])) or "settings"
    match error["type"]:
        case "extra_forbidden" if name in _RENAMED:
            return _renamed(name)
        case "missing":
            message = f"This one is required: write it into the settings file, or set HOMING_{name.upper()}."
        case "extra_forbidden":
            near = get_close_matches(name, Settings.model_fields, 1)
            message = "There is no such setting." + (f" Did you mean {near[0]}?" if near else "")
        case _:
            message = error["msg"].removeprefix("Value error, ")
    return Fault(name, "setting-invalid", message)
