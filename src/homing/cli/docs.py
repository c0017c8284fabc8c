"""`homing docs`: write the pages that are made from the code."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from homing.cli.output import show


def docs(
    folder: Annotated[Path, typer.Option(help="Where the pages stand.", exists=True, file_okay=False)] = Path("docs"),
) -> None:
    """Write the generated pages of the documentation anew."""
    written = []
    for name, page in pages().items():
        (folder / name).write_text(page(), "utf-8")
        written.append(str(folder / name))
    show({"written": written}, lambda: "\n".join(written))


def pages() -> Mapping[str, Callable[[], str]]:
    """Each generated page, by its file's name."""
    from homing.cli.reference_pages import commands_page, settings_page
    from homing.doors.api.reference import api_page
    from homing.loop.doctor.page import doctor_page
    from homing.loop.letters.failures_page import failures_page
    from homing.loop.letters.states_page import states_page

    return {
        "api.md": api_page,
        "cli.md": commands_page,
        "doctor.md": doctor_page,
        "failures.md": failures_page,
        "settings.md": settings_page,
        "states.md": states_page,
    }
