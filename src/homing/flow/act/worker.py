"""Carries out the actions: letters, live events, text messages, webhooks, the Oops! answer.

Actions are outbox rows, written with the transition that caused them. Each ends in a recorded state of its own, and
tells its case whether it reached anybody.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from homing.flow import metrics
from homing.flow.act import oops
from homing.flow.act.administrator import ToAdministrator
from homing.flow.act.channel import (
    Again,
    Assignment,
    Channel,
    End,
    Ended,
    LeaseLost,
    NoText,
    Waiting,
    failed,
    finished,
    over_budget,
)
from homing.flow.act.facts import failure_facts, in_view_of
from homing.flow.act.letter import OneLetter, Post, ToHumanSender
from homing.flow.act.live import Live
from homing.flow.act.log import log
from homing.flow.act.sms import Sms
from homing.flow.act.webhook import Webhook
from homing.flow.disk_space import DiskSpace
from homing.flow.ending import all_to_their_end
from homing.flow.outgoing import Clock, Outgoing
from homing.flow.sealed_secrets import SealedSecrets
from homing.flow.store_watch import StoreHold
from homing.flow.wakeup import WakeUp
from homing.flow.worker import surviving, work_until_canceled
from homing.loop import ids
from homing.loop.budget import SPAN, OverBudget, of_policy
from homing.loop.letters.facts import FailureFacts
from homing.loop.model import ActionKind, ActionState, CaseState, Step, StepState
from homing.loop.queue import Line, Place, Places
from homing.net.fetch import Fetcher
from homing.net.sms import SmsSender
from homing.net.webhook import RETRIES
from homing.store import actions, case_context, gathered_letters
from homing.store.accepted_messages import AcceptedMessage
from homing.store.actions import Action
from homing.store.case_context import CaseContext
from homing.store.database import Database
from homing.store.gathered_letters import WINDOW

LEASE = timedelta(seconds=120)
_LOOK_EVERY = 0.5
_AT_ONCE = {Line.CALLS: 200, Line.WRITING: 50}
"""Calls take as long as other people's servers do, so they have places of their own."""
MOST_TRIES = len(RETRIES) + 5
"""An action that was claimed more often without an end breaks its worker each time."""


def _all_places() -> dict[Line, Places]:
    return {line: Places(at_once) for line, at_once in _AT_ONCE.items()}


@dataclass(slots=True, kw_only=True)
class Actor:
    """Works through the outbox. `administrator` is the operator's address, for organizations without one of their own;
    `sms` is None if no provider is configured; `gather_for`: what one person must hear within it is one letter."""

    database: Database
    disk: DiskSpace
    hold: StoreHold
    outgoing: Outgoing
    fetcher: Fetcher
    sealed_secrets: SealedSecrets
    sms: SmsSender | None
    clock: Clock
    administrator: str | None
    public_url: str
    actions: WakeUp
    work: WakeUp
    news: WakeUp
    gather_for: timedelta = WINDOW
    _places: dict[Line, Places] = field(default_factory=_all_places)
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _until_claim: int = 0
    """The last claim was short of places: when so many actions have ended, there is something to claim for them."""

    async def run(self) -> None:
        """Run until canceled; actions already begun are then finished, so that no text message is left in doubt."""
        try:
            await work_until_canceled(
                self._claim, failed="cannot claim actions", every=_LOOK_EVERY, wake_up=self.actions
            )
        finally:
            await all_to_their_end(self._running)

    async def _claim(self) -> bool:
        """Begin as many actions as there is room for; returns whether more may be due now."""
        if self.disk.is_low or self.hold.is_held:
            return False
        places = {line: places.copy() for line, places in self._places.items()}  # for another thread
        found = await self.database.write(actions.claim, self.clock(), places, LEASE)
        for action, place in found.actions:
            self._places[place.line].hold(place)
            task = asyncio.create_task(self._act(action))
            self._running.add(task)
            task.add_done_callback(lambda task, place=place: self._done(task, place))  # type: ignore[misc]
        self._until_claim = max(len(found.actions) // 2, 1) if found.short else 0
        return found.more and any(places.has_room(line) for line, places in self._places.items())

    def _done(self, task: asyncio.Task[None], place: Place) -> None:
        self._running.discard(task)
        self._places[place.line].give_back(place)
        if self._until_claim == 1:
            self.actions.wake()
        self._until_claim = max(self._until_claim - 1, 0)

    async def _act(self, action: Action) -> None:
        """One action. A bug costs this try and no more: its lease runs out, and it is due again, a few times."""
        try:
            with surviving("action broke", action=ids.show("action", action.id)):
                if action.tries > MOST_TRIES:
                    end: End = failed(action.kind, f"it broke {MOST_TRIES} times")
                else:
                    end = await self._carry_out(action)
                await self._write(action, end)
        finally:
            self.news.wake()

    async def _carry_out(self, action: Action) -> End:
        if action.kind is ActionKind.OOPS:
            return oops.answer(action, self.outgoing, self.clock)
        assert action.case_id is not None
        assert action.step is not None
        context = await self.database.read(case_context.load, action.case_id)
        if context is None or context.case.state is CaseState.RESOLVED:
            return Ended(state=ActionState.SKIPPED, result="the case is resolved", step=StepState.SKIPPED)
        step = context.case.policy.steps[action.step]
        context = in_view_of(step, context)
        if refused := await self._over_budget(action, step):
            return over_budget(action.kind, refused)
        try:
            return await self._channel(action.kind)(Assignment(action, context, step))
        except NoText as error:
            return failed(action.kind, str(error))

    def _channel(self, kind: ActionKind) -> Channel:
        match kind:
            case ActionKind.LIVE:
                return Live(self._facts_of)
            case ActionKind.LOG:
                return log
            case ActionKind.LETTER:
                return ToHumanSender(self._letters(), self._facts_of)
            case ActionKind.ADMINISTRATOR:
                return ToAdministrator(self._letters(), self._facts_of, self.administrator)
            case ActionKind.SMS:
                return self._sms()
            case ActionKind.WEBHOOK:
                return Webhook(self.fetcher, self.sealed_secrets, self.clock)
            case ActionKind.OOPS:
                raise AssertionError("the Oops! answer serves no case")

    def _letters(self) -> OneLetter:
        return OneLetter(self.database, Post(self.outgoing, self.clock), self.gather_for)

    def _sms(self) -> Sms:
        return Sms(
            provider=self.sms,
            facts_of=self._facts_of,
            database=self.database,
            tokens=self.outgoing.tokens,
            public_url=self.public_url,
            clock=self.clock,
            due=self.actions,
        )

    def _facts_of(self, context: CaseContext) -> FailureFacts:
        return failure_facts(context, tokens=self.outgoing.tokens, public_url=self.public_url)

    async def _over_budget(self, action: Action, step: Step) -> OverBudget | None:
        """A budget of the failure policy that this action exceeds. What each person may get at most, and what holds
        where the policy says nothing, the channels know: `loop.budget`."""
        if step.budget_organization is None and step.budget_recipient is None:
            return None
        spent = await self.database.read(actions.spent, action, self.clock() - SPAN)
        if step.budget_organization is not None and spent.organization > step.budget_organization:
            return of_policy("organization", step.budget_organization)
        if step.budget_recipient is not None and spent.recipient > step.budget_recipient:
            return of_policy("recipient", step.budget_recipient)
        return None

    async def _write(self, action: Action, end: End) -> None:
        match end:
            case Again(wait=wait, why=why):
                await self.database.write(actions.retry_at, action.id, action.epoch, self.clock() + wait, why)
            case Ended(letter=None):
                await self.database.write(actions.finish, finished(action, end, self.clock()))
                self.actions.wake()
            case Ended(letter=AcceptedMessage() as letter, delay=delay, gathered=gathered):
                told = finished(action, end, self.clock(), counted=False)
                state = await self.database.write(gathered_letters.tell, told, letter, delay, gathered)
                if state is not None:
                    metrics.ACTIONS.labels(action.kind, state).inc()
                self.work.wake()
            case Waiting() | LeaseLost():
                pass

    async def sms_status(self, token: str, body: bytes) -> bool:
        """Take a status callback of an SMS provider; returns whether the text message is one of ours."""
        return await self._sms().status(token, body)
