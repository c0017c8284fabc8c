"""Secrets sealed in the database: private DKIM keys, and the secrets that sign webhook calls."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from homing.loop.model import OrganizationId
from homing.loop.sealing import NONCE_OCTETS, Sealer
from homing.store import dkim_keys, organizations


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSecrets:
    """`secret` gives 32 random octets a call."""

    sealer: Sealer
    secret: Callable[[], bytes]

    def seal(self, secret: bytes, place: tuple[str, ...]) -> bytes:
        """`secret`, to be opened at `place` alone."""
        return self.sealer.seal(secret, place, self.secret()[:NONCE_OCTETS])

    def seal_webhook_secret(self, secret: str, organization: OrganizationId) -> bytes:
        return self.seal(secret.encode(), _of_webhook(organization))

    def open_webhook_secret(self, sealed: bytes, organization: OrganizationId) -> str:
        """Raises SealBroken."""
        return self.sealer.open(sealed, _of_webhook(organization)).decode()


def seal_anew(conn: Connection, sealed_secrets: SealedSecrets) -> int:
    """Seal under the current secret key all that is unsealed, or sealed under the previous one; returns how many.
    Raises SealBroken if a secret was sealed under neither."""
    count = 0
    for one in dkim_keys.sealed(conn):
        if not sealed_secrets.sealer.sealed_now(one.sealed):
            dkim_keys.seal_anew(
                conn,
                one.key.id,
                sealed_secrets.seal(sealed_secrets.sealer.open(one.sealed, one.key.place), one.key.place),
            )
            count += 1
    for organization, plain, sealed in organizations.webhook_secrets(conn):
        if sealed is None or not sealed_secrets.sealer.sealed_now(sealed):
            secret = plain if sealed is None else sealed_secrets.open_webhook_secret(sealed, organization)
            assert secret is not None
            organizations.seal_webhook_secret(
                conn, organization, sealed_secrets.seal_webhook_secret(secret, organization)
            )
            count += 1
    return count


def _of_webhook(organization: OrganizationId) -> tuple[str, ...]:
    return ("webhook", organization.hex)
