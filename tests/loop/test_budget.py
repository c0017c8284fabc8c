"""How much is written to a person, and for an organization, within a day."""

from dataclasses import replace

import pytest

from homing.loop.budget import DEFAULTS, Budget, Spent, budget_of, capped, most_of_policy, of_policy, over
from homing.loop.model import ActionKind, Step, StepKind

TEXTS = Budget(organization=100, person=10, everybody=True)


@pytest.mark.parametrize(
    ("organization", "person", "name"),
    [(0, 0, None), (99, 9, None), (99, 10, "sms-person"), (100, 9, "sms-organization"), (100, 10, "sms-person")],
)
def test_the_person_comes_before_the_organization(organization: int, person: int, name: str | None) -> None:
    found = over(ActionKind.SMS, TEXTS, Spent(organization=organization, person=person), "+4420")
    assert (found and found.name) == name
    assert found is None or found.why.startswith("over budget: ")


def test_who_has_had_how_much_is_said() -> None:
    found = over(ActionKind.SMS, TEXTS, Spent(organization=0, person=10), "+4420")
    assert found and found.why == "over budget: +4420 has had 10 text messages within 24 hours"
    found = over(ActionKind.SMS, TEXTS, Spent(organization=100, person=0), "+4420")
    assert found and found.why == "over budget: the organization has had 100 text messages sent within 24 hours"
    assert of_policy("recipient", 1).name == "policy-recipient"


def test_an_organization_may_have_no_limit_of_its_own() -> None:
    budget = Budget(organization=None, person=50)
    assert over(ActionKind.ADMINISTRATOR, budget, Spent(organization=9999, person=49), "it@crm.example") is None


@pytest.mark.parametrize("kind", StepKind)
def test_what_costs_money_or_sleep_has_a_budget_without_being_asked(kind: StepKind) -> None:
    budget = budget_of(kind)
    assert budget == DEFAULTS.get(ActionKind(kind))
    assert (budget is not None) is (kind in {StepKind.SMS, StepKind.ADMINISTRATOR})


@pytest.mark.parametrize(
    ("kind", "written", "holds"),
    [
        (StepKind.SMS, None, None),
        (StepKind.SMS, 0, 0),
        (StepKind.SMS, 99, 99),
        (StepKind.SMS, 100, 100),
        (StepKind.SMS, 101, 100),
        (StepKind.SMS, 10**9, 100),
        (StepKind.ADMINISTRATOR, 10**9, 10**9),
        (StepKind.WEBHOOK, 10**9, 10**9),
    ],
)
def test_a_policy_lowers_what_the_organization_spends_and_never_raises_it(
    kind: StepKind, written: int | None, holds: int | None
) -> None:
    step = Step(kind=kind, budget_organization=written, budget_recipient=7, only_if_unheard=True)
    assert capped(step) == replace(step, budget_organization=holds)
    most = most_of_policy(kind)
    assert (written == holds) is (most is None or written is None or written <= most)
