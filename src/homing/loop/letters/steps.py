"""The steps of a failure policy and how they end, in words: the same in e-mails and on pages."""

from collections.abc import Mapping

from homing.loop.model import Step, StepKind, StepState

STEPS: Mapping[StepKind, str] = {
    StepKind.LETTER: "E-mail",
    StepKind.LIVE: "Message on the screen",
    StepKind.SMS: "Text message",
    StepKind.WEBHOOK: "Call to the application",
    StepKind.ADMINISTRATOR: "E-mail to an administrator",
    StepKind.LOG: "Entry in the log",
}

ENDS: Mapping[StepState, str] = {
    StepState.WAITING: "still to come",
    StepState.RUNNING: "in progress",
    StepState.DONE: "done, but nobody can say whether it was seen",
    StepState.HEARD: "arrived",
    StepState.UNHEARD: "reached nobody",
    StepState.SKIPPED: "skipped",
}


def standing(step: Step, state: StepState) -> str:
    """How a step of a case stands; one that may never be needed says so."""
    if state is StepState.WAITING and step.only_if_unheard:
        return "only if nobody else is reached"
    return ENDS[state]
