"""Who may get the one automatic answer (RFC 3834): a person who answers us, and nobody else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.loop.reading.oops import Refusal, is_forged, may_answer, threads
from homing.mail.authentication import Authentication
from homing.mail.dkim_verification import Result, Signature, Verification
from homing.mail.dmarc import DmarcResult, DmarcVerdict, MethodVerdict
from homing.mail.mime import Headers, read_headers, read_mail
from homing.mail.spf import SpfVerdict
from homing.mail.spf_record import SpfResult
from tests.data import HOSTILE_INPUTS

OURS = {"post.operator.example"}
TOKEN = "b+aaaa@b.post.operator.example"
HUMAN = "From: Bob <bob@corp.example>\nSubject: Re: invoice\nIn-Reply-To: <m1@post.operator.example>\n"
CORPUS = HOSTILE_INPUTS / "autoreply"
EXPECTED = json.loads((CORPUS / "README.json").read_text())


def asked(extra: str = "", *, sender: str | None = "bob@corp.example", base: str = HUMAN) -> Refusal | None:
    return may_answer(read_headers(base + extra), sender, OURS)


@pytest.mark.parametrize(
    ("spf", "signed_by", "dmarc", "forged"),
    [
        ("none", "", None, False),
        ("neutral", "", "none", False),
        ("temperror", "", "temperror", False),
        ("pass", "", "fail", False),
        ("fail", "", None, True),
        ("softfail", "", "none", True),
        ("none", "", "fail", True),
        ("fail", "corp.example", "fail", False),
        ("fail", "CORP.example", "pass", False),
        ("fail", "mail.corp.example", None, True),
        ("fail", "example.net", None, True),
        ("fail", "evilcorp.example", None, True),
    ],
)
def test_whose_sender_is_forged(spf: str, signed_by: str, dmarc: str | None, forged: bool) -> None:
    """`bob@eu.corp.example`: his domain speaks by SPF and DMARC, and by a signature of it or of one above it."""
    verdict = None
    if dmarc is not None:
        walked = MethodVerdict(result=DmarcResult(dmarc), organizational_domain="corp.example")
        verdict = DmarcVerdict(author_domain="eu.corp.example", tree_walk=walked, suffix_list=None)
    signatures = (
        Signature("else.example", "k", "rsa-sha256", Result.FAIL),
        *[Signature(domain, "k", "rsa-sha256", Result.PASS) for domain in [signed_by] if domain],
    )
    found = Authentication(
        spf=SpfVerdict(result=SpfResult(spf), domain="eu.corp.example"), dkim=Verification(signatures), dmarc=verdict
    )
    assert is_forged(found, "bob@eu.corp.example") is forged


def test_a_person_who_answers_us() -> None:
    assert asked() is None
    assert asked("Auto-Submitted: no\n") is None
    assert asked("Auto-Submitted: (a comment) NO; x=y\n") is None
    assert asked("".join("Received: by a\n" for _ in range(30))) is None
    assert asked("Reply-To: victim@other.example\n") is None


@pytest.mark.parametrize(
    ("extra", "refusal"),
    [
        ("Auto-Submitted: auto-replied\n", Refusal.AUTO_SUBMITTED),
        ("AUTO-SUBMITTED: (x) Auto-Generated; a=b\n", Refusal.AUTO_SUBMITTED),
        ("Auto-Submitted: no\nAuto-Submitted: auto-replied\n", Refusal.AUTO_SUBMITTED),
        ("Auto-Submitted:\n", Refusal.AUTO_SUBMITTED),
        ("X-Auto-Response-Suppress: All\n", Refusal.AUTOMATIC),
        ("X-Autoreply: yes\n", Refusal.AUTOMATIC),
        ("List-Id: <l.corp.example>\n", Refusal.LIST),
        ("List-Unsubscribe: <mailto:x@corp.example>\n", Refusal.LIST),
        ("Precedence: bulk\n", Refusal.BULK),
        ("Feedback-ID: 1:2:3:x\n", Refusal.BULK),
        ("X-Loop: anything\n", Refusal.LOOP),
        (f"Delivered-To: {TOKEN}\n", Refusal.LOOP),
        ("".join("Received: by a\n" for _ in range(31)), Refusal.LOOP),
        ("Content-Type: multipart/report; boundary=x\n", Refusal.REPORT),
        ("Sender: owner-list@corp.example\n", Refusal.MACHINE_SENDER),
    ],
)
def test_fields_that_forbid_it(extra: str, refusal: Refusal) -> None:
    assert asked(extra) is refusal


OF_PROGRAMS = """
    X-Autoreply X-Autorespond X-Autoresponder X-Autoresponse X-Auto-Reply X-Autoreply-From X-Mail-Autoreply
    X-MS-Exchange-Inbox-Rules-Loop X-Failed-Recipients X-Vacation
"""
OF_LISTS = """
    List-Id List-Unsubscribe List-Post List-Help List-Subscribe List-Owner List-Archive
    Mailing-List X-Mailing-List X-BeenThere
"""


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [(OF_PROGRAMS, Refusal.AUTOMATIC), (OF_LISTS, Refusal.LIST)],
)
def test_one_field_of_a_program_or_a_list_is_enough(fields: str, refusal: Refusal) -> None:
    """RFC 3834 §2, RFC 2369, and what programs wrote before: two that answer each other never end, and a list takes an
    answer to all its members."""
    for field in fields.split():
        assert asked(f"{field}: x\n") is refusal, field
        assert asked(f"{field.lower()}: x\n") is refusal, field


MACHINES = """
    MAILER-DAEMON postmaster no-reply noreply do_not_reply donotreply+x bounces+a=b bounce-7 owner-list list-request
    list-owner list-bounces majordomo root orders-noreply abuse
"""


@pytest.mark.parametrize("local", MACHINES.split())
def test_machines(local: str) -> None:
    assert asked(sender=f"{local}@corp.example") is Refusal.MACHINE_SENDER
    assert asked(base=HUMAN.replace("bob@", f"{local}@")) is Refusal.MACHINE_SENDER


@pytest.mark.parametrize("local", ["bob", "owner", "bounceback.jones", "ann.root", "norman.reply"])
def test_people_are_no_machines(local: str) -> None:
    assert asked(sender=f"{local}@corp.example") is None


@pytest.mark.parametrize("sender", [None, "", "<>", "bob"])
def test_never_to_the_null_sender(sender: str | None) -> None:
    assert asked(sender=sender) is Refusal.NULL_SENDER


@pytest.mark.parametrize("sender", [TOKEN, "x@POST.operator.example"])
def test_never_to_ourselves(sender: str) -> None:
    assert asked(sender=sender) is Refusal.OUR_OWN
    assert asked(base=HUMAN.replace("Bob <bob@corp.example>", f"Bob <{sender}>")) is Refusal.OUR_OWN


def test_only_in_a_thread() -> None:
    assert asked(base="From: bob@corp.example\nSubject: hello\n") is Refusal.NO_THREAD
    assert asked(base="From: bob@corp.example\nReferences: <m1@post.operator.example>\n") is None


def test_threads() -> None:
    headers = read_headers(
        "References: <a@x.example> <b@x.example>\n <c@x.example> <broken\nIn-Reply-To: your mail <b@x.example>\n"
    )
    assert threads(headers) == ("b@x.example", "c@x.example", "a@x.example")
    assert threads(read_headers("In-Reply-To: <<>>\nReferences: " + "<a@b>" * 9)) == ("a@b",)
    assert len(threads(Headers((("References", "".join(f"<{n}@x>" for n in range(900))),)))) == 50


def _filled(name: str) -> bytes:
    raw = (CORPUS / f"{name}.eml").read_bytes()
    values = {
        b"TOKEN2": b"b+bbbb@b.post.operator.example",
        b"TOKEN": TOKEN.encode(),
        b"OUR_MID": b"m1@post.operator.example",
    }
    for placeholder, value in {**values, b"OURDOMAIN": b"post.operator.example"}.items():
        raw = raw.replace(placeholder, value)
    return raw if b"In-Reply-To" in raw else b"In-Reply-To: <m1@post.operator.example>\n" + raw


def _sender(name: str) -> str:
    return read_mail(_filled(name)).headers.first("From").rpartition("<")[2].strip(">")


@pytest.mark.parametrize("name", EXPECTED["answer_once"])
def test_corpus_answered(name: str) -> None:
    assert may_answer(read_mail(_filled(name)).headers, _sender(name), OURS) is None


@pytest.mark.parametrize("name", EXPECTED["never_answer"])
def test_corpus_never_answered(name: str) -> None:
    assert may_answer(read_mail(_filled(name)).headers, _sender(name), OURS) is not None


@pytest.mark.parametrize("name", EXPECTED["answer_once"] + EXPECTED["never_answer"])
def test_corpus_never_answered_to_the_null_sender(name: str) -> None:
    assert may_answer(read_mail(_filled(name)).headers, None, OURS) is Refusal.NULL_SENDER


@given(st.binary(max_size=500), st.none() | st.text(max_size=40))
def test_never_raises(raw: bytes, sender: str | None) -> None:
    headers = read_mail(raw).headers
    threads(headers)
    may_answer(headers, sender, OURS)
