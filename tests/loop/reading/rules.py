"""The rules as the program reads them, for tests that read mail."""

from pathlib import Path

import homing
from homing.flow.rules import reading_rules
from homing.loop.reading.rulebook import RULE_FILES

RULES_TEXTS = [(Path(homing.__file__).parent / "loop" / "reading" / name).read_text("utf-8") for name in RULE_FILES]
RULES_TEXT = "\n".join(RULES_TEXTS)
RULES = reading_rules()
