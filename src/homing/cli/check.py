"""`homing config check`: the settings in force, what is doubtful about them, and the DNS records to publish."""

import asyncio
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from homing.cli.options import Config
from homing.cli.output import for_person, sheet, show, table

if TYPE_CHECKING:
    from homing.config import Settings
    from homing.loop.domains.dns_records import DnsRecord
    from homing.loop.domains.signing_keys import DkimKey

config = typer.Typer(name="config", help="Settings.", no_args_is_help=True)

_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):[^@/\s]*@")


@config.command("check")
def check(
    config: Config = None,
) -> None:
    """Show the settings in force, secrets hidden, with warnings and the DNS records to publish."""
    from homing.cli.serve import settings_from
    from homing.loop.domains.dns_records import records_to_publish, zone

    settings = settings_from(config)
    shown = effective(settings)
    of_keys, doubt = key_records_now(settings)
    doubts = [*warnings(settings), *([doubt] if doubt else [])]
    records = (*records_to_publish(settings.operator_domain, settings.operator, settings.hostname, ()), *of_keys)
    zone_text = zone(records, settings.hostname)
    document = {
        "settings": shown,
        "warnings": doubts,
        "dns": [{"name": one.name, "type": one.type, "value": one.value, "why": one.why} for one in records],
        "zone": zone_text,
    }
    show(document, lambda: sheet(shown))
    if for_person():
        from rich.console import Console
        from rich.text import Text

        console = Console()
        for doubt in doubts:
            console.print(Text(f"warning: {doubt}", "yellow"))
        console.print(Text("\nDNS records to publish", "bold"))
        console.print(table(("Name", "Type", "Why"), ((one.name, one.type, one.why) for one in records)))
        console.print(Text("\nAs part of a zone file", "bold"))
        console.print(Text(zone_text), soft_wrap=True)


def effective(settings: "Settings") -> dict[str, object]:
    """Every setting with its value. Of a secret only whether it is set; of a URL all but its password."""
    from pydantic import SecretStr

    shown: dict[str, object] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        match value:
            case SecretStr():
                shown[name] = "(set)" if value.get_secret_value() else "(not set)"
            case Path() | str():
                shown[name] = _PASSWORD.sub(r"\1:…@", str(value))
            case _:
                shown[name] = value
    return shown


def warnings(settings: "Settings") -> Iterator[str]:
    """What an operator should know before the Internet does."""
    from homing.app.key_files import exposed

    for lab_setting in settings.lab_settings():
        yield f"{lab_setting} is a lab setting: never run it on the Internet"
    if settings.http_host not in {"127.0.0.1", "::1", "localhost"}:
        yield "http_host: the API speaks plain HTTP to whoever reaches it; keep it on loopback behind a proxy with TLS"
    if not settings.public_url.startswith("https://"):
        yield "public_url: links in e-mails lead to an address without TLS, or to this machine alone"
    if settings.tls_certificate is None:
        yield "tls_certificate: the MX door offers no STARTTLS, so bounces travel in the clear"
    if settings.administrator is None:
        yield "administrator: nobody is notified of failures that nobody else could be told of"
    if not settings.data_dir.is_absolute():
        yield "data_dir: a relative folder depends on where the gateway is started"
    if exposure := exposed(settings.data_dir):
        yield exposure
    for name in sorted(os.environ):
        if name.startswith("HOMING_") and name not in _OTHER_VARIABLES and not _is_setting(settings, name):
            yield f"{name}: an environment variable that is not a setting"


_OTHER_VARIABLES = frozenset({"HOMING_CONFIG", "HOMING_URL", "HOMING_KEY", "HOMING_ORG"})


def _is_setting(settings: "Settings", variable: str) -> bool:
    return variable.removeprefix("HOMING_").lower() in type(settings).model_fields


def key_records_now(settings: "Settings") -> tuple[tuple["DnsRecord", ...], str]:
    """The records of DKIM keys, and of what organizations' domains lead to, as the store has them by now; and what is
    doubted of them. Nothing is made: keys made here might belong to another user than the gateway's."""
    from sqlalchemy.exc import SQLAlchemyError

    from homing.loop.domains.sending_domains import published_by_us

    file = settings.database_url.removeprefix("sqlite:///")
    there = file == settings.database_url or Path(file).exists()
    try:
        found = asyncio.run(_stored_keys(settings)) if there else ()
    except (SQLAlchemyError, OSError) as error:
        why = str(error).splitlines()[0]
        return tuple(
            _first_keys(settings)
        ), f"database_url: the DKIM keys shown are those of the first start, perhaps not the current ones: {why}"
    if found:
        return published_by_us(found, settings.delegation, settings.tagged), ""
    first = tuple(_first_keys(settings))
    return first, "" if first else _NO_KEY


_NO_KEY = "data_dir: there is no DKIM key yet; the first start of the gateway makes it, then check again"


async def _stored_keys(settings: "Settings") -> "Sequence[DkimKey]":
    from homing.store import dkim_keys
    from homing.store.database import Database

    database = Database.open(settings.database_url)
    try:
        return await database.read(dkim_keys.list_all)
    finally:
        await database.close()


def _first_keys(settings: "Settings") -> Iterator["DnsRecord"]:
    """Those that lie in files and wait for the first start."""
    from homing.loop.domains.dns_records import DnsRecord
    from homing.mail.dkim import SigningKey

    prefix = f"dkim-{settings.from_domain}-"
    for file in sorted(settings.data_dir.glob(f"{prefix}*.pem")):
        key = SigningKey.load(file.read_bytes(), settings.from_domain, file.stem.removeprefix(prefix))
        yield DnsRecord(name=key.dns_name, type="TXT", value=key.dns_record(), why="the DKIM key (RFC 6376)")
