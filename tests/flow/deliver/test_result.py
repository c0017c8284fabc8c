"""What a transcript says about a delivery, and what is kept of each host."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from homing.flow.deliver.result import Reader, Recorder, evidence_of, finds_us_too_fast, host_results
from homing.flow.rules import reading_rules
from homing.loop.evidence import Answered, Lack, Unanswered, Unsupported
from homing.loop.model import AttemptId, State
from homing.loop.reading.ours import Ours
from homing.mail.reply import Reply, Stage
from homing.mail.smtp_client import Transcript
from homing.net.route import Skipped
from homing.net.suffix import suffix_list
from homing.store import deliveries
from tests.flow.deliver.scene import Scene
from tests.store.scenes import NOW, fresh

READER = Reader(rules=reading_rules(), suffix_of=suffix_list(), recipient="john@example.net")
TOO_FAST = "4.7.28 Our system has detected an unusual rate of unsolicited mail originating from your IP address."


def said(stage: Stage, reply: str | None = None, silence: str | None = None, host: str = "mx.corp.com") -> Transcript:
    code, _, text = (reply or "").partition(" ")
    return Transcript(
        stage=stage,
        reply=Reply.of(int(code), text) if reply else None,
        silence=silence,
        host=host,
        ip="192.0.2.1",
        tls="TLSv1.3",
        egress_ip="198.51.100.7",
    )


@pytest.mark.parametrize(
    ("transcript", "stage", "failure_class"),
    [
        (said(Stage.DOT, "250 2.0.0 Ok"), Stage.DOT, "delivered"),
        (said(Stage.RCPT_TO, "550 5.1.1 No such user"), Stage.RCPT_TO, "invalid_recipient"),
        (said(Stage.DATA, "552 5.3.4 Too big"), Stage.DATA, "message_too_big"),
    ],
    ids=["taken", "no-such-user", "too-big"],
)
def test_a_reply_is_evidence_with_a_verdict(transcript: Transcript, stage: Stage, failure_class: str) -> None:
    evidence = evidence_of(transcript, READER)
    assert isinstance(evidence, Answered)
    assert (evidence.stage, evidence.verdict.failure_class) == (stage, failure_class)
    assert (evidence.host, evidence.ip, evidence.tls) == ("mx.corp.com", "192.0.2.1", "TLSv1.3")
    assert evidence.receiver == "corp.com"


@pytest.mark.parametrize(("silence", "lack"), [("smtputf8_not_offered", Lack.SMTPUTF8), ("size_exceeded", Lack.SIZE)])
def test_what_a_server_does_not_offer_is_our_own_finding(silence: str, lack: Lack) -> None:
    evidence = evidence_of(said(Stage.EHLO, silence=silence), READER)
    assert isinstance(evidence, Unsupported)
    assert (evidence.lack, evidence.stage, evidence.host, evidence.receiver) == (
        lack,
        Stage.EHLO,
        "mx.corp.com",
        "corp.com",
    )


def test_a_reply_that_refuses_one_of_our_names_is_about_us() -> None:
    reader = replace(READER, ours=Ours(helo="mx.acme-mail.com"), recipient="john@corp.com")
    for line in ("550 <mx.acme-mail.com> unknown", "550 198.51.100.7 does not resolve"):
        evidence = evidence_of(said(Stage.RCPT_TO, line), reader)
        assert isinstance(evidence, Answered)
        assert evidence.verdict.about_us


@pytest.mark.parametrize(
    ("reply", "wants_tls", "passes"),
    [
        ("530 5.7.0 Must issue a STARTTLS command first", True, True),
        ("550 5.7.10 Encryption needed", True, True),
        ("550 5.7.11 No", True, True),
        ("550 5.7.1 Session encryption is required", True, True),
        ("554 5.7.1 Message refused by policy", False, True),
        ("550 5.1.1 No such user", False, False),
        ("552 5.2.2 Mailbox full", False, False),
    ],
)
def test_a_refusal_of_what_came_in_clear_for_want_of_tls(reply: str, wants_tls: bool, passes: bool) -> None:
    transcript = replace(said(Stage.RCPT_TO, reply), tls="", fell_back=True)
    evidence = evidence_of(transcript, READER)
    assert isinstance(evidence, Answered)
    assert (evidence.wants_tls, evidence.verdict.passes) == (wants_tls, passes)
    plain = evidence_of(replace(transcript, fell_back=False), READER)
    assert isinstance(plain, Answered)
    assert (plain.wants_tls, plain.verdict.passes) == (False, False), "it never offered any"


@pytest.mark.parametrize("stage", [Stage.CONNECT, Stage.RCPT_TO, Stage.DOT])
def test_silence_is_evidence_without_a_verdict(stage: Stage) -> None:
    evidence = evidence_of(said(stage, silence="timeout"), READER)
    assert isinstance(evidence, Unanswered)
    assert (evidence.stage, evidence.why) == (stage, "timeout")


@pytest.mark.parametrize(
    ("host", "receiver"),
    [("mx.corp.com", "corp.com"), ("192.0.2.1", "example.net"), ("mailhost", "example.net"), ("", "")],
)
def test_what_a_host_says_is_the_word_of_who_runs_it(host: str, receiver: str) -> None:
    evidence = evidence_of(said(Stage.RCPT_TO, "451 4.3.0 Later", host=host), READER)
    assert isinstance(evidence, Answered)
    assert evidence.receiver == receiver


def test_who_finds_us_too_fast_says_so() -> None:
    assert finds_us_too_fast(said(Stage.MAIL_FROM, f"421 {TOO_FAST}"), READER)
    assert not finds_us_too_fast(said(Stage.DOT, f"250 {TOO_FAST}"), READER)
    assert not finds_us_too_fast(said(Stage.RCPT_TO, "451 4.2.0 Greylisted"), READER)
    assert not finds_us_too_fast(said(Stage.CONNECT, silence="timeout"), READER)


def test_what_each_host_said_is_kept_and_the_last_one_decides() -> None:
    later = NOW + timedelta(seconds=5)
    attempt = AttemptId(fresh())
    hosts = [
        (NOW, said(Stage.CONNECT, silence="refused", host="mx1.else.com")),
        (later, said(Stage.DOT, silence="closed")),
    ]
    unasked, first, last = host_results(hosts, [Skipped("mx0.other.com", "our own address")], READER, attempt)
    assert (unasked.host, unasked.stage, unasked.silence) == ("mx0.other.com", Stage.ROUTE, "our own address")
    assert (first.host, first.started_at, first.ended_at, first.id) == ("mx1.else.com", NOW, later, None)
    assert (last.started_at, last.ended_at, last.id) == (later, None, attempt)
    assert [one.receiver for one in (unasked, first, last)] == ["other.com", "else.com", "corp.com"], "each its own"
    assert [one.egress_ip for one in (unasked, first, last)] == ["", "198.51.100.7", "198.51.100.7"]
    assert [one.in_doubt for one in (unasked, first, last)] == [False, False, True], "after the dot alone"
    (taken,) = host_results([(NOW, said(Stage.DOT, "250 2.0.0 Ok"))], (), READER, attempt)
    assert not taken.in_doubt


def test_the_dialogue_is_kept_unless_it_ended_with_a_plain_250() -> None:
    refused, taken = said(Stage.RCPT_TO, "550 5.1.1 No such user"), said(Stage.DOT, "250 2.0.0 Ok")
    for transcript in (refused, taken):
        transcript.log.sent(b"MAIL FROM:<b+token@b.post.example>\r\n")
    first, last = host_results([(NOW, refused), (NOW, taken)], (), READER)
    assert (first.dialogue, last.dialogue) == ("> MAIL FROM:<b+token@b.post.example>", None)
    (nothing,) = host_results([(NOW, said(Stage.CONNECT, silence="busy"))], (), READER)
    assert nothing.dialogue is None


async def test_what_is_found_is_written_and_actions_are_woken(scene: Scene) -> None:
    leased = await scene.claim()
    recorder: Recorder = scene.agent.recorder
    refused = said(Stage.RCPT_TO, "550 5.1.1 No such user")
    await recorder.record(
        leased,
        evidence_of(refused, READER),
        *host_results([(NOW, refused)], (), READER),
    )
    assert (await scene.delivery(leased)).state is State.BOUNCED
    (attempt,) = await scene.attempts()
    assert (attempt["host"], attempt["reply_code"]) == ("mx.corp.com", 550)
    async with asyncio.timeout(1):
        await scene.actions.wait(60)


async def test_under_a_lease_that_is_lost_nothing_changes(scene: Scene) -> None:
    leased = await scene.claim()
    scene.clock.now += timedelta(hours=1)
    await scene.database.write(deliveries.give_back, NOW, "this-process")
    await scene.agent.recorder.record(leased, evidence_of(said(Stage.RCPT_TO, "550 5.1.1 No such user"), READER))
    assert (await scene.delivery(leased)).state is State.QUEUED
