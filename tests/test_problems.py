"""docs/problems.md lists every stable code that a program may meet, and none that is gone."""

import ast
import itertools
import re
from pathlib import Path

from homing.loop.domains.impersonation import Claim

ROOT = Path(__file__).resolve().parent.parent
CODE = re.compile(r"[a-z][a-z0-9]*(?:-[a-z]+)+")
PAGE = ROOT / "docs" / "problems.md"
FLOORS = ("mail", "loop", "flow", "store", "net", "doors")
MAKERS = {"Fault", "AddressError", "ExportError", "refused", "share_taken"}
INSIDE = {"mail/compose.py", "mail/departure_check.py", "mail/header.py", "net/sms.py"}
"""Where codes tell of our own mistakes, or are a provider's."""
NEVER_ASKED = {"message-id-invalid"}
"""No door lets a caller choose a Message-ID."""


def codes_in(source: str) -> set[str]:
    """Texts that stand right before a sentence, as `code=`, or in what makes a fault."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(args=parts, keywords=keywords):
                found |= {_text(one.value) for one in keywords if one.arg == "code"}
                if isinstance(node.func, ast.Name) and node.func.id in MAKERS:
                    found |= {_text(part) for part in parts}
            case ast.Tuple(elts=parts):
                pass
            case _:
                continue
        found |= {_text(before) for before, after in itertools.pairwise(parts) if _is_sentence(after)}
    return {code for code in found if CODE.fullmatch(code)}


def _text(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _is_sentence(node: ast.AST) -> bool:
    pieces = node.values if isinstance(node, ast.JoinedStr) else [node]
    return bool(re.match(r'[A-Z"].* ', "".join(map(_text, pieces))))


def codes() -> set[str]:
    house = ROOT / "src" / "homing"
    paths = [path for floor in FLOORS for path in (house / floor).rglob("*.py")]
    found = {"reply-to-unproved", "request-refused", "value-invalid", *(claim.value for claim in Claim)}
    for path in paths:
        if str(path.relative_to(house)) not in INSIDE:
            found |= codes_in(path.read_text())
    return found - NEVER_ASKED


def test_the_page_lists_what_there_is() -> None:
    listed = re.findall(r"^\| `([a-z0-9-]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(set(listed))
    assert set(listed) == codes()


def test_the_search_finds_codes_and_no_other_texts() -> None:
    source = """
Fault("/x", "text-too-long", f"At most {n} characters.")
refused(404, "not-found", "There is no such thing.")
Problem(status=1, code="daily-cap", title=f"At most {n}.")
[("hidden-one", "The invisible one is.")]
Fault("/x", "step-order", message)
print("content-type", "text/plain")
"""
    assert codes_in(source) == {"text-too-long", "not-found", "daily-cap", "hidden-one", "step-order"}
