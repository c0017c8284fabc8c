"""No answer grows with what an organization has: each list in an answer is a page, or says what bounds it."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel

from homing.doors.api.responses import EventOut
from homing.loop.alarm import alarm
from homing.loop.domains.sending_domains import SendingDomain
from homing.loop.model import FailurePolicy, Step, StepKind
from homing.store import alarms, organizations, policies, sending_domains
from homing.store.organizations import Stream

from .gateway import Gateway, make_key
from .operations import operations
from .test_inbound import came

LONGEST_PAGE = 500

PAGES = {
    "EventPage.events",
    "HumanSenders.human_senders",
    "InboundPage.inbound",
    "Keys.keys",
    "LiftedPage.lifted",
    "MessagePage.messages",
    "OrganizationPage.organizations",
    "Policies.failure_policies",
    "Streams.streams",
    "SuppressionPage.suppressions",
}

WITHIN = {
    "Alarms.alarms": "the latest 200",
    "CaseOut.actions": "an action for each step of the policy",
    "CaseOut.steps": "the steps of the policy",
    "DeliveryOut.attempts": "the latest ones, store.views.ATTEMPTS",
    "Diagnosis.findings": "checks of a few names, flow.own_doctor",
    "DkimKeys.dkim_keys": "the operator's own, one each rotation",
    "DomainOut.records": "the records of a domain",
    "Domains.domains": "store.sending_domains.MOST",
    "FindingOut.evidence": "questions of one check",
    "FindingOut.records": "the records of a domain",
    "ImportOut.faults": "a few for each of the suppressions of one request",
    "KeyMade.scopes": "there are few",
    "KeyOut.scopes": "there are few",
    "LiftOut.suppressions": "the limit of the request",
    "LoopWatchOut.rounds": "the latest 20",
    "MessageAccepted.deliveries": "the recipients of a message",
    "MessageOut.deliveries": "the recipients of a message",
    "MessageOut.timeline": "the latest ones, store.views.TIMELINE",
    "MessageSummary.deliveries": "all of a page, store.views.LISTED",
    "PolicyOut.steps": "20, as they were given",
    "RecordsToPublish.records": "the records of a domain",
    "RecordsToPublish.return_path_without_cname": "the records of a domain",
}


def lists(schemas: dict[str, Any]) -> Iterator[str]:
    """The lists of objects, or of known words, that have no `maxItems`."""
    for name, schema in schemas.items():
        for field, one in schema.get("properties", {}).items():
            kinds = (one, *one.get("anyOf", []))
            if any("$ref" in str(kind.get("items")) and "maxItems" not in kind for kind in kinds):
                yield f"{name}.{field}"


def unbounded(home: Gateway) -> set[str]:
    """Lists that no row speaks of, rows of lists that are gone, and answers that are nothing but a list."""
    home.app.openapi_schema = None
    described = home.app.openapi()
    bare = {
        f"{method.upper()} {path}"
        for path, item in described["paths"].items()
        for method, told in item.items()
        for answer in told["responses"].values()
        if answer.get("content", {}).get("application/json", {}).get("schema", {}).get("type") == "array"
    }
    return bare | set(lists(described["components"]["schemas"])) ^ (PAGES | WITHIN.keys())


class Things(BaseModel):
    things: list[EventOut]


async def test_every_list_in_an_answer_is_a_page_or_says_what_bounds_it(home: Gateway) -> None:
    assert unbounded(home) == set(), "say here what bounds it"
    home.app.add_api_route("/v1/new", lambda: None, response_model=Things)
    assert unbounded(home) == {"Things.things"}
    home.app.add_api_route("/v1/newer", lambda: None, response_model=list[str])
    assert unbounded(home) == {"Things.things", "GET /v1/newer"}


async def fill(home: Gateway) -> None:
    """Three of everything that lists hold."""
    acme = home.acme.organization
    for number in range(3):
        sent = await home.send()
        await came(home, sent["deliveries"][0]["id"])
        person = {"name": "Jim", "address": f"jim{number}@example.com", "proof_letter": False}
        await home.call("POST", "/v1/human_senders", json=person)
        await home.call("PUT", f"/v1/failure_policies/p{number}", json={"steps": [{"kind": "log"}]})
        await home.call("PUT", f"/v1/streams/s{number}", json={})
        for address in (f"kept{number}@example.org", f"lifted{number}@example.org"):
            await home.call("POST", "/v1/suppressions", json={"address": address})
        await home.call("DELETE", f"/v1/suppressions?address=lifted{number}@example.org")
        await make_key(home.database, home.clock, acme.id, ("send",))
        await home.client.post("/v1/administrator_keys", headers=home.administrator, json={"name": "x"})
        await home.client.post(
            "/v1/organizations",
            headers=home.administrator,
            json={"name": f"o{number}", "display_name": f"Org {number}"},
        )


async def test_a_page_is_never_longer_than_asked_for_and_leads_to_the_next_one(home: Gateway) -> None:
    await fill(home)
    acme = home.administrator | {"Homing-Organization": "acme"}
    paged = [one for one in operations(home.app) if one.method == "GET" and "limit" in one.query]
    assert len(paged) >= len(PAGES)
    for operation in paged:
        path = operation.path.replace("{id}", "acme")
        too_long = await home.client.get(path, headers=acme, params={"limit": LONGEST_PAGE + 1})
        assert too_long.status_code == 422, f"{path} takes pages of any length"
        names: list[str] = []
        cursor: dict[str, str] = {}
        for _ in range(40):
            page = await home.client.get(path, headers=acme, params={"limit": 1} | cursor)
            assert page.status_code == 200, (path, page.text)
            [(listed, found)] = [(name, one) for name, one in page.json().items() if isinstance(one, list)]
            assert len(found) <= (2 if path == "/v1/failure_policies" and not cursor else 1), path
            names += [str(one) for one in found]
            if page.json()["cursor"] is None or (path == "/v1/events" and not found):
                break
            cursor = {"cursor": page.json()["cursor"]}
        assert len(names) == len(set(names)) >= 3, (path, listed, names)


# -- what has a number -----------------------------------------------------------------------------------------------


async def many_policies(home: Gateway) -> None:
    for number in range(policies.MOST):
        policy = FailurePolicy(name=f"p{number}", steps=(Step(kind=StepKind.LOG),))
        await home.database.write(policies.put, home.acme.organization.id, policy, home.clock())


async def many_streams(home: Gateway) -> None:
    def create(conn: Any) -> None:
        for number in range(organizations.STREAMS):
            name, organization = f"s{number}", home.acme.organization.id
            organizations.ensure_stream(
                conn, Stream(organization=organization, name=name, bulk=False, created_at=home.clock())
            )

    await home.database.write(create)


@pytest.mark.parametrize(
    ("fill", "path", "body"),
    [
        (many_policies, "/v1/failure_policies/", {"steps": [{"kind": "log"}]}),
        (many_streams, "/v1/streams/", {}),
    ],
)
async def test_an_organization_has_only_so_many(
    home: Gateway, fill: Callable[[Gateway], Awaitable[None]], path: str, body: dict[str, Any]
) -> None:
    await fill(home)
    refused = await home.call("PUT", f"{path}one-more", json=body)
    assert (refused.status_code, refused.json()["code"]) == (409, "limit-reached")
    known = "p7" if "policies" in path else "s7"
    assert (await home.call("PUT", f"{path}{known}", json=body)).status_code == 200, "what is there may be set again"
    assert (await home.call("PUT", f"{path}one-more", home.other, json=body)).status_code == 200


def domain(home: Gateway, name: str) -> SendingDomain:
    now = home.clock()
    organization = home.acme.organization.id
    return SendingDomain(
        id=uuid4(), organization=organization, domain=name, label="l", created_at=now, next_check_at=now
    )


async def test_domains_that_were_removed_count_too(home: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounces to them are still taken, so that every process knows them for ever."""
    monkeypatch.setattr(sending_domains, "MOST_EVER", 3)
    for number in range(3):
        assert await home.database.write(sending_domains.add, domain(home, f"d{number}.example"))
        acme = home.acme.organization.id
        assert await home.database.write(sending_domains.remove, acme, f"d{number}.example", home.clock())
    refused = await home.call("POST", "/v1/domains", json={"domain": "d4.example"})
    assert (refused.status_code, refused.json()["code"]) == (409, "domains-too-many")
    assert (await home.call("POST", "/v1/domains", json={"domain": "d1.example"})).status_code == 201


async def test_of_alarms_the_latest_are_listed(home: Gateway) -> None:
    raised = [(alarm(f"cause {number}", "text"), home.clock()) for number in range(250)]
    await home.database.write(alarms.raise_alarm, raised)
    answer = await home.client.get("/v1/alarms", headers=home.administrator)
    assert len(answer.json()["alarms"]) == 200


async def test_a_failure_policy_is_small_since_every_case_has_a_copy(home: Gateway) -> None:
    words = ["x" * 40] * 40
    many = {"steps": [{"kind": "letter", "kinds": words} for _ in range(20)]}
    refused = await home.call("PUT", "/v1/failure_policies/large", json=many)
    assert refused.status_code == 422
    assert [(one["pointer"], one["code"]) for one in refused.json()["errors"]] == [("/steps", "too-many-items")]
    some = {"steps": [{"kind": "letter", "kinds": words[:3]} for _ in range(20)]}
    taken = await home.call("PUT", "/v1/failure_policies/large", json=some)
    assert taken.status_code == 200
    assert len(taken.content) < 8192
