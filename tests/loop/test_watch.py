"""The loop watch: what each stage of a round means, when it is due, and when somebody must hear of it."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from homing.loop.evidence import RouteFault, Unroutable
from homing.loop.letters.alarm_letter import advice
from homing.loop.model import OPERATOR, DeliveryId, MessageId, Origin, State
from homing.loop.outcome import conclude
from homing.loop.policy import BUILTIN_DEFAULT
from homing.loop.watch import (
    AGAIN_AFTER,
    CAUSES,
    CONCLUDED_WITHIN,
    CURES,
    LEASE,
    PROBE_RECIPIENT,
    STALE_AFTER,
    LoopFault,
    LoopProbe,
    LoopState,
    NoticeArrival,
    ProbeState,
    RoundEnd,
    alarm_for,
    asks_next_host,
    end_of_dialogue,
    end_of_route,
    end_of_wait,
    is_due,
    is_probe,
    is_stale,
    next_due,
    standing,
)
from homing.mail.reply import Reply, Stage
from homing.mail.smtp_client import Silence, Transcript

from .made import NOW, delivery, reported

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
PROBE = LoopProbe(
    round=7,
    delivery=DeliveryId(UUID(int=1)),
    message=MessageId(UUID(int=2)),
    envelope_sender="b+token@b.post.example",
    made_at=NOW - HOUR,
    due_at=NOW,
)


def ended(fault: LoopFault | None = None) -> LoopProbe:
    state = ProbeState.FAILED if fault else ProbeState.CONCLUDED
    return replace(PROBE, state=state, fault=fault, said="250 ok", ended_at=NOW)


@pytest.mark.parametrize(
    ("state", "sent_at", "now", "due"),
    [
        (ProbeState.WAITING, None, NOW - SECOND, False),
        (ProbeState.WAITING, None, NOW, True),
        (ProbeState.WAITING, None, PROBE.made_at - SECOND, True),  # a clock that was ahead
        (ProbeState.SENDING, NOW, NOW - SECOND, True),
        (ProbeState.SENDING, NOW, NOW + LEASE - SECOND, False),
        (ProbeState.SENDING, NOW, NOW + LEASE, True),
        (ProbeState.SENT, NOW, NOW + HOUR, False),
    ],
)
def test_when_a_notice_is_sent(state: ProbeState, sent_at: datetime | None, now: datetime, due: bool) -> None:
    assert is_due(replace(PROBE, state=state, sent_at=sent_at), now) is due


@pytest.mark.parametrize(
    ("state", "later", "stale"),
    [
        (ProbeState.WAITING, STALE_AFTER - SECOND, False),
        (ProbeState.WAITING, STALE_AFTER, True),
        (ProbeState.SENT, STALE_AFTER, False),
    ],
)
def test_an_old_probe_says_nothing(state: ProbeState, later: timedelta, stale: bool) -> None:
    assert is_stale(replace(PROBE, state=state, sent_at=NOW), NOW + later) is stale


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (RouteFault.NO_SUCH_DOMAIN, LoopFault.NO_MX),
        (RouteFault.NULL_MX, LoopFault.NO_MX),
        (RouteFault.NO_MAIL_HOST, LoopFault.NO_MX),
        (RouteFault.BROKEN_MX, LoopFault.NO_MX),
        (RouteFault.PRIVATE_ADDRESS, LoopFault.PRIVATE_MX),
        (RouteFault.LOOKUP_FAILED, LoopFault.LOOKUP_FAILED),
    ],
)
def test_no_route(fault: RouteFault, named: LoopFault) -> None:
    end = end_of_route(Unroutable(fault=fault, detail="says 9.9.9.9\x1b[2J"))
    assert end == RoundEnd(fault=named, said="says 9.9.9.9")


def transcript(stage: Stage, answer: str | Silence) -> Transcript:
    silence = answer if isinstance(answer, Silence) else None
    reply = None if silence else Reply.of(int(answer[:3]), answer[4:])
    return Transcript(stage=stage, reply=reply, silence=silence, host="mx.example", ip="192.0.2.1", tls="")


MX = "mx.example [192.0.2.1]"


@pytest.mark.parametrize(
    ("stage", "answer", "fault", "said"),
    [
        (Stage.CONNECT, Silence.REFUSED, LoopFault.UNREACHABLE, ": refused at connect"),
        (Stage.BANNER, "554 5.7.1 Go away", LoopFault.UNREACHABLE, " at banner: 554 5.7.1 Go away"),
        (Stage.MAIL_FROM, "550 5.7.1 No null", LoopFault.REFUSED, " at mail_from: 550 5.7.1 No null"),
        (Stage.RCPT_TO, "550 5.1.1 Nobody", LoopFault.TOKEN_REFUSED, " at rcpt_to: 550 5.1.1 Nobody"),
        (Stage.RCPT_TO, "550 5.7.1 Relay", LoopFault.REFUSED, " at rcpt_to: 550 5.7.1 Relay"),
        (Stage.RCPT_TO, "450 4.7.1 Grey", LoopFault.DEFERRED, " at rcpt_to: 450 4.7.1 Grey"),
        (Stage.DOT, "451 4.3.0 Full", LoopFault.DEFERRED, " at dot: 451 4.3.0 Full"),
        (Stage.DOT, "550 5.6.0 \u202eno", LoopFault.REFUSED, " at dot: 550 5.6.0 no"),
        (Stage.DOT, "550 5.1.1 Nobody", LoopFault.REFUSED, " at dot: 550 5.1.1 Nobody"),
        (Stage.DOT, Silence.TIMEOUT, LoopFault.UNREACHABLE, ": timeout at dot"),
    ],
)
def test_an_answer_names_the_stage(stage: Stage, answer: str | Silence, fault: LoopFault, said: str) -> None:
    assert end_of_dialogue(transcript(stage, answer)) == RoundEnd(fault=fault, said=f"{MX}{said}")


def test_nobody_reads_a_token_that_a_server_quotes() -> None:
    end = end_of_dialogue(transcript(Stage.RCPT_TO, f"550 5.1.1 <b+{'k3v5' * 12}@b.post.example>: nobody"))
    assert end is not None
    assert end.said == f"{MX} at rcpt_to: 550 5.1.1 <b+k3v5k3v5k3v5…@b.post.example>: nobody"


def test_an_accepted_notice_ends_nothing_yet() -> None:
    assert end_of_dialogue(transcript(Stage.DOT, "250 2.0.0 kept")) is None


@pytest.mark.parametrize("fault", LoopFault)
def test_a_stranger_tries_another_host_where_that_may_help(fault: LoopFault) -> None:
    asked = asks_next_host(RoundEnd(fault=fault))
    assert asked is (fault in {LoopFault.UNREACHABLE, LoopFault.DEFERRED})


@pytest.mark.parametrize(
    ("arrival", "later", "end"),
    [
        (NoticeArrival(), CONCLUDED_WITHIN - SECOND, None),
        (NoticeArrival(), CONCLUDED_WITHIN, LoopFault.LOST),
        (NoticeArrival(), -SECOND, LoopFault.LOST),
        (NoticeArrival(came=True), CONCLUDED_WITHIN - SECOND, None),
        (NoticeArrival(came=True), CONCLUDED_WITHIN, LoopFault.NOT_CONCLUDED),
        (NoticeArrival(came=True, worked_on=True), SECOND, LoopFault.MISREAD),
        (NoticeArrival(came=True, worked_on=True, concluded=True), CONCLUDED_WITHIN, "well"),
    ],
)
def test_what_becomes_of_an_accepted_notice(arrival: NoticeArrival, later: timedelta, end: str | None) -> None:
    probe = replace(PROBE, state=ProbeState.SENT, sent_at=NOW, said="mx accepted")
    expected = None if end is None else RoundEnd(fault=None if end == "well" else LoopFault(end), said="mx accepted")
    assert end_of_wait(probe, arrival, NOW + later) == expected


def test_the_next_round_comes_sooner_after_a_failure() -> None:
    assert next_due(RoundEnd(), NOW, HOUR) == NOW + HOUR
    assert next_due(RoundEnd(fault=LoopFault.LOST), NOW, HOUR) == NOW + AGAIN_AFTER
    assert next_due(RoundEnd(fault=LoopFault.LOST), NOW, SECOND) == NOW + SECOND


CERTAIN = {"no-mx", "private-mx", "refused", "token-refused", "misread"}


@pytest.mark.parametrize("fault", LoopFault)
def test_what_may_pass_is_believed_at_the_second_round(fault: LoopFault) -> None:
    first = standing([ended(fault), ended()], NOW)
    assert first.state is (LoopState.BROKEN if fault in CERTAIN else LoopState.DOUBTFUL)
    assert standing([ended(fault)], None).state is first.state
    second = standing([ended(fault), ended(LoopFault.UNREACHABLE)], NOW)
    assert second.state is LoopState.BROKEN
    raised = alarm_for(second)
    assert raised is not None
    assert raised.cause in CAUSES
    assert (raised.cause, raised.text) == (f"return-path-{fault}", "250 ok")
    assert advice(raised.cause) == f"Failures may be going unheard. {CURES[fault]}"
    assert second.cure == CURES[fault]


def test_where_nothing_is_wrong_nobody_hears_of_it() -> None:
    for rounds in ([], [ended()], [ended(), ended(LoopFault.NO_MX)], [ended(LoopFault.LOST), ended()]):
        assert alarm_for(standing(rounds, NOW)) is None
    assert standing([], None).state is LoopState.UNKNOWN
    well = standing([ended(), ended(LoopFault.NO_MX)], NOW)
    assert (well.state, well.cure, well.concluded_at) == (LoopState.OK, "", NOW)


def test_a_probe_is_nobodys_mail() -> None:
    probe = delivery(State.DELIVERED, organization=OPERATOR, recipient=PROBE_RECIPIENT, origin=Origin.LETTER)
    assert is_probe(probe)
    assert not is_probe(delivery(State.DELIVERED, recipient=PROBE_RECIPIENT))
    assert not is_probe(replace(probe, recipient="postmaster@operator.example"))
    outcome = conclude(probe, reported(), BUILTIN_DEFAULT, NOW)
    assert outcome.delivery.state is State.BOUNCED
    assert (outcome.case, outcome.actions, outcome.step) == (None, (), None)
    assert (outcome.suppress, outcome.hearsay) == (None, None)
