"""How much work one request may make: everybody else waits for the loop while it does, whoever asked for it.

Processor time of the loop's thread is counted, and held against that of a piece of work of known size in the same run.
"""

import gc
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from homing.doors.api.body import MOST_VALUES
from homing.loop.problem import SHOWN_FAULTS

from .gateway import Gateway, message
from .operations import Operation, fields_of, operations, placed, types_of

LONG = "ä " * 300_000
MOST = 5
"""Units of work: a unit is about 60 ms, of which a request may be 300."""


def measured(what: Callable[[], object]) -> float:
    started = time.thread_time()
    what()
    return time.thread_time() - started


@pytest.fixture
def unit() -> Iterator[float]:
    """The time of a million additions."""
    gc.collect()
    gc.freeze()  # what other tests left is not looked through again and again
    yield min(measured(lambda: sum(number + 1 for number in range(1_000_000))) for _ in range(5))
    gc.unfreeze()


async def asked(home: Gateway, method: str, path: str, body: bytes) -> tuple[httpx2.Response, float]:
    """By somebody who may do everything; and the time that it took the loop."""
    headers = home.administrator | {"Homing-Organization": "acme", "Content-Type": "application/json"}
    started = time.thread_time()
    answer = await home.client.request(method, path, headers=headers, content=body)
    return answer, time.thread_time() - started


def unknown(fields: int) -> dict[str, int]:
    return {f"k{number}": 1 for number in range(fields)}


def hostile(operation: Operation) -> Iterator[tuple[str, dict[str, Any]]]:
    """Bodies full of fields that do not exist, of too long texts and of wrong items, for each field of an operation."""
    yield "unknown fields", unknown(MOST_VALUES - 1)
    yield "more of them", unknown(8 * MOST_VALUES)
    for pointer, schema in fields_of(operation.body):
        if "array" in types_of(schema):
            yield f"wrong items at {pointer}", placed(pointer, [None] * (MOST_VALUES - 10))
            yield f"unknown fields in {pointer}", placed(pointer, [unknown(19)] * (MOST_VALUES // 20 - 1))
        elif "object" in types_of(schema):
            yield f"unknown fields at {pointer}", placed(pointer, unknown(MOST_VALUES - 10))
        elif "string" in types_of(schema):
            yield f"a long text at {pointer}", placed(pointer, LONG)


@pytest.mark.slow
async def test_no_body_of_any_operation_is_much_work(home: Gateway, unit: float) -> None:
    tried = 0
    for operation in operations(home.app):
        if operation.body:
            await asked(home, operation.method, operation.somewhere, b"{}")
        for what, body in hostile(operation) if operation.body else ():
            answer, work = await asked(home, operation.method, operation.somewhere, json.dumps(body).encode())
            told = f"{operation.method} {operation.path}, {what}: {work:.2f} s, {work / unit:.1f} units"
            assert 400 <= answer.status_code < 500, told
            assert work < MOST * unit, told
            tried += 1
    assert tried > 100


def to_each(name: str = "", **more: Any) -> dict[str, Any]:
    """A message to a few hundred people."""
    people = [{"address": f"x{number}@example.org", "name": name} | more for number in range(300)]
    return message(to=[{**one, "address": one["address"].format(number)} for number, one in enumerate(people)])


MESSAGES: dict[str, dict[str, Any]] = {
    "ordinary people": to_each("John Doe"),
    "unknown fields of recipients": to_each(**unknown(15)),
    "three faults of everybody": message(**{role: [{"address": 1, "name": 1, "x": 1}] * 1000 for role in ("to", "cc")}),
    "domains of many labels": to_each(address="x{}@" + "ä." * 100 + "de"),
    "good domains of many labels": to_each(address="x{}@" + "ä." * 28 + "de"),
    "the same as A-labels": to_each(address="x{}@" + "xn--4ca." * 27 + "de"),
    "domains of long labels": to_each(address="x@a{}." + ("ä" * 50 + ".") * 4 + "de"),
    "names of accents": to_each("ä " * 63),
    "names of joined emoji": to_each("\U0001f468\u200d" * 63),
    "names of Devanagari and joiners": to_each("\u0928\u094d\u200d" * 42),
    "names that are far too long": to_each("ä " * 2000),
    "a long name": message(human_sender={"name": LONG * 3, "address": "janet@example.com"}),
    "a name that grows when it is normalized": message(
        human_sender={"name": "\ufdfa" * 127 + "@", "address": "janet@example.com"}
    ),
    "a long file name": message(attachments=[{"filename": LONG, "content": ""}]),
    "a file of blanks": message(attachments=[{"filename": "a", "content": " A" * 4_000_000}]),
    "encoded words": message(headers={f"X-{number}": "=?utf-8?q?a?= " * 90 for number in range(50)}),
    "a text of line ends": message(text="\n" * 3_000_000),
    "a text of half characters": message(text="\ud800" * 1_000_000),
}


@pytest.mark.parametrize("what", MESSAGES)
async def test_no_message_is_much_work(home: Gateway, unit: float, what: str) -> None:
    await home.send()
    answer, work = await asked(home, "POST", "/v1/messages", json.dumps(MESSAGES[what]).encode())
    assert answer.status_code in {202, 422, 429}, answer.text
    assert work < MOST * unit, f"{work:.2f} s, {work / unit:.1f} units"


RAW = {
    "small texts": b'["a' + b'" "' * 2_000_000 + b'"]' + b"," * 2000,
    "escapes": b'{"text": "' + b'\\"[' * 2_000_000 + b'"}',
    "closing brackets": b"," * 2000 + b"]" * 8_000_000,
    "another encoding": ('{"text": "' + '\\"[' * 2_000_000 + '"}').encode("utf-16"),
}


@pytest.mark.parametrize("what", RAW)
async def test_nothing_that_is_hardly_json_is_much_work(home: Gateway, unit: float, what: str) -> None:
    await home.send()
    answer, work = await asked(home, "POST", "/v1/messages", RAW[what])
    assert 400 <= answer.status_code < 500
    assert work < MOST * unit, f"{work:.2f} s, {work / unit:.1f} units"


async def test_of_many_faults_the_first_are_told(home: Gateway) -> None:
    await home.send()
    answer = await home.call("POST", "/v1/messages", json=message(to=[{"address": 1, "name": 1}] * 300))
    assert len(answer.json()["errors"]) == SHOWN_FAULTS
    assert answer.json()["detail"] == f"{SHOWN_FAULTS} faults or more; `errors` describes the first of them."


async def test_a_few_unknown_fields_are_told_one_by_one_and_a_multitude_at_once(home: Gateway) -> None:
    for number, told in ((3, ["/k0", "/k1", "/k2"]), (100, [""])):
        errors = (await home.call("POST", "/v1/messages", json=message(**unknown(number)))).json()["errors"]
        assert [one["pointer"] for one in errors] == told
        assert {one["code"] for one in errors} == {"field-unknown"}
