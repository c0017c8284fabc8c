"""The letter to an administrator: the organization's own, or the operator's where it names none.

An address that nobody has proved is not written to: the step fails, and an alarm tells the operator.
"""

from dataclasses import dataclass, replace

from homing.flow.act.channel import Assignment, End, Ended, FactsOf, failed, over_budget
from homing.flow.act.facts import case_facts
from homing.flow.act.letter import Post
from homing.loop.alarm import unproved_administrator
from homing.loop.budget import budget_of
from homing.loop.letters.letters import administrator_letter
from homing.loop.model import EventType
from homing.store import budgets
from homing.store.database import Database
from homing.store.organizations import Organization


@dataclass(frozen=True, slots=True)
class ToAdministrator:
    database: Database
    post: Post
    facts_of: FactsOf
    operators: str | None

    async def __call__(self, assignment: Assignment) -> End:
        action, context = assignment.action, assignment.context
        text = administrator_letter(self.facts_of(context), case_facts(context))
        organization, address = context.organization, self.operators
        if organization is not None and organization.administrator is not None:
            address = organization.proved_administrator
            if address is None:
                return _unproved(assignment, organization)
        ended = self.post.end_with(action, "", address, text, EventType.NOTIFIED)
        budget = budget_of(assignment.step)
        if ended.letter is None or address is None or budget is None:
            return ended
        refused = await self.database.write(budgets.take, action, address, budget, self.post.clock())
        return over_budget(action.kind, refused) if refused else ended


def _unproved(assignment: Assignment, organization: Organization) -> Ended:
    why = f"{organization.administrator} has not been proved to be the administrator's; the operator is alerted"
    alarm = unproved_administrator(organization.id, organization.name, assignment.action.delivery, why)
    return replace(failed(assignment.action.kind, why), alarm=alarm)
