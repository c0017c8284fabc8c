"""An operator hears that mail is refused because of us: once for each cause, and not of every refusal."""

from homing.flow.alarms import PAGE
from tests.stories.gateway import Application, Story, plain_text, until

JANET = "janet@example.net"
ADMINISTRATOR = "postmaster@acme-admin.com"
LISTED = "550 5.7.1 Your IP address is listed at a blocklist, see spamhaus.org"
SLOW = "421 4.7.0 [TSS04] Messages from 203.0.113.7 temporarily deferred due to unexpected volume"


async def alarms_of(story: Story) -> list[dict]:
    return list((await story.http.get("/v1/alarms", headers=story.administrator)).json()["alarms"])


async def refused(crm: Application, number: int) -> None:
    await crm.becomes(await crm.send(JANET, f"j{number}@corp.com", failure_policy="log"), "bounced")


async def test_one_letter_tells_of_a_cause_and_no_flood_follows(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    await crm.policy("log", {"kind": "log"})
    site = story.world.mx("acme-admin.com")
    story.world.mx("corp.com").refuses(None, LISTED)
    for number in range(4):
        await refused(crm, number)
    [letter] = await site.wait_for(ADMINISTRATOR)
    text = plain_text(letter)
    assert "reputation" in text
    assert "550 5.7.1 Your IP address is listed at a blocklist" in " ".join(text.split())
    assert f"{PAGE}\r\n" in text
    assert str(letter.headers["Auto-Submitted"]) == "auto-generated"

    story.world.mx("other.com").refuses(None, SLOW)
    await crm.becomes(await crm.send(JANET, "ann@other.com"), "deferred")
    [of_corp] = [one for one in await alarms_of(story) if one["cause"].endswith(" corp.com")]
    assert of_corp["times"] == 4
    assert of_corp["told_at"] is not None
    [of_other] = [one for one in await alarms_of(story) if one["cause"].endswith(" other.com")]
    assert of_other["told_at"] is None, "an hour has not passed"
    assert len(site.inbox(ADMINISTRATOR)) == 1

    story.advance(hours=1, minutes=1)
    _, second = await site.wait_for(ADMINISTRATOR, 2)
    assert "other.com" in plain_text(second)
    assert "corp.com" not in plain_text(second)


async def test_what_is_dealt_with_is_cleared(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    await crm.policy("log", {"kind": "log"})
    story.world.mx("acme-admin.com")
    story.world.mx("corp.com").refuses(None, LISTED)
    await refused(crm, 1)
    [alarm] = await until(lambda: alarms_of(story))
    gone = await story.http.delete("/v1/alarms", params={"cause": alarm["cause"]}, headers=story.administrator)
    assert gone.status_code == 204
    assert await alarms_of(story) == []
    assert "homing_alarms_standing" in (await story.http.get("/metrics", headers=story.administrator)).text


async def test_what_a_stranger_says_of_other_receivers_raises_no_alarm_about_them(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    site = story.world.mx("corp.com")
    await crm.becomes(await crm.send(JANET, "john@corp.com"), "delivered")
    [mail] = await site.wait_for("john@corp.com")
    for number in range(4):
        report = (
            "From: MAILER-DAEMON@corp.com\r\nSubject: Delayed\r\nMIME-Version: 1.0\r\n"
            "Content-Type: multipart/report; report-type=delivery-status; boundary=B\r\n\r\n"
            "--B\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.corp.com\r\n\r\n"
            "Final-Recipient: rfc822; john@corp.com\r\nAction: delayed\r\nStatus: 5.7.1\r\n"
            f"Remote-MTA: dns; mx.bank{number}.com\r\nDiagnostic-Code: smtp; {LISTED}\r\n\r\n--B--\r\n"
        )
        await story.world.writes(None, mail.envelope_sender or "", report.encode(), helo="mx.corp.com")

    async def read() -> bool:
        listed = await story.http.get("/v1/inbound", headers=story.administrator)
        return [one["state"] for one in listed.json()["inbound"]].count("done") == 4

    await until(read)
    causes = [one["cause"] for one in await alarms_of(story)]
    assert [cause for cause in causes if ".bank" in cause or " bank" in cause] == []
