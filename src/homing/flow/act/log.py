"""The log: one line at level warning."""

import structlog

from homing.flow.act.channel import Assignment, End, Ended
from homing.loop import ids
from homing.loop.model import ActionState, EventType, NewEvent, StepState

_log = structlog.get_logger()


async def log(assignment: Assignment) -> End:
    case, sent = assignment.context.case, assignment.context.sent
    if case.failure and case.verdict and case.delivery and sent:
        _log.warning(
            "delivery failed",
            delivery=ids.show("delivery", case.delivery),
            recipient=sent.recipient,
            failure=case.failure.value,
            rule=case.verdict.rule,
        )
    else:
        _log.warning("case opened", case=ids.show("case", case.id), kind=case.kind.value)
    event = NewEvent(type=EventType.NOTIFIED, data={"channel": "log"})
    return Ended(state=ActionState.DONE, result="in the log", step=StepState.DONE, events=(event,))
