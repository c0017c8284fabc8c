"""The scenes of the demo. Each sends as an application does, watches the world, and ends when it came true.

The first line of a scene's docstring is its title, the rest its story; what it returns is what came of it.
"""

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
from homing.lab.returns import Failure
from homing.lab.world import World

PATIENCE = 15.0

JANET = "janet@acme-mail.com"
JOE = "joe@bloggs-plumbing.com"


class DidNotComeTrue(Exception):  # noqa: N818
    """What the scene promised did not happen; the message says what was awaited."""


Ledger = list[dict[str, Any]]
Json = dict[str, Any]


@dataclass(slots=True)
class Tenant:
    """An application that uses the gateway."""

    http: httpx2.AsyncClient
    key: str
    sent: int = 0

    async def call(self, method: str, path: str, body: Any = None) -> Json:
        answer = await self.http.request(method, path, json=body, headers={"Authorization": f"Bearer {self.key}"})
        if answer.is_error:
            raise DidNotComeTrue(f"{method} {path}: {answer.status_code} {answer.text}")
        return dict(answer.json()) if answer.content else {}

    async def send(self, person: tuple[str, str], to: str, subject: str, **more: Any) -> Json:
        name, address = person
        self.sent += 1
        body = {
            "human_sender": {"name": name, "address": address},
            "to": [to],
            "subject": subject,
            "text": f"Hello,\n\nthis is about: {subject}.\n\nKind regards\n{name}",
            **more,
        }
        return await self.call("POST", "/v1/messages", body)

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
class Stage:
    """The world, the gateway, and two applications: a CRM and an accounting service."""

    world: World
    app: App
    http: httpx2.AsyncClient
    tenants: dict[str, Tenant] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def open(cls, world: World, app: App) -> AsyncIterator["Stage"]:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{app.http_port}", timeout=30) as http:
            yield cls(world, app, http)

    async def tenant(self, name: str, display_name: str) -> Tenant:
        admin = {"Authorization": f"Bearer {self.app.keys.administrator}"}
        made = await self.http.post(
            "/v1/organizations", json={"name": name, "display_name": display_name}, headers=admin
        )
        made.raise_for_status()
        wish = {"name": "demo", "scopes": ["send", "read", "manage"]}
        keyed = await self.http.post(f"/v1/organizations/{made.json()['id']}/keys", json=wish, headers=admin)
        keyed.raise_for_status()
        self.tenants[name] = Tenant(self.http, keyed.json()["key"])
        return self.tenants[name]

    async def proves(self, tenant: Tenant, name: str, address: str, phone: str | None = None) -> None:
        """The person gets the letter, opens the link, presses the button."""
        site = self.world.mx(address.partition("@")[2])
        body = {"name": name, "address": address, "phone": phone}
        await tenant.call("POST", "/v1/human_senders", body)
        letter = (await site.wait_for(address, 1, PATIENCE))[-1]
        pressed = await self.http.post(link_in(letter, "/prove/"))
        if pressed.is_error:
            raise DidNotComeTrue(f"the proof of {address}: {pressed.status_code}")
        site.mails.clear()

    def later(self, **span: float) -> None:
        """Time passes."""
        self.app.clock.advance(timedelta(**span))
        self.app.deliverer.work.ring()
        self.app.actor.actions.ring()

    async def ledger(self) -> Ledger:
        """Every message of the applications: outcome, reason, and what was done about it."""
        lines = []
        for tenant in self.tenants.values():
            page = await tenant.call("GET", "/v1/messages?limit=100")
            for head in reversed(page["messages"]):
                message = await tenant.call("GET", f"/v1/messages/{head['id']}")
                lines += [_line(message, delivery) for delivery in message["deliveries"]]
        return [line for line in lines if line["origin"] == "api"]


def _line(message: Json, delivery: Json) -> Json:
    verdict, case = delivery["verdict"], delivery["case"]
    why = verdict["failure_class"] if verdict and delivery["state"] not in {"delivered", "queued"} else ""
    steps = case["steps"] if case else []
    timeline = [event["type"] for event in message["timeline"] if event["delivery"] == delivery["id"]]
    noted = [word for word in ("replied", "forwarding_failed", "complained") if word in timeline]
    return {
        "origin": message["origin"],
        "from": message["human_sender"]["name"],
        "to": delivery["recipient"],
        "subject": message["subject"],
        "outcome": delivery["state"],
        "late": delivery["bounced"] == "late",
        "why": why,
        "done": ", ".join(
            [f"{step['kind']}: {step['state']}" for step in steps if step["state"] not in {"waiting", "skipped"}]
            + noted
        ),
    }


async def until(look: Callable[[], Awaitable[Any]], awaited: str) -> Any:
    """What `look` gives, as soon as it gives something."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not (found := await look()):
        if asyncio.get_running_loop().time() > deadline:
            raise DidNotComeTrue(f"in vain we waited until {awaited}")
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
        raise DidNotComeTrue(f"a letter holds a link to {path}")
    return found[1]


def expect(holds: object, sentence: str) -> None:
    if not holds:
        raise DidNotComeTrue(f"it is not true that {sentence}")


# -- the scenes ------------------------------------------------------------------------------------------------------

CRM, LEDGER = "acme-crm", "ledgerline"
JANET_ROE, JOE_BLOGGS = ("Janet Roe", JANET), ("Joe Bloggs", JOE)


async def prologue(stage: Stage) -> str:
    """Janet and Joe prove that their addresses are theirs
    Two applications use this gateway: a CRM and an accounting service. Each sends a letter with a link to its user,
    and only a press of the button behind it proves the address.
    """
    crm = await stage.tenant(CRM, "Acme CRM")
    ledger = await stage.tenant(LEDGER, "Ledgerline Accounting")
    await crm.call(
        "PUT",
        "/v1/failure_policies/urgent",
        {"steps": [{"kind": "live"}, {"kind": "letter"}, {"kind": "sms", "only_if_unheard": True}]},
    )
    await stage.proves(crm, *JANET_ROE, phone="+442079460018")
    await stage.proves(ledger, *JOE_BLOGGS)
    return "both addresses are proved; until then nothing could be sent in their names"


async def ordinary_mail(stage: Stage) -> str:
    """Twenty ordinary messages arrive
    From a name of ours, signed by us, with the person in Reply-To and an envelope sender of its own for each.
    """
    stage.world.mx("customers.org")
    crm = stage.tenants[CRM]
    sent = [await crm.send(JANET_ROE, f"customer{n}@customers.org", f"Your call, number {n}") for n in range(1, 21)]
    for message in sent:
        await crm.becomes(message, "delivered")
    mails = stage.world.mx("customers.org").mails
    senders = {mail.envelope_sender for mail in mails}
    expect(len(senders) == len(mails) == 20, "each has an envelope sender of its own")
    expect(all(mail.tls for mail in mails), "all went out over TLS")
    return f"delivered over {mails[0].tls.split()[0]}, 20 envelope senders such as {mails[0].envelope_sender}"


async def misspelt(stage: Stage) -> str:
    """Janet's misspelt address is refused, and she hears of it
    She meant John, and wrote Jonh. His server says 550 while we talk to it.
    """
    crm = stage.tenants[CRM]
    stage.world.mx("corp.com").refuses("jonh@corp.com", "550 5.1.1 No such user here")
    message = await crm.send(JANET_ROE, "jonh@corp.com", "Notes of our call")
    await crm.becomes(message, "bounced")
    live = await crm.event(message, "notified")
    [letter] = await stage.world.mx("acme-mail.com").wait_for(JANET, 1, PATIENCE)
    expect("correct the address" in text_of(letter), "her letter has a link to correct the address")
    pressed = await stage.http.post(link_in(letter, "/correct/"), data={"recipient": "john@corp.com"})
    expect(pressed.status_code == 200, "she can correct it there")
    await stage.world.mx("corp.com").wait_for("john@corp.com", 1, PATIENCE)
    return f"pop-up “{live['data']['title']}”, a letter, and by its link the message went to john@corp.com after all"


async def no_such_domain(stage: Stage) -> str:
    """A domain that does not exist, with the one that was meant
    gmial.com is one letter from a well-known name.
    """
    crm = stage.tenants[CRM]
    message = await crm.send(JANET_ROE, "john@gmial.com", "Our offer")
    await crm.becomes(message, "bounced")
    live = await crm.event(message, "notified")
    expect(live["data"]["suggestion"] == "john@gmail.com", "the right domain is suggested")
    return f"did you mean {live['data']['suggestion']}?"


async def late_bounce(stage: Stage) -> str:
    """A message that was accepted comes back later
    The server said 250, and sends a bounce afterwards. Only the envelope sender can tell which message it was.
    """
    crm = stage.tenants[CRM]
    diagnostic = "smtp; 550 5.2.1 The account is disabled"
    failure = Failure(final_recipient="mary@latecomer.org", status="5.2.1", diagnostic_code=diagnostic)
    stage.world.mx("latecomer.org").bounces_later("mary@latecomer.org", failure, delay=0.3)
    message = await crm.send(JANET_ROE, "mary@latecomer.org", "Appointment on Friday")
    delivery = await crm.becomes(message, "bounced")
    expect(delivery["bounced"] == "late", "it is told as a late bounce")
    await crm.event(message, "rerouted")
    return "matched to its delivery, told to Janet in words she understands"


async def own_bounce_first(stage: Stage) -> str:
    """A bounce outruns its own 250
    It arrives while we still wait for the server's answer.
    """
    crm = stage.tenants[CRM]
    stage.world.mx("hasty.org").bounces_before_its_250("bob@hasty.org")
    message = await crm.send(JANET_ROE, "bob@hasty.org", "A quick question")
    await crm.becomes(message, "bounced")
    delivery = await until(lambda: _ended(crm, message), "its attempt has ended")
    expect(delivery["attempts"][0]["reply_code"] == 250, "the server's 250 came afterwards")
    return "the later 250 is kept on the attempt and changes nothing"


async def _ended(tenant: Tenant, message: Json) -> Json | None:
    delivery = await tenant.delivery(message)
    return delivery if delivery["attempts"][0]["ended_at"] else None


async def vacation(stage: Stage) -> str:
    """Janet is on vacation, so her telephone rings
    Her letter is answered by an out-of-office reply: nobody has read it. The policy's next step is a text message.
    """
    crm = stage.tenants[CRM]
    stage.world.mx("acme-mail.com").is_out_of_office(JANET, "I am on vacation until Monday.")
    stage.world.mx("corp.com").refuses("ceo@corp.com")
    message = await crm.send(JANET_ROE, "ceo@corp.com", "Contract to sign", failure_policy="urgent")
    await crm.event(message, "fallback_sent")
    [text] = stage.world.sms.inbox("+442079460018")
    stage.world.mx("acme-mail.com").accepts_all()
    return f"SMS: {text.text}"


async def greylisting(stage: Stage) -> str:
    """A greylisting server wants to be asked twice
    450 at first. Two minutes pass.
    """
    crm = stage.tenants[CRM]
    stage.world.mx("cautious.org").greylists()
    message = await crm.send(JANET_ROE, "ann@cautious.org", "Spring catalogue")
    await crm.becomes(message, "deferred")
    stage.later(minutes=2)
    await crm.becomes(message, "delivered")
    return "delivered at the second attempt, with the same bytes"


async def full_mailbox(stage: Stage) -> str:
    """A full mailbox, for five days
    The server asks us to try later, and we do, until the message's lifetime is over.
    """
    crm = stage.tenants[CRM]
    stage.world.mx("hoarder.org").is_full("bill@hoarder.org")
    message = await crm.send(JANET_ROE, "bill@hoarder.org", "Your photographs")
    await crm.becomes(message, "deferred")
    stage.later(days=5, hours=1)
    await crm.becomes(message, "expired")
    await crm.event(message, "rerouted")
    return "given up after its lifetime, and Janet is told why"


async def forwarder(stage: Stage) -> str:
    """Somebody else's forwarding fails
    The message was delivered; a machine behind it bounces for an address that Janet never wrote to.
    """
    crm = stage.tenants[CRM]
    stage.world.mx("alumni.org").forwards("eve@alumni.org", "eve@gone.org")
    message = await crm.send(JANET_ROE, "eve@alumni.org", "Class reunion")
    await crm.event(message, "forwarding_failed")
    expect((await crm.delivery(message))["state"] == "delivered", "the delivery keeps its state")
    return "noted on the timeline; nobody is alarmed"


async def own_domain(stage: Stage) -> str:
    """A company that lets nobody outside use its domain
    Joe writes to a colleague. His company's server refuses its own domain from outside, and gets the mail from us.
    """
    ledger = stage.tenants[LEDGER]
    stage.world.mx("bloggs-plumbing.com").refuses_own_domain()
    message = await ledger.send(JOE_BLOGGS, "clerk@bloggs-plumbing.com", "Invoice 1001")
    await ledger.becomes(message, "delivered")
    forged = b"From: joe@bloggs-plumbing.com\r\nTo: clerk@bloggs-plumbing.com\r\nSubject: x\r\n\r\nx\r\n"
    refused = await stage.world.writes(JOE, "clerk@bloggs-plumbing.com", forged)
    expect(not refused.accepted, "an impersonator is refused there")
    return "the defence that impersonators made companies drop can stand"


async def oops(stage: Stage) -> str:
    """A customer answers to the address that nobody reads
    He ignores Reply-To. Our answer tells him where Joe is; his mail is deleted after a week.
    """
    ledger = stage.tenants[LEDGER]
    site = stage.world.mx("client.net").replies_to_from("carol@client.net", "When is it due?")
    message = await ledger.send(JOE_BLOGGS, "carol@client.net", "Invoice 1002")
    await ledger.event(message, "replied")
    [original, answer] = await site.wait_for("carol@client.net", 2, PATIENCE)
    expect(original.addresses("Reply-To") == [JOE], "replies should go to Joe")
    expect(answer.envelope_sender is None and JOE in text_of(answer), "the answer names Joe")
    return f"“{str(answer.headers['Subject'])[:60]}”"


async def impostor(stage: Stage) -> str:
    """Mail in the name of somebody who did not agree is refused
    An unproved Reply-To: 422, and nothing is stored.
    """
    ledger = stage.tenants[LEDGER]
    try:
        await ledger.send(("The Boss", "boss@victim.net"), "carol@client.net", "Please pay at once")
    except DidNotComeTrue as refused:
        expect("reply-to-unproved" in str(refused), "the problem has a stable code")
        return "422 reply-to-unproved"
    raise DidNotComeTrue("it is refused")


SCENES: tuple[Callable[[Stage], Awaitable[str]], ...] = (
    prologue,
    ordinary_mail,
    misspelt,
    no_such_domain,
    late_bounce,
    own_bounce_first,
    vacation,
    greylisting,
    full_mailbox,
    forwarder,
    own_domain,
    oops,
    impostor,
)
