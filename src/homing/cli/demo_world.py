"""What a scene of the demo plays with: the applications, the gateway, the world around it, and its clock."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes
from typing import Any

import httpx2

from homing.app import App
from homing.lab.behaviour import Mail
from homing.lab.world import World
from homing.mail.address import domain_of
from homing.mail.dkim_verification import verify

PATIENCE = 15.0

Ledger = list[dict[str, Any]]
Json = dict[str, Any]
Person = tuple[str, str]
"""Name and address."""


class DidNotComeTrue(Exception):  # noqa: N818
    """What the scene promised did not happen; the message says what was awaited."""


class Refused(DidNotComeTrue):
    """The gateway refused a request. `code` is that of the problem."""

    def __init__(self, asked: str, answer: httpx2.Response) -> None:
        super().__init__(f"{asked}: {answer.status_code} {answer.text}")
        self.code = str(answer.json().get("code", ""))


@dataclass(slots=True)
class Application:
    """An application that uses the gateway."""

    http: httpx2.AsyncClient
    key: str

    async def call(self, method: str, path: str, body: Any = None) -> Json:
        answer = await self.http.request(method, path, json=body, headers={"Authorization": f"Bearer {self.key}"})
        if answer.is_error:
            raise Refused(f"{method} {path}", answer)
        return dict(answer.json()) if answer.content else {}

    async def send(self, person: Person, to: str, subject: str, **more: Any) -> Json:
        name, address = person
        body = {
            "human_sender": {"name": name, "address": address},
            "to": [to],
            "subject": subject,
            "text": f"Hello,\n\nthis is about: {subject}.\n\nKind regards\n{name}",
            **more,
        }
        return await self.call("POST", "/v1/messages", body)

    async def refusal(self, person: Person, to: str, subject: str) -> str:
        """The code of the problem with which a message is refused; "" if it is accepted, which it should not be."""
        try:
            await self.send(person, to, subject)
        except Refused as refused:
            return refused.code
        return ""

    async def delivery(self, message: Json) -> Json:
        found = await self.call("GET", f"/v1/messages/{message['id']}")
        return dict(found["deliveries"][0])

    async def becomes(self, message: Json, state: str) -> Json:
        async def there() -> Json | None:
            delivery = await self.delivery(message)
            return delivery if delivery["state"] == state else None

        return dict(await until(there, f"the message becomes {state}"))

    async def event(self, message: Json, event_type: str) -> Json:
        async def there() -> Json | None:
            timeline = (await self.call("GET", f"/v1/messages/{message['id']}"))["timeline"]
            return next((event for event in timeline if event["type"] == event_type), None)

        return dict(await until(there, f"an event {event_type}"))


@dataclass(slots=True)
class DemoWorld:
    """The world, the gateway, and two applications: a CRM and an accounting service."""

    world: World
    app: App
    http: httpx2.AsyncClient
    applications: dict[str, Application] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def open(cls, world: World, app: App) -> AsyncIterator["DemoWorld"]:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{app.http_port}", timeout=30) as http:
            yield cls(world, app, http)

    async def application(self, name: str, display_name: str) -> Application:
        admin = {"Authorization": f"Bearer {self.app.keys.administrator}"}
        made = await self.http.post(
            "/v1/organizations", json={"name": name, "display_name": display_name}, headers=admin
        )
        made.raise_for_status()
        wish = {"name": "demo", "scopes": ["send", "read", "manage"]}
        keyed = await self.http.post(f"/v1/organizations/{made.json()['id']}/keys", json=wish, headers=admin)
        keyed.raise_for_status()
        self.applications[name] = Application(self.http, keyed.json()["key"])
        return self.applications[name]

    async def proves(self, application: Application, person: Person, phone: str | None = None) -> None:
        """Opens the link in the person's e-mail and presses the button; only the button proves the address."""
        name, address = person
        site = self.world.mx(domain_of(address))
        await application.call("POST", "/v1/human_senders", {"name": name, "address": address, "phone": phone})
        letter = (await site.wait_for(address, 1, PATIENCE))[-1]
        link = link_in(letter, "/prove/")
        opened = await self.http.get(link)
        unproved = await application.refusal(person, "somebody@customers.org", "Too early")
        expect(opened.status_code == 200 and unproved == "reply-to-unproved", "a look at the page proves nothing")
        pressed = await self.http.post(link)
        expect(pressed.status_code == 200, f"{address} is proved by the button")
        site.mails.clear()

    def signed_by_us(self, mail: Mail) -> bool:
        """Whether a DKIM signature of the domain in From passes, with the keys that we publish."""
        keys = {key.dns_name: key.dns_record() for key in self.app.keys.signing}
        [header_from] = mail.addresses("From")
        return verify(mail.content, keys.get).passed_for(domain_of(header_from))

    def later(self, **span: float) -> None:
        """Time passes."""
        self.app.clock.advance(timedelta(**span))
        self.app.deliverer.work.wake()
        self.app.actor.actions.wake()

    async def ledger(self) -> Ledger:
        """Every message of the applications: outcome, reason, and what was done about it."""
        lines = []
        for application in self.applications.values():
            page = await application.call("GET", "/v1/messages?limit=100")
            for head in reversed(page["messages"]):
                message = await application.call("GET", f"/v1/messages/{head['id']}")
                lines += [_line(message, delivery) for delivery in message["deliveries"]]
        return [line for line in lines if line["origin"] == "api"]


def _line(message: Json, delivery: Json) -> Json:
    verdict, case = delivery["verdict"], delivery["case"]
    timeline = {event["type"] for event in message["timeline"] if event["delivery"] == delivery["id"]}
    return {
        "origin": message["origin"],
        "from": message["human_sender"]["name"],
        "to": delivery["recipient"],
        "subject": message["subject"],
        "outcome": delivery["state"],
        "late": delivery["bounced"] == "late",
        "why": verdict["failure_class"] if verdict and delivery["state"] not in {"delivered", "queued"} else "",
        "steps": [{"kind": step["kind"], "state": step["state"]} for step in case["steps"]] if case else [],
        "noted": [word for word in ("resent", "replied", "forwarding_failed", "complained") if word in timeline],
    }


async def until(look: Callable[[], Awaitable[Any]], awaited: str) -> Any:
    """What `look` gives, as soon as it gives something."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not (found := await look()):
        if asyncio.get_running_loop().time() > deadline:
            raise DidNotComeTrue(f"gave up waiting until {awaited}")
        await asyncio.sleep(0.03)
    return found


def text_of(mail: Mail) -> str:
    for part in message_from_bytes(mail.content).walk():
        if part.get_content_type() == "text/plain":
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            return payload.decode()
    return ""


def link_in(mail: Mail, path: str) -> str:
    found = re.search(rf"http\S+?({re.escape(path)}\S+)", text_of(mail))
    if not found:
        raise DidNotComeTrue(f"an e-mail has a link to {path}")
    return found[1]


def expect(holds: object, sentence: str) -> None:
    if not holds:
        raise DidNotComeTrue(f"it is not true that {sentence}")
