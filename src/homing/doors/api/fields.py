"""What fields and parameters are made of: each takes its own type, and nothing that could be turned into it."""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_FLAGS = {"true": True, "false": False}


def _moment_text(value: object) -> object:
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return value
    raise PydanticCustomError("moment", "Write the moment as in RFC 3339: 2026-03-02T09:00:00Z")


def _in_utc(moment: datetime) -> datetime:
    """Where the year would be 0 or 10000 in UTC: the first or last moment that there is."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return _FIRST if moment.year == 1 else _LAST


def _number_text(value: object) -> object:
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise PydanticCustomError("int_type", "not a whole number")
    return value


def _flag_text(value: object) -> object:
    if isinstance(value, str) and value not in _FLAGS:
        raise PydanticCustomError("bool_type", "neither true nor false")
    return value


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


Moment = Annotated[
    AwareDatetime, BeforeValidator(_moment_text, json_schema_input_type=AwareDatetime), AfterValidator(_in_utc)
]
"""An RFC 3339 date-time (§5.6), in UTC."""
AskedNumber = Annotated[int, BeforeValidator(_number_text, json_schema_input_type=int)]
"""A whole number in a query, in decimal digits."""
AskedFlag = Annotated[bool, BeforeValidator(_flag_text, json_schema_input_type=bool)]
"""true or false in a query."""
