"""The log: a line for a failure, and one for any other case."""

from structlog.testing import capture_logs

from homing.flow.act.channel import Ended
from homing.flow.act.log import log
from homing.loop import ids
from homing.loop.model import ActionKind, EventType, StepState

from .made import ALARM, CASE, assigned


async def test_a_failure_is_a_warning_that_names_it() -> None:
    with capture_logs() as lines:
        end = await log(assigned(ActionKind.LOG))
    assert isinstance(end, Ended)
    assert end.step is StepState.DONE
    assert [(event.type, event.data) for event in end.events] == [(EventType.NOTIFIED, {"channel": "log"})]
    [line] = lines
    assert CASE.delivery is not None
    assert line == {
        "event": "delivery failed",
        "log_level": "warning",
        "delivery": ids.show("delivery", CASE.delivery),
        "recipient": "john@corp.com",
        "failure": "bounced",
        "rule": "5.1.1",
    }


async def test_any_other_case_is_a_line_too() -> None:
    with capture_logs() as lines:
        end = await log(assigned(ActionKind.LOG, ALARM))
    assert isinstance(end, Ended)
    [line] = lines
    assert (line["event"], line["kind"], line["case"]) == ("case opened", "alarm", ids.show("case", CASE.id))
