"""A dialogue gets its answers from the DNS, and comes to its verdict however many or slow they are."""

import asyncio

from homing.lab.dns import DnsServer, Failing
from homing.mail.dns_question import (
    Answer,
    Ask,
    Dialogue,
    Found,
    LookupFailed,
    LookupFault,
    NoData,
    NoSuchName,
    RecordType,
)
from homing.net.dns import AS_PUBLISHED, Resolver
from homing.net.dns_dialogue import OneAnswerEach, answer


def asking(*asks: Ask) -> Dialogue[list[Answer[str]]]:
    """Asks one after the other, and returns what it was told."""
    told = []
    for ask in asks:
        told.append((yield ask))
    return told


async def test_every_type_of_record_is_told_in_its_text() -> None:
    server = DnsServer()
    await server.start()
    server.publish("corp.com", "A 192.0.2.1", "AAAA 2001:db8::1", "MX 10 mx.corp.com.", 'TXT "v=spf1" " -all"')
    server.publish("1.2.0.192.in-addr.arpa", "PTR mx.corp.com.")
    resolver = Resolver([server.address], keep=AS_PUBLISHED)
    kinds = (RecordType.A, RecordType.AAAA, RecordType.MX, RecordType.TXT)
    asks = [Ask("corp.com", kind) for kind in kinds]
    told = await answer(asking(*asks, Ask("1.2.0.192.in-addr.arpa", RecordType.PTR)), resolver)
    assert [one.records for one in told if isinstance(one, Found)] == [
        ("192.0.2.1",),
        ("2001:db8::1",),
        ("10 mx.corp.com.",),
        ("v=spf1 -all",),
        ("mx.corp.com.",),
    ]
    told = await answer(asking(Ask("corp.com", RecordType.PTR), Ask("no.corp.com", RecordType.A)), resolver)
    assert [type(one) for one in told] == [NoData, NoSuchName]
    await server.close()


async def test_a_silent_server_takes_no_more_than_the_patience_for_all_questions() -> None:
    server = DnsServer(failing={"slow.com": Failing.TIMEOUT})
    await server.start()
    resolver = Resolver([server.address], keep=AS_PUBLISHED, timeout=60.0)
    began = asyncio.get_running_loop().time()
    asks = [Ask(f"{number}.slow.com", RecordType.TXT) for number in range(20)]
    told = await answer(asking(*asks), resolver, patience=0.2)
    assert asyncio.get_running_loop().time() - began < 30
    assert [one.why for one in told if isinstance(one, LookupFailed)] == [LookupFault.TIMEOUT] * 20
    await server.close()


async def test_no_dialogue_asks_for_ever() -> None:
    server = DnsServer()
    await server.start()
    resolver = Resolver([server.address], keep=AS_PUBLISHED)
    asks = [Ask(f"{number}.corp.com", RecordType.TXT) for number in range(20)]
    told = await answer(asking(*asks), resolver, most=5)
    assert len(server.asked) == 5
    assert [type(one) for one in told] == [NoSuchName] * 5 + [LookupFailed] * 15
    await server.close()


class Turning:
    """A resolver that says something else each time, after a while."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.asked: list[Ask] = []
        self._seconds = seconds

    async def records(self, ask: Ask) -> Answer[str]:
        self.asked.append(ask)
        number = len(self.asked)
        await asyncio.sleep(self._seconds)
        return Found(records=(str(number),), server="here")


async def test_whoever_asks_again_hears_the_same() -> None:
    turning = Turning(0.01)
    once = OneAnswerEach(turning, 60.0)
    small, big, other = Ask("corp.com", RecordType.A), Ask("CORP.com", RecordType.A), Ask("corp.com", RecordType.AAAA)
    told = await asyncio.gather(
        *(answer(asking(small, big, small), once) for _ in range(3)), answer(asking(other), once)
    )
    assert [[one.records for one in answers if isinstance(one, Found)] for answers in told] == [
        *([[("1",)] * 3] * 3),
        [("2",)],
    ]
    assert turning.asked == [small, other]
    await once.close()


async def test_what_comes_too_late_is_never_told() -> None:
    turning = Turning(60.0)
    once = OneAnswerEach(turning, 0.05)
    ask, late = Ask("corp.com", RecordType.A), Ask("corp.com", RecordType.MX)
    for told in (await answer(asking(ask), once), await answer(asking(ask, late), once)):
        assert {one.why for one in told if isinstance(one, LookupFailed)} == {LookupFault.TIMEOUT}
    assert turning.asked == [ask]
    await once.close()


async def test_the_same_question_is_not_asked_for_ever() -> None:
    told = await answer(asking(*[Ask("corp.com", RecordType.A)] * 500), Turning(), most=5)
    assert [type(one) for one in told] == [Found] * 100 + [LookupFailed] * 400
