"""What fields and parameters are made of: each takes its own type, and nothing that could be turned into it."""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
UNKNOWN_FIELDS = 20
"""Unknown fields of an object that are told one by one."""
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
    """An object without other fields than its own. Each other one is told of, but for a multitude, which is told at
    once: nobody writes it by mistake, and every fault takes time."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _of_few_fields(cls, value: object) -> object:
        if isinstance(value, dict) and len(value) > len(cls.model_fields) + UNKNOWN_FIELDS:
            raise PydanticCustomError("unknown_fields", "many unknown fields")
        return value


Moment = Annotated[
    AwareDatetime, BeforeValidator(_moment_text, json_schema_input_type=AwareDatetime), AfterValidator(_in_utc)
]
"""An RFC 3339 date-time (§5.6), in UTC."""
AskedNumber = Annotated[int, BeforeValidator(_number_text, json_schema_input_type=int)]
"""A whole number in a query, in decimal digits."""
AskedFlag = Annotated[bool, BeforeValidator(_flag_text, json_schema_input_type=bool)]
"""true or false in a query."""
