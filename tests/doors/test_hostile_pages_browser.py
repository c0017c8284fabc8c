"""Every page with every text of strangers hostile, in a real browser: nothing runs, and no element comes into being.

The pages are taken from the router, the texts' places from the tables (`hostile_store`). With harmless words each page
is read once; with a hostile text in their stead it must consist of the same elements with the same attributes.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode
from uuid import UUID

import pytest
import sqlalchemy as sa
from fastapi.routing import APIRoute
from markupsafe import Markup
from playwright.async_api import Browser, Page

from homing.doors import web
from homing.doors.web import rendering
from homing.loop import ids
from homing.store import tables
from tests.data import HOSTILE_INPUTS
from tests.store.scenes import all_rows

from .gateway import Gateway, _web_parts
from .hostile_store import OURS, Words, furnish, overwrite, text_columns, written_by_others
from .serving import serving
from .test_unsubscribe import link as unsubscribe_link
from .test_web import correction, proof_link
from .test_web_browser import browser as browser
from .test_web_browser import watched

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

TEXTS = [
    *dict.fromkeys(json.loads((HOSTILE_INPUTS / "api" / "xss.json").read_text())),
    '" autofocus onfocus=alert(1) x="',
    "' onmouseover=alert(1) style=position:fixed;inset:0 x='",
    "x onpointerenter=alert(1)",
    "</pre></td></style></details><img src=x onerror=alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt;&#60;img src=x&#62;",
    "\u202e<script>alert(1)</script>\x00\x1b]8;;javascript:alert(1)\x07",
]  # fmt: skip

PARAMETERS = ("q", "state", "kind", "what", "name", "after", "before", "address", "stream", "organization")

LOOK = """() => {
  const all = [...document.querySelectorAll('*')];
  for (const one of all) if (one.tagName === 'DETAILS') one.open = true;
  const structure = all.map((one) => [one.tagName, ...one.getAttributeNames().sort()].join(' '));
  const leads = all.flatMap((one) => ['href', 'src', 'action', 'formaction'].map((name) => one.getAttribute(name)));
  const out = leads.filter((place) => place !== null && !/^([/?](?![/\\\\])|#)/.test(place));
  return [structure.concat(out), document.documentElement.textContent];
}"""
"""All elements with their attributes, and what leads elsewhere; and the text of the page."""

SHOWN = {
    "message": "subject human_sender_name human_sender_address application_user stream failure_policy metadata",
    "delivery": "recipient identity verdict",
    "attempt": "host ip tls enhanced_status_code text dialogue receiver egress_ip",
    "event": "data",
    "action": "result",
    "suppression": "address stream reason evidence",
    "alarm": "cause text",
    "loop_probe": "said",
    "human_sender": "name address attested_key_name attested_note",
    "organization": "name display_name",
    "allowed_name": "api_key_name reason",
    "inbound": "envelope_sender recipient purpose ip helo tls flags verdict authentication raw",
}
"""Columns that pages show today: what the pages are looked at for."""


SAME = {
    "allowed_name.display_name": "organization.display_name",
    "suppression.address": "delivery.recipient",
    "suppression.stream": "message.stream",
}
"""Columns that pages compare with others."""

LISTS = ("/", "/cases", "/inbound", "/suppressions", "/people", "/alarms", "/health", "/organizations")

REDIRECT = {"/sign_out", "/suppressions/lift", "/alarms/clear"}
"""Forms that lead back to a page."""


@dataclass(frozen=True)
class Look:
    """A way to a page: an address, and perhaps the button to press there, with the text in the form's field."""

    path: str
    button: str = ""
    field: str = ""


@dataclass
class Seen:
    status: int
    structure: list[str]
    text: str


Looks = dict[str, list[Look]]


@dataclass(frozen=True)
class Scene:
    """`looks`: what there is to see of a full store, by the path of the route. `leaving`: the delivery whose recipient
    unsubscribes again and again; `suppressed`: what was suppressed before he did."""

    home: Gateway
    looks: Looks
    leaving: UUID
    suppressed: list[UUID]

    async def fill(self, words: Words) -> int:
        """What others wrote says this, and the links in e-mails work again. Returns the number of columns."""
        number = await self.home.database.write(overwrite, words)
        await self.home.database.write(self._begin_again)
        return number

    def _begin_again(self, conn: sa.Connection) -> None:
        proof, human_sender, delivery = tables.proof, tables.human_sender, tables.delivery
        query = sa.select(proof.c.token_hash, human_sender.c.address)
        for row in conn.execute(query.join(human_sender, proof.c.human_sender == human_sender.c.id)).all():
            here = proof.c.token_hash == row.token_hash
            conn.execute(proof.update().where(here).values(address=row.address.lower(), used_at=None))
        conn.execute(tables.suppression.delete().where(tables.suppression.c.id.not_in(self.suppressed)))
        other = delivery.c.recipient + " of news"
        conn.execute(delivery.update().where(delivery.c.id == self.leaving).values(recipient=other))


async def a_scene(home: Gateway) -> Scene:
    proof, _ = await proof_link(home)
    made = await furnish(home)
    correct = [Look(await correction(home, made["deliveries"][number])) for number in (0, 3, 4, 5)]
    leaving = made["deliveries"][6]
    leave = unsubscribe_link(home, {"deliveries": [{"id": leaving}]})
    messages = [made["messages"][number] for number in (0, 2, 3, 4, 7)]
    looks = {path: [Look(path)] for path in LISTS} | {
        "/messages/{id}": [Look(f"/messages/{one}") for one in messages],
        "/inbound/{id}": [Look(f"/inbound/{one}") for one in made["inbound"][:2]],
        "/static/{name}": [Look("/static/x")],
        "/prove/{token}": [Look(proof), Look(proof, "Yes, this is my address")],
        "/correct/{token}": [*correct, Look(correct[0].path, "Send again", "recipient")],
        "/unsubscribe/{token}": [Look(leave), Look(leave, "Unsubscribe")],
        "/sign_in": [Look("/people", "Sign in", "key")],
    }
    suppressed = [row["id"] for row in await home.database.read(all_rows, tables.suppression)]
    return Scene(home, looks, UUID(int=ids.read("delivery", leaving).int), suppressed)


@dataclass
class Visitor:
    """Somebody who looks at everything that he may see."""

    page: Page
    looks: Looks
    faults: list[str]
    seen: dict[Look, Seen]

    async def look_round(self, text: str) -> dict[Look, Seen]:
        return {look: await self._look(look, text) for looks in self.looks.values() for look in looks}

    async def _look(self, look: Look, text: str) -> Seen:
        parameters = dict.fromkeys(PARAMETERS, text) | {"q": f"x:{text}"}
        asked = f"?{urlencode(parameters)}" if look.field == "?" else ""
        path = look.path.replace("TEXT", quote(f"{text}x", safe=""))  # a path that ends in a slash leads to one without
        response = await self.page.goto(f"{path}{asked}", wait_until="load")
        if look.button:
            if look.field:
                await self.page.locator(f"#{look.field}").fill(text)
            async with self.page.expect_response(lambda answer: answer.request.method == "POST") as posted:
                await self.page.get_by_role("button", name=look.button).click()
            response = await posted.value
            await self.page.wait_for_load_state("load")
        assert response is not None
        return Seen(response.status, *await self.page.evaluate(LOOK))


async def visitors(home: Gateway, browser: Browser, url: str, looks: Looks) -> list[Visitor]:
    """Somebody at this machine, who sees all; a member of the organization; and a stranger with links from e-mails."""
    of_links = {path: some for path, some in looks.items() if path.endswith("{token}") or path == "/sign_in"}
    of_pages = {path: some for path, some in looks.items() if path not in of_links}
    of_member = {path: some[:1] for path, some in looks.items() if path in {"/", "/people", "/messages/{id}"}}
    made = []
    for name, some in (("here", of_pages), ("member", of_member), ("stranger", of_links)):
        faults: list[str] = []
        more = {} if name == "here" else {"extra_http_headers": {"Via": "1.1 proxy"}}
        page = await watched(browser, faults, base_url=url, **more)
        page.on("dialog", lambda dialog, faults=faults: faults.append(f"dialog {dialog.message}"))
        if name == "member":
            await page.goto("/")
            await page.get_by_label("API key").fill(home.acme.key)
            await page.get_by_role("button", name="Sign in").click()
            await page.get_by_role("heading", name="Messages").wait_for()
        made.append(Visitor(page, some, faults, {}))
    return made


def unexpected(faults: list[str]) -> list[str]:
    """Chromium writes a line for each answer that is not 200, which `status` holds already."""
    return [fault for fault in faults if not fault.startswith("Failed to load resource: the server responded with a")]


def differences(before: dict[Look, Seen], now: dict[Look, Seen]) -> list[str]:
    found = []
    for look, seen in now.items():
        was = before[look]
        if seen.status != was.status:
            found.append(f"{look}: {was.status} became {seen.status}")
        new = [element for element in seen.structure if element not in set(was.structure)]
        if seen.structure != was.structure:
            found.append(f"{look}: {len(was.structure)} elements became {len(seen.structure)}: {new[:5]}")
    return found


SIGNS = {str(column): f"‹{number}›" for number, column in enumerate(written_by_others())}


def sign(column: str) -> str:
    return SIGNS[SAME.get(column, column)]


async def test_no_text_of_a_stranger_becomes_more_than_text(home: Gateway, browser: Browser) -> None:
    scene = await a_scene(home)
    loads = 0
    async with serving(home.app) as url:
        some = await visitors(home, browser, url, scene.looks)
        for visitor in [some[-1], *some]:  # whoever presses buttons changes what is there: once before
            await scene.fill(sign)
            visitor.seen = await visitor.look_round("‹x›")
        shown = "".join(seen.text for visitor in some for seen in visitor.seen.values())
        wanted = [f"{table}.{name}" for table, names in SHOWN.items() for name in names.split()]
        assert [column for column in wanted if sign(column) not in shown] == []
        for text in TEXTS:
            await scene.fill(lambda _, text=text: text)
            for visitor in some:
                now = await visitor.look_round(text)
                assert differences(visitor.seen, now) == [], text
                loads += len(now)
        assert [fault for visitor in some for fault in unexpected(visitor.faults)] == []
    told = sum(one in shown for one in SIGNS.values())
    print(f"{len(SIGNS)} columns, {told} of them shown; {len(TEXTS)} texts; {loads} pages")


async def test_no_text_in_an_address_becomes_more_than_text(home: Gateway, browser: Browser) -> None:
    await (await a_scene(home)).fill(sign)
    async with serving(home.app) as url:
        paths = (*LISTS, "/TEXT", "/messages/TEXT", "/inbound/TEXT", "/v1/TEXT")
        [visitor, *_] = await visitors(home, browser, url, {path: [Look(path, field="?")] for path in paths})
        before = [await visitor.look_round("x"), await visitor.look_round("x/x")]
        for text in TEXTS:
            assert differences(before["/" in text], await visitor.look_round(text)) == [], text
        assert unexpected(visitor.faults) == []


async def test_every_page_is_looked_at(home: Gateway) -> None:
    routes = [route for route in web.web_router(_web_parts(home.parts)).routes if isinstance(route, APIRoute)]
    pages = {route.path for route in routes if "GET" in route.methods}
    forms = {route.path for route in routes if "POST" in route.methods}
    looks = (await a_scene(home)).looks
    assert pages | forms == set(looks) | REDIRECT
    assert forms - REDIRECT == {path for path, some in looks.items() if any(look.button for look in some)}
    asked = {
        name
        for path in Path(web.__file__).parent.glob("*.py")
        for name in re.findall(r'query_params\.get\("(\w+)"', path.read_text("utf-8"))
    }
    assert asked <= set(PARAMETERS)


def test_each_reason_is_about_a_column_that_is_there() -> None:
    assert set(OURS) <= {str(column) for column in text_columns()}
    assert len(written_by_others()) > 90
    assert max(map(len, TEXTS)) <= 60, "a longer one would be cut where it may do harm"


async def test_a_text_that_becomes_an_element_is_noticed(home: Gateway, browser: Browser) -> None:
    looks = {"/people": [Look("/people")]}
    async with serving(home.app) as url:
        [visitor, *_] = await visitors(home, browser, url, looks)
        before = await visitor.look_round("")
        rendered = rendering._templates.filters["line"]
        rendering._templates.filters["line"] = lambda text, limit=300: Markup(rendered(text, limit))
        try:
            await home.database.write(_call, "<img src=x onerror=alert(1)>")
            after = await visitor.look_round("")
        finally:
            rendering._templates.filters["line"] = rendered
        assert "IMG onerror src" in differences(before, after)[0]
        assert any("Content Security Policy" in fault for fault in unexpected(visitor.faults))


def _call(conn: sa.Connection, name: str) -> None:
    conn.execute(tables.human_sender.update().values(name=name))
