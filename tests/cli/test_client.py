"""The parts of the way to the gateway that need no gateway."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.cli.client import StreamedEvent, read_stream, segment
from homing.cli.exits import ExitCode, Unsuccessful, exit_code_of
from homing.cli.policies import read_step

EVENTS = [{"type": "queued", "data": {"text": "line\u2028end \x85 \r"}}, {"type": "bounced"}, {"type": "Ä"}]


def stream() -> bytes:
    frames = [b"retry: 2000\nid: start\n\n", b": alive\n\n"]
    for number, event in enumerate(EVENTS):
        data = json.dumps(event, ensure_ascii=False).encode()
        frames.append(b"id: c%d\nevent: x\ndata: %s\n\n: alive\n\n" % (number, data))
    return b"".join(frames)


@given(st.lists(st.integers(0, len(stream())), max_size=12))
def test_a_stream_reads_the_same_wherever_it_is_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(stream())]
    pieces = [stream()[one:two] for one, two in pairwise(places)]
    expected = [
        StreamedEvent("start", None),
        *(StreamedEvent(f"c{number}", event) for number, event in enumerate(EVENTS)),
    ]
    assert list(read_stream(pieces)) == expected


def test_half_an_event_is_none() -> None:
    assert list(read_stream([b"id: a\ndata: {}\n"])) == []


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, ExitCode.INPUT),
        (401, ExitCode.AUTH),
        (403, ExitCode.AUTH),
        (404, ExitCode.NOT_FOUND),
        (409, ExitCode.INPUT),
        (410, ExitCode.NOT_FOUND),
        (422, ExitCode.INPUT),
        (429, ExitCode.RATE),
        (500, ExitCode.OTHER),
        (502, ExitCode.NETWORK),
        (503, ExitCode.OTHER),
    ],
)
def test_what_an_http_status_ends_with(status: int, code: ExitCode) -> None:
    assert exit_code_of(status) is code


def test_exit_codes_are_the_documented_ones() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "OTHER": 1,
        "AUTH": 2,
        "NOT_DELIVERED": 3,
        "INPUT": 4,
        "NOT_FOUND": 5,
        "NETWORK": 7,
        "RATE": 8,
    }


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("letter", {"kind": "letter"}),
        (" log ", {"kind": "log"}),
        ("sms:if-unheard", {"kind": "sms", "only_if_unheard": True}),
        ("sms:delay=10m:reader=recipient", {"kind": "sms", "delay_seconds": 600, "reader": "recipient"}),
        ("webhook:delay=2h", {"kind": "webhook", "delay_seconds": 7200}),
        ("letter:kinds=hard,expired", {"kind": "letter", "kinds": ["hard", "expired"]}),
        (
            "log:evidence=strong:doubt=hold",
            {"kind": "log", "min_evidence": "strong", "when_possibly_delivered": "hold"},
        ),
        ("sms:budget-organization=100", {"kind": "sms", "budget_organization": 100}),
        ("sms:budget-recipient=1", {"kind": "sms", "budget_recipient": 1}),
    ],
)
def test_a_step_as_written(text: str, step: dict[str, object]) -> None:
    assert read_step(text) == step


@pytest.mark.parametrize(
    "text",
    [
        "sms:soon",
        "sms:delay=10",
        "sms:delay=0m",
        "sms:delay=m",
        "sms:if-unheard=yes",
        "sms:kinds",
        "sms:budget-recipient=-1",
        "sms:budget-recipient=٣",
    ],
)
def test_a_step_that_makes_no_sense(text: str) -> None:
    with pytest.raises(Unsuccessful) as refused:
        read_step(text)
    assert refused.value.exit_code is ExitCode.INPUT


@given(st.text(max_size=40))
def test_a_segment_stays_one_segment(text: str) -> None:
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        return
    assert segment(text)
    assert not set(segment(text)) & set("/?#& ")
