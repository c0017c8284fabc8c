"""The rules of the house, from the files beside `loop.rulebook`, which reads none itself."""

from importlib import resources

from homing.loop.rulebook import RULE_FILES, Rules, load_rules


def house_rules() -> Rules:
    folder = resources.files("homing.loop")
    return load_rules(*(folder.joinpath(name).read_text("utf-8") for name in RULE_FILES))
