"""The constants of a room, and the bugs that can be planted in them: see mutants.py."""

import ast
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "homing"
ROOMS = ("loop", "flow")
_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")
_TEXT = re.compile(r"[\w./+@-]{1,40}")
_Span = tuple[ast.expr, str, str]
"""What is replaced, by which text, and of which kind that is."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`path` is relative to homing/. `start`, `end`: octets of the file that `new` replaces."""

    path: str
    line: int
    name: str
    kind: str
    old: str
    new: str
    start: int
    end: int

    @property
    def at(self) -> str:
        return f"{self.path}:{self.name}"

    @property
    def change(self) -> str:
        return " -> ".join(" ".join(text.split())[:200] for text in (self.old, self.new))


def mutants_of(path: str, source: bytes) -> Iterator[Mutant]:
    """The mutants of one file, in its order."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for name, value, several in _constants(ast.parse(source)):
        for node, new, kind in _changes(value, leave_out=not several):
            start = starts[node.lineno - 1] + node.col_offset
            end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
            old = source[start:end].decode()
            yield Mutant(path, node.lineno, name, kind, old, new, start, end)


def _constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr, bool]]:
    """Name, value, and whether one statement binds several."""
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        names = [part.id for part in ast.walk(target) if isinstance(part, ast.Name)] if target else []
        value = getattr(node, "value", None)
        if names and value is not None and all(_CONSTANT.fullmatch(name) for name in names):
            yield ",".join(names), value, len(names) > 1
    for owner in ast.walk(tree):
        if isinstance(owner, ast.ClassDef):
            for field in owner.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.value is not None:
                    yield f"{owner.name}.{field.target.id}", field.value, False
        elif isinstance(owner, ast.FunctionDef | ast.AsyncFunctionDef):
            given = owner.args
            plain = [*given.posonlyargs, *given.args]
            pairs = list(zip(plain[::-1], given.defaults[::-1], strict=False))
            pairs += [pair for pair in zip(given.kwonlyargs, given.kw_defaults, strict=True) if pair[1]]
            for parameter, default in pairs:
                if _number(default) or isinstance(default, ast.Call):
                    yield f"{owner.name}.{parameter.arg}", default, False


def _number(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in {int, float}


def _changes(node: ast.expr, *, leave_out: bool = True) -> Iterator[_Span]:
    """What to do to a value."""
    if isinstance(node, ast.Constant):
        if _number(node):
            yield node, _smaller(node.value), "number"  # type: ignore[arg-type]
        elif isinstance(node.value, str) and _TEXT.fullmatch(node.value):
            yield node, repr(node.value + "x"), "text"
    elif isinstance(node, ast.UnaryOp):
        yield from _changes(node.operand)
    elif isinstance(node, ast.BinOp):
        sides = [span for side in (node.left, node.right) for span in _changes(side)]
        yield from sides[:1] if isinstance(node.op, ast.Mult) and _number(node.right) else sides
    elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"timedelta", "frozenset", "tuple"}:
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            yield from _changes(argument)
    elif isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict):
        yield from _changes_of_several(node, leave_out=leave_out)


def _changes_of_several(node: ast.expr, *, leave_out: bool) -> Iterator[_Span]:
    members = _members(node)
    if leave_out:
        yield from ((node, ast.unparse(_without(node, place)), "member") for place in range(len(members)))
    values: list[ast.expr] = node.values if isinstance(node, ast.Dict) else members
    for one in values:
        yield from (span for span in _changes(one) if span[2] != "text")


def _members(node: ast.expr) -> list[Any]:
    return node.keys if isinstance(node, ast.Dict) else node.elts  # type: ignore[attr-defined]


def _without(node: ast.expr, place: int) -> ast.expr:
    rest: Any = copy.deepcopy(node)
    del _members(rest)[place]
    if isinstance(rest, ast.Dict):
        del rest.values[place]
    return rest


def _smaller(number: float) -> str:
    if isinstance(number, float):
        return repr(number * 0.7 or 1.0)
    return repr(number + 1 if number < 3 else round(number * 0.7))


def all_mutants() -> list[Mutant]:
    files = [file for room in ROOMS for file in sorted((SOURCE / room).rglob("*.py"))]
    return [mutant for file in files for mutant in mutants_of(str(file.relative_to(SOURCE)), file.read_bytes())]
