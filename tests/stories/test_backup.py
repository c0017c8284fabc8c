"""A backup as the runbook makes it, while mail flows, and a gateway that starts from it."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

from homing.app import build

from .gateway import Application, a_story, settings_in

VACUUM = (
    "import sys, homing.store.sqlite as s; s.driver().connect(sys.argv[1]).execute('VACUUM INTO ?', (sys.argv[2],))"
)


def back_up(data: Path, target: Path) -> None:
    """By another process, as `sqlite3` would do it, and the files beside the database."""
    shutil.copytree(data, target, ignore=shutil.ignore_patterns("homing.db*"))
    command = [sys.executable, "-W", "ignore", "-c", VACUUM, str(data / "homing.db"), str(target / "homing.db")]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})


async def test_what_was_accepted_before_a_backup_is_in_it(tmp_path: Path) -> None:
    async with a_story(tmp_path) as story:
        crm = await story.application()
        await crm.person("Joe", "joe@acme.com")
        story.world.mx("friend.com")
        sent = [await crm.send("joe@acme.com", "ann@friend.com") for _ in range(10)]
        sending = asyncio.create_task(_send_on(crm))
        backup = tmp_path / "backup"
        await asyncio.to_thread(back_up, story.app.settings.data_dir, backup / "homing")
        sending.cancel()
        after = await crm.send("joe@acme.com", "ann@friend.com")
        await crm.becomes(after, "delivered")

        restored = build(settings_in(story.world, backup), story.clock)
        async with restored.running():
            story.http.base_url = f"http://127.0.0.1:{restored.http_port}"
            for one in sent:
                assert (await crm.message(one))["id"] == one["id"]
            new = await crm.send("joe@acme.com", "ann@friend.com")
            await crm.becomes(new, "delivered")
            missing = await crm.call("GET", f"/v1/messages/{after['id']}")
            assert missing.status_code == 404


async def _send_on(crm: Application) -> None:
    while True:
        await crm.send("joe@acme.com", "ann@friend.com")
