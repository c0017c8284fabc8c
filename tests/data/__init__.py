"""Inputs that the repository carries: `hostile`, made to do harm; `rfc8463`, the signed example of that RFC."""

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
HOSTILE_INPUTS = _FOLDER / "hostile"
RFC8463 = _FOLDER / "rfc8463"
