"""The letter to an administrator: the organization's own, or the operator's where it names none."""

from dataclasses import dataclass

from homing.flow.act.channel import Assignment, End, FactsOf
from homing.flow.act.facts import case_facts
from homing.flow.act.letter import Post
from homing.loop.letters.letters import administrator_letter
from homing.loop.model import EventType


@dataclass(frozen=True, slots=True)
class ToAdministrator:
    post: Post
    facts_of: FactsOf
    operators: str | None

    async def __call__(self, assignment: Assignment) -> End:
        context, organization = assignment.context, assignment.context.organization
        address = (organization and organization.administrator) or self.operators
        text = administrator_letter(self.facts_of(context), case_facts(context))
        return self.post.end_with(assignment.action, "", address, text, EventType.NOTIFIED)
