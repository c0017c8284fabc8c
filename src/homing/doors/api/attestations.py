"""On whose word an address counts as proved, as the API takes and shows it."""

from datetime import datetime

from pydantic import BaseModel, Field

from homing.doors.api.authorization import Access, shown_key
from homing.doors.api.fields import Strict
from homing.store.human_senders import Attestation

NOTE = 500
"""Characters of what is noted of an attestation."""


class Noted(Strict):
    """How you know that the address is this person's; kept on record, with your key and the time."""

    note: str = Field("", max_length=NOTE, examples=["Confirmed by e-mail at sign-up, 2026-02-27."])


class AttestationOut(BaseModel):
    """On whose word the address counts as proved. `key` null: that of the settings."""

    by: str = Field(description="What the key is called.", examples=["sign-up"])
    key: str | None
    at: datetime
    note: str


def attestation_by(access: Access, note: str, now: datetime) -> Attestation:
    return Attestation(at=now, key=access.caller.key, key_name=access.caller.name, note=note)


def attestation_out(given: Attestation | None) -> AttestationOut | None:
    if given is None:
        return None
    return AttestationOut(by=given.key_name, key=shown_key(given.key), at=given.at, note=given.note)
