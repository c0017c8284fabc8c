"""How much a message may hold: the last request that is taken, and the first that is not."""

from dataclasses import replace
from typing import Any

import pytest

from homing.loop.problem import Fault
from homing.loop.request import CheckedRequest, MessageRequest, Party, check_request
from homing.mail.compose import Attachment

REQUEST = MessageRequest(
    human_sender=Party(address="janet@crm-customer.example"),
    to=(Party(address="john@corp.example"),),
    subject="Our call",
    text="Hello",
)


def parties(count: int, start: int = 0) -> tuple[Party, ...]:
    return tuple(Party(address=f"p{number}@corp.example") for number in range(start, start + count))


def attachments(count: int) -> tuple[Attachment, ...]:
    return tuple(
        Attachment(filename=f"{number}.txt", content_type="text/plain", content=b"x") for number in range(count)
    )


def metadata(count: int) -> dict[str, str]:
    return {f"key{number}": "value" for number in range(count)}


@pytest.mark.parametrize(
    ("most", "one_more", "code"),
    [
        ({"to": parties(1000)}, {"to": parties(1001)}, "too-many-recipients"),
        (
            {"to": parties(400), "cc": parties(300, 400), "bcc": parties(300, 700)},
            {"to": parties(400), "cc": parties(300, 400), "bcc": parties(301, 700)},
            "too-many-recipients",
        ),
        ({"attachments": attachments(50)}, {"attachments": attachments(51)}, "too-many-attachments"),
        ({"metadata": metadata(20)}, {"metadata": metadata(21)}, "too-much-metadata"),
        ({"metadata": {"key": "x" * 500}}, {"metadata": {"key": "x" * 501}}, "metadata-value"),
        ({"metadata": {"k" * 40: ""}}, {"metadata": {"k" * 41: ""}}, "metadata-name"),
        ({"stream": "s" * 64}, {"stream": "s" * 65}, "stream-name"),
    ],
)
def test_limits(most: dict[str, Any], one_more: dict[str, Any], code: str) -> None:
    taken = check_request(replace(REQUEST, **most))
    assert isinstance(taken, CheckedRequest), taken
    refused = check_request(replace(REQUEST, **one_more))
    assert isinstance(refused, tuple)
    assert [fault.code for fault in refused if isinstance(fault, Fault)] == [code]


def test_names_are_kept_as_they_are_meant() -> None:
    """Joiners that the script has stay; marks of direction and soft hyphens go."""
    names = ("علی\u200cرضا", "പ്രവീണ്\u200d", "👨\u200d👩\u200d👧", "שלום\u200f", "Ältere\u00adname")
    files = ("گزارش\u200cها.pdf", "👨\u200d👩\u200d👧.png", "\u200fדוח.pdf")
    parts = tuple(replace(one, name=name) for one, name in zip(parties(5), names, strict=True))
    attached = tuple(replace(one, filename=name) for one, name in zip(attachments(3), files, strict=True))
    who = Party(address="john@نامه\u200cای.com", name="\u200fשלום\u200f")
    checked = check_request(replace(REQUEST, human_sender=who, to=parts, attachments=attached))
    assert isinstance(checked, CheckedRequest), checked
    assert [one.mailbox.name for one in checked.recipients] == [*names[:3], "שלום", "Ältere" + "name"]
    assert [one.filename for one in checked.request.attachments] == [*files[:2], "דוח.pdf"]
    assert checked.human_sender.name == "שלום"


def test_a_hidden_character_is_named_with_its_place_and_field() -> None:
    refused = check_request(
        replace(REQUEST, to=(*parties(1), Party(address="jo\u200dhn@corp.example", name="a\u200db")))
    )
    assert isinstance(refused, tuple)
    assert [(one.path, one.code) for one in refused] == [
        ("/to/1/name", "hidden-character"),
        ("/to/1/address", "address-character"),
    ]
    assert "U+200D ZERO WIDTH JOINER, character 2" in refused[0].message
    assert "U+200D ZERO WIDTH JOINER, character 3" in refused[1].message
