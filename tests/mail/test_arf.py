"""Feedback reports (RFC 5965)."""

from hypothesis import given
from hypothesis import strategies as st

from homing.mail.arf import find_feedback, read_feedback
from homing.mail.mime import read_mail


def test_all_fields() -> None:
    feedback = read_feedback(
        "Feedback-Type: Abuse\nUser-Agent: Receiver/1\nVersion: 1\nOriginal-Mail-From: <b+tok@b.post.example>\n"
        "Original-Rcpt-To: <joe@corp.example>\nOriginal-Rcpt-To: rfc822; jane@corp.example\nIncidents: 3\n"
        "Reporting-MTA: dns; mx.corp.example\nSource-IP: 192.0.2.1\nReported-Domain: post.example\n"
    )
    assert feedback is not None
    assert feedback.feedback_type == "abuse"
    assert feedback.original_rcpt_to == ("joe@corp.example", "jane@corp.example")
    assert feedback.original_mail_from == "b+tok@b.post.example"
    assert (feedback.incidents, feedback.reporting_mta) == (3, "mx.corp.example")


def test_an_authentication_failure_report() -> None:
    feedback = read_feedback("Feedback-Type: auth-failure\nAuth-Failure: DMARC\nIncidents: many\n")
    assert feedback is not None
    assert (feedback.feedback_type, feedback.auth_failure, feedback.incidents) == ("auth-failure", "dmarc", 1)


def test_found_wherever_it_stands_and_only_there() -> None:
    part = b"--a\nContent-Type: message/feedback-report\n\nFeedback-Type: fraud\n--a--"
    inside = b"Content-Type: multipart/mixed; boundary=a\n\n" + part
    feedback = find_feedback(read_mail(inside))
    assert feedback is not None
    assert feedback.feedback_type == "fraud"
    assert find_feedback(read_mail(b"Subject: x\n\nFeedback-Type: fraud")) is None
    assert read_feedback("hello") is None


@given(st.text(max_size=300))
def test_never_raises(text: str) -> None:
    read_feedback(f"Feedback-Type: {text}")
    read_feedback(f"Version: 1\nIncidents: {text}\nOriginal-Rcpt-To: {text}")
