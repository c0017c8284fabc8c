"""The rules as the program reads them, for tests that read mail."""

from pathlib import Path

import homing
from homing.loop.reading.rulebook import RULE_FILES, load_rules

RULES_TEXTS = [(Path(homing.__file__).parent / "loop" / "reading" / name).read_text("utf-8") for name in RULE_FILES]
RULES_TEXT = "\n".join(RULES_TEXTS)
RULES = load_rules(*RULES_TEXTS)
