"""All settings, in one place: a TOML file, then the environment (`HOMING_…`) over it.

A setting exists because somebody has a reason to turn it; everything else is a constant beside the code that uses it.
`docs/settings.md` is written from this file.
"""

from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from homing.loop.identity import OperatorIdentity


class Settings(BaseSettings):
    """What an operator may say. Times are in the unit that the name gives."""

    model_config = SettingsConfigDict(env_prefix="HOMING_", extra="forbid")

    operator_domain: str = Field(description="Your organizational domain. Mail goes out under names below it.")
    from_domain: str = Field(
        default="", description="Domain of the header From, `post.` + operator_domain unless said otherwise."
    )
    return_domain: str = Field(
        default="",
        description="Domain of the envelope sender; must be a child of from_domain. Default: `b.` before it.",
    )
    hostname: str = Field(
        default="", description="The name we give in EHLO and in our banner: `mx.` + operator_domain."
    )
    operator_name: str = Field(default="", description="How letters to people call you. Default: operator_domain.")

    data_dir: Path = Field(default=Path("homing-data"), description="Keys, spool files and the embedded database.")
    database_url: str = Field(
        default="", description="`postgresql://user:password@host/name`; empty: SQLite inside data_dir."
    )

    http_host: str = Field(default="127.0.0.1", description="Where the API and the pages listen.")
    http_port: int = Field(default=8025, description="Port of the API and the pages.")
    public_url: str = Field(default="", description="How people reach them from outside, for links in letters.")
    administrator_key: SecretStr | None = Field(
        default=None,
        description="An API key that may do everything. Default: one made at the first start, in data_dir.",
    )
    open_pages_here: bool = Field(
        default=False,
        description="Show the pages without a key to whoever comes from loopback. Not behind a proxy on this machine.",
    )
    smtp_host: str = Field(default="0.0.0.0", description="Where bounces, complaints and replies come in.")  # noqa: S104
    smtp_port: int = Field(default=25, description="Port of the MX door.")
    tls_certificate: Path | None = Field(default=None, description="PEM file for STARTTLS at the MX door.")
    tls_key: Path | None = Field(default=None, description="PEM file with its private key.")

    administrator: str | None = Field(
        default=None, description="Who hears of failures that nobody else could be told of."
    )
    lifetime_hours: int = Field(default=120, ge=1, le=720, description="How long we try before a delivery expires.")
    content_retention_days: int = Field(default=30, ge=1, description="Contents of messages are erased after that.")
    reply_retention_days: int = Field(
        default=7, ge=1, description="Mail to the unmonitored From address is erased after that; a tombstone stays."
    )
    dns_servers: list[str] = Field(
        default_factory=list, description="Resolvers as `ip` or `ip:port`; empty: those of the system."
    )
    deliveries_at_once: int = Field(default=200, ge=1, le=5000, description="SMTP transactions in flight.")
    signer_threads: int = Field(default=0, ge=0, description="Threads that sign; 0: one per core.")

    sms_adapter: Literal["none", "generic", "twilio"] = Field(default="none", description="How text messages are sent.")
    sms_url: str = Field(default="", description="The provider's URL (for twilio: its API's base).")
    sms_template: str = Field(
        default='{"to": "{to}", "text": "{text}", "reference": "{reference}", "callback": "{callback}"}',
        description="Body of a generic provider's request; the four words in braces are filled in, JSON-escaped.",
    )
    sms_account: str = Field(default="", description="Account id at the provider.")
    sms_secret: SecretStr = Field(default=SecretStr(""), description="Its password or bearer token.")
    sms_sender: str = Field(default="", description="The number or name that text messages come from.")

    lab_outbound_port: int = Field(default=25, description="Lab only: the port of everybody's MX.")
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
        return OperatorIdentity(from_domain=self.from_domain, return_domain=self.return_domain)

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


class BadSettings(Exception):  # noqa: N818
    """The settings do not make sense; the message says which and why, a line each."""


def load_settings(file: Path | None) -> Settings:
    """Settings from `file` (None: environment only) and the environment. Raises BadSettings."""
    if file is not None and not file.exists():
        raise BadSettings(f"no such settings file: {file}")

    class FromFile(Settings):
        model_config = SettingsConfigDict(env_prefix="HOMING_", extra="forbid", toml_file=file)

    try:
        return FromFile()
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, fault['loc'])) or 'settings'}: {fault['msg']}" for fault in error.errors()]
        raise BadSettings("\n".join(lines)) from None
