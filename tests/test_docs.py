"""The documentation says what the code does: generated pages are current, and nothing is left unsaid."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from homing.cli.docs import pages
from homing.config import Settings
from homing.loop import request
from homing.loop.domains import identity
from homing.loop.domains.impersonation import Claim
from homing.loop.model import EventType, Identity, State
from homing.store.tables import metadata

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
WORD = re.compile(r"`([^`\n]+)`")


def said(*names: str) -> set[str]:
    return {word for name in names for word in WORD.findall((DOCS / name).read_text())}


@pytest.mark.parametrize("name", pages())
def test_a_generated_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text() == pages()[name](), "write it again: make docs"


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
    assert set(Settings.model_fields) <= said("settings.md")


def test_every_event_state_and_column_is_a_word() -> None:
    columns = {column.name for table in metadata.tables.values() for column in table.columns}
    assert columns | set(EventType) | set(State) <= said("words.md", "states.md")


def test_every_reason_of_an_identity_is_explained() -> None:
    reasons = {value for name, value in vars(identity).items() if name.isupper() and isinstance(value, str)}
    assert len(reasons) >= 9
    explained = {word.removesuffix("=…") for word in said("words.md")}
    assert reasons | set(Claim) <= explained


def test_names_that_clients_write_and_read_are_explained() -> None:
    defaults = {cls: {field.name: field.default for field in fields(cls)} for cls in (Identity, request.MessageRequest)}
    names = {request.LETTERS, defaults[Identity]["reply_route"], defaults[request.MessageRequest]["stream"]}
    assert names <= said("words.md")


def test_every_page_and_decision_can_be_found_from_the_index() -> None:
    linked = {target for name in ("README.md", "tour.md") for target in LINK.findall((DOCS / name).read_text())}
    there = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {"README.md"}
    assert there - linked == set()


def test_every_link_leads_somewhere() -> None:
    texts = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
    dead = [
        f"{text.relative_to(ROOT)}: {target}"
        for text in texts
        for target in LINK.findall(text.read_text())
        if not (text.parent / target).exists()
    ]
    assert dead == []


def test_every_dependency_has_its_sentence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {name for requirement in project["dependencies"] if (name := re.match(r"[a-z0-9-]+", requirement)[0])}
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (.+?) \| (.+?) \|$", (DOCS / "dependencies.md").read_text(), re.MULTILINE)
    assert {name for name, _, _ in rows} == wanted
    assert [name for name, licence, _ in rows if re.search(r"\bA?GPL", licence)] == []


def test_the_licence_is_the_one_that_we_name() -> None:
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License" in licence
    assert "Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence


def test_every_file_that_the_tour_names_is_there() -> None:
    named = {word for word in said("tour.md") if re.fullmatch(r"(?:src|tests|docs|benchmarks)/[\w./*-]+", word)}
    assert named
    assert [path for path in named if not list(ROOT.glob(path.rstrip("/")))] == []
