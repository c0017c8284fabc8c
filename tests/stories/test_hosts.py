"""A recipient's domain has several hosts, and each says something or nothing. It is all kept; none may hold us long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from structlog.testing import capture_logs

from .gateway import Application, Story, until

JANET, JOHN = "janet@example.net", "john@corp.com"
NOBODY = "127.0.8.1"
"""Nothing listens at this address of ours."""


async def _janets(story: Story) -> Application:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    return crm


def _hosts(story: Story, *hosts: str) -> None:
    """The exchanges of corp.com, in this order; a host `ip` is named mx<number>.corp.com."""
    dns = story.world.dns
    dns.publish("corp.com", *(f"MX {number}0 mx{number}.corp.com" for number, _ in enumerate(hosts, 1)))
    for number, ip in enumerate(hosts, 1):
        dns.publish(f"mx{number}.corp.com", f"A {ip}")


def _ip_of(story: Story, domain: str) -> str:
    (record,) = story.world.dns.zones[f"mx.{domain}"]
    return record.removeprefix("A ")


async def _attempts(crm: Application, sent: dict[str, Any]) -> list[dict[str, Any]]:
    (delivery,) = (await crm.message(sent))["deliveries"]
    return list(delivery["attempts"])


@asynccontextmanager
async def _server(story: Story, *answers: str, ip: str = "127.0.8.2") -> AsyncIterator[str]:
    """A host that says this much, answer by answer, and then nothing more. Its address."""
    silent = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            writer.write(f"{answer}\r\n".encode())
            await reader.readline()
        await silent.wait()
        writer.transport.abort()

    server = await asyncio.start_server(serve, ip, story.world.smtp_port)
    try:
        yield ip
    finally:
        silent.set()
        server.close()


# -- evidence of hosts that were passed over ---------------------------------------------------------------------------


async def test_what_each_host_said_is_kept_though_the_last_one_took_it(story: Story) -> None:
    crm = await _janets(story)
    good = story.world.mx("corp.com")
    async with _server(story, "220 hello", "250 hello", "250 go on", "421 4.3.2 Too busy, come again") as busy:
        _hosts(story, NOBODY, busy, _ip_of(story, "corp.com"))
        sent = await crm.send(JANET, JOHN)
        await crm.becomes(sent, "delivered")
    assert len(good.mails) == 1
    first, second, third = await _attempts(crm, sent)
    assert (first["host"], first["ip"], first["stage"]) == ("mx1.corp.com", NOBODY, "connect")
    assert (first["reply_code"], first["text"]) == (None, "refused")
    assert (second["host"], second["stage"], second["reply_code"]) == ("mx2.corp.com", "rcpt_to", 421)
    assert second["text"] == "Too busy, come again"
    assert second["verdict"]["reply_code"] == 421
    assert (third["host"], third["stage"], third["reply_code"]) == ("mx3.corp.com", "dot", 250)
    assert [one["number"] for one in (first, second, third)] == [1, 1, 1]
    assert (first["dialogue"], third["dialogue"]) == (None, None), "nothing was said; all was well"
    said = second["dialogue"].splitlines()
    assert said[0].startswith("= connected to mx2.corp.com [127.0.8.2]:")
    assert said[-2].startswith(f"> RCPT TO:<{JOHN}>")
    assert said[-1] == "< 421 4.3.2 Too busy, come again"
    assert {one["receiver"] for one in (first, second, third)} == {"corp.com"}
    assert [one["egress_ip"] for one in (first, second, third)] == ["", "127.0.0.1", "127.0.0.1"]
    assert not any(one["in_doubt"] or one["ended_at"] is None for one in (first, second, third))
    assert await _counted(story) == [1], "three hosts, one attempt"


async def test_a_try_in_which_no_host_could_be_talked_to_keeps_them_all(story: Story) -> None:
    crm = await _janets(story)
    _hosts(story, NOBODY, "127.0.8.3")
    sent = await crm.send(JANET, JOHN)
    await crm.becomes(sent, "deferred")
    assert [(one["host"], one["text"], one["number"]) for one in await _attempts(crm, sent)] == [
        ("mx1.corp.com", "refused", 1),
        ("mx2.corp.com", "refused", 1),
    ]
    story.advance(hours=1)
    await until(lambda: _numbers(crm, sent, [1, 1, 2, 2]))
    assert await _counted(story) == [2]


async def _numbers(crm: Application, sent: dict[str, Any], wanted: list[int]) -> bool:
    return [one["number"] for one in await _attempts(crm, sent)] == wanted


async def _counted(story: Story) -> list[int]:
    query = "SELECT attempts FROM delivery WHERE origin = 'api'"
    return await story.app.database.read(lambda conn: list(conn.exec_driver_sql(query).scalars()))


async def test_after_the_dot_no_other_host_is_asked(story: Story) -> None:
    """The first one may have it: whoever gave it to the second would make two of one."""
    crm = await _janets(story)
    story.world.mx("corp.com").closes_after_dot(JOHN)
    async with _server(story, "220 hello", "250 hello") as second:
        _hosts(story, _ip_of(story, "corp.com"), second)
        sent = await crm.send(JANET, JOHN)
        await crm.becomes(sent, "deferred")
        (attempt,) = await _attempts(crm, sent)
    assert (attempt["host"], attempt["stage"], attempt["text"], attempt["in_doubt"]) == (
        "mx1.corp.com",
        "dot",
        "closed",
        True,
    )


async def test_a_host_that_is_ourselves_is_passed_over_and_told(story: Story) -> None:
    story.world.dns.publish(story.app.settings.hostname, "A 127.0.0.1")
    crm = await _janets(story)
    story.world.mx("corp.com")
    _hosts(story, "127.0.0.1", _ip_of(story, "corp.com"))
    sent = await crm.send(JANET, JOHN)
    await crm.becomes(sent, "delivered")
    first, second = await _attempts(crm, sent)
    assert (first["host"], first["stage"], first["text"]) == ("mx1.corp.com", "route", "127.0.0.1 is our own address")
    assert (second["host"], second["stage"], second["reply_code"]) == ("mx2.corp.com", "dot", 250)
    assert [first["number"], second["number"]] == [1, 1]
    story.world.dns.publish("else.com", "MX 10 mx.else.com")
    story.world.dns.publish("mx.else.com", "A 127.0.0.1")
    sent = await crm.send(JANET, "mary@else.com")
    (delivery,) = (await crm.becomes(sent, "bounced"))["deliveries"]
    assert delivery["verdict"]["failure_class"] == "invalid_domain"


# -- no attempt lasts for ever -----------------------------------------------------------------------------------------


async def test_a_way_that_is_never_found_is_given_up(story: Story) -> None:
    crm = await _janets(story)
    story.app.deliverer.agent.longest = 0.2
    story.app.deliverer.agent.router = _Endless()  # type: ignore[assignment]
    sent = await crm.send(JANET, JOHN)
    await crm.becomes(sent, "deferred")
    (attempt,) = await _attempts(crm, sent)
    assert (attempt["stage"], attempt["text"], attempt["in_doubt"]) == ("connect", "deadline", False)


async def test_a_host_that_keeps_us_in_the_hall_is_given_up(story: Story) -> None:
    crm = await _janets(story)
    story.app.deliverer.agent.longest = 1
    async with _server(story, "220 hello") as ip:
        _hosts(story, ip, NOBODY)
        sent = await crm.send(JANET, JOHN)
        await crm.becomes(sent, "deferred")
    (attempt,) = await _attempts(crm, sent)
    assert (attempt["host"], attempt["stage"], attempt["text"]) == ("mx1.corp.com", "connect", "deadline")


async def test_before_the_dot_nothing_is_in_doubt(story: Story) -> None:
    crm = await _janets(story)
    story.app.deliverer.agent.longest = 2
    async with _server(story, "220 hello", "250 hello", "250 go on") as ip:
        _hosts(story, ip)
        sent = await crm.send(JANET, JOHN)
        message = await crm.becomes(sent, "deferred")
    (attempt,) = await _attempts(crm, sent)
    assert (attempt["stage"], attempt["text"], attempt["in_doubt"]) == ("rcpt_to", "deadline", False)
    assert message["deliveries"][0]["possibly_delivered"] is False
    assert all(host.ip != ip for host, _ in story.app.deliverer.agent.client._pools), "its connection is closed"


async def test_after_the_dot_it_is_in_doubt(story: Story) -> None:
    crm = await _janets(story)
    story.app.deliverer.agent.longest = 2
    story.world.mx("corp.com").is_slow(JOHN, 20)
    sent = await crm.send(JANET, JOHN)
    message = await crm.becomes(sent, "deferred")
    (attempt,) = await _attempts(crm, sent)
    assert (attempt["stage"], attempt["text"], attempt["in_doubt"]) == ("dot", "deadline", True)
    assert message["deliveries"][0]["possibly_delivered"] is True


class _Endless:
    async def route(self, domain: str) -> None:
        await asyncio.Event().wait()


# -- a result that no database takes -----------------------------------------------------------------------------------


async def test_a_result_that_can_never_be_written_is_not_tried_for_ever(story: Story) -> None:
    crm = await _janets(story)
    story.world.mx("corp.com").refuses(JOHN)
    never = "CREATE TRIGGER never BEFORE UPDATE ON attempt BEGIN SELECT RAISE(ABORT, 'never'); END"
    await story.app.database.write(lambda conn: conn.exec_driver_sql(never) and None)
    with capture_logs() as logs:
        await crm.send(JANET, JOHN)
        await until(lambda: any(one["event"] == "delivery attempt broke" for one in logs))
        await until(lambda: not story.app.deliverer._running)
    assert not any(one["event"] == "cannot write a result" for one in logs)
