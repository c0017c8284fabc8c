"""Test data that is not ours to carry, in HOMING_CORPORA, else in ../shared/corpora. What reads it is marked `corpora`.

Without the folder these tests are left out (tests/conftest.py). A module that is imported may ask `CORPORA` only for
what it can do without.
"""

import os
from pathlib import Path

_BESIDE = Path(__file__).resolve().parent.parent.parent / "shared" / "corpora"
CORPORA = Path(os.environ.get("HOMING_CORPORA") or _BESIDE)
