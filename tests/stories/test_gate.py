"""What was spoilt on its way through us does not leave."""

import sqlalchemy as sa
from structlog.testing import capture_logs

from homing.store import tables

from .gateway import Story, until

JANET, JOHN = "janet@example.net", "john@corp.com"


async def test_a_message_that_was_spoilt_in_the_store_is_never_sent(story: Story) -> None:
    crm = await story.application()
    await crm.person("Janet Roe", JANET)
    site = story.world.mx("corp.com")
    site.refuses(JOHN, "451 4.3.0 Come again")
    sent = await crm.send(JANET, JOHN)
    await crm.becomes(sent, "deferred")

    def spoil(conn: sa.Connection) -> None:
        content = tables.message_content
        whole: bytes = conn.execute(sa.select(content.c.content)).scalars().all()[-1]
        assert b"Your call" in whole
        spoilt = whole.replace(b"Subject:", b"Bcc: boss@bank.com\r\nSubject:")
        conn.execute(content.update().where(content.c.content == whole).values(content=spoilt))

    await story.app.database.write(spoil)
    site.mails.clear()
    with capture_logs() as told:
        story.advance(hours=1)
        await until(lambda: [one for one in told if one["event"] == "delivery attempt broke"])
    assert site.mails == []
    (delivery,) = (await crm.message(sent))["deliveries"]
    assert len(delivery["attempts"]) == 1, "nothing was opened with the receiver"
