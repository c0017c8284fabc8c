"""The rules as the program reads them, for tests that read mail."""

from pathlib import Path

import homing
from homing.loop.classify import load_rules

RULES_TEXT = (Path(homing.__file__).parent / "loop" / "rules.toml").read_text("utf-8")
RULES = load_rules(RULES_TEXT)
