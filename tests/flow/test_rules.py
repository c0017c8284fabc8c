"""The rules of the house are read whole, and once."""

import re

from homing.flow.rules import reading_rules
from homing.loop.reading.rulebook import RULE_FILES
from tests.loop.reading.rules import RULES_TEXTS


def test_no_file_is_left_out() -> None:
    known = set(reading_rules().ids)
    for name, text in zip(RULE_FILES, RULES_TEXTS, strict=True):
        wanted = set(re.findall(r'^id = "(.+)"$', text, re.MULTILINE))
        assert wanted, name
        assert wanted <= known, name


def test_they_are_compiled_once() -> None:
    assert reading_rules() is reading_rules()
