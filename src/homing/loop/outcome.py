"""THE JUNCTION: evidence in, conclusion out."""

from dataclasses import dataclass

from homing.loop.model import Case, Delivery, NewAction, NewEvent, StepState


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What follows from a piece of evidence. The store writes all of it in one transaction, or nothing.

    `delivery` is the delivery as it now stands (unchanged where the evidence changes nothing); `case` is the case that
    this failure opens, `actions` its first steps. `step` tells how a letter fared for the case that it serves
    (`delivery.case`, `delivery.step`). `suppress` is the reason under which the address goes on the suppression list.
    `alarm` is for the operator: a refusal that is about us.
    """

    delivery: Delivery
    events: tuple[NewEvent, ...] = ()
    actions: tuple[NewAction, ...] = ()
    case: Case | None = None
    step: StepState | None = None
    suppress: str | None = None
    alarm: str | None = None
