"""Speaks to a person at a terminal; JSON when the output is not a terminal."""


def main() -> None:
    """Entry point of `homing`."""
