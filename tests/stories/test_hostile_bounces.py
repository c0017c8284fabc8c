"""Forged and malformed bounces, each to a delivery's own live envelope sender: it may change that delivery alone, and
only where it is a report about it."""

import re
import unicodedata

from tests.data import HOSTILE_INPUTS

from .gateway import Story, until

JANET, EVE = "janet@example.net", "eve@rival.net"

BOUNCED = (
    "ok",
    "ansi_diag",
    "bidi_diag",
    "crlf_diag_encoded",
    "csv_formula_diag",
    "diag_1MB_see_big",
    "no_status",
    "not_null_sender",
    "nested_dsn",
    "rcpts_5000",
    "status_bad",
    "status_lies",
    "xss_diag",
    "xss_reporting_mta",
)
EVENT_ONLY = {
    "arf_complaint_forged": "complained",  # it quotes nothing of ours: an event, and nobody is suppressed
    "bounce_of_bounce": "unexplained_return",  # it returns a message that was not this one
    "challenge_response": "autoresponded",
    "delayed": "deferred",
    "html_only": "bounced",  # words only, and they name nobody
    "other_message_id": "unexplained_return",
    "other_recipient": "forwarding_failed",
    "success_after_fail": "unexplained_return",
}


async def test_a_report_changes_its_own_delivery_and_nothing_else(story: Story) -> None:
    folder = HOSTILE_INPUTS / "bounce"
    assert {path.stem for path in folder.glob("*.eml")} == {*BOUNCED, *EVENT_ONLY}
    crm, rival = await story.application("crm"), await story.application("rival")
    await crm.person("Janet", JANET)
    await rival.person("Eve", EVE)
    site = story.world.mx("corp.com")
    victim = await rival.send(EVE, "victim@corp.com")
    await rival.becomes(victim, "delivered")
    other_id = str(site.inbox("victim@corp.com")[0].headers["Message-ID"]).strip("<>").encode()

    for name in (*BOUNCED, *EVENT_ONLY):
        recipient = f"{name.replace('_', '-').lower()}@corp.com"
        sent = await crm.send(JANET, recipient)
        await crm.becomes(sent, "delivered")
        [mail] = site.inbox(recipient)
        raw = _filled((folder / f"{name}.eml").read_bytes(), mail, recipient, other_id)
        for _ in range(2):  # the same report twice
            assert (await story.world.writes("mailer-daemon@corp.com", mail.envelope_sender or "", raw)).accepted

        async def heard_twice(sent=sent) -> bool:
            delivery = (await crm.message(sent))["deliveries"][0]
            return bool(await story.app.database.read(_reports, delivery["id"]) == 2)

        await until(heard_twice)
        message = await crm.message(sent)
        types = [event["type"] for event in message["timeline"]]
        state = message["deliveries"][0]["state"]
        if name in BOUNCED:
            assert state == "bounced", name
            assert types.count("opened_case") == 1, name
        else:
            assert state == "delivered", name
            assert EVENT_ONLY[name] in types, name
            assert (message["deliveries"][0]["case"] is None) == (name != "other_recipient"), name
        assert not _hidden(str(message)), name

    assert await rival.states(victim) == ["delivered"]
    assert (await rival.call("GET", "/v1/suppressions")).json()["suppressions"] == []
    suppressed = (await crm.call("GET", "/v1/suppressions")).json()["suppressions"]
    assert suppressed, "a strong report of an unknown user takes the address out of use"
    assert {entry["address"] for entry in suppressed} <= {
        f"{name.replace('_', '-').lower()}@corp.com" for name in BOUNCED
    }


async def test_reports_beyond_the_first_five_are_counted_and_a_failure_is_heard_all_the_same(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet", JANET)
    site = story.world.mx("corp.com")
    sent = await crm.send(JANET, "john@corp.com")
    await crm.becomes(sent, "delivered")
    delivery = (await crm.message(sent))["deliveries"][0]["id"]

    async def counted(reports: int) -> None:
        async def so_many() -> bool:
            return bool(await story.app.database.read(_reports, delivery) == reports)

        await until(so_many)

    [mail] = site.inbox("john@corp.com")
    for number in range(6):
        raw = f"From: john@corp.com\r\nIn-Reply-To: <x>\r\nSubject: Re: {number}\r\n\r\nhello\r\n".encode()
        assert (await story.world.writes("john@corp.com", mail.envelope_sender or "", raw)).accepted
    await counted(6)  # mails are understood side by side, and the failure has to come after them
    ok = (HOSTILE_INPUTS / "bounce" / "ok.eml").read_bytes()
    late = _filled(ok, mail, "john@corp.com", b"none")
    assert (await story.world.writes(None, mail.envelope_sender or "", late)).accepted
    await counted(7)
    assert await crm.states(sent) == ["bounced"]
    assert (await crm.types_of(sent)).count("replied") == 5


def _filled(raw: bytes, mail, recipient: str, other_id: bytes) -> bytes:
    own_id = str(mail.headers["Message-ID"]).strip("<>").encode()
    raw = raw.replace(b"OTHER_TENANT_MID", other_id).replace(b"OUR_MID", own_id)
    raw = raw.replace(b"TOKEN", (mail.envelope_sender or "").encode()).replace(b"bob@b.example", recipient.encode())
    return raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _reports(conn, delivery: str) -> int:
    from uuid import UUID

    from homing.store import tables

    query = tables.delivery.select().where(tables.delivery.c.id == UUID(delivery.removeprefix("dlv_")))
    return int(conn.execute(query).one().reports)


def _hidden(text: str) -> list[str]:
    """Control and bidi characters, which no text of a stranger may carry further."""
    return [char for char in text if unicodedata.category(char) in {"Cc", "Cf"} or re.match("[\u2028\u2029]", char)]
