"""Header injection: every field of a request, filled with what ends a line for somebody."""

import email
import json
from collections import Counter

import pytest

from homing.mail import field_checks
from homing.mail.address import AddressError, parse_address, parse_domain
from homing.mail.compose import Attachment, ComposeError, Mailbox, check_composed, compose, front
from homing.mail.dkim import DkimError, SigningKey
from tests.data import HOSTILE_INPUTS
from tests.mail.drafts import KEY, draft, names

INJECTIONS = json.loads((HOSTILE_INPUTS / "api" / "header_injection.json").read_text())
PLAIN = {
    "from.name": "Joe",
    "subject": "Hello",
    "to[].name": "John",
    "headers{value}": "v",
    "headers{name}": "X-Test",
    "attachments[].filename": "a.txt",
    "attachments[].content_type": "text/plain",
    "attachments[].cid": "logo",
    "message_id": "m1@post.example.com",
    "in_reply_to": "q@example.org",
    "references[]": "q@example.org",
    "list_unsubscribe": "<https://post.example.com/u>",
    "from.email": "a@post.example.com",
    "reply_to.email": "joe@example.net",
    "to[].email": "john@example.org",
}
CHECKS = {
    "from.name": field_checks.check_display_name,
    "reply_to.name": field_checks.check_recipient_name,
    "to[].name": field_checks.check_recipient_name,
    "subject": field_checks.check_subject,
    "headers{name}": lambda text: field_checks.check_header(text, "v"),
    "headers{value}": lambda text: field_checks.check_header("X-Test", text),
    "list_unsubscribe": lambda text: field_checks.check_header("List-Unsubscribe", text),
    "attachments[].filename": field_checks.check_filename,
    "attachments[].content_type": field_checks.check_content_type,
    "attachments[].cid": field_checks.check_content_id,
    "message_id": field_checks.check_message_id,
    "in_reply_to": field_checks.check_message_id,
    "references[]": field_checks.check_message_id,
    "tag": lambda text: field_checks.check_text(text, 256),
    "metadata{k}": lambda text: field_checks.check_text(text, 256),
    "metadata{v}": lambda text: field_checks.check_text(text, 256),
    "idempotency_key": lambda text: field_checks.check_text(text, 256),
    "webhook.headers": lambda text: field_checks.check_text(text, 256),
}
RAISING = {
    "from.email": parse_address,
    "reply_to.email": parse_address,
    "to[].email": parse_address,
    "domain": parse_domain,
    "dkim.selector": lambda text: SigningKey("example.com", text, KEY.private_key),
}


def wire_with(field, text):
    """The message with one field filled; every field of the table is filled in every message."""
    value = PLAIN | {field: text}
    attachments = (
        Attachment(
            value["attachments[].filename"], value["attachments[].content_type"], b"x", value["attachments[].cid"]
        ),
    )
    return front(
        parse_address(value["from.email"]), value["from.name"], parse_address(value["reply_to.email"]), "abc"
    ) + (
        compose(
            draft(
                subject=value["subject"],
                to=(Mailbox(value["to[].name"], parse_address(value["to[].email"])),),
                html="<p>",
                message_id=value["message_id"],
                in_reply_to=value["in_reply_to"],
                references=(value["references[]"],),
                headers=(
                    (value["headers{name}"], value["headers{value}"]),
                    ("List-Unsubscribe", value["list_unsubscribe"]),
                ),
                attachments=attachments,
            )
        )
    )


def refused(field, text):
    if field in RAISING:
        try:
            RAISING[field](text)
        except (AddressError, DkimError):
            return True
        return False
    return bool(CHECKS[field](text))


def part_headers(raw):
    return Counter(name.lower() for part in email.message_from_bytes(raw).walk() for name in part)


def test_the_table_of_injections_is_complete():
    assert len(INJECTIONS["fields"]) * len(INJECTIONS["payloads"]) == 598
    assert set(INJECTIONS["fields"]) == CHECKS.keys() | RAISING.keys()


@pytest.mark.parametrize("field", INJECTIONS["fields"])
@pytest.mark.parametrize("number", range(len(INJECTIONS["payloads"])))
def test_an_injection_is_refused_or_harmless(field, number):
    text = INJECTIONS["payloads"][number]
    stopped = refused(field, text)
    if any(char in text for char in "\r\n\0\x0b\x85\u2028\ud800"):
        assert stopped
    if stopped or field not in PLAIN:
        return
    clean, raw = wire_with(field, PLAIN[field]), wire_with(field, text)
    check_composed(raw)
    expected = part_headers(clean)
    if field == "headers{name}":
        expected = expected - Counter(["x-test"]) + Counter([text.lower()])
    assert part_headers(raw) == expected
    assert len(names(raw)) == len(names(clean))


@pytest.mark.parametrize("field", sorted(PLAIN.keys() - {"attachments[].cid"}))
@pytest.mark.parametrize(
    "text", ["a\r\nBcc: evil@e.example", "a\nBcc: x", "a\rBcc: x", "a\0b", "a\u2028b", "\ud800"], ids=ascii
)
def test_even_without_a_check_no_injection_is_composed(field, text):
    with pytest.raises((ComposeError, AddressError)):
        wire_with(field, text)
