"""docs/words.md holds every word of the house, and the house bears no word that the page advises against.

Every identifier in `src` is read, word by word. Each word is either explained on the page, or a plain English word or a
standard term of the field that `tests/vocabulary.txt` lists: whoever brings in a new one decides which it is.
"""

import ast
import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import pytest

from homing.loop import evidence, model
from homing.loop.letters.phrases import CLASSES, NOT_FAILURES
from homing.mail.reply import Stage
from homing.store.tables import metadata

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "homing"
VOCABULARY = Path(__file__).with_name("vocabulary.txt")

PAGE = (ROOT / "docs" / "words.md").read_text()
SAID = set(re.findall(r"`([^`]+)`", PAGE))
_ROWS = [line.split("|") for line in PAGE.splitlines() if line.startswith("| `") and line.count("|") == 5]
ADVISED_AGAINST = {word for row in _ROWS for word in re.findall(r"`([^`]+)`", row[4]) if row[4].strip()[0] != "("}

STORED = {"SHARED_TENANT"}
"""Names of stored values, which stay as they are."""


def section(title: str) -> list[list[str]]:
    """The rows of a table of the page: the cells of each."""
    lines = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    assert rows, f"docs/words.md has no table {title!r}"
    return rows


def words_of(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def words_in(identifier: str) -> list[str]:
    """`_HostProbe` → host, probe; `envelope_sender` → envelope, sender."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", identifier)
    spaced = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", spaced)
    return [word.lower() for word in spaced.split("_") if word and not word.isdigit()]


def names_in(tree: ast.AST) -> Iterator[str]:
    """Every name that a module gives to something."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.alias(asname=str(name)):
                yield name


def modules() -> dict[Path, ast.Module]:
    paths = (path for path in sorted(SOURCE.rglob("*.py")) if "versions" not in path.parts)
    return {path: ast.parse(path.read_text("utf-8")) for path in paths}


TREES = modules()


def identifiers() -> dict[str, set[str]]:
    """Every identifier of `src`, and the files in which it is given."""
    found: dict[str, set[str]] = defaultdict(set)
    for path, tree in TREES.items():
        place = str(path.relative_to(SOURCE))
        for name in (path.stem, path.parent.name, *names_in(tree)):
            found[name].add(place)
    return found


IDENTIFIERS = identifiers()
USED = {word for name in IDENTIFIERS for word in words_in(name)}
OWN = {word for row in section("Words of our own") for term in words_of(row[0]) for word in words_in(term)}
GONE = {word: row[1] for row in section("Words that went") for word in words_of(row[0])}


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


def test_no_identifier_holds_a_word_that_went() -> None:
    """`=word`: only as a whole identifier; it may be part of a longer one."""
    for gone, instead in GONE.items():
        alone = gone.startswith("=")
        holding = {
            name: places
            for name, places in IDENTIFIERS.items()
            if name not in STORED and (name.strip("_") == gone[1:] if alone else gone in words_in(name))
        }
        assert not holding, f"instead of {gone.strip('=')!r} say {instead}"


def test_every_word_of_an_identifier_is_explained_or_plain() -> None:
    plain = set(VOCABULARY.read_text("utf-8").split())
    new = {word: sorted(name for name in IDENTIFIERS if word in words_in(name)) for word in USED - plain - OWN}
    assert not new, (
        "A word of the field or plain English goes into tests/vocabulary.txt, a word of our own into the table "
        f"'Words of our own' of docs/words.md; a private metaphor is replaced: {new}"
    )


def test_the_lists_hold_no_word_that_nobody_uses() -> None:
    plain = VOCABULARY.read_text("utf-8").split()
    assert plain == sorted(plain)
    assert not set(plain) - USED, "take them out of tests/vocabulary.txt"
    assert not set(plain) & OWN, "they are explained in docs/words.md"
    assert not OWN - USED, "take them out of 'Words of our own'"


def test_no_text_names_a_class() -> None:
    """A class is renamed, and with it a word in a sentence that people read."""
    names = {name for tree in TREES.values() for name in classes_of(tree) if re.search("[a-z][A-Z]", name)}
    for path, tree in TREES.items():
        for text in texts_in(tree):
            assert not names & set(re.findall(r"\w+", text)), f"{path}: {text}"


def texts_in(tree: ast.Module) -> Iterator[str]:
    """Sentences for people: neither docstrings nor annotations."""
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in told else None
        if isinstance(text, str) and " " in text and not re.search(r"[][|]", text):
            yield text


def classes_of(tree: ast.Module) -> set[str]:
    return {node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")}


CLASSES_IN = {
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts): classes_of(TREES[path]) for path in TREES
}


def test_no_file_sees_two_classes_of_one_name() -> None:
    for path, tree in TREES.items():
        seen = {name: {"here"} for name in classes_of(tree)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                for name in CLASSES_IN.get(module, {alias.name} & CLASSES_IN.get(node.module, set())):
                    seen.setdefault(name, set()).add(module if module in CLASSES_IN else node.module)
        twice = {name: places for name, places in seen.items() if len(places) > 1}
        assert not twice, f"{path.relative_to(SOURCE)} sees two classes of one name"
