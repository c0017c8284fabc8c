"""Addresses that are not there, and methods that they do not take: a page for a browser, a problem for a program."""

import re

import pytest

from .gateway import Gateway
from .operations import routes

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
NOT_IN_THE_API = ("/nowhere", "/v1/nowhere", "/messages/x/y", "/.well-known/security.txt", "/v2")


async def test_every_address_tells_all_its_methods(home: Gateway) -> None:
    takes: dict[str, set[str]] = {}
    for method, path in routes(home.app):
        takes.setdefault(path, set()).add(method)
    assert len(takes) > 60
    for path in takes:
        alike = (one for one in takes if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", one), path))
        methods = set().union(*(takes[one] for one in alike))
        for other in sorted(set(METHODS) - methods)[:2]:
            response = await home.client.request(other, path)
            assert response.status_code == 405, (other, path)
            assert set(response.headers["allow"].split(", ")) == methods, (other, path)


@pytest.mark.parametrize("path", NOT_IN_THE_API)
async def test_an_unknown_address_is_a_page_to_a_browser_and_a_problem_to_a_program(home: Gateway, path: str) -> None:
    for accept in (BROWSER, "text/html", "application/json;q=0.5, text/html", "TEXT/HTML; q=0.9"):
        page = await home.client.get(path, headers={"Accept": accept})
        assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8"), accept
        assert "There is nothing at this address." in page.text
        assert page.headers["content-security-policy"]
        assert len(page.headers["x-request-id"]) == 20
        assert page.headers["vary"] == "Accept"
    for accept in (
        "*/*",
        "",
        "application/json",
        "application/problem+json, text/html;q=0.9",
        "text/html;q=0",
        "x/y;q=z",
    ):
        problem = await home.client.get(path, headers={"Accept": accept})
        assert (problem.status_code, problem.json()["code"]) == (404, "not-found"), accept
        assert problem.headers["vary"] == "Accept"


async def test_the_api_answers_in_its_own_form_whoever_asks(home: Gateway) -> None:
    for method, path in (("GET", "/v1/messages"), ("PUT", "/v1/messages"), ("GET", "/v1/messages/x")):
        response = await home.client.request(method, path, headers={"Accept": BROWSER})
        assert response.headers["content-type"] == "application/problem+json", (method, path)


async def test_a_page_that_cannot_be_shown_is_told_of_in_a_page(home: Gateway) -> None:
    response = await home.client.put("/cases", headers={"Accept": BROWSER})
    assert (response.status_code, response.headers["content-type"]) == (405, "text/html; charset=utf-8")
    assert response.headers["allow"] == "GET, HEAD"


async def test_nobody_is_redirected_for_a_slash_too_many(home: Gateway) -> None:
    """Where to is what the Host field says, in plain http: a client that followed would send its key in clear."""
    for method, path in routes(home.app):
        if path == "/":
            continue
        response = await home.client.request(method, re.sub(r"\{\w+\}", "x", path) + "/", headers={"Host": "evil.net"})
        assert "location" not in response.headers, (method, path)
        assert response.status_code in {404, 405}, (method, path)
    problem = await home.call("POST", "/v1/messages/", json={})
    assert (problem.status_code, problem.json()["code"]) == (404, "not-found")
