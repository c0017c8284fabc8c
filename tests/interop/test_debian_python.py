"""Debian's own Python, which is often older than the one that runs these tests."""

import subprocess
from pathlib import Path

import idna

SITE_PACKAGES = Path(idna.__file__).parent.parent
SOURCE = Path(__file__).parents[2] / "src"

COMPOSES = """
from datetime import UTC, datetime
from homing.mail.address import parse_address
from homing.mail.compose import Attachment, Draft, Mailbox, check_composed, compose, front

janet, john = (parse_address(f"{name}@corp.com") for name in ("janet", "john"))
new_year = datetime(2026, 1, 1, tzinfo=UTC)
what = dict(subject="Grüße", to=(Mailbox("John", john),), date=new_year, message_id="<1@corp.com>")
files = (Attachment("a.pdf", "application/pdf", b"%PDF", None),)
for more in ({"text": "x"}, {"text": "x", "html": "<p>x</p>"}, {"text": "x", "attachments": files}):
    check_composed(front(janet, "Janet", None, "trace") + compose(Draft(**what, **more)))
print("all went out")
"""


def test_every_kind_of_message_passes_the_last_check() -> None:
    run = subprocess.run(
        ["/usr/bin/python3", "-c", COMPOSES],
        env={"PYTHONPATH": f"{SOURCE}:{SITE_PACKAGES}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.stdout == "all went out\n", run.stderr
