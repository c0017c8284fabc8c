"""The secrets on disk, made where they are missing: token keys, the first DKIM key, keys of store and command line."""

import json
import os
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from homing.config import BadSettings, Settings
from homing.loop.problem import Fault
from homing.loop.token import TokenKey
from homing.mail.dkim import SigningKey

SELECTOR = "h1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The secrets on disk: token keys, the secret key that seals those in the database and the one before it, the DKIM
    key of the first start, the administrator's key of the command line. Each file is 0600."""

    tokens: tuple[TokenKey, ...]
    secret: bytes = field(repr=False)
    secret_before: bytes | None = field(repr=False)
    signing_since: tuple[tuple[SigningKey, datetime], ...]
    administrator: str = field(repr=False)

    @property
    def signing(self) -> tuple[SigningKey, ...]:
        """The DKIM key of the first start; empty if its file is gone, since the store has the key."""
        return tuple(key for key, _ in self.signing_since)

    @classmethod
    def in_folder(cls, folder: Path, settings: Settings, now: datetime) -> "Keys":
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "inbound").mkdir(mode=0o700, exist_ok=True)
        first = not (folder / "token-keys.json").exists()
        file = folder / f"dkim-{settings.from_domain}-{SELECTOR}.pem"
        return cls(
            tokens=_token_keys(folder / "token-keys.json", now),
            secret=_secret_key(folder / "secret.key", settings),
            secret_before=_secret_key_before(folder / "secret.key.before", settings),
            signing_since=(_signing_key(file, settings.from_domain),) if first or file.exists() else (),
            administrator=_administrator_key(folder / "administrator.key", settings),
        )


def exposed(folder: Path) -> str:
    """What is wrong with the mode of a folder that others made, "" if nothing. It stays as it is: whoever made it may
    have a reason."""
    mode = folder.stat().st_mode & 0o777 if folder.exists() else 0
    return (
        f"data_dir: its mode is {mode:04o}, so others on this machine can {_CAN[bool(mode & 0o022)]}; "
        f"it should be 0700 (chmod 700 {folder})"
        if mode & 0o077
        else ""
    )


_CAN = {True: "replace keys and database", False: "see what is in it"}


def _token_keys(file: Path, now: datetime) -> tuple[TokenKey, ...]:
    if not file.exists():
        key = {"id": 1, "secret": secrets.token_hex(32), "since": now.isoformat()}
        _write_secret(file, json.dumps([key], indent=2).encode())
    return tuple(
        TokenKey(id=key["id"], secret=bytes.fromhex(key["secret"]), since=datetime.fromisoformat(key["since"]))
        for key in json.loads(file.read_text())
    )


def _signing_key(file: Path, domain: str) -> tuple[SigningKey, datetime]:
    """The key, and since when it has been there."""
    if not file.exists():
        _write_secret(file, SigningKey.generate(domain, SELECTOR).pem())
    since = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    return SigningKey.load(file.read_bytes(), domain, SELECTOR), since


def _secret_key(file: Path, settings: Settings) -> bytes:
    if settings.secret_key is not None:
        return bytes.fromhex(settings.secret_key.get_secret_value().strip())
    if not file.exists():
        _write_secret(file, f"{secrets.token_hex(32)}\n".encode())
    return _read_key(file)


def _secret_key_before(file: Path, settings: Settings) -> bytes | None:
    if settings.secret_key_before is not None:
        return bytes.fromhex(settings.secret_key_before.get_secret_value().strip())
    return _read_key(file) if file.exists() else None


def _read_key(file: Path) -> bytes:
    try:
        return bytes.fromhex(file.read_text().strip())
    except ValueError:
        raise BadSettings(Fault(str(file), "setting-invalid", "This must be 64 hexadecimal digits.")) from None


def _administrator_key(file: Path, settings: Settings) -> str:
    if settings.administrator_key is not None:
        return settings.administrator_key.get_secret_value()
    if not file.exists():
        _write_secret(file, f"homing_admin_{secrets.token_urlsafe(32)}\n".encode())
    return file.read_text().strip()


def _write_secret(file: Path, content: bytes) -> None:
    """Whole or not at all, and for the owner's eyes only."""
    fresh = file.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    fresh.rename(file)
