"""Examinations that callers wait for: so many of an organization at once, and so many of all."""

from contextlib import ExitStack
from uuid import uuid4

import pytest

from homing.doors.examinations import IN_ALL, OF_ORGANIZATION, Examinations
from homing.loop.problem import Rejected

from .gateway import Gateway

ASKED = [("GET", "/v1/doctor?domain=corp.com"), ("POST", "/v1/domains/corp.com/verify")]


def test_all_of_them_are_bounded_and_the_operator_has_his_own() -> None:
    examinations = Examinations()
    with ExitStack() as under_way:
        for _ in range(IN_ALL):
            under_way.enter_context(examinations.one(uuid4()))
        with pytest.raises(Rejected) as refused, examinations.one(uuid4()):
            pass
        assert (refused.value.problem.status, refused.value.problem.code) == (503, "gateway-busy")
        assert refused.value.problem.retry_after
        for _ in range(IN_ALL):
            under_way.enter_context(examinations.one(None))
        with pytest.raises(Rejected), examinations.one(None):
            pass
    with examinations.one(uuid4()), examinations.one(None):
        pass


def test_a_place_is_given_back_however_the_examination_ends() -> None:
    examinations, holder = Examinations(), uuid4()
    for _ in range(OF_ORGANIZATION + 1):
        with pytest.raises(ZeroDivisionError), examinations.one(holder):
            raise ZeroDivisionError


@pytest.mark.parametrize(("method", "path"), ASKED)
async def test_an_organization_has_two_under_way_of_whatever_kind(home: Gateway, method: str, path: str) -> None:
    home.parts.own_doctor.probes = False
    for member in (home.acme, home.other):
        await home.call("POST", "/v1/domains", member, json={"domain": "corp.com"})
    with ExitStack() as under_way:
        for _ in range(OF_ORGANIZATION):
            under_way.enter_context(home.parts.examinations.one(home.acme.organization.id))
        refused = await home.call(method, path)
        assert (refused.status_code, refused.json()["code"]) == (429, "too-many-examinations")
        assert int(refused.headers["Retry-After"]) > 0
        assert (await home.call(method, path, home.other)).status_code == 200
    assert (await home.call(method, path)).status_code == 200
    assert not home.parts.examinations.under_way


@pytest.mark.parametrize(("method", "path"), ASKED)
async def test_what_is_asked_for_takes_a_place(home: Gateway, method: str, path: str) -> None:
    """Held for as long as the DNS is asked."""
    seen: list[int] = []
    examined, asked = home.parts.own_doctor.doctor, home.parts.domain_verifier

    class Watched(type(examined.resolver)):  # type: ignore[misc]
        async def _lookup(self, name: str, kind: str) -> object:
            seen.append(home.parts.examinations.under_way)
            return await super()._lookup(name, kind)

    examined.resolver = asked.resolver = Watched([("127.0.0.1", 9)], timeout=0.05)
    await home.call("POST", "/v1/domains", json={"domain": "corp.com"})
    assert (await home.call(method, path)).status_code == 200
    assert seen
    assert set(seen) == {1}
