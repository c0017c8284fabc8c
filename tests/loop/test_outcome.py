"""The junction: total, and moving only as the table of the lifecycle allows."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.loop.evidence import (
    CancelRequested,
    Evidence,
    HeldBack,
    LeaseLost,
    LeaseReleased,
    LifetimeOver,
    ReportAction,
    Reported,
    RouteFault,
    SuppressionFound,
    Unanswered,
    Unroutable,
    Unsubscribed,
    What,
)
from homing.loop.lifecycle import TRANSITIONS, allowed, move
from homing.loop.model import (
    FAILURES,
    CaseId,
    CaseKind,
    EventType,
    InboundId,
    Origin,
    State,
    StepState,
    Strength,
    Verdict,
)
from homing.loop.outcome import conclude
from homing.loop.policy import BUILTIN_DEFAULT
from homing.loop.retry import ASKED_AGAIN, RETRY_SLOWED_DOWN, SILENT_DEATHS
from homing.mail.reply import Stage

from .made import NOW, VERDICT, answered, delivery, letter, reported

# (state before, evidence, state after, first event)
TABLE = [
    (State.SENDING, answered(Stage.DOT, "250 2.0.0 ok"), State.DELIVERED, EventType.DELIVERED),
    (State.SENDING, answered(Stage.RCPT_TO, "550 5.1.1 no"), State.BOUNCED, EventType.BOUNCED),
    (State.SENDING, answered(Stage.MAIL_FROM, "550 5.7.1 no"), State.BOUNCED, EventType.BOUNCED),
    (State.SENDING, answered(Stage.DATA, "554 5.7.1 no"), State.BOUNCED, EventType.BOUNCED),
    (State.SENDING, answered(Stage.DOT, "554 5.6.0 no"), State.BOUNCED, EventType.BOUNCED),
    (State.SENDING, answered(Stage.RCPT_TO, "450 4.2.1 later"), State.DEFERRED, EventType.DEFERRED),
    (State.SENDING, answered(Stage.DOT, "421 4.3.2 going"), State.DEFERRED, EventType.DEFERRED),
    (State.SENDING, answered(Stage.BANNER, "554 no service"), State.DEFERRED, EventType.DEFERRED),
    (State.SENDING, answered(Stage.EHLO, "550 who"), State.DEFERRED, EventType.DEFERRED),
    (State.SENDING, Unanswered(stage=Stage.CONNECT, why="refused", host="mx"), State.DEFERRED, EventType.DEFERRED),
    (State.SENDING, Unroutable(fault=RouteFault.NO_SUCH_DOMAIN, detail=""), State.BOUNCED, EventType.BOUNCED),
    (State.SENDING, Unroutable(fault=RouteFault.NULL_MX, detail=""), State.BOUNCED, EventType.BOUNCED),
    (State.SENDING, Unroutable(fault=RouteFault.PRIVATE_ADDRESS, detail=""), State.BOUNCED, EventType.BOUNCED),
    (State.SENDING, Unroutable(fault=RouteFault.NO_MAIL_HOST, detail=""), State.BOUNCED, EventType.BOUNCED),
    (State.SENDING, Unroutable(fault=RouteFault.BROKEN_MX, detail=""), State.BOUNCED, EventType.BOUNCED),
    (State.SENDING, Unroutable(fault=RouteFault.LOOKUP_FAILED, detail=""), State.DEFERRED, EventType.DEFERRED),
    *(
        (State.SENDING, Unroutable(fault=fault, detail="", took_mail=True), State.DEFERRED, EventType.DEFERRED)
        for fault in RouteFault
    ),
    (State.SENDING, HeldBack(receiver="corp.com", until=NOW), State.DEFERRED, EventType.DEFERRED),
    (State.DELIVERED, HeldBack(receiver="corp.com", until=NOW), State.DELIVERED, None),
    (State.SENDING, LeaseReleased(), State.QUEUED, None),
    (State.SENDING, LeaseLost(), State.DEFERRED, EventType.DEFERRED),
    (State.SENDING, reported(), State.BOUNCED, EventType.BOUNCED),
    (State.DEFERRED, reported(), State.BOUNCED, EventType.BOUNCED),
    (State.DELIVERED, reported(), State.BOUNCED, EventType.BOUNCED),
    (State.EXPIRED, reported(), State.BOUNCED, EventType.BOUNCED),
    (State.EXPIRED, reported(action=ReportAction.DELIVERED), State.DELIVERED, EventType.DELIVERED),
    (State.BOUNCED, reported(), State.BOUNCED, EventType.BOUNCED),
    (State.DELIVERED, reported(action=ReportAction.DELAYED), State.DELIVERED, EventType.DEFERRED),
    (State.DELIVERED, reported(ours=False, other=True), State.DELIVERED, EventType.FORWARDING_FAILED),
    (State.DELIVERED, reported(ours=False), State.BOUNCED, EventType.BOUNCED),
    (State.DELIVERED, reported(strength=Strength.WEAK, ours=False), State.DELIVERED, EventType.BOUNCED),
    (State.DELIVERED, reported(strength=Strength.WEAK), State.BOUNCED, EventType.BOUNCED),
    (State.DELIVERED, reported(What.COMPLAINT), State.DELIVERED, EventType.COMPLAINED),
    (State.DELIVERED, reported(What.AUTO_REPLY), State.DELIVERED, EventType.AUTORESPONDED),
    (State.DELIVERED, reported(What.HUMAN_REPLY), State.DELIVERED, EventType.REPLIED),
    (State.DELIVERED, reported(What.UNKNOWN), State.DELIVERED, EventType.UNEXPLAINED_RETURN),
    (State.DELIVERED, Unsubscribed(by="one-click"), State.DELIVERED, EventType.COMPLAINED),
    (State.QUEUED, LifetimeOver(), State.EXPIRED, EventType.EXPIRED),
    (State.DEFERRED, LifetimeOver(), State.EXPIRED, EventType.EXPIRED),
    (State.SENDING, LifetimeOver(), State.SENDING, None),
    (State.QUEUED, SuppressionFound(reason="complaint", since=""), State.SUPPRESSED, EventType.SUPPRESSED),
    (State.QUEUED, CancelRequested(by="key"), State.CANCELED, EventType.CANCELED),
    (State.DELIVERED, CancelRequested(by="key"), State.DELIVERED, None),
    (State.BOUNCED, answered(Stage.DOT, "250 late"), State.BOUNCED, EventType.ATTEMPTED),
]


@pytest.mark.parametrize(("before", "evidence", "after", "event"), TABLE)
def test_what_follows(before: State, evidence: Evidence, after: State, event: EventType | None) -> None:
    outcome = conclude(delivery(before), evidence, BUILTIN_DEFAULT, NOW)
    assert outcome.delivery.state is after
    assert (outcome.events[0].type if outcome.events else None) is event


def test_every_move_of_the_table_happens() -> None:
    """docs/states.md draws them; one that nothing brings about would promise what never comes. Claims are the store's
    own."""
    dying = {"silent_deaths": SILENT_DEATHS - 1}
    happened = set()
    for state in State:
        for _, evidence, *_ in [
            *TABLE,
            (None, LeaseLost()),
            (None, SuppressionFound(reason="", since="")),
        ]:
            for changes in ({}, dying):
                after = conclude(delivery(state, **changes), evidence, BUILTIN_DEFAULT, NOW).delivery.state
                happened |= {(state, after)} if after is not state else set()
    claims = {(State.QUEUED, State.SENDING), (State.DEFERRED, State.SENDING)}
    assert happened | claims == {(before, after) for before, moves in TRANSITIONS.items() for after in moves}


def test_a_failure_opens_a_case_with_its_first_steps() -> None:
    outcome = conclude(delivery(), answered(Stage.RCPT_TO, "550 5.1.1 no such user"), BUILTIN_DEFAULT, NOW)
    assert outcome.case is not None
    assert [action.kind.value for action in outcome.actions] == ["live", "letter"]
    assert [event.type for event in outcome.events] == [EventType.BOUNCED, EventType.OPENED_CASE]
    assert outcome.delivery.verdict == VERDICT


@pytest.mark.parametrize(
    ("state", "evidence"),
    [
        (State.SENDING, answered(Stage.RCPT_TO, "550 5.1.1 no", matched="no")),
        (State.SENDING, answered(Stage.RCPT_TO, "450 4.1.1 no", matched="no")),
        (State.DELIVERED, replace(reported(), verdict=replace(VERDICT, matched="no"))),
        (State.DELIVERED, replace(reported(What.COMPLAINT), verdict=replace(VERDICT, matched="no"))),
        (State.DELIVERED, replace(reported(action=ReportAction.DELAYED), verdict=replace(VERDICT, matched="no"))),
    ],
)
def test_an_event_names_the_rule_that_decided_and_the_words_it_matched(state: State, evidence: Evidence) -> None:
    data = conclude(delivery(state), evidence, BUILTIN_DEFAULT, NOW).events[0].data
    assert (data["rule"], data["matched"]) == (VERDICT.rule, "no")


def test_a_report_that_outruns_our_own_commit_raises_the_epoch() -> None:
    overtaken = conclude(delivery(State.SENDING, epoch=4), reported(), BUILTIN_DEFAULT, NOW).delivery
    assert (overtaken.state, overtaken.epoch, overtaken.bounced_late) == (State.BOUNCED, 5, True)
    later = conclude(overtaken, answered(Stage.DOT, "250 ok"), BUILTIN_DEFAULT, NOW)
    assert later.delivery == overtaken


@pytest.mark.parametrize(
    ("reply", "doubt"), [("421 bye", True), ("421 4.3.2 going", True), ("421 4.7.0 too fast", False), ("451 x", False)]
)
def test_a_server_that_closes_after_the_dot_may_have_taken_it(reply: str, doubt: bool) -> None:
    outcome = conclude(delivery(), answered(Stage.DOT, reply), BUILTIN_DEFAULT, NOW)
    assert (outcome.delivery.state, outcome.delivery.possibly_delivered) == (State.DEFERRED, doubt)
    assert outcome.events[0].data["possibly_delivered"] is doubt


@pytest.mark.parametrize(
    ("fault", "failure_class", "kind"),
    [
        (RouteFault.NO_SUCH_DOMAIN, "invalid_domain", "hard"),
        (RouteFault.NO_MAIL_HOST, "invalid_domain", "hard"),
        (RouteFault.BROKEN_MX, "unreachable", "soft"),
    ],
)
def test_a_domain_that_cannot_take_mail_is_told_at_once(fault: RouteFault, failure_class: str, kind: str) -> None:
    gone = Unroutable(fault=fault, detail="", suggestion="corp.com")
    outcome = conclude(delivery(), gone, BUILTIN_DEFAULT, NOW)
    verdict = outcome.delivery.verdict
    assert verdict is not None
    assert (verdict.failure_class, verdict.kind, verdict.matched) == (failure_class, kind, "corp.com")
    assert outcome.case is not None
    assert outcome.suppress is None


def test_who_wants_tls_is_asked_until_the_lifetime_ends() -> None:
    said = replace(answered(Stage.MAIL_FROM, "530 5.7.0 Must issue a STARTTLS command first"), wants_tls=True)
    worn = delivery(attempts=ASKED_AGAIN + 9)
    assert conclude(worn, said, BUILTIN_DEFAULT, NOW).delivery.state is State.DEFERRED
    assert conclude(worn, replace(said, wants_tls=False), BUILTIN_DEFAULT, NOW).delivery.state is State.BOUNCED


def test_a_server_that_gives_up_without_a_word_gave_its_reason_before() -> None:
    full = Verdict(failure_class="mailbox_full", kind="soft", rule="words.quota", text="552 5.2.2 over quota")
    bare = Verdict(failure_class="unreachable", kind="soft", rule="hint.expired", text="Envelope expired")
    delayed = replace(reported(What.DELAY, ReportAction.DELAYED), verdict=full)
    given_up = replace(reported(), verdict=bare, out_of_time=True)

    accepted = conclude(delivery(verdict=VERDICT), answered(Stage.DOT, "250 ok"), BUILTIN_DEFAULT, NOW).delivery
    assert accepted.verdict is None, "what was said before the message was taken is no reason any more"
    late = conclude(accepted, delayed, BUILTIN_DEFAULT, NOW).delivery
    assert late.state is State.DELIVERED
    failed = conclude(late, given_up, BUILTIN_DEFAULT, NOW)
    assert failed.delivery.verdict == replace(full, rule="hint.expired", matched="words.quota")
    assert failed.suppress is None

    assert conclude(accepted, given_up, BUILTIN_DEFAULT, NOW).delivery.verdict == bare
    said = replace(given_up, out_of_time=False)
    assert conclude(late, said, BUILTIN_DEFAULT, NOW).delivery.verdict == bare, "the last word of the server stands"
    weak = replace(delayed, strength=Strength.WEAK)
    assert conclude(accepted, weak, BUILTIN_DEFAULT, NOW).delivery.verdict is None, "anybody may write that"


def test_a_letter_never_opens_a_case_but_tells_the_one_it_serves() -> None:
    refused = conclude(letter(), answered(Stage.RCPT_TO, "550 5.1.1 no"), BUILTIN_DEFAULT, NOW)
    assert (refused.case, refused.actions, refused.step) == (None, (), StepState.UNHEARD)
    taken = conclude(letter(), answered(Stage.DOT, "250 ok"), BUILTIN_DEFAULT, NOW)
    assert taken.step is StepState.HEARD
    on_vacation = conclude(letter(State.DELIVERED), reported(What.AUTO_REPLY), BUILTIN_DEFAULT, NOW)
    assert on_vacation.step is StepState.UNHEARD
    late = conclude(letter(State.DELIVERED), reported(), BUILTIN_DEFAULT, NOW)
    assert late.step is StepState.UNHEARD


def test_no_answer_after_the_dot_is_in_doubt_and_waits_longer() -> None:
    silent = conclude(delivery(), Unanswered(stage=Stage.DOT, why="timeout", host="mx"), BUILTIN_DEFAULT, NOW).delivery
    assert silent.possibly_delivered
    assert silent.next_attempt_at is not None
    assert silent.next_attempt_at >= NOW + timedelta(minutes=12)
    refused = conclude(delivery(), answered(Stage.BANNER, "554 go away"), BUILTIN_DEFAULT, NOW).delivery
    assert not refused.possibly_delivered


def test_a_doubt_is_not_taken_back_by_what_follows() -> None:
    """The copy of the first attempt may be there, whatever a later one is told."""
    doubtful = delivery(State.SENDING, possibly_delivered=True)
    for evidence in (
        answered(Stage.RCPT_TO, "450 4.2.1 later"),
        answered(Stage.RCPT_TO, "550 5.1.1 no"),
        Unanswered(stage=Stage.CONNECT, why="refused", host="mx"),
        LeaseReleased(),
    ):
        assert conclude(doubtful, evidence, BUILTIN_DEFAULT, NOW).delivery.possibly_delivered


def test_a_message_that_kills_its_worker_ends_with_an_alarm() -> None:
    dying = delivery(State.SENDING)
    for _ in range(SILENT_DEATHS - 1):
        lost = conclude(dying, LeaseLost(), BUILTIN_DEFAULT, NOW).delivery
        assert lost.state is State.DEFERRED
        dying = move(lost, State.SENDING)
    outcome = conclude(dying, LeaseLost(), BUILTIN_DEFAULT, NOW)
    assert outcome.delivery.state is State.FAILED
    assert outcome.alarm
    assert outcome.case is not None


def test_what_is_held_back_while_time_is_disputed_waits_all_the_same() -> None:
    past = delivery(expires_at=NOW - timedelta(days=3))
    held = HeldBack(receiver="corp.com", until=NOW + timedelta(minutes=5))
    assert conclude(past, held, BUILTIN_DEFAULT, NOW).delivery.next_attempt_at == held.until


@pytest.mark.parametrize("evidence", [LeaseReleased(), LeaseLost(died=False)])
def test_a_worker_that_stops_or_had_sent_nothing_accuses_nobody(evidence: LeaseReleased | LeaseLost) -> None:
    waiting = delivery(State.SENDING)
    for _ in range(3 * SILENT_DEATHS):
        waiting = move(conclude(waiting, evidence, BUILTIN_DEFAULT, NOW).delivery, State.SENDING)
    assert waiting.silent_deaths == 0


def test_reports_beyond_the_first_five_are_only_counted() -> None:
    worn = delivery(State.BOUNCED, reports=5)
    outcome = conclude(worn, reported(), BUILTIN_DEFAULT, NOW)
    assert outcome.events == ()
    assert outcome.delivery == replace(worn, reports=6)


def test_a_failure_is_heard_however_many_warnings_of_delay_came_before() -> None:
    worn = delivery(State.DELIVERED)
    for _ in range(10):
        worn = conclude(worn, reported(what=What.DELAY, action=ReportAction.DELAYED), BUILTIN_DEFAULT, NOW).delivery
    outcome = conclude(worn, reported(), BUILTIN_DEFAULT, NOW)
    assert outcome.delivery.state is State.BOUNCED
    assert outcome.case is not None


def test_a_refusal_about_us_raises_an_alarm_and_suppresses_nobody() -> None:
    outcome = conclude(delivery(), answered(Stage.MAIL_FROM, "550 5.7.1 listed", about_us=True), BUILTIN_DEFAULT, NOW)
    assert outcome.alarm is not None
    assert outcome.suppress is None


@pytest.mark.parametrize("action", [ReportAction.DELAYED, ReportAction.FAILED])
def test_a_report_about_us_raises_an_alarm_even_if_it_changes_nothing_unless_anybody_may_have_written_it(
    action: ReportAction,
) -> None:
    verdict = replace(VERDICT, failure_class="reputation", kind="soft", about_us=True)
    what = What.DELAY if action is ReportAction.DELAYED else What.BOUNCE
    for strength in Strength:
        told = replace(reported(what, action, strength), verdict=verdict)
        outcome = conclude(delivery(State.BOUNCED), told, BUILTIN_DEFAULT, NOW)
        assert outcome.delivery.state is State.BOUNCED
        assert (outcome.alarm is not None) == (strength is Strength.STRONG)


def test_an_alarm_names_the_receiver_who_spoke() -> None:
    """A report from behind a forward names another one than the message went to."""
    verdict = replace(VERDICT, failure_class="reputation", kind="soft", about_us=True)
    sent = delivery(State.DELIVERED, receiver="corp.com")
    told = replace(reported(), verdict=verdict, receiver="google.com")
    for report, by in ((told, "google.com"), (replace(told, receiver=""), "corp.com")):
        outcome = conclude(sent, report, BUILTIN_DEFAULT, NOW)
        assert outcome.alarm is not None
        assert outcome.alarm.cause.endswith(f" {by}")
        assert outcome.delivery.receiver == "corp.com"
    said = replace(answered(Stage.MAIL_FROM, "550 5.7.1 listed", about_us=True), receiver="google.com")
    refused = conclude(delivery(receiver="corp.com"), said, BUILTIN_DEFAULT, NOW)
    assert refused.alarm is not None
    assert refused.alarm.cause.endswith(" google.com")
    assert refused.delivery.receiver == "google.com"


def test_a_server_that_finds_us_too_fast_is_left_alone_for_longer() -> None:
    def waits(reply: str, **verdict: object) -> timedelta:
        evidence = answered(Stage.RCPT_TO, reply, **verdict)
        at = conclude(delivery(), evidence, BUILTIN_DEFAULT, NOW).delivery.next_attempt_at
        assert at is not None
        return at - NOW

    greylisted = waits("450 4.7.1 come back", failure_class="rate_limited", kind="soft")
    slowed = waits("421 4.7.28 too fast", failure_class="rate_limited", kind="soft", about_us=True)
    assert greylisted < timedelta(minutes=2)
    assert slowed >= RETRY_SLOWED_DOWN


def test_a_refusal_that_passes_is_asked_again_whatever_its_code_and_believed_in_the_end() -> None:
    """Greylisting and limits that say 5yz."""
    for stage in (Stage.RCPT_TO, Stage.DATA, Stage.DOT):
        said = answered(stage, "554 5.7.1 greylisted", failure_class="rate_limited", kind="soft", passes=True)
        waiting = delivery()
        for attempt in range(1, ASKED_AGAIN):
            outcome = conclude(replace(waiting, attempts=attempt), said, BUILTIN_DEFAULT, NOW)
            assert outcome.delivery.state is State.DEFERRED
            assert not outcome.delivery.possibly_delivered, "it said no, at the dot too"
            assert outcome.case is None
        believed = conclude(replace(waiting, attempts=ASKED_AGAIN), said, BUILTIN_DEFAULT, NOW)
        assert believed.delivery.state is State.BOUNCED
        assert believed.case is not None
        assert believed.suppress is None


def test_what_is_held_back_was_not_tried_and_is_told_once() -> None:
    held = HeldBack(receiver="corp.com", until=NOW + timedelta(minutes=7))
    first = conclude(delivery(), held, BUILTIN_DEFAULT, NOW)
    assert (first.delivery.state, first.delivery.next_attempt_at) == (State.DEFERRED, held.until)
    assert first.delivery.attempts == delivery().attempts
    assert [event.type for event in first.events] == [EventType.DEFERRED]
    assert first.events[0].data["receiver"] == "corp.com"
    assert first.events[0].data["why"] == "held-back", "as docs/suppression.md says"
    assert first.alarm is None, "the reply that it waits for has raised it"
    assert first.delivery.receiver == "corp.com"
    again = conclude(replace(first.delivery, state=State.SENDING), held, BUILTIN_DEFAULT, NOW)
    assert again.events == ()
    complaint = replace(VERDICT, failure_class="rate_limited", kind="soft", about_us=True)
    elsewhere = conclude(delivery(receiver="google.com", verdict=complaint), held, BUILTIN_DEFAULT, NOW).delivery
    assert (elsewhere.verdict, elsewhere.receiver) == (complaint, "google.com"), "whose words they are"
    late = conclude(delivery(expires_at=NOW + timedelta(minutes=1)), held, BUILTIN_DEFAULT, NOW)
    assert late.delivery.next_attempt_at == NOW + timedelta(minutes=1)


def test_a_pace_that_was_refused_for_good_is_a_bounce_that_suppresses_nobody() -> None:
    slow = {"failure_class": "rate_limited", "kind": "soft", "about_us": True}
    outcome = conclude(delivery(), answered(Stage.RCPT_TO, "550 5.7.1 too fast", **slow), BUILTIN_DEFAULT, NOW)
    assert (outcome.delivery.state, outcome.suppress) == (State.BOUNCED, None)
    assert outcome.alarm


def test_an_expired_delivery_that_then_bounces_does_not_open_a_second_case() -> None:
    assert conclude(delivery(State.EXPIRED), reported(), BUILTIN_DEFAULT, NOW).case is None


any_evidence = st.one_of(
    st.builds(
        answered,
        st.sampled_from(Stage),
        st.sampled_from(["250 ok", "354 go", "421 bye", "450 4.2.0 x", "550 5.1.1 x", "999 odd"]),
        about_us=st.booleans(),
    ),
    st.builds(Unanswered, stage=st.sampled_from(Stage), why=st.text(max_size=9), host=st.just("mx")),
    st.builds(Unroutable, fault=st.sampled_from(RouteFault), detail=st.text(max_size=9)),
    st.builds(LeaseReleased),
    st.just(LeaseLost()),
    st.just(LifetimeOver()),
    st.builds(HeldBack, receiver=st.text(max_size=9), until=st.just(NOW)),
    st.builds(SuppressionFound, reason=st.text(max_size=9), since=st.just("")),
    st.builds(CancelRequested, by=st.text(max_size=9)),
    st.builds(Unsubscribed, by=st.sampled_from(["one-click", "mail"])),
    st.builds(
        Reported,
        what=st.sampled_from(What),
        action=st.sampled_from(ReportAction),
        strength=st.sampled_from(Strength),
        names_recipient=st.booleans(),
        names_other=st.booleans(),
        verdict=st.just(VERDICT),
        inbound=st.just(InboundId(UUID(int=7))),
    ),
)
any_delivery = st.builds(
    delivery,
    st.sampled_from(State),
    origin=st.sampled_from(Origin),
    attempts=st.integers(0, 40),
    silent_deaths=st.integers(0, 6),
    reports=st.integers(0, 7),
    possibly_delivered=st.booleans(),
    case=st.sampled_from([None, CaseId(UUID(int=9))]),
)


@given(any_delivery, any_evidence)
def test_conclude_is_total_and_keeps_to_the_table(before, evidence) -> None:
    outcome = conclude(before, evidence, BUILTIN_DEFAULT, NOW)
    after = outcome.delivery
    assert after.state is before.state or allowed(before.state, after.state)
    assert after.epoch >= before.epoch
    assert after.possibly_delivered >= before.possibly_delivered
    kind = outcome.case and outcome.case.kind
    assert (kind is CaseKind.FAILURE) == (
        after.state in FAILURES and before.state not in FAILURES and not before.origin.ours
    )
    assert kind is not CaseKind.DELAY or (after.state is State.DEFERRED and not before.origin.ours)
    waits = after.state in {State.QUEUED, State.DEFERRED}
    if after.state is not before.state:
        assert (after.next_attempt_at is not None) == waits
        assert outcome.events or after.state is State.QUEUED
    if before.origin.ours:
        assert outcome.actions == ()
        assert outcome.suppress is None
        assert not outcome.full
    if outcome.suppress:
        assert getattr(evidence, "strength", Strength.STRONG) is Strength.STRONG
        assert isinstance(evidence, Unsubscribed) or not evidence.verdict.about_us


@pytest.mark.parametrize("state", State)
def test_a_failure_behind_the_recipient_is_told_where_his_server_has_taken_the_message(state: State) -> None:
    report = replace(reported(ours=False, other=True), at_envelope=True)
    outcome = conclude(delivery(state), report, BUILTIN_DEFAULT, NOW)
    assert outcome.delivery.state is state
    assert outcome.events[0].type is EventType.FORWARDING_FAILED
    assert (outcome.case is not None) == (state in {State.DELIVERED, State.SENDING})
    elsewhere = conclude(delivery(state), replace(report, at_envelope=False), BUILTIN_DEFAULT, NOW)
    assert (elsewhere.case, elsewhere.actions) == (None, ())


@pytest.mark.parametrize(
    ("state", "evidence", "why"),
    [
        (State.SENDING, answered(Stage.RCPT_TO, "550 5.1.1 no"), "it bounced"),
        (State.QUEUED, LifetimeOver(), "no mail server accepted it in time"),
        (State.QUEUED, SuppressionFound(reason="hard", since=""), "the address is on the suppression list"),
        (State.QUEUED, CancelRequested(by="key"), "it was canceled"),
        (State.SENDING, LeaseLost(), "a fault of our own stopped it"),
        (State.DELIVERED, reported(What.AUTO_REPLY), "a program answered it, out of office for example"),
    ],
)
def test_a_letter_that_reached_nobody_says_why(state: State, evidence: Evidence, why: str) -> None:
    """Whoever looks at the case next reads it."""
    outcome = conclude(letter(state, silent_deaths=SILENT_DEATHS - 1), evidence, BUILTIN_DEFAULT, NOW)
    assert (outcome.step, outcome.step_why) == (StepState.UNHEARD, why)


def test_a_receipt_of_a_help_desk_has_reached_somebody() -> None:
    received = conclude(letter(State.DELIVERED), replace(reported(What.AUTO_REPLY), receipt=True), BUILTIN_DEFAULT, NOW)
    assert (received.step, received.step_why) == (StepState.HEARD, "")
