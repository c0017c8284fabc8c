"""How a command ends: its exit code, and what it says on the way out.

To a person an error is a sentence and a list; to a program (standard error is no terminal) it is one JSON object in
the form of RFC 9457.
"""

import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from functools import partial
from typing import Any

from typer.core import TyperGroup
from typer.exceptions import Abort, TyperException

from homing.loop.problem import Fault, Problem
from homing.mail.text import clean

_LONGEST = 500


class ExitCode(IntEnum):
    """Stable: scripts may test them. 0 is success, 130 Ctrl-C."""

    OTHER = 1
    AUTH = 2
    """No key, a wrong one, or one that may not do this."""
    NOT_DELIVERED = 3
    """`send --wait`: not every delivery was delivered."""
    INPUT = 4
    """Options, settings or values that make no sense."""
    NOT_FOUND = 5
    NETWORK = 7
    """The gateway cannot be reached."""
    RATE = 8
    """Too much for now; the error says when to come back."""


_OF_STATUS = {
    401: ExitCode.AUTH,
    403: ExitCode.AUTH,
    404: ExitCode.NOT_FOUND,
    410: ExitCode.NOT_FOUND,
    429: ExitCode.RATE,
    502: ExitCode.NETWORK,
    504: ExitCode.NETWORK,
}


class Unsuccessful(Exception):  # noqa: N818 - it says what is the case
    """The command ends here. `request_id` is the gateway's, for whoever reads its log."""

    def __init__(self, exit_code: ExitCode, problem: Problem, request_id: str = "") -> None:
        super().__init__(problem.title)
        self.exit_code = exit_code
        self.problem = problem
        self.request_id = request_id


def unsuccessful(exit_code: ExitCode, code: str, title: str, detail: str = "") -> Unsuccessful:
    """A failure of the command line itself, not of the gateway."""
    return Unsuccessful(exit_code, Problem(status=0, code=code, title=title, detail=detail))


def bad_input(path: str, code: str, message: str) -> Unsuccessful:
    """One wrong value. `path` names the option, or is a JSON pointer into a file."""
    fault = Fault(path, code, message)
    title = "A value is not valid."
    return Unsuccessful(ExitCode.INPUT, Problem(status=0, code="invalid-input", title=title, faults=(fault,)))


def exit_code_of(status: int) -> ExitCode:
    """The exit code for an HTTP status code of 400 or more."""
    return _OF_STATUS.get(status, ExitCode.INPUT if status < 500 else ExitCode.OTHER)


@contextmanager
def importing() -> Iterator[None]:
    """While modules are imported, Ctrl-C ends the process at once: raised in the middle of an import it may come out as
    any other exception."""
    before = signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    try:
        with no_garbage_collection():
            yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """While modules are imported, no garbage is looked for, nor later among what they made, which stays until the end.
    That took a third of the time of a command that needs the gateway's modules."""
    enabled, known = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > known:
            gc.freeze()
        if enabled:
            gc.enable()


class Commands(TyperGroup):
    """The whole command line: whatever goes wrong below ends here, in one form."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        run = partial(super().main, args, prog_name, complete_var, False, windows_expand_args, **extra)
        return sys.exit(_ended(run)) if standalone_mode else run()


def _ended(run: Callable[[], Any]) -> int:
    try:
        return int(run() or 0)
    except Unsuccessful as end:
        _tell(end)
        return end.exit_code
    except TyperException as error:
        if error.format_message().strip():  # else the help was shown instead
            _tell(unsuccessful(ExitCode.INPUT, "usage", error.format_message()))
        return ExitCode.INPUT
    except Abort:
        return ExitCode.OTHER


def _tell(end: Unsuccessful) -> None:
    if sys.stderr.isatty():
        _tell_person(end)
    else:
        print(json.dumps(_document(end)), file=sys.stderr)


def _document(end: Unsuccessful) -> dict[str, Any]:
    problem = end.problem
    document: dict[str, Any] = {"code": problem.code, "title": problem.title, "exit_code": int(end.exit_code)}
    if problem.status:
        document["status"] = problem.status
    if problem.detail:
        document["detail"] = problem.detail
    if problem.faults:
        document["errors"] = [{"pointer": one.path, "code": one.code, "message": one.message} for one in problem.faults]
    if problem.retry_after is not None:
        document["retry_after"] = problem.retry_after
    if end.request_id:
        document["request_id"] = end.request_id
    return document


def _tell_person(end: Unsuccessful) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from homing.cli.output import lines

    problem, console = end.problem, Console(stderr=True)
    headline = Text.assemble(("error: ", "bold red"), clean(problem.title, _LONGEST), (f"  {problem.code}", "dim"))
    console.print(headline)
    if problem.faults:
        table = Table(box=None, show_header=False, padding=(0, 2))
        for one in problem.faults:
            table.add_row(Text(clean(one.path, 200), "bold"), lines(one.message), Text(one.code, "dim"))
        console.print(table)
    elif problem.detail:
        console.print(lines(problem.detail))
    if problem.retry_after is not None:
        seconds = "second" if problem.retry_after == 1 else "seconds"
        console.print(f"Try again in {problem.retry_after} {seconds}.")
    if end.request_id:
        console.print(Text(f"request {clean(end.request_id, 100)}", "dim"))
