"""An audit is polite: so many domains at a time, so many a second, and no question twice."""

import asyncio
import time
from collections import Counter

from homing.flow.audit import Auditor
from homing.loop.audit import Audited
from homing.mail.dns_question import Answer, Ask, NoData
from homing.net.dns import Resolver


class Watched(Resolver):
    """Has no records, and knows how many of its questions waited at once."""

    def __init__(self) -> None:
        super().__init__([("127.0.0.1", 9)])
        self.waiting = self.most = 0
        self.asked: Counter[Ask] = Counter()

    async def records(self, ask: Ask) -> Answer[str]:
        self.asked[ask] += 1
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        await asyncio.sleep(0.001)
        self.waiting -= 1
        return NoData(server="127.0.0.1:9")


async def audited(resolver: Resolver, domains: int, **how: float) -> list[Audited]:
    found: list[Audited] = []
    auditor = Auditor(resolver=resolver, egress=(), suffix_of=None, **how)  # type: ignore[arg-type]
    await auditor.audit([f"d{number}.example.com" for number in range(domains)], found.append)
    return found


async def test_so_many_at_a_time() -> None:
    resolver = Watched()
    found = await audited(resolver, 200, at_once=7, pace=1e6)
    assert len({one.domain for one in found}) == 200
    assert resolver.most == 7  # each domain's questions follow one another


async def test_so_many_a_second() -> None:
    begun = time.monotonic()
    await audited(Watched(), 31, at_once=40, pace=100.0)
    assert time.monotonic() - begun >= 0.3


async def test_fewer_domains_than_hands() -> None:
    assert len(await audited(Watched(), 2)) == 2
    assert await audited(Watched(), 0) == []
