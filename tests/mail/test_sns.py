"""Amazon's notifications: JSON in JSON, as they come by mail."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.mail.mime import read_mail
from homing.mail.sns import find_notification, read_notification

BOUNCE = {
    "notificationType": "Bounce",
    "bounce": {
        "bounceType": "Permanent",
        "bounceSubType": "General",
        "reportingMTA": "dns; a1.example",
        "bouncedRecipients": [
            {
                "emailAddress": "joe@corp.example",
                "action": "failed",
                "status": "5.1.1",
                "diagnosticCode": "smtp; 550 no",
            }
        ],
    },
    "mail": {"commonHeaders": {"messageId": "<m1@post.example>"}},
}


def test_a_bounce_in_an_envelope() -> None:
    found = read_notification(json.dumps({"Type": "Notification", "Message": json.dumps(BOUNCE)}))
    assert found is not None
    assert (found.kind, found.type, found.reporting_mta) == ("bounce", "Permanent", "a1.example")
    assert found.message_id == "<m1@post.example>"
    (recipient,) = found.recipients
    assert (recipient.address, recipient.action, recipient.status) == ("joe@corp.example", "failed", "5.1.1")


@pytest.mark.parametrize(
    ("document", "kind", "addresses"),
    [
        (BOUNCE, "bounce", ["joe@corp.example"]),
        ({**BOUNCE, "notificationType": "", "eventType": "Bounce"}, "bounce", ["joe@corp.example"]),
        ({"eventType": "Delivery", "delivery": {"recipients": ["joe@corp.example"]}}, "delivery", ["joe@corp.example"]),
        (
            {
                "notificationType": "Complaint",
                "complaint": {"complainedRecipients": [{"emailAddress": "<a@b.example>"}]},
            },
            "complaint",
            ["a@b.example"],
        ),
        (
            {"eventType": "DeliveryDelay", "deliveryDelay": {"delayedRecipients": [{"emailAddress": "a@b.example"}]}},
            "delay",
            ["a@b.example"],
        ),
        ({"notificationType": "Bounce", "bounce": "?"}, "bounce", []),
        ({"notificationType": "Bounce", "bounce": {"bouncedRecipients": [7]}}, "bounce", [""]),
    ],
)
def test_every_kind(document: object, kind: str, addresses: list[str]) -> None:
    found = find_notification(read_mail(f"Subject: AWS Notification Message\n\n{json.dumps(document)}\n".encode()))
    assert found is not None
    assert found.kind == kind
    assert [recipient.address for recipient in found.recipients] == addresses


@pytest.mark.parametrize("text", ["", "{}", "[]", "{", "{" * 100_000, '{"Message": "{"}', '{"notificationType": 7}'])
def test_what_is_none(text: str) -> None:
    assert read_notification(text) is None


JSON = st.recursive(
    st.none() | st.text(max_size=5) | st.integers(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(
                ["notificationType", "bounce", "bouncedRecipients", "emailAddress", "mail", "commonHeaders"]
            ),
            inner,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_never_raises(document: object) -> None:
    read_notification(json.dumps(document))
    read_notification(json.dumps({"notificationType": "Bounce", "bounce": document}))
