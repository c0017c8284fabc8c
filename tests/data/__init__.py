"""Inputs that the repository carries: `hostile`, made to do harm; `rfc8463`, the signed example of that RFC;
`servers`, notices that mail servers sent about mail of ours, in a lab."""

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
HOSTILE_INPUTS = _FOLDER / "hostile"
RFC8463 = _FOLDER / "rfc8463"
SERVERS = _FOLDER / "servers"
