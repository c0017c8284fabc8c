"""Why it was refused: every rule decides its own example, and nothing about us is held against an address."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.loop.model import Verdict
from homing.loop.reading.classify import WANTS_TLS, classify
from homing.loop.reading.returned_mail import see
from homing.loop.reading.rulebook import CLASSES, HARD, Form, Rule, RulesError, Signature, assemble, kind_of, load_rules
from homing.loop.reading.wording import phrase_in
from homing.mail.mime import read_mail
from homing.mail.reply import Reply, Stage
from tests.loop.reading.rules import RULES, RULES_TEXT


def said(text: str, *, stage: Stage | None = None, status: str = "", host: str = "") -> Verdict:
    return classify(None, stage=stage, status=status, text=text, remote_mta=host, rules=RULES)


def live(reply_code: int, text: str, stage: Stage = Stage.RCPT_TO) -> Verdict:
    return classify(Reply.of(reply_code, text), stage=stage, status="", text="", remote_mta="", rules=RULES)


@pytest.mark.parametrize("rule", RULES.all, ids=lambda rule: rule.id)
def test_each_rule_decides_its_own_example(rule: Rule) -> None:
    verdict = said(rule.example, host=rule.hosts[0] if rule.hosts else "")
    assert (verdict.rule, verdict.failure_class, verdict.kind) == (rule.id, rule.failure_class, rule.kind)
    assert verdict.matched


@pytest.mark.parametrize("signature", RULES.signatures, ids=lambda signature: signature.id)
def test_each_signature_matches_its_own_example(signature: Signature) -> None:
    header, value = "", signature.example
    if signature.field != "text":
        header, value = f"{signature.example}\n", "Hello."
        name = signature.example.partition(":")[0].lower()
        assert signature.field in {name, f"{name}-text", "from-local"}
    mail = read_mail(f"{header}\n{value}".encode())
    assert signature.id in tuple(see(mail, RULES).signatures(signature.what))


@pytest.mark.parametrize("form", RULES.forms, ids=lambda form: form.id)
def test_each_form_finds_the_recipient_of_its_own_example(form: Form) -> None:
    alone = assemble((), (), (form,))
    notice = see(read_mail(f"From: daemon@corp.example\n\n{form.example}\n".encode()), alone).notice
    assert notice.form == form
    if form.place != "none":
        assert "joe@corp.example" in [named.address for named in notice.named]


def test_every_entry_has_a_source_and_few_are_narrow() -> None:
    entries: list[Rule | Signature | Form] = [*RULES.all, *RULES.signatures, *RULES.forms]
    assert all(entry.source and entry.example for entry in entries)
    assert sum(entry.narrow for entry in entries) <= len(entries) / 10
    assert len(RULES.forms) >= 100


IANA = {1: range(11), 2: range(5), 3: range(7), 4: range(8), 5: range(7), 6: range(11), 7: range(31)}


@pytest.mark.parametrize("status", [f"{s}.{d}" for s, details in IANA.items() for d in details])
def test_every_registered_enhanced_code_has_a_class(status: str) -> None:
    verdict = said(f"554 5.{status} transaction failed")
    assert verdict.rule == f"code.{status}"
    assert said("", status=f"5.{status}").failure_class == verdict.failure_class


@pytest.mark.parametrize(
    ("text", "failure_class", "kind"),
    [
        ("550 5.1.1 <joe@x.example>: User unknown in relay recipient table", "invalid_recipient", "hard"),
        ("550-5.1.1 The mailbox is\n550-5.1.1 gone, mailbox not\n550 5.1.1 found", "invalid_recipient", "hard"),
        ("550 #5.1.0 Address rejected joe@corp.example", "invalid_recipient", "hard"),
        ("550 5.7.1 No such user!", "invalid_recipient", "hard"),
        ("552 5.1.1 The user's mailbox is full", "mailbox_full", "soft"),
        ("550 5.1.1 Unknown recipient or mailbox full", "mailbox_full", "soft"),
        ("5.1.0 - Unknown address error 550-'5.2.2 Mailbox over quota'", "mailbox_full", "soft"),
        ("5.1.0 - Unknown address error 550-'5.7.1 listed at zen.spamhaus.org'", "reputation", "soft"),
        ("550 5.1.1 rejected, 203.0.113.5 is listed in a block list", "reputation", "soft"),
        ("550 5.1.1 too many messages from 203.0.113.5 this hour", "rate_limited", "soft"),
        ("550 5.1.8 Sender address rejected: domain does not exist", "policy", "soft"),
        ("550 Verification failed for b@post.example: sender verify failed, no such user", "policy", "soft"),
        ("550 5.7.26 multiple authentication checks failed", "auth", "soft"),
        ("550 5.7.1 SPF validation failed, host not found", "auth", "soft"),
        ("550 5.2.1 mailbox temporarily disabled", "inactive_mailbox", "soft"),
        ("550 5.2.1 mailbox disabled, not accepting messages", "inactive_mailbox", "hard"),
        ("Host or domain name not found. Name service error: Host not found", "invalid_domain", "hard"),
        ("Host or domain name not found. Name service error: Host not found, try again", "unreachable", "soft"),
        ("552 5.3.4 Message size exceeds fixed limit", "message_too_big", "soft"),
        ("554 5.7.1 message identified as spam", "content", "soft"),
        ("554 5.7.1 <joe@corp.example>: Relay access denied", "policy", "soft"),
        ("connect to mx.corp.example[192.0.2.1]:25: Connection refused", "unreachable", "soft"),
        ("554 5.4.6 mail for corp.example loops back to myself", "unreachable", "soft"),
        ("550 Das Postfach des Benutzers ist voll, Postfach voll", "mailbox_full", "soft"),
        ("550 该用户不存在 用户不存在", "invalid_recipient", "hard"),
        ("550 5.7.1 This message requires confirmation", "challenge_response", "auto-reply"),
        ("no words that anybody knows", "undetermined", "soft"),
        ("", "undetermined", "soft"),
    ],
)  # fmt: skip
def test_words_beat_codes_and_blame_of_us_beats_blame_of_the_address(text: str, failure_class: str, kind: str) -> None:
    verdict = said(text)
    assert (verdict.failure_class, verdict.kind) == (failure_class, kind), verdict


def test_an_inner_code_beats_the_reported_status() -> None:
    assert said("550 5.2.2 transaction failed", status="5.0.0").rule == "code.2.2"
    assert said("550 5.2.2 transaction failed", status="5.1.1").rule == "code.2.2"
    assert said("554 5.0.0 transaction failed", status="5.2.2").rule == "code.2.2"


def test_a_bare_reply_is_about_whom_its_stage_says() -> None:
    assert live(550, "no").failure_class == "recipient_refused"
    assert live(554, "no", Stage.DOT).failure_class == "policy"
    assert said("host said: 550 no (in reply to end of DATA command)").rule == "reply.message"


@pytest.mark.parametrize(
    ("text", "at_the_door", "at_mail_from", "at_rcpt_to"),
    [
        ("5.1.1 unknown user", "unreachable", "policy us", "invalid_recipient"),
        ("5.2.1 mailbox disabled", "unreachable", "policy us", "inactive_mailbox"),
        ("5.2.0 no", "unreachable", "policy us", "recipient_refused"),
        ("mailbox full", "unreachable", "policy us", "mailbox_full"),
        ("no", "undetermined", "policy us", "recipient_refused"),
        ("5.3.0 out of memory", "system", "system", "system"),
        ("5.3.4 too big for this system", "message_too_big", "message_too_big", "message_too_big"),
    ],
)
def test_before_a_server_has_heard_of_anybody_its_refusal_is_about_nobody(
    text: str, at_the_door: str, at_mail_from: str, at_rcpt_to: str
) -> None:
    """At its door it is about the host, at MAIL FROM about the sender, whatever the words; what is about the message or
    about the server itself stays so."""
    stages = (Stage.BANNER, Stage.EHLO, Stage.MAIL_FROM, Stage.RCPT_TO)
    told = [f"{one.failure_class}{' us' * one.about_us}" for one in (live(550, text, stage) for stage in stages)]
    assert told == [at_the_door, at_the_door, at_mail_from, at_rcpt_to]


@pytest.mark.parametrize(
    ("code", "decides"),
    [
        ("1.5", False),  # "valid", of all things
        ("1.9", False),
        ("2.0", False),
        ("3.0", False),
        ("4.0", False),
        ("5.0", False),
        ("7.0", False),
        ("1.1", True),
        ("2.2", True),
        ("4.4", True),
        ("7.26", True),
    ],
)
def test_a_code_that_says_nothing_leaves_it_to_vague_words(code: str, decides: bool) -> None:
    """RFC 3463: X.y.0 is "other or undefined", and many servers send such a code with all that they say."""
    assert live(550, f"5.{code} shutting down").rule == (f"code.{code}" if decides else "hint.system-named")
    assert live(550, f"5.{code} no").rule == f"code.{code}"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("5.7.10 Encryption needed", True),
        ("5.7.11 No", True),
        ("5.7.1 Session encryption is required", True),
        ("5.7.1 Message refused by policy", False),
        ("5.1.1 No such user", False),
    ],
)
def test_a_server_that_wants_tls_is_known_by_code_or_words(text: str, wanted: bool) -> None:
    """RFC 3463 and 5248 have codes for it, and half of the servers say it in words alone."""
    assert (live(550, text).rule in WANTS_TLS) is wanted


def test_what_a_live_reply_keeps() -> None:
    verdict = live(550, "5.1.1 <joe@corp.example>: User unknown")
    assert (verdict.reply_code, verdict.enhanced_status_code) == (550, "5.1.1")
    assert verdict.text == "<joe@corp.example>: User unknown"
    assert verdict.matched == "user unknown"
    assert not verdict.about_us


def test_about_us() -> None:
    assert live(550, "5.7.1 blocked using zen.spamhaus.org").about_us
    assert live(450, "4.7.1 rate limit exceeded").about_us
    assert not live(451, "4.7.1 Greylisted, try again later").about_us
    assert live(550, "5.1.0 no", Stage.MAIL_FROM).about_us


WORDS = st.sampled_from(
    [
        "user unknown",
        "mailbox full",
        "5.1.1",
        "550",
        "no such domain",
        "disabled",
        "5.2.1",
        "spam",
        "sender",
        "<a@b.example>",
    ]
)
TEXTS = st.lists(WORDS | st.text(max_size=8), max_size=12).map(" ".join)


@given(TEXTS, st.integers(500, 599))
def test_mail_from_is_never_about_the_address(text: str, reply_code: int) -> None:
    verdict = live(reply_code, text, Stage.MAIL_FROM)
    assert verdict.kind == "soft"
    assert verdict.failure_class not in HARD
    about_the_message = verdict.failure_class in {"message_too_big", "system"} or verdict.rule in {
        "words.smtputf8",
        "code.6.7",
    }
    assert verdict.about_us != about_the_message


@given(TEXTS, st.integers(400, 499), st.sampled_from(Stage))
def test_a_transient_reply_is_never_hard(text: str, reply_code: int, stage: Stage) -> None:
    assert live(reply_code, text, stage).kind != "hard"


@given(TEXTS, st.text(max_size=10), st.none() | st.sampled_from(Stage))
def test_every_text_gets_a_verdict(text: str, status: str, stage: Stage | None) -> None:
    verdict = said(text, status=status, stage=stage)
    assert verdict.failure_class in CLASSES
    assert verdict.rule
    assert verdict.kind in {kind_of(verdict.failure_class), "soft"}


@pytest.mark.parametrize(
    "text", ["user mailbox account " * 50_000, "mailbox" * 100_000, "a@" * 300_000, "5.1." * 200_000]
)
def test_time_is_bounded(text: str) -> None:
    began = time.process_time()
    said(text)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("phrase", "text", "found"),
    [
        (("ip", "rejected"), "recipient rejected", False),
        (("ip", "rejected"), "your ip was rejected", True),
        (("mailbox", "full"), "the mailbox of joe is full", True),
        (("mailbox", "full"), f"mailbox {'x' * 90} full", False),
        (("mailbox", "full"), f"mailbox {'x' * 90} mailbox full", True),
        (("full", "mailbox"), "mailbox full", False),
        (("graylist",), "graylisted", True),
        (("(rly:",), "554 (rly:b1)", True),
        (("不存在",), "用户不存在", True),
    ],
)
def test_phrases(phrase: tuple[str, ...], text: str, found: bool) -> None:
    assert phrase_in(phrase, text) is found


RULE = '[[rule]]\nid = "a"\nfamily = "words"\nclass = "policy"\nsource = "s"\nexample = "e"\nwords = ["w"]\n'


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ("[[rule", "Expected"),
        (RULE + RULE, "ids occur twice"),
        (RULE.replace("policy", "weather"), "no such class"),
        (RULE.replace('"words"', '"vibes"'), "no such class or family"),
        (RULE.replace('["w"]', '["W"]'), "lower case"),
        (RULE.replace('["w"]', '["w…"]'), "lower case"),
        (RULE.replace('["w"]', '"w"'), "must be a list"),
        (RULE.replace('words = ["w"]', ""), "needs a condition"),
        (RULE + "colour = 1\n", "unknown keys"),
        (RULE.replace('source = "s"\n', ""), "lacks"),
    ],
)
def test_wrong_rules_are_refused_by_name(toml: str, complaint: str) -> None:
    assert load_rules(RULE).words[0].id == "a"
    with pytest.raises(RulesError, match=re.escape(complaint)):
        load_rules(toml)


def test_no_rule_holds_an_address() -> None:
    assert not re.search(r"words[^\]]*[\w.]+@[\w-]+\.\w", RULES_TEXT)


def test_a_name_in_braces_stands_for_each_word_of_the_vocabulary() -> None:
    text = f"[vocabulary]\nwhom = ['owl', 'elk']\nhow = ['lost', 'away']\n{OWLS}"
    assert load_rules(text).words[0].words == (
        ("owl", "is lost"),
        ("owl", "is away"),
        ("elk", "is lost"),
        ("elk", "is away"),
    )
    with pytest.raises(RulesError, match="no such vocabulary"):
        load_rules(OWLS)


OWLS = """
[[rule]]
id = "words.owls"
family = "words"
class = "system"
words = ["{whom} … is {how}"]
source = "folklore"
example = "an owl is lost"
"""
