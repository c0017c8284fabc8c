"""No door takes the descriptors of another one."""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from homing.app.descriptors import BACKLOG, DNS, MX, OWN, Places, shared


@pytest.mark.parametrize(
    ("descriptors", "http", "deliveries", "found"),
    [
        (65_536, 1000, 200, Places(http=1000, mx=500)),
        (65_536, 50_000, 200, Places(http=50_000, mx=500)),
        (2_800, 1000, 200, Places(http=992, mx=496)),
        (1_024, 1000, 200, Places(http=104, mx=52)),
        (1_024, 100, 200, Places(http=100, mx=54)),
        (256, 1000, 5000, Places(http=16, mx=16)),
    ],
)
def test_where_descriptors_are_few_the_mx_door_has_half_of_them(
    descriptors: int, http: int, deliveries: int, found: Places
) -> None:
    assert shared(descriptors, http=http, deliveries=deliveries) == found
    if found.http > 16:
        assert found.http + 2 * found.mx + OWN + DNS + BACKLOG + 2 * deliveries <= descriptors
    assert found.mx <= MX


SERVE = """
import asyncio, resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 500))
from homing.app import build
from homing.config import Settings

async def serve():
    settings = Settings(
        operator_domain="operator.example", data_dir=Path(sys.argv[1]), http_port=0, smtp_port=0, deliveries_at_once=10
    )
    async with build(settings).running() as app:
        print(app.http_port, app.smtp_port, flush=True)
        await asyncio.Event().wait()

asyncio.run(serve())
"""


@pytest.mark.slow
async def test_mail_comes_in_however_many_stand_at_the_http_door(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE, str(tmp_path), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        ports: list[int] = []
        while len(ports) != 2:
            words = (await asyncio.wait_for(process.stdout.readline(), 60)).split()
            ports = [int(word) for word in words if word.isdigit()] if len(words) == 2 else []
        http, smtp = ports
        async with AsyncExitStack() as stack:
            for _ in range(500):
                _, writer = await asyncio.open_connection("127.0.0.1", http)
                stack.callback(writer.close)
                writer.write(b"POST /v1/messages HTTP/1.1\r\nContent-Le")
            await asyncio.sleep(0.5)
            reader, writer = await asyncio.open_connection("127.0.0.1", smtp)
            stack.callback(writer.close)
            assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"220 ")
    finally:
        process.kill()
        await process.wait()
