"""Text messages: to whom, once at most, and what the provider says of them later."""

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from homing.flow.act.channel import Again, Ended, LeaseLost
from homing.flow.act.sms import Sms
from homing.flow.wakeup import WakeUp
from homing.loop import ids
from homing.loop.budget import DEFAULTS, Budget
from homing.loop.model import ActionKind, ActionState, EventType, FailurePolicy, Reader, Step, StepKind, StepState
from homing.loop.token import Purpose, TokenRefused
from homing.net.sms import SmsAccepted, SmsAnswer, SmsRefused, SmsStatus, SmsUnknown, StatusCallback
from homing.store import actions, alarms, cases
from homing.store.actions import Action, Finished
from homing.store.database import Database
from tests.store.scenes import claimed_actions
from tests.store.test_budgets import running

from .made import CONTEXT, FACTS_OF, NOW, ORGANIZATION, TOKENS, URL, assigned, clock, new_case

STEPS = (Step(kind=StepKind.SMS), Step(kind=StepKind.ADMINISTRATOR, only_if_unheard=True))
LEASE = timedelta(minutes=2)
TAKEN = SmsAccepted(provider_id="SM1")


@dataclass
class Provider:
    """Gives that answer; a callback's body is the JSON of its status."""

    answer: SmsAnswer = TAKEN
    sent: list[tuple[str, str, str, str]] = field(default_factory=list)

    async def send(self, to: str, text: str, reference: str, callback: str) -> SmsAnswer:
        self.sent.append((to, text, reference, callback))
        return self.answer

    def parse_status_callback(self, body: bytes) -> StatusCallback | None:
        said = json.loads(body)
        return StatusCallback(provider_id="SM1", status=SmsStatus(said), said=said) if said else None


def a_channel(database: Database, provider: Provider | None) -> Sms:
    return Sms(
        provider=provider,
        facts_of=FACTS_OF,
        database=database,
        tokens=TOKENS,
        public_url=URL,
        clock=clock,
        due=WakeUp(),
    )


async def claimed(database: Database) -> Action:
    """The action of a case that begins with a text message."""
    assert await database.write(cases.open_case, new_case(FailurePolicy(name="texts", steps=STEPS)))
    [action] = await claimed_actions(database, NOW)
    return action


async def sent(database: Database, provider: Provider, tries: int = 1) -> tuple[Action, object]:
    action = replace(await claimed(database), tries=tries)
    return action, await a_channel(database, provider)(replace(assigned(ActionKind.SMS), action=action))


@pytest.mark.parametrize(
    ("reader", "context", "to"),
    [
        (Reader.HUMAN_SENDER, CONTEXT, "+442079460001"),
        (Reader.RECIPIENT, CONTEXT, "+442079460002"),
        (
            Reader.HUMAN_SENDER,
            replace(CONTEXT, human_sender_phone=None, organization=replace(ORGANIZATION, sms_fallback="+4420")),
            "+4420",
        ),
    ],
)
async def test_whom_it_goes_to(database: Database, reader: Reader, context, to: str) -> None:  # type: ignore[no-untyped-def]
    provider, action = Provider(), await claimed(database)
    assignment = replace(assigned(ActionKind.SMS, context, Step(kind=StepKind.SMS, reader=reader)), action=action)
    end = await a_channel(database, provider)(assignment)
    assert isinstance(end, Ended)
    assert (end.state, end.step, end.provider_id) == (ActionState.DONE, StepState.HEARD, "SM1")
    [event] = end.events
    assert (event.type, event.data) == (
        EventType.FALLBACK_SENT,
        {"channel": "sms", "reader": reader.value, "to": to},
    )
    [(number, text, reference, callback)] = provider.sent
    assert (number, reference) == (to, ids.show("action", action.id))
    assert ("Janet Roe (CRM) sent you an e-mail" in text) is (reader is Reader.RECIPIENT)
    token = callback.removeprefix(f"{URL}/v1/sms/status/")
    assert TOKENS.open(Purpose.SMS_STATUS, token, now=NOW + timedelta(days=3)) == action.id
    with pytest.raises(TokenRefused):
        TOKENS.open(Purpose.SMS_STATUS, token, now=NOW + timedelta(days=4))


async def test_the_intent_is_written_before_the_call(database: Database) -> None:
    await sent(database, Provider(SmsUnknown(why="timeout")))
    [action] = await database.write(actions.recover, NOW, True)
    assert action.kind is ActionKind.SMS
    stored = await database.read(actions.by_id, action.id)
    assert stored is not None
    assert stored.state is ActionState.IN_DOUBT


async def test_whoever_has_lost_the_lease_sends_nothing(database: Database) -> None:
    provider, action = Provider(), await claimed(database)
    assignment = replace(assigned(ActionKind.SMS), action=replace(action, epoch=action.epoch + 1))
    assert await a_channel(database, provider)(assignment) == LeaseLost()
    assert provider.sent == []


@pytest.mark.parametrize(
    ("answer", "tries", "end"),
    [
        (SmsRefused(code="429", text="busy", permanent=False), 1, 30),
        (SmsRefused(code="429", text="busy", permanent=False), 2, 300),
        (SmsRefused(code="429", text="busy", permanent=False), 3, ActionState.FAILED),
        (SmsRefused(code="21211", text="no such number", permanent=True), 1, ActionState.FAILED),
        (SmsUnknown(why="timeout"), 1, ActionState.IN_DOUBT),
    ],
)
async def test_what_follows_from_a_refusal(database: Database, answer: SmsAnswer, tries: int, end: object) -> None:
    _, got = await sent(database, Provider(answer), tries)
    if isinstance(got, Again):
        assert got.wait.total_seconds() == end
        return
    assert isinstance(got, Ended)
    assert (got.state, got.step) == (end, StepState.UNHEARD)


async def test_nobody_to_send_by_or_to(database: Database) -> None:
    nobody = replace(CONTEXT, human_sender_phone=None)
    for provider, context, why in ((None, CONTEXT, "no SMS provider"), (Provider(), nobody, "no telephone number")):
        end = await a_channel(database, provider)(assigned(ActionKind.SMS, context))
        assert isinstance(end, Ended)
        assert end.state is ActionState.FAILED
        assert why in end.result


async def test_one_number_gets_so_many_a_day_and_each_refusal_says_so(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DEFAULTS, ActionKind.SMS, Budget(organization=None, person=2, everybody=True))
    provider = Provider()
    channel = a_channel(database, provider)
    ends = [await channel(replace(assigned(ActionKind.SMS), action=action)) for action in await running(database, 3)]
    assert len(provider.sent) == 2
    refused = ends[-1]
    assert isinstance(refused, Ended)
    assert (refused.state, refused.step) == (ActionState.FAILED, StepState.UNHEARD)
    assert refused.result == "over budget: +442079460001 has had 2 text messages within 24 hours"
    [event] = refused.events
    assert (event.type, event.data["budget"]) == (EventType.ACTION_FAILED, "sms-person")


# -- the status callback ---------------------------------------------------------------------------------------------


async def taken(database: Database) -> tuple[Sms, Action, str]:
    """A text message that the provider took: the channel, the action, and the token of its callback."""
    provider = Provider()
    action, _ = await sent(database, provider)
    done = Finished(
        action=action.id, epoch=action.epoch, state=ActionState.DONE, result="sent", now=NOW, step=StepState.HEARD
    )
    assert await database.write(actions.finish, done)
    return a_channel(database, provider), action, provider.sent[0][3].rpartition("/")[2]


async def test_a_text_that_failed_after_all_moves_its_case_on(database: Database) -> None:
    channel, action, token = await taken(database)
    assert await channel.status(token, b'"failed"')
    stored = await database.read(actions.by_id, action.id)
    assert stored is not None
    assert (stored.state, stored.result) == (ActionState.FAILED, "the provider could not deliver it: failed")
    [following] = await claimed_actions(database, NOW)
    assert following.kind is ActionKind.ADMINISTRATOR
    assert channel.due._called.is_set()


async def test_any_other_word_changes_nothing(database: Database) -> None:
    channel, action, token = await taken(database)
    assert await channel.status(token, b'"delivered"')
    stored = await database.read(actions.by_id, action.id)
    assert stored is not None
    assert stored.state is ActionState.DONE
    assert not await channel.status(token, b'""')


async def test_whoever_has_no_token_of_ours_is_no_provider(database: Database) -> None:
    channel, action, token = await taken(database)
    other = TOKENS.mint(Purpose.CORRECTION, action.id, made=NOW)
    unknown = TOKENS.mint(Purpose.SMS_STATUS, ORGANIZATION.id, made=NOW)
    for stranger in ("", "x" * 40, other, token[:-1]):
        assert not await channel.status(stranger, b'"failed"')
    assert await database.read(alarms.list_all) == []
    assert not await channel.status(unknown, b'"failed"')
    assert [alarm.cause for alarm in await database.read(alarms.list_all)] == ["missing-from-store"]
    stored = await database.read(actions.by_id, action.id)
    assert stored is not None
    assert stored.state is ActionState.DONE
