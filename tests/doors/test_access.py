"""Role by route by kind of id: each cell of the table of access is asked for, and every route has a row in it."""

from typing import Any

import httpx2
import pytest

from homing.loop import ids
from homing.store import organizations

from .access_table import TABLE, Keys, Otherwise, Page, Row
from .gateway import ALL, Gateway, Member, make_key
from .operations import UNKNOWN, routes
from .test_inbound import came

SAME = {"X-Request-Id": "the-same-for-all"}
NAMED = {"Homing-Organization": "acme"}
IN = "in"


def missing(home: Gateway) -> set[str]:
    """Routes without a row, and rows without a route. What HEAD may see, GET may."""
    there = set(routes(home.app))
    found = {f"{method} {path}" for method, path in there if method != "HEAD" or ("GET", path) not in there}
    return found ^ TABLE.keys()


async def test_every_route_has_its_row(home: Gateway) -> None:
    assert missing(home) == set(), "say in tests/doors/access_table.py who may ask there"
    home.app.add_api_route("/v1/new", lambda: None)
    assert missing(home) == {"GET /v1/new"}


async def ask(home: Gateway, route: str, path: str, headers: dict[str, str]) -> httpx2.Response:
    row, method = TABLE[route], route.split(maxsplit=1)[0]
    body: dict[str, Any] = {"json": row.body} if method in {"POST", "PUT", "PATCH"} else {}
    return await home.client.request(method, path + row.query, headers=SAME | headers, **body)


def nowhere(route: str) -> str:
    path = route.split()[1]
    for name, value in UNKNOWN.items():
        path = path.replace(name, value)
    return path


# -- role by route ---------------------------------------------------------------------------------------------------


def expected(row: Row, role: str) -> object:
    """What the holder of such a key gets: IN, or status and code."""
    access = row.access
    assert isinstance(access, Keys)
    match role:
        case "nobody" | "a wrong key":
            return 401, "key-invalid"
        case "an administrator":
            return IN if access.alone else (403, "organization-required")
        case "an administrator for acme":
            return IN
        case "an operator who attests for acme":
            role = "attest"
    return IN if role in access.scopes else (403, "scope-missing")


async def roles(home: Gateway) -> dict[str, dict[str, str]]:
    """The header fields of each role."""
    acme = home.acme.organization.id
    scopes = (*ALL, "attest")
    keys = {scope: await make_key(home.database, home.clock, acme, (scope,)) for scope in scopes}
    attesting = await make_key(home.database, home.clock, None, ("attest",))
    return {
        "nobody": {},
        "a wrong key": {"Authorization": "Bearer homing_live_" + "a" * 48},
        "an administrator": home.administrator,
        "an administrator for acme": home.administrator | NAMED,
        "an operator who attests for acme": {"Authorization": f"Bearer {attesting}"} | NAMED,
    } | {scope: {"Authorization": f"Bearer {key}"} for scope, key in keys.items()}


@pytest.mark.slow
async def test_each_role_gets_what_the_table_says(home: Gateway) -> None:
    home.parts.tail.stopping.set()  # live streams end after their first frame
    for role, headers in (await roles(home)).items():
        for route, row in TABLE.items():
            if not isinstance(row.access, Keys) or route == "GET /metrics":
                continue
            response = await ask(home, route, nowhere(route), headers)
            assert response.status_code < 500, (role, route, response.text)
            refused = response.status_code in {401, 403}
            got = (response.status_code, response.json()["code"]) if refused else IN
            assert got == expected(row, role), (role, route, response.text)


@pytest.mark.slow
async def test_where_no_key_counts_all_get_the_same(home: Gateway) -> None:
    answers: dict[str, set[tuple[int, bytes]]] = {}
    for role, headers in (await roles(home)).items():
        for route, row in TABLE.items():
            if isinstance(row.access, Otherwise) and role not in ALL:
                response = await ask(home, route, nowhere(route), headers)
                assert response.status_code == row.access.stranger, (route, response.text)
                answers.setdefault(route, set()).add((response.status_code, response.content))
    assert all(len(told) == 1 for told in answers.values())


async def test_figures_are_for_administrators(home: Gateway) -> None:
    for role, headers in (await roles(home)).items():
        response = await ask(home, "GET /metrics", "/metrics", headers)
        assert (response.status_code == 200) == role.startswith("an administrator"), role


@pytest.mark.slow
async def test_pages_are_for_sessions_of_those_who_may_read(home: Gateway) -> None:
    bodies: dict[str, bytes] = {}
    for scopes in ((), ("send",), ("read",), ("read", "manage"), ("admin",)):
        headers = await session(home, scopes)
        for route, row in TABLE.items():
            if not isinstance(row.access, Page):
                continue
            response = await ask(home, route, nowhere(route), headers)
            administrator = "admin" in scopes
            if not administrator and "read" not in scopes:
                assert response.status_code == 401, (scopes, route)
                assert bodies.setdefault("sign in", response.content) == response.content, (scopes, route)
            elif row.access.form:
                assert response.status_code == (303 if administrator or "manage" in scopes else 403), (scopes, route)
            elif "{id}" in route or (row.access.administrators and not administrator):
                assert response.status_code == 404, (scopes, route)
            else:
                assert response.status_code == 200, (scopes, route)


async def session(home: Gateway, scopes: tuple[str, ...], member: Any = None) -> dict[str, str]:
    """The cookie of somebody with a key of these scopes."""
    if not scopes:
        return {}
    organization = None if "admin" in scopes else (member or home.acme).organization.id
    key = await make_key(home.database, home.clock, organization, scopes)
    signed_in = await home.client.post("/sign_in", data={"key": key})
    home.client.cookies.clear()
    return {"Cookie": signed_in.headers["set-cookie"].partition(";")[0]} if signed_in.status_code == 303 else {}


# -- route by kind of id ---------------------------------------------------------------------------------------------


async def things(home: Gateway) -> dict[str, tuple[str, str]]:
    """For each kind: one of acme's, and one that nobody has."""
    answer = await home.send()
    delivery = answer["deliveries"][0]["id"]
    await home.call("PUT", "/v1/failure_policies/quiet", json={"steps": [{"kind": "log"}]})
    await home.call("PUT", "/v1/streams/news", json={})
    await home.call("POST", "/v1/domains", json={"domain": "example.net"})
    made = await home.client.post("/v1/administrator_keys", headers=home.administrator, json={"name": "x"})
    return {
        "message": (answer["id"], "msg_" + "0" * 32),
        "delivery": (delivery, "dlv_" + "0" * 32),
        "human_sender": (ids.show("human_sender", home.acme.sender.id), "snd_" + "0" * 32),
        "organization": (ids.show("organization", home.acme.organization.id), "org_" + "0" * 32),
        "administrator_key": (made.json()["id"], "key_" + "0" * 32),
        "dkim_key": ("dkm_" + "1" * 32, "dkm_" + "0" * 32),
        "inbound": (await came(home, delivery), "inb_" + "0" * 32),
        "policy": ("quiet", "nobody"),
        "stream": ("news", "nobody"),
        "domain": ("example.net", "example.org"),
    }


def at(route: str, identifier: str) -> str:
    path = route.split()[1]
    if "{id}" not in path and "{name}" not in path:
        return path.replace("{key}", identifier)
    return path.replace("{id}", identifier).replace("{name}", identifier).replace("{key}", UNKNOWN["{key}"])


async def full_key(home: Gateway, member: Member) -> dict[str, str]:
    """One that may do all that a key of an organization may."""
    key = await make_key(home.database, home.clock, member.organization.id, (*ALL, "attest"))
    return {"Authorization": f"Bearer {key}"}


async def test_another_organizations_thing_looks_exactly_like_none(home: Gateway) -> None:
    some = await things(home)
    cookie, key = await session(home, ("read", "manage"), home.other), await full_key(home, home.other)
    tried = 0
    for route, row in TABLE.items():
        if not row.kind:
            assert not {"{id}", "{key}"} & set(route.split("/")) or isinstance(row.access, Otherwise), route
            continue
        headers = cookie if isinstance(row.access, Page) else key
        answers = [await ask(home, route, at(route, identifier), headers) for identifier in some[row.kind]]
        told = [(one.status_code, one.content, sorted(one.headers.items())) for one in answers]
        assert told[0] == told[1], route
        alone = isinstance(row.access, Keys) and not row.access.scopes
        assert told[0][0] == (403 if alone else 404), (route, told)
        tried += 1
    assert tried > 25


@pytest.mark.slow
async def test_its_owner_finds_it(home: Gateway) -> None:
    """So that the walls above are walls around something."""
    some = await things(home)
    order = ("GET", "PATCH", "POST", "PUT", "DELETE")
    key = await full_key(home, home.acme)
    cookies = {True: await session(home, ("admin",)), False: await session(home, ("read", "manage"))}
    for route in sorted(TABLE, key=lambda route: order.index(route.split()[0]) if route.split()[0] in order else 9):
        row = TABLE[route]
        if not row.kind or row.kind == "dkim_key" or ("{key}" in route and "{id}" in route):
            continue
        if isinstance(row.access, Page):
            headers = cookies[row.access.administrators]
        else:
            alone = isinstance(row.access, Keys) and not row.access.scopes
            headers = home.administrator | NAMED if alone else key
        response = await ask(home, route, at(route, some[row.kind][0]), headers)
        assert response.status_code not in {401, 403, 404, 422}, (route, response.text)
        assert response.status_code < 500, (route, response.text)


@pytest.mark.parametrize("scopes", [("admin",), ("send", "admin")])
async def test_an_organizations_key_never_administers(home: Gateway, scopes: tuple[str, ...]) -> None:
    key = await make_key(home.database, home.clock, home.acme.organization.id, scopes)
    response = await home.client.get("/v1/organizations", headers={"Authorization": f"Bearer {key}"})
    assert (response.status_code, response.json()["code"]) == (401, "key-invalid")
    assert await home.database.read(organizations.list_keys, home.acme.organization.id)
