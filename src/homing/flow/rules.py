"""The reading rules, loaded from the files beside `loop.reading.rulebook`, which reads no file itself."""

from functools import cache
from importlib import resources

from homing.loop.reading.rulebook import RULE_FILES, Rules, load_rules


@cache
def reading_rules() -> Rules:
    """Read and compiled once, at the first call."""
    folder = resources.files("homing.loop.reading")
    return load_rules(*(folder.joinpath(name).read_text("utf-8") for name in RULE_FILES))
