"""Where the test data lives that is not ours to carry: HOMING_CORPORA, else ../shared/corpora."""

import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parent.parent


def corpora_path(*parts: str) -> Path:
    """A file or folder of the corpora; skips the test where they are absent, except in CI."""
    base = Path(os.environ.get("HOMING_CORPORA", _ROOT.parent / "shared" / "corpora"))
    path = base.joinpath(*parts)
    if not path.exists():
        sentence = f"test data not found: set HOMING_CORPORA to a folder that holds {'/'.join(parts)}"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence, allow_module_level=True)
    return path
