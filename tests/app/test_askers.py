"""Who asks the DNS for one purpose keeps nobody waiting who asks for another."""

import asyncio
from dataclasses import fields

from homing.app.descriptors import DNS
from homing.app.shared import CALLS, Askers
from homing.lab.dns import DnsServer, Failing
from homing.net.dns import AS_PUBLISHED, Resolver
from tests.patience import until

DELIVERIES = 5


async def test_each_kind_of_asker_has_places_of_its_own() -> None:
    """Together as many as there are descriptors for them: `DNS`, beside those of deliveries and calls."""
    server = DnsServer(failing={"silent.com": Failing.TIMEOUT})
    await server.start()
    askers = Askers.of(Resolver([server.address], keep=AS_PUBLISHED, timeout=60), DELIVERIES)
    kinds = [field.name for field in fields(Askers)]
    asking = [
        asyncio.create_task(getattr(askers, kind).txt(f"{kind}{number}.silent.com"))
        for kind in kinds
        for number in range(DNS)
    ]
    try:
        all_places = DELIVERIES + CALLS + DNS
        await until(lambda: len(server.asked) >= all_places)
        await Resolver([server.address], keep=AS_PUBLISHED).txt("marker.com")
        assert [name for name, _ in server.asked if "silent" not in name] == ["marker.com"]
        assert len(server.asked) == all_places + 1
        assert all(any(name.startswith(kind) for name, _ in server.asked) for kind in kinds)
    finally:
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        for kind in kinds:
            getattr(askers, kind).close()
        await server.close()
