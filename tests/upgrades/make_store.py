"""Makes a store of some version of the gateway, in the middle of its work, to be kept as test data for later versions.

It runs a whole gateway of the commit that is to be remembered, with that commit's own lab around it, and copies the
store while messages are on their way, as a backup would. From a clone at that commit, with its virtual environment:

    PYTHONPATH=. .venv/bin/python …/tests/upgrades/make_store.py …/tests/data/upgrades/COMMIT

It writes two folders there, `sqlite` and `postgresql`, and overwrites what they hold. `facts.json` in each says what
was done, whom a test may speak to, and what it has to find; see `tests/upgrades/test_upgrade.py`.
"""

import asyncio
import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from homing.lab.behaviour import Good, Mail
from homing.lab.outbound import Outbound
from homing.lab.returned_mail import Failure, bounce
from homing.mail.reply import Reply
from homing.store import deliveries
from homing.store.sqlite import driver
from tests import postgres
from tests.stories.gateway import Application, Story, a_story, until
from tests.stories.zones import OWN, D, a_domain, look, publish

JANET, JOE = "janet@example.net", f"joe@{D}"
ADMINISTRATOR = "postmaster@acme-admin.com"
PHONE, OTHER_PHONE = "+442079460001", "+442079460002"
FILES = ("secret.key", "token-keys.json", "administrator.key", f"dkim-{OWN}-h1.pem")
IN_WORDS = """\
From: MAILER-DAEMON@mx.corp.com\r
To: {to}\r
Subject: failure notice\r
\r
Hi. This is the qmail-send program at mx.corp.com.\r
I'm afraid I wasn't able to deliver your message to the following addresses.\r
This is a permanent error; I've given up. Sorry it didn't work out.\r
\r
<{recipient}>:\r
192.0.2.7 does not like recipient.\r
Remote host said: 550 5.1.1 <{recipient}>: no such user\r
Giving up on 192.0.2.7.\r
"""


class Keeping(Good):
    """Has every copy, and says nothing after the dot: closes the connection, or with `holding` keeps it open."""

    def __init__(self, *, holding: bool) -> None:
        self.holding = holding
        self.copies: list[Mail] = []

    async def at_dot(self, mail: Mail, post: Outbound) -> Reply | None:
        self.copies.append(mail)
        if self.holding:
            await asyncio.Event().wait()
        return None


@dataclass
class Mute:
    """A mail host that takes connections and does not even greet: the worker has a lease, and has sent nothing."""

    calls: list[asyncio.StreamWriter] = field(default_factory=list)
    _server: asyncio.Server | None = None

    async def start(self, story: Story, domain: str) -> None:
        self._server = await asyncio.start_server(
            lambda _, writer: self.calls.append(writer), "127.0.2.1", story.world.smtp_port
        )
        story.world.dns.publish(domain, f"MX 10 mx.{domain}")
        story.world.dns.publish(f"mx.{domain}", "A 127.0.2.1")

    def hang_up(self) -> None:
        for writer in self.calls:
            writer.close()
        self.calls.clear()

    def close(self) -> None:
        self.hang_up()
        if self._server:
            self._server.close()


@dataclass
class Making:
    """The story of one store. `facts` is what a test has to know of it; messages stand there by the name of what
    became of them."""

    story: Story
    crm: Application
    mute: Mute = field(default_factory=Mute)
    doubt: Keeping = field(default_factory=lambda: Keeping(holding=False))
    open: Keeping = field(default_factory=lambda: Keeping(holding=True))
    facts: dict[str, Any] = field(default_factory=dict)
    messages: dict[str, Any] = field(default_factory=dict)

    async def send(self, name: str, sender: str, recipient: str, state: str = "", **more: Any) -> dict[str, Any]:
        """A message that is remembered under this name, once its delivery is in this state."""
        sent = await self.crm.send(sender, recipient, subject=f"About {name}", **more)
        if state:
            await self.crm.becomes(sent, state)
        [delivery] = sent["deliveries"]
        self.messages[name] = {"id": sent["id"], "delivery": delivery["id"], "sender": sender, "recipient": recipient}
        return sent

    def remember_mail(self, name: str, mail: Mail) -> None:
        """What left for the recipient: the return address and the octets."""
        self.messages[name] |= {"envelope_sender": mail.envelope_sender, "content": mail.content.decode("latin-1")}

    async def settled(self, sent: dict[str, Any], *states: str) -> None:
        """Wait until the steps of the message's case are in these states."""

        async def there() -> bool:
            [delivery] = (await self.crm.message(sent))["deliveries"]
            return [step["state"] for step in (delivery["case"] or {"steps": []})["steps"]] == list(states)

        await until(there)

    async def bounces(self, name: str) -> None:
        """Somebody's server finds out later that it cannot deliver."""
        mail = self.messages[name]
        failure = Failure(final_recipient=mail["recipient"])
        content = bounce("mx.corp.com", mail["envelope_sender"], mail["content"].encode("latin-1"), failure)
        assert (await self.story.world.writes(None, mail["envelope_sender"], content)).accepted

    # -- the story -----------------------------------------------------------------------------------------------------

    async def people_and_rules(self) -> None:
        """Who sends, who hears of failures and how; two organizations, each with a key."""
        await self.crm.policy("quiet", {"kind": "log"})
        await self.crm.policy("urgent", {"kind": "letter"}, {"kind": "sms", "only_if_unheard": True})
        await self.crm.policy("text", {"kind": "sms"})
        await self.crm.policy("text-later", {"kind": "sms", "delay_seconds": 7200})
        await self.crm.policy("hook", {"kind": "webhook"})
        shop = await self.story.application("shop", display_name="Widget Shop")
        assert (await self.crm.call("PUT", "/v1/streams/news", {"bulk": True})).is_success
        self.facts["keys"] = {"crm": self.crm.key, "shop": shop.key}
        self.facts["organizations"] = {"crm": self.crm.id, "shop": shop.id}
        for address in (JANET, ADMINISTRATOR, "mary@corp.com", "jo@slow.com"):
            self.story.world.mx(address.rpartition("@")[2])
        await self.crm.person("Janet Roe", JANET, phone=PHONE, application_user="user-17")
        await shop.person("Janet Roe", JANET)
        changed = await self.crm.call("PATCH", "/v1/organization", {"webhook_url": self.story.world.webhooks.url})
        self.facts["webhook_secret"] = self.story.world.webhooks.secret = changed.json()["webhook_secret"]
        await self.mute.start(self.story, "mute.example")

    async def keys_and_domains(self) -> None:
        """h1 hands over to h2, and the organization's own domain is proved."""
        await look(self.story, minutes=1)
        await publish(self.story)
        await look(self.story, minutes=20)
        await self.rotate()
        proved = await a_domain(self.story, self.crm)
        assert proved["level"] == "custom-full", proved

    async def rotate(self) -> None:
        rotated = await self.story.http.post("/v1/dkim_keys/rotate", json={}, headers=self.story.administrator)
        assert rotated.status_code == 200, rotated.text

    async def two_weeks(self) -> None:
        """A mailbox that stays full, a message that expires, one that kills its worker; and the first key retires."""
        corp = self.story.world.mx("corp.com").is_full("full@corp.com", permanent=True)
        self.story.world.mx("slow.com").refuses("never@slow.com", "450 4.2.0 Come again some other day")
        for times in range(4):
            await self.send(f"full {times}", JANET, "full@corp.com", "bounced", failure_policy="quiet")
            if times == 0:
                never = await self.send("expired", JANET, "never@slow.com", "deferred", failure_policy="quiet")
            await look(self.story, days=4)
        await look(self.story, hours=3)
        await self.crm.becomes(never, "expired")
        await self.kills_its_worker()
        await publish(self.story)
        await look(self.story, minutes=20)
        await look(self.story, hours=3)
        await self.send("hearsay", JANET, "rumour@corp.com", "delivered", failure_policy="quiet")
        mail = corp.inbox("rumour@corp.com")[-1]
        notice = IN_WORDS.format(to=mail.envelope_sender, recipient=mail.recipient).encode()
        assert (await self.story.world.writes(None, str(mail.envelope_sender), notice)).accepted
        await self.crm.becomes({"id": self.messages["hearsay"]["id"]}, "bounced")

    async def kills_its_worker(self) -> None:
        """Five times a worker is taken for dead that has said nothing: what it was at is given up."""
        sent = await self.send("failed", JANET, "poison@mute.example", failure_policy="quiet")
        for _ in range(5):
            await until(lambda: self.mute.calls)
            now = self.story.clock()
            await self.story.app.database.write(deliveries.recover, now, bool)
            self.mute.hang_up()
            self.story.advance(minutes=20)
        await self.crm.becomes(sent, "failed")

    async def failures(self) -> None:
        """Cases at all their steps."""
        corp = self.story.world.mx("corp.com")
        corp.refuses("john@corp.com")
        sent = await self.send("bounced", JANET, "john@corp.com", "bounced")
        await self.settled(sent, "done", "heard", "waiting")
        [delivery] = (await self.crm.message(sent))["deliveries"]
        self.messages["bounced"]["case"] = delivery["case"]["id"]
        letter = self.story.world.inbox(JANET)[-1]
        self.messages["bounced"]["correct"] = self.story.link(letter, "/correct/")
        self.messages["letter"] = {"recipient": JANET}
        self.remember_mail("letter", letter)
        await self.send("suppressed", JANET, "john@corp.com", "suppressed")
        corp.bounces_later("late@corp.com")
        await self.settled(
            await self.send("bounced late", JANET, "late@corp.com", "bounced"), "done", "heard", "waiting"
        )
        corp.refuses("listed@corp.com", "550 5.7.1 Your IP address is listed at a blocklist, see spamhaus.org")
        await self.send("alarm", JANET, "listed@corp.com", "bounced")
        corp.refuses("typo@corp.com")
        typo = await self.send("resolved", JANET, "typo@corp.com", "bounced")
        await self.settled(typo, "done", "heard", "waiting")
        resent = await self.crm.call(
            "POST", f"/v1/deliveries/{self.messages['resolved']['delivery']}/resend", {"recipient": "mary@corp.com"}
        )
        assert resent.status_code == 202, resent.text
        await self.crm.becomes(resent.json(), "delivered")
        joe = await self.send("unheard", JOE, "john@corp.com", "bounced", failure_policy="text", stream="other")
        await self.settled(joe, "unheard")

    async def answers(self) -> None:
        """A person is out of office, another one writes to the address that nobody reads."""
        home = self.story.world.mx("example.net").is_out_of_office(JANET)
        self.story.world.mx("corp.com").refuses("nobody@corp.com")
        sent = await self.send("out of office", JANET, "nobody@corp.com", "bounced", failure_policy="urgent")
        await self.settled(sent, "unheard", "heard")
        home.accepts_all()
        self.story.world.mx("corp.com").replies_to_from("mary@corp.com")
        sent = await self.send("answered", JANET, "mary@corp.com", "delivered")
        await self.crm.hears("replied", sent)
        self.story.world.mx("corp.com").behaves("mary@corp.com", Good())

    async def successes(self) -> None:
        corp = self.story.world.mx("corp.com")
        for name in ("delivered", "returned", "returned unread"):
            recipient = f"{name.replace(' ', '.')}@corp.com"
            await self.send(name, JANET, recipient, "delivered")
            self.remember_mail(name, corp.inbox(recipient)[-1])
        await self.send("rumoured", JANET, "rumour@corp.com", "delivered", failure_policy="quiet")
        self.remember_mail("rumoured", corp.inbox("rumour@corp.com")[-1])
        await self.send("news", JANET, "reader@corp.com", "delivered", stream="news")
        news = corp.inbox("reader@corp.com")[-1]
        [way] = re.findall(r"<(https?:[^>]+)>", str(news.headers["List-Unsubscribe"]))
        self.messages["news"]["leave"] = urlsplit(way).path
        body = {
            "human_sender": {"name": "Janet", "address": JANET},
            "to": ["mary@corp.com"],
            "subject": "Once",
            "text": "Once, and no more.",
        }
        answer = await self.crm.call("POST", "/v1/messages", body, Idempotency_Key="once")
        assert answer.status_code == 202, answer.text
        self.facts["idempotent"] = {"key": "once", "body": body, "answer": answer.json()}
        await self.crm.becomes(answer.json(), "delivered")

    async def put_off(self) -> None:
        """What waits for a second attempt, signed by a key that signs nothing new any more."""
        slow = self.story.world.mx("slow.com").greylists("grey@slow.com").behaves("doubt@slow.com", self.doubt)
        await self.send("deferred", JANET, "grey@slow.com", "deferred")
        await self.send("deferred in doubt", JANET, "doubt@slow.com", "deferred")
        self.remember_mail("deferred in doubt", self.doubt.copies[-1])
        slow.greylists("back@slow.com")
        await self.send("canceled", JANET, "back@slow.com", "deferred")
        canceled = await self.crm.call("POST", f"/v1/deliveries/{self.messages['canceled']['delivery']}/cancel")
        assert canceled.is_success, canceled.text
        self.facts["signed_by"] = await self.selector("active")
        await self.rotate()
        self.facts["signs_now"] = await self.selector("active")

    async def selector(self, state: str) -> str:
        listed = (await self.story.http.get("/v1/dkim_keys", headers=self.story.administrator)).json()["dkim_keys"]
        [found] = [one for one in listed if one["state"] == state and one["domain"] == OWN]
        return str(found["selector"])

    async def actions_due(self) -> None:
        """A call that is to be repeated (the lab finds that its time is not today's, and refuses), a text message whose
        time has not come, a proof that nobody has given yet."""
        self.story.world.mx("corp.com").refuses("hook@corp.com").refuses("text@corp.com")
        sent = await self.send("webhook due", JANET, "hook@corp.com", "bounced", failure_policy="hook")
        await until(lambda: self.story.world.webhooks.received)
        await self.settled(sent, "running")
        await self.send("text due", JANET, "text@corp.com", "bounced", failure_policy="text-later")
        una = {"name": "Una", "address": "una@example.net"}
        assert (await self.crm.call("POST", "/v1/human_senders", una)).status_code == 201
        home = self.story.world.mx("example.net")
        [letter] = await home.wait_for("una@example.net")
        self.facts["unproved"] = {**una, "prove": self.story.link(letter, "/prove/")}

    async def on_their_way(self) -> None:
        """The worker's hands are full: one message has been sent and not been answered for, before the other one there
        is silence. So nothing more leaves, and what fails now has its letter waiting."""
        corp = self.story.world.mx("corp.com").behaves("open@corp.com", self.open)
        await self.send("attempt open", JANET, "open@corp.com", "sending")
        await until(lambda: self.open.copies)
        self.remember_mail("attempt open", self.open.copies[-1])
        await self.send("leased", JANET, "leased@mute.example", "sending")
        await until(lambda: self.mute.calls)
        await self.send("queued", JANET, "queue@corp.com", "queued")
        await self.send("queued from own domain", JOE, "queue.too@corp.com", "queued")
        await self.bounces("returned")
        sent = {"id": self.messages["returned"]["id"]}
        await self.crm.becomes(sent, "bounced")
        await self.settled(sent, "done", "running", "waiting")
        assert not corp.inbox("open@corp.com")
        self.story.app.receiver.rules = None  # type: ignore[assignment]  # what comes in now is kept, and not understood
        await self.bounces("returned unread")
        await asyncio.sleep(1)

    async def last_facts(self) -> None:
        cursor = None
        while True:
            answer = await self.crm.call("GET", "/v1/events?limit=500" + (f"&cursor={cursor}" if cursor else ""))
            page = answer.json()
            if not page["events"]:
                break
            cursor = page["cursor"]
        self.facts["cursor"] = cursor
        self.facts["states"] = {name: await self.state(one["id"]) for name, one in self.messages.items() if "id" in one}
        self.facts["messages"] = self.messages
        self.facts["zones"] = self.story.world.dns.zones
        self.facts["sites"] = [site.domain for site in self.story.world.sites]
        alarms = (await self.story.http.get("/v1/alarms", headers=self.story.administrator)).json()["alarms"]
        self.facts["alarms"] = sorted(alarm["cause"] for alarm in alarms)
        self.facts["at"] = self.story.clock().isoformat()

    async def state(self, message: str) -> str:
        return (await self.crm.states({"id": message}))[0]


async def tell(making: Making) -> None:
    await making.people_and_rules()
    await making.keys_and_domains()
    await making.two_weeks()
    await making.failures()
    await making.answers()
    await making.successes()
    await making.put_off()
    await making.actions_due()
    await making.on_their_way()
    await making.last_facts()


async def make(target: Path, database_url: str = "") -> None:
    """One store, of SQLite or at this URL."""
    target.mkdir(parents=True, exist_ok=True)
    more = {"database_url": database_url} if database_url else {}
    with tempfile.TemporaryDirectory(prefix="homing-make-") as folder:
        async with a_story(Path(folder), deliveries_at_once=2, **more) as story:
            making = Making(story, await story.application())
            try:
                await tell(making)
                data = story.app.settings.data_dir
                if database_url:
                    await asyncio.to_thread(dump_postgresql, database_url, target / "store.sql.gz")
                else:
                    await asyncio.to_thread(copy_sqlite, data / "homing.db", target / "store.db.gz")
                for name in FILES:
                    shutil.copyfile(data / name, target / name)
            finally:
                making.mute.close()
                story.app.deliverer.patience = 0.5
    (target / "facts.json").write_text(json.dumps(making.facts, indent=1, sort_keys=True) + "\n")


def copy_sqlite(database: Path, target: Path) -> None:
    """As the runbook makes a backup while the gateway runs."""
    copy = database.with_name("copy.db")
    connection = driver().connect(str(database))
    connection.execute("VACUUM INTO ?", (str(copy),))
    connection.close()
    target.write_bytes(gzip.compress(copy.read_bytes(), mtime=0))


def dump_postgresql(url: str, target: Path) -> None:
    """As statements that any client can execute, without what belongs to one version of the server or of psql."""
    binaries = postgres._binaries()
    assert binaries is not None
    parts = urlsplit(url)
    where = ["-h", parse_qs(parts.query)["host"][0], "-U", "homing", "-d", parts.path.strip("/")]
    options = ["--inserts", "--no-owner", "--no-privileges", "--no-comments"]
    command = [str(binaries / "pg_dump"), *where, *options]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    of_one_version = re.compile(
        r"^(SET [a-z_]+ = .*;|SELECT pg_catalog\.set_config.*|\\(un)?restrict .*)\n", re.MULTILINE
    )
    target.write_bytes(gzip.compress(of_one_version.sub("", text).encode(), mtime=0))


async def main(target: Path) -> None:
    await make(target / "sqlite")
    state = postgres._start(postgres._binaries(), postgres._DURABLE)
    try:
        async with postgres.Cluster(str(state["url"])).database() as url:
            await make(target / "postgresql", url)
    finally:
        postgres._stop(int(str(state["pid"])), Path(str(state["folder"])))


if __name__ == "__main__":
    socket.gethostname = lambda: "node"  # whose machine it was is no test data
    os.umask(0o022)
    asyncio.run(main(Path(sys.argv[1])))
