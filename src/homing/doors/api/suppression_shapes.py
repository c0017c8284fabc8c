"""Suppressions as JSON, and which of them are meant."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from homing.doors.api.authorization import organization_required
from homing.doors.api.fields import Moment, Strict
from homing.doors.api.parts import ApiParts
from homing.doors.api.problems import invalid, refused
from homing.doors.api.responses import shown_id
from homing.flow.rules import reading_rules
from homing.loop.model import OrganizationId
from homing.loop.problem import Fault
from homing.mail.text import clean
from homing.store import lifts
from homing.store.lifts import Criteria, Place
from homing.store.suppressions import Suppression

NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
REASON = r"^[a-z_]{1,64}$"
RULE = r"^[a-z0-9][a-z0-9._-]{0,127}$"
StreamName = Annotated[str, Field(pattern=NAME, examples=["default"])]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FARTHEST = 2**55
"""Microseconds since 1970, in the year 3111."""
_HEARSAY = b"h"
"""At the end of a cursor that goes over hearsay."""


class CriteriaIn(Strict):
    rule: str | None = Field(None, description="The rule whose verdict led to it.", pattern=RULE)
    reason: str | None = Field(None, description="A word as in the list.", pattern=REASON)
    stream: str | None = Field(None, description="Null: of all streams.", pattern=NAME)
    since: Moment | None = Field(None, description="It came onto the list then or later.")
    until: Moment | None = Field(None, description="It came onto the list before that.")

    @property
    def narrow(self) -> bool:
        """Whether anything is asked for but all."""
        return any(value is not None for value in (self.rule, self.reason, self.stream, self.since, self.until))


class SuppressionOut(BaseModel):
    """`rule`: whose verdict led to it; null: none did. `expires_at` null: for ever."""

    organization: str = Field(examples=["org_0190c3a1000070008000000000000001"])
    address: str
    stream: str
    reason: str
    evidence: str
    rule: str | None
    created_at: datetime
    expires_at: datetime | None


def shown(entry: Suppression) -> SuppressionOut:
    same = (name for name in SuppressionOut.model_fields if name != "organization")
    organization = shown_id("organization", entry.organization)
    return SuppressionOut.model_validate({name: getattr(entry, name) for name in same} | {"organization": organization})


async def criteria_of(
    parts: ApiParts, organization: OrganizationId | None, asked: CriteriaIn, place: str = "/"
) -> Criteria:
    """`place`: the beginning of pointers to its fields. Raises Rejected: 422 `criteria-missing`, 403
    `organization-required`, 404 `rule-unknown`."""
    if asked.rule is None and asked.reason is None:
        message = "Name a rule or a reason: a period or a stream alone means too much."
        raise invalid([Fault(f"{place}reason", "criteria-missing", message)])
    if asked.rule is None and organization is None:
        raise organization_required()
    if asked.rule is not None and not await _known(parts, asked.rule, organization):
        detail = f"No rule is called “{clean(asked.rule, 128)}”, and no suppression names one of that name."
        raise refused(404, "rule-unknown", "There is no such rule.", detail=detail)
    return Criteria(
        organization=organization,
        rule=asked.rule,
        reason=asked.reason,
        stream=asked.stream,
        since=asked.since,
        until=asked.until,
    )


async def _known(parts: ApiParts, rule: str, organization: OrganizationId | None) -> bool:
    rules = reading_rules()
    ours = rule in rules.families or rule in rules.whole
    return ours or await parts.database.read(lifts.rule_named, rule, organization)


def cursor_of(place: Place | None) -> str | None:
    if place is None:
        return None
    octets = ((place.created_at - _EPOCH) // timedelta(microseconds=1)).to_bytes(8, signed=True) + place.id.bytes
    return base64.urlsafe_b64encode(octets + _HEARSAY * place.hearsay).decode()


def place_at(cursor: str | None, pointer: str) -> Place | None:
    """Where a page begins. Raises Rejected."""
    if cursor is None:
        return None
    try:
        octets = base64.b64decode(cursor, altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        octets = b""
    microseconds = int.from_bytes(octets[:8], signed=True)
    if len(octets[:24]) != 24 or octets[24:] not in (b"", _HEARSAY) or abs(microseconds) > _FARTHEST:
        raise cursor_invalid(pointer)
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return Place(moment, UUID(bytes=octets[8:24]), hearsay=octets[24:] == _HEARSAY)


def cursor_invalid(pointer: str) -> Exception:
    return invalid([Fault(pointer, "cursor-invalid", "Use the cursor of the last answer, or none.")])
