"""How many questions an asker has under way at a DNS that does not answer."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from homing.lab.dns import DnsServer, Failing
from homing.net.dns import AS_PUBLISHED, Found, Resolver
from tests.patience import PATIENCE, until


def patient(server: DnsServer, places: int) -> Resolver:
    """A resolver that waits longer for an answer than any test."""
    return Resolver([server.address], keep=AS_PUBLISHED, timeout=2 * PATIENCE, allow_private=True).apart(places)


async def under_way(server: DnsServer, asking: Coroutine[Any, Any, object], silent: str, most: int) -> int:
    """The questions about what is silent that have come when a later one has. It is then left off."""
    server.failing[silent] = Failing.TIMEOUT
    server.asked.clear()
    task = asyncio.create_task(asking)
    await until(lambda: _about(server, silent) >= most)
    await Resolver([server.address], keep=AS_PUBLISHED).txt("marker.test")
    found = _about(server, silent)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return found


async def has_free_places(server: DnsServer, resolver: Resolver) -> bool:
    server.publish("answers.test", "MX 10 mx.answers.test")
    async with asyncio.timeout(PATIENCE):
        return isinstance(await resolver.mx("answers.test"), Found)


def _about(server: DnsServer, silent: str) -> int:
    return sum(f".{name}".endswith(f".{silent}") for name, _ in server.asked)
