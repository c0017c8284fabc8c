"""The rules' own words: classes and kinds, which applications read, and what may stand in an entry."""

import pytest

from homing.loop.reading.returned_mail import see
from homing.loop.reading.rulebook import CLASSES, kind_of, load_rules
from homing.mail.mime import read_mail
from tests.loop.reading.rules import RULES

KINDS = {
    "hard": "invalid_recipient invalid_domain inactive_mailbox",
    "soft": "auth reputation policy rate_limited mailbox_full recipient_refused message_too_big content unreachable "
    "system undetermined",
    "complaint": "complaint unsubscribe",
    "auto-reply": "auto_reply challenge_response",
    "none": "delivered not_a_report",
}
"""Applications read both words. Only what is hard takes an address out of use: what a later message would meet again,
though sender, message and moment were others."""


def test_each_class_has_its_kind() -> None:
    assert {failure_class: kind_of(failure_class) for failure_class in CLASSES} == {
        failure_class: kind for kind, classes in KINDS.items() for failure_class in classes.split()
    }


@pytest.mark.parametrize("failure_class", sorted(CLASSES))
def test_a_refusal_of_what_we_are_or_do_is_about_us_unless_its_rule_says_otherwise(failure_class: str) -> None:
    """Such a refusal warns the operator, and is never held against the address."""
    text = (
        f"[[rule]]\nid = 'a'\nfamily = 'words'\nclass = '{failure_class}'\nsource = 's'\nexample = 'w'\nwords = ['w']\n"
    )
    default, said_no, said_yes = (
        load_rules(text + more).words[0].about_us for more in ("", "about_us = false\n", "about_us = true\n")
    )
    assert default is (failure_class in {"auth", "reputation", "policy", "rate_limited"})
    assert (said_no, said_yes) == (False, True)


RULE = """
[[rule]]
id = "a"
family = "{family}"
class = "policy"
kind = "hard"
about_us = false
passes = true
narrow = true
words = ["w"]
unless = ["u"]
hosts = ["h.example"]
reply_codes = [550]
statuses = ["7.1"]
stages = ["mail_from"]
source = "s"
example = "e"
"""
SIGNATURE = """
[[signature]]
id = "b"
what = "bounce"
field = "Subject"
equals = ["q"]
starts = ["r"]
contains = ["t"]
present = true
source = "s"
example = "e"
narrow = true
"""
FORM = """
[[form]]
id = "c"
family = "acme"
start = "it failed"
place = "{place}"
stop = ["end"]
class = "policy"
action = "delayed"
source = "s"
example = "e"
narrow = true
"""


@pytest.mark.parametrize("family", ["receiver", "words", "code", "hint", "reply"])
def test_all_that_a_rule_may_say(family: str) -> None:
    rules = load_rules(RULE.format(family=family))
    (rule,) = rules.all
    asked = {"receiver": rules.receiver, "words": rules.words, "hint": rules.hints, "reply": rules.replies}
    assert asked.get(family, tuple(rules.codes.values())) == (rule,)
    assert (rule.kind, rule.about_us, rule.passes, rule.narrow) == ("hard", False, True, True)
    assert (rule.words, rule.unless, rule.hosts) == ((("w",),), (("u",),), ("h.example",))
    assert (rule.reply_codes, rule.statuses, rule.stages) == ({550}, {"7.1"}, {"mail_from"})


def test_all_that_a_signature_may_say() -> None:
    (one,) = load_rules(SIGNATURE).signatures
    assert (one.what, one.field, one.equals, one.starts, one.contains) == (
        "bounce",
        "subject",
        ("q",),
        ("r",),
        (("t",),),
    )
    assert (one.present, one.narrow) == (True, True)


@pytest.mark.parametrize(
    ("field", "mail"),
    [
        ("subject", "Subject: (Your call) It is gone\n\nSorry."),
        ("subject-text", "Subject: (It is gone) Your call\n\nSorry."),
        ("text", "Subject: Your call\n\nIt is gone."),
        ("x-acme", "X-Acme: it is gone\n\nSorry."),
    ],
)
def test_a_phrase_is_found_in_the_field_that_it_is_for(field: str, mail: str) -> None:
    head = "[[signature]]\nid = 'b'\nwhat = 'bounce'\nsource = 's'\nexample = 'e'\n"
    rules = load_rules(f"{head}field = '{field}'\ncontains = ['it is gone']\n")
    assert tuple(see(read_mail(mail.encode()), rules).signatures("bounce")) == ("b",)
    assert tuple(see(read_mail(b"Subject: Your call\n\nSorry."), rules).signatures("bounce")) == ()


@pytest.mark.parametrize("place", ["line", "inside", "next", "every", "names", "none"])
def test_all_that_a_form_may_say(place: str) -> None:
    (one,) = load_rules(FORM.format(place=place)).forms
    assert (one.family, one.place, one.stop, one.failure_class, one.action) == (
        "acme",
        place,
        ("end",),
        "policy",
        "delayed",
    )
    assert one.narrow


def test_the_package_has_rules_signatures_and_forms() -> None:
    assert min(len(RULES.all), len(RULES.signatures), len(RULES.forms)) > 50
