"""A whole gateway in one process with a world around it, for stories: real HTTP, real SMTP, a clock to advance.

The gateway is spoken to as its users speak to it: over the API, over SMTP, by links in letters.
"""

import email
import re
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx2

from homing.app import SELECTOR, App, Clock, build
from homing.config import Settings
from homing.lab.behaviour import Mail
from homing.lab.sms import ACCOUNT, AUTH_TOKEN
from homing.lab.world import World
from homing.mail.dkim import SigningKey
from tests.migrated import migrated_database
from tests.patience import PATIENCE, until

__all__ = ["PATIENCE", "Application", "Story", "a_story", "plain_text", "settings_in", "until"]


@dataclass(slots=True)
class Application:
    """An application: an organization with a key of its own."""

    story: "Story"
    id: str
    key: str

    async def call(self, method: str, path: str, json: Any = None, **headers: str) -> httpx2.Response:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        authorization = {"Authorization": f"Bearer {self.key}"}
        return await self.story.http.request(method, path, json=json, headers={**authorization, **headers})

    async def person(self, name: str, address: str, **more: str) -> str:
        """A human sender who has proved his address the way people do: by the link in the letter."""
        self.story.world.mx(address.rpartition("@")[2])
        made = await self.call("POST", "/v1/human_senders", {"name": name, "address": address, **more})
        assert made.status_code == 201, made.text
        await self.story.proves(address)
        return str(made.json()["id"])

    async def send(self, human_sender: str, *recipients: str, **more: Any) -> dict[str, Any]:
        """Send a message; the answer, which must be 202."""
        body = {
            "human_sender": {"name": human_sender.partition("@")[0].title(), "address": human_sender},
            "to": list(recipients),
            "subject": "Your call",
            "text": "Hello, thank you for your call.",
            **more,
        }
        answer = await self.call("POST", "/v1/messages", body)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    async def message(self, answer: dict[str, Any]) -> dict[str, Any]:
        found = await self.call("GET", f"/v1/messages/{answer['id']}")
        assert found.status_code == 200, found.text
        return dict(found.json())

    async def states(self, answer: dict[str, Any]) -> list[str]:
        return [delivery["state"] for delivery in (await self.message(answer))["deliveries"]]

    async def becomes(self, answer: dict[str, Any], *states: str) -> dict[str, Any]:
        """The message, once its deliveries are in these states."""

        async def there() -> bool:
            return await self.states(answer) == list(states)

        await until(there)
        return await self.message(answer)

    async def events(self) -> list[dict[str, Any]]:
        found = await self.call("GET", "/v1/events?limit=500")
        assert found.status_code == 200, found.text
        return list(found.json()["events"])

    async def types_of(self, answer: dict[str, Any]) -> list[str]:
        """The types of the events of a message, in order."""
        return [event["type"] for event in (await self.message(answer))["timeline"]]

    async def hears(self, event_type: str, answer: dict[str, Any] | None = None) -> dict[str, Any]:
        """The first event of this type (of this message)."""

        async def there() -> list[dict[str, Any]]:
            events = await self.events()
            return [
                event
                for event in events
                if event["type"] == event_type and (answer is None or event["message"] == answer["id"])
            ]

        return dict((await until(there))[0])

    async def hears_so_often(self, event_type: str, times: int, answer: dict[str, Any]) -> None:
        """Wait until so many events of this type have come of a message."""

        async def there() -> bool:
            return (await self.types_of(answer)).count(event_type) >= times

        await until(there)

    async def policy(self, name: str, *steps: dict[str, Any]) -> None:
        put = await self.call("PUT", f"/v1/failure_policies/{name}", {"steps": list(steps)})
        assert put.status_code == 200, put.text


@dataclass(slots=True, repr=False)
class Story:
    world: World
    app: App
    clock: Clock
    http: httpx2.AsyncClient
    applications: dict[str, Application] = field(default_factory=dict)

    @property
    def administrator(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.app.keys.administrator}"}

    async def application(self, name: str = "crm", **settings: Any) -> Application:
        shown = "Acme CRM" if name == "crm" else name.title()
        named = {"display_name": shown, "display_name_reason": "It may be the operator's own."}
        body = {"name": name, **named, "rate_limit": 100_000, "daily_cap": 1_000_000, **settings}
        made = await self.http.post("/v1/organizations", json=body, headers=self.administrator)
        assert made.status_code == 201, made.text
        path = f"/v1/organizations/{made.json()['id']}/keys"
        key = {"name": "test", "scopes": ["send", "read", "manage"]}
        keyed = await self.http.post(path, json=key, headers=self.administrator)
        assert keyed.status_code == 201, keyed.text
        self.applications[name] = Application(self, made.json()["id"], keyed.json()["key"])
        return self.applications[name]

    async def proves(self, address: str) -> None:
        """The owner of an address answers the letter that asks for a proof."""
        site = self.world.mx(address.rpartition("@")[2])
        await site.wait_for(address, 1, PATIENCE)
        link = self.link(site.inbox(address)[-1], "/prove/")
        page = await self.http.get(link)
        assert page.status_code == 200, page.text
        proved = await self.http.post(link)
        assert proved.status_code == 200, proved.text
        site.mails.clear()

    def advance(self, **span: float) -> None:
        """Let time pass for the gateway."""
        self.clock.advance(timedelta(**span))
        self.app.deliverer.work.wake()
        self.app.actor.actions.wake()

    def link(self, letter: Mail, path: str) -> str:
        """The link to `path` in a letter, made relative so that it can be opened here."""
        text = plain_text(letter)
        found = re.search(rf"http\S+?({re.escape(path)}\S+)", text)
        assert found, text
        return found[1]


def plain_text(mail: Mail) -> str:
    """The plain text of a mail, decoded."""
    for part in email.message_from_bytes(mail.content).walk():
        if part.get_content_type() == "text/plain":
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            return payload.decode()
    raise AssertionError("no plain text")


def ports_of(servers: Iterable[tuple[str, int]]) -> list[str]:
    return [f"{ip}:{port}" for ip, port in servers]


def free_port() -> int:
    """A port that nobody has now: links in letters must name it before the gateway listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def settings_in(world: World, folder: Path, **more: Any) -> Settings:
    """Settings of a gateway in the lab, for this process or another."""
    usual = {
        "operator_domain": world.operator,
        "operator_name": "Acme Mail",
        "data_dir": folder / "homing",
        "http_port": free_port(),
        "disk_reserve_mib": 4,
        "smtp_host": "127.0.0.1",
        "smtp_port": 0,
        "administrator": "postmaster@acme-admin.com",
        "dns_servers": ports_of(world.dns.servers),
        "lab_outbound_port": world.smtp_port,
        "lab_private_addresses": True,
        "sms_adapter": "twilio",
        "sms_url": world.sms.url if more.get("sms_adapter") == "generic" else world.sms.base_url,
        "sms_account": ACCOUNT,
        "sms_secret": AUTH_TOKEN,
        "sms_sender": "+15550100",
    }
    return Settings(**{**usual, **more})


@cache
def _pem() -> bytes:
    """One key for all stories: making one takes as long as a short story."""
    return SigningKey.generate("post.acme-mail.com", SELECTOR).pem()


@asynccontextmanager
async def a_story(
    folder: Path, clock: Clock | None = None, lab: World | None = None, **settings: Any
) -> AsyncIterator[Story]:
    """A running gateway in a running world: the usual one, or `lab`."""
    clock = clock or Clock()
    async with lab or World("acme-mail.com") as world:
        wish = settings_in(world, folder, **settings)
        wish.data_dir.mkdir()
        if wish.database_url.startswith("sqlite"):
            await migrated_database(wish.data_dir / "homing.db")
        (wish.data_dir / f"dkim-{wish.from_domain}-{SELECTOR}.pem").write_bytes(_pem())
        app = build(wish, clock)
        async with app.running():
            world.gateway_is_at("127.0.0.1", app.smtp_port)
            for key in app.keys.signing:
                world.publish_key(key.selector, key.dns_record())
            base = f"http://127.0.0.1:{app.http_port}"
            async with httpx2.AsyncClient(base_url=base, timeout=30, verify=False) as http:
                yield Story(world, app, clock, http)
