"""The Oops! answer: to whom, about what, and in answer to which mail."""

import pytest

from homing.flow.act import oops
from homing.loop.model import ActionKind, ActionState, Origin

from .made import OUTGOING, an_action, clock

DATA = {"name": "Janet Roe", "address": "janet@example.net", "subject": "Re: Your call", "to": "john@corp.com"}


def answered(**data: str):  # type: ignore[no-untyped-def]
    return oops.answer(an_action(ActionKind.OOPS, case_id=None, step=None, data=DATA | data), OUTGOING, clock)


def test_it_tells_the_right_address_and_serves_no_case() -> None:
    end = answered(in_reply_to="1@corp.com")
    assert (end.state, end.step, end.result) == (ActionState.DONE, None, "answered john@corp.com")
    message, [delivery] = end.letter.message, end.letter.deliveries
    assert (message.origin, message.case, delivery.recipient) == (Origin.OOPS, None, "john@corp.com")
    assert b"janet@example.net" in message.content
    assert b"In-Reply-To: <1@corp.com>" in message.content
    assert b"Auto-Submitted: auto-replied" in message.content


@pytest.mark.parametrize("odd", ["an odd one", "", "no brackets@nor dots\r\nX: y"])
def test_an_id_of_no_known_form_is_left_out(odd: str) -> None:
    assert b"In-Reply-To" not in answered(in_reply_to=odd).letter.message.content


def test_what_is_no_address_is_not_written_to() -> None:
    end = answered(to="nobody")
    assert (end.state, end.letter) == (ActionState.FAILED, None)
