"""docs/words.md holds every word of the house, and the house bears no word that the page advises against."""

import dataclasses
import re
from enum import StrEnum
from pathlib import Path

import pytest

from homing.loop import evidence, model
from homing.loop.letters.phrases import CLASSES, NOT_FAILURES
from homing.mail.reply import Stage
from homing.store.tables import metadata

PAGE = (Path(__file__).parents[1] / "docs" / "words.md").read_text()
SAID = set(re.findall(r"`([^`]+)`", PAGE))
_ROWS = [line.split("|") for line in PAGE.splitlines() if line.startswith("| `") and line.count("|") == 5]
ADVISED_AGAINST = {word for row in _ROWS for word in re.findall(r"`([^`]+)`", row[4]) if row[4].strip()[0] != "("}


def enums() -> list[type[StrEnum]]:
    found = [thing for room in (model, evidence) for thing in vars(room).values() if isinstance(thing, type)]
    return [Stage, *(thing for thing in dict.fromkeys(found) if issubclass(thing, StrEnum) and thing is not StrEnum)]


@pytest.mark.parametrize("enum", enums(), ids=lambda enum: enum.__name__)
def test_every_value_of_ours_is_a_word(enum: type[StrEnum]) -> None:
    assert {member.value for member in enum if member.value} <= SAID


def test_every_class_and_table_is_a_word() -> None:
    assert CLASSES | NOT_FAILURES.keys() <= SAID
    assert set(metadata.tables) <= SAID


def test_nothing_is_called_what_the_page_advises_against() -> None:
    columns = {column.name for table in metadata.tables.values() for column in table.columns}
    nouns = [thing for room in (model, evidence) for thing in vars(room).values() if dataclasses.is_dataclass(thing)]
    fields = {field.name for noun in nouns for field in dataclasses.fields(noun)}
    assert ADVISED_AGAINST
    assert not (columns | fields) & ADVISED_AGAINST
