"""The steps of a policy, as e-mails and pages tell of them."""

import pytest

from homing.loop.letters.steps import ENDS, STEPS, standing
from homing.loop.model import Step, StepKind, StepState

LETTER = Step(kind=StepKind.LETTER)


def test_every_step_has_a_name_and_every_end_its_words() -> None:
    """Each its own: whoever reads a case must tell an e-mail from a call, and what arrived from what did not."""
    assert set(STEPS) == set(StepKind)
    assert set(ENDS) == set(StepState)
    assert len(set(STEPS.values())) == len(StepKind)
    assert len({standing(LETTER, state) for state in StepState}) == len(StepState)


@pytest.mark.parametrize("state", StepState)
def test_a_step_that_may_never_be_needed_says_so_as_long_as_it_waits(state: StepState) -> None:
    spare = Step(kind=StepKind.ADMINISTRATOR, only_if_unheard=True)
    if state is StepState.WAITING:
        assert standing(spare, state) == "only if nobody else is reached"
    else:
        assert standing(spare, state) == standing(LETTER, state)
