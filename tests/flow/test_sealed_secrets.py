"""What lies sealed in the database opens at its own place alone."""

from itertools import count
from uuid import UUID

import pytest

from homing.flow.sealed_secrets import SealedSecrets
from homing.loop.model import OrganizationId
from homing.loop.sealing import SealBroken, Sealer

ACME, OTHER = OrganizationId(UUID(int=1)), OrganizationId(UUID(int=2))


@pytest.fixture
def sealed_secrets() -> SealedSecrets:
    numbers = count()
    return SealedSecrets(sealer=Sealer(b"k" * 32), secret=lambda: next(numbers).to_bytes(32, "little"))


def test_a_webhook_secret_opens_for_its_organization_alone(sealed_secrets: SealedSecrets) -> None:
    sealed = sealed_secrets.seal_webhook_secret("whsec_1", ACME)
    assert b"whsec_1" not in sealed
    assert sealed_secrets.open_webhook_secret(sealed, ACME) == "whsec_1"
    with pytest.raises(SealBroken):
        sealed_secrets.open_webhook_secret(sealed, OTHER)


def test_no_nonce_is_used_twice(sealed_secrets: SealedSecrets) -> None:
    assert sealed_secrets.seal(b"secret", ("a", "b")) != sealed_secrets.seal(b"secret", ("a", "b"))


def test_a_place_is_its_parts_and_not_their_sum(sealed_secrets: SealedSecrets) -> None:
    sealed = sealed_secrets.seal(b"secret", ("webhook", "ab"))
    assert sealed_secrets.sealer.open(sealed, ("webhook", "ab")) == b"secret"
    with pytest.raises(SealBroken):
        sealed_secrets.sealer.open(sealed, ("webhooka", "b"))
