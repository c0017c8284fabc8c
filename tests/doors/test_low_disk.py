"""What a request may do while the disk is low: a row for each route that writes, and no such route without its row."""

from dataclasses import dataclass, field
from typing import Any

import httpx2
import sqlalchemy as sa

from homing.loop import ids
from homing.store import dkim_keys, tables

from .access_table import TABLE, Keys, Page
from .failing import fail
from .gateway import ADMINISTRATOR, Gateway, message
from .operations import routes
from .test_access import NAMED, at, full_key, session, things
from .test_api_dkim import adopted
from .test_lists import an_alarm, suppress
from .test_unsubscribe import link as leaving
from .test_web import correction, proof_link


@dataclass(frozen=True, slots=True)
class Grows:
    """It makes the store grow by much, or asks for something that would be sent: refused with 503."""

    body: dict[str, Any] = field(default_factory=dict)
    form: bool = False


@dataclass(frozen=True, slots=True)
class Small:
    """It changes one thing, or removes as much as it adds, so that an operator gets out of trouble: taken, with this
    `status`."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)
    form: bool = False
    query: str = ""


PERSON = {"name": "Ann Smith", "address": "ann@example.net"}
ENTRY = {"address": "gone@example.org", "reason": "manual"}

WRITES: dict[str, Grows | Small] = {
    "POST /v1/messages": Grows(message()),
    "POST /v1/deliveries/{id}/resend": Grows({"recipient": "right@example.org"}),
    "POST /correct/{token}": Grows({"recipient": "right@example.org"}, form=True),
    "POST /v1/human_senders/{id}/proof": Grows(),
    "POST /v1/organization/administrator/proof": Grows(),
    "POST /v1/human_senders/attestations": Grows({"human_senders": [PERSON]}),
    "POST /v1/suppressions/import": Grows({"suppressions": [ENTRY]}),
    # Its letter is not sent, and the answer says so.
    "POST /v1/human_senders": Small(201, PERSON),
    "PATCH /v1/organization": Small(200, {"administrator": "new@example.net"}),
    "PATCH /v1/organizations/{id}": Small(200, {"administrator": "newer@example.net"}),
    "POST /v1/organizations": Small(201, {"name": "third", "display_name": "Third Party"}),
    "POST /v1/human_senders/{id}/prove": Small(200),
    "POST /v1/organization/administrator/prove": Small(200),
    "POST /v1/human_senders/{id}/stream_token": Small(200),
    "POST /v1/organizations/{id}/pause": Small(200, {"reason": "the disk"}),
    "POST /v1/organizations/{id}/resume": Small(200),
    "POST /v1/organizations/{id}/keys": Small(201, {"name": "x", "scopes": ["send"]}),
    "DELETE /v1/organizations/{id}/keys/{key}": Small(204),
    "POST /v1/organization/webhook_secret": Small(200),
    "POST /v1/administrator_keys": Small(201, {"name": "y"}),
    "DELETE /v1/administrator_keys/{key}": Small(204),
    "PUT /v1/failure_policies/{name}": Small(200, {"steps": [{"kind": "log"}]}),
    "DELETE /v1/failure_policies/{name}": Small(204),
    "PUT /v1/streams/{name}": Small(200),
    "POST /v1/suppressions": Small(201, ENTRY),
    "POST /v1/suppressions/lift": Small(200, {"reason": "manual"}),
    "DELETE /v1/suppressions": Small(204, query="?address=one@example.org"),
    "POST /suppressions/lift": Small(303, {"address": "two@example.org", "stream": "default"}, form=True),
    "POST /unsubscribe/{token}": Small(200, {"List-Unsubscribe": "One-Click"}, form=True),
    "POST /prove/{token}": Small(200, form=True),
    "POST /v1/deliveries/{id}/cancel": Small(200),
    "POST /v1/domains": Small(201, {"domain": "new.example.net"}),
    "PATCH /v1/domains/{name}": Small(200, {"own_recipients": True}),
    "POST /v1/domains/{name}/verify": Small(200),
    "DELETE /v1/domains/{name}": Small(204),
    "POST /v1/dkim_keys/rotate": Small(409),
    "POST /v1/dkim_keys/{id}/revoke": Small(200),
    "POST /v1/loop_watch": Small(200),
    "POST /v1/store/hold": Small(200),
    "POST /v1/store/release": Small(200),
    "DELETE /v1/alarms": Small(204, query="?cause=one"),
    "POST /alarms/clear": Small(303, {"cause": "two"}, form=True),
    "POST /v1/sms/status/{token}": Small(204),
    "POST /sign_in": Small(303, {"key": ADMINISTRATOR}, form=True),
    "POST /sign_out": Small(303, form=True),
}


def writing(home: Gateway) -> set[str]:
    return {f"{method} {path}" for method, path in routes(home.app) if method not in {"GET", "HEAD", "OPTIONS"}}


async def test_every_route_that_writes_says_what_it_does_to_a_low_disk(home: Gateway) -> None:
    assert writing(home) == WRITES.keys(), "say in tests/doors/test_low_disk.py what it makes of the store"
    home.app.add_api_route("/v1/new", lambda: None, methods=["POST"])
    assert writing(home) - WRITES.keys() == {"POST /v1/new"}


async def test_what_makes_the_store_grow_is_refused_and_small_changes_are_taken(home: Gateway) -> None:
    paths, headers = await prepared(home), await keys(home)
    for part in (home.parts.acceptance, home.parts.address_proofs):
        part.disk.is_low = True
    before, letters = await home.database.read(counts), await home.database.read(proof_letters)
    for route, write in WRITES.items():
        if isinstance(write, Grows):
            answer = await ask(home, route, paths, headers)
            assert answer.status_code == 503, (route, answer.text)
            assert "too little room on the disk" in answer.text, route
            assert answer.headers.get("Retry-After") == ("60" if route.startswith("POST /v1/") else None), route
    assert await home.database.read(counts) == before, "nothing was written"
    small = {route: write.status for route, write in WRITES.items() if isinstance(write, Small)}
    told = {route: await ask(home, route, paths, headers) for route in small}
    assert {route: answer.status_code for route, answer in told.items()} == small
    assert await home.database.read(proof_letters) == letters, "no address was asked for a proof"


async def prepared(home: Gateway) -> dict[str, str]:
    """The path of each route, to something of acme's that is there."""
    some = {kind: there for kind, (there, _) in (await things(home)).items()}
    for address in ("one@example.org", "two@example.org"):
        await suppress(home, address)
    for cause in ("one", "two"):
        await an_alarm(home, cause)
    await home.call("PATCH", "/v1/organization", json={"administrator": "it@example.net"})
    await adopted(home)
    [dkim_key] = await home.database.read(dkim_keys.list_all)
    some["dkim_key"] = ids.show("dkim_key", dkim_key.id)
    of_organization = f"/v1/organizations/{some['organization']}/keys"
    made = await home.client.post(of_organization, headers=home.administrator, json={"name": "x", "scopes": ["read"]})
    failed = (await home.send(to=["john@gmial.com"]))["deliveries"][0]["id"]
    await fail(home, failed)
    bulk = await home.send(stream="news")
    links = {
        "POST /correct/{token}": await correction(home, failed),
        "POST /unsubscribe/{token}": leaving(home, bulk),
        "POST /prove/{token}": (await proof_link(home))[0],
        "POST /v1/sms/status/{token}": "/v1/sms/status/x",
        "DELETE /v1/organizations/{id}/keys/{key}": f"{of_organization}/{made.json()['id']}",
    }
    return {route: links.get(route) or at(route, some.get(TABLE[route].kind, "quiet")) for route in WRITES}


async def keys(home: Gateway) -> dict[str, dict[str, str]]:
    return {
        "full": await full_key(home, home.acme),
        "administrator": home.administrator | NAMED,
        "page": await session(home, ("read", "manage")),
        "administrators page": await session(home, ("admin",)),
    }


async def ask(home: Gateway, route: str, paths: dict[str, str], headers: dict[str, dict[str, str]]) -> httpx2.Response:
    access, write = TABLE[route].access, WRITES[route]
    match access:
        case Keys(scopes=scopes):
            given = headers["full"] if scopes else headers["administrator"]
        case Page():
            given = headers["administrators page" if route == "POST /alarms/clear" else "page"]
        case _:
            given = {}
    if route == "POST /v1/sms/status/{token}":
        return await home.client.post(paths[route], content=b"known")
    body: dict[str, Any] = {"data": write.body} if write.form else {"json": write.body}
    query = write.query if isinstance(write, Small) else ""
    return await home.client.request(route.split(maxsplit=1)[0], paths[route] + query, headers=given, **body)


def counts(conn: sa.Connection) -> dict[str, int]:
    return {
        table.name: conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
        for table in tables.metadata.sorted_tables
    }


def proof_letters(conn: sa.Connection) -> int:
    return conn.execute(
        sa.select(sa.func.count()).select_from(tables.message).where(tables.message.c.origin == "proof")
    ).scalar_one()
