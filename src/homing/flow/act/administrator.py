"""The letter to an administrator: the organization's own, or the operator's where it names none.

An address that nobody has proved is not written to: the step fails, and an alarm tells the operator.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from homing.flow.act.channel import Assignment, End, Ended, FactsOf, failed, over_budget
from homing.flow.act.facts import case_facts
from homing.flow.act.letter import OneLetter, mailbox
from homing.loop.alarm import unproved_administrator
from homing.loop.budget import budget_of
from homing.loop.letters.letters import Text, administrator_letter, administrators_letter
from homing.loop.model import EventType
from homing.store import budgets
from homing.store.case_context import CaseContext
from homing.store.organizations import Organization


@dataclass(frozen=True, slots=True)
class ToAdministrator:
    letters: OneLetter
    facts_of: FactsOf
    operators: str | None

    async def __call__(self, assignment: Assignment) -> End:
        action, context = assignment.action, assignment.context
        self.facts_of(context)  # a case for which there is no text fails first
        organization, address = context.organization, self.operators
        if organization is not None and organization.administrator is not None:
            address = organization.proved_administrator
            if address is None:
                return _unproved(assignment, organization)
        to = mailbox(action.kind, "", address)
        if isinstance(to, Ended):
            return to
        end = await self.letters.about(assignment, to, self._texts, EventType.NOTIFIED)
        budget = budget_of(action.kind)
        if not isinstance(end, Ended) or budget is None:
            return end
        now = self.letters.post.clock()
        refused = await self.letters.database.write(budgets.take, action, str(to.address), budget, now)
        return over_budget(action.kind, refused) if refused else end

    def _texts(self, cases: Sequence[CaseContext], more: Sequence[str]) -> Text:
        told = [(self.facts_of(case), case_facts(case)) for case in cases]
        return administrator_letter(*told[0]) if len(told) == 1 and not more else administrators_letter(told, more)


def _unproved(assignment: Assignment, organization: Organization) -> Ended:
    why = f"{organization.administrator} has not been proved to be the administrator's; the operator is alerted"
    alarm = unproved_administrator(organization.id, organization.name, assignment.action.delivery, why)
    return replace(failed(assignment.action.kind, why), alarm=alarm)
