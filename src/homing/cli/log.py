"""The log on standard error: a line for each event, JSON for programs, colours for a person.

A bug has an id, which is the same wherever it strikes again. Programs get its traceback too; a person gets what it is
and where, on the same line, and the traceback where he asks for it (`HOMING_LOG_TRACEBACKS`).
"""

import hashlib
import sys
import traceback
from collections.abc import MutableMapping
from pathlib import PurePath
from types import TracebackType
from typing import Any

import structlog

_Event = MutableMapping[str, Any]
_LONGEST = 200


def log_to_stderr(*, tracebacks: bool = False) -> None:
    """`tracebacks`: to a person as well."""
    person = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            in_a_line,
            *([] if tracebacks or not person else [without_traceback]),
            *([renderer] if person else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )


def in_a_line(_: object, __: str, event: _Event) -> _Event:
    """What broke, where, and the id of that."""
    error = _error(event.get("exc_info"))
    if error is None:
        return event
    words = " ".join(str(error).split())
    kind = type(error).__name__
    places = _places(error.__traceback__)
    told = {
        "error": f"{kind}: {words[:_LONGEST]}" if words else kind,
        "at": places[-1] if places else "",
        "exception_id": hashlib.blake2b("\n".join((kind, *places)).encode(), digest_size=4).hexdigest(),
    }
    return {**event, **told}


def without_traceback(_: object, __: str, event: _Event) -> _Event:
    return {name: value for name, value in event.items() if name != "exc_info"}


def _error(given: object) -> BaseException | None:
    match given:
        case BaseException():
            return given
        case (_, BaseException() as error, _):
            return error
        case True:
            return sys.exception()
        case _:
            return None


def _places(trace: TracebackType | None) -> list[str]:
    """Where it went through our own code, outermost first; through others' where it never was in ours."""
    frames = traceback.extract_tb(trace)
    ours = [frame for frame in frames if "homing" in PurePath(frame.filename).parts]
    return [f"{_short(frame.filename)}:{frame.lineno}" for frame in ours or frames]


def _short(filename: str) -> str:
    parts = PurePath(filename).parts
    return "/".join(parts[-3:]) if "homing" not in parts else "/".join(parts[_last(parts, "homing") + 1 :])


def _last(parts: tuple[str, ...], wanted: str) -> int:
    return len(parts) - 1 - parts[::-1].index(wanted)
