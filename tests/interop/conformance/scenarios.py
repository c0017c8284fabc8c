"""What can become of a message, and what a careful postmaster concludes: EXPECTED, the truth of the table.

The state of a delivery is about our recipient. Whatever fails beyond him, at a member of his list or an address that he
forwards to, leaves the state as it is, suppresses nobody, and is a case for a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Wait(StrEnum):
    """What a cell waits for before it is judged."""

    DIALOGUE = "the answer in the dialogue"
    RETURN = "a mail about it"
    BOUNCE = "a mail that says that it failed for good"
    TWO_TRIES = "the answer in the dialogue, and that of a later attempt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """`events`: which must be there; `never`: which must not. `classes` and `kinds`: of the verdict of the event that
    decides, where one does. `suppressed`: for how many days at most, None for as long as it takes; 0: not at all.
    `case`: whether a person is asked to see to it. `about_us`: whether the operator is alarmed."""

    state: str
    events: tuple[str, ...]
    never: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("soft",)
    suppressed: int | None = 0
    case: bool = True
    about_us: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`spared` says what must not be concluded, though somebody might. `size`: of the message, in
    octets; `patience`: in seconds, for what must come."""

    title: str
    recipient: str
    wait: Wait
    expected: Expected
    spared: str
    subject: str = "Your call"
    size: int = 0
    patience: float = 25


def _at_once(*classes: str, kind: str = "soft", suppressed: int | None = 0, about_us: bool = False) -> Expected:
    return Expected(
        state="bounced", events=("bounced",), classes=classes, kinds=(kind,), suppressed=suppressed, about_us=about_us
    )


def _late(*classes: str, kinds: tuple[str, ...] = ("soft",), suppressed: int = 0, about_us: bool = False) -> Expected:
    return Expected(
        state="bounced", events=("bounced",), classes=classes, kinds=kinds, suppressed=suppressed, about_us=about_us
    )


_BEYOND_HIM = Expected(
    state="delivered",
    events=("forwarding_failed",),
    never=("bounced",),
    kinds=("soft", "hard"),
    suppressed=0,
    case=True,
)
_STAYS = "the state stays `delivered`, nothing is suppressed"

SCENARIOS: Mapping[str, Scenario] = {
    "unknown_user": Scenario(
        title="Unknown user, refused in the dialogue",
        recipient="noone@strict.com",
        wait=Wait.DIALOGUE,
        expected=_at_once("invalid_recipient", kind="hard", suppressed=None),
        spared="nothing about other addresses of the domain",
    ),
    "unknown_user_late": Scenario(
        title="Unknown user, found out after the 250",
        recipient="noone@late.com",
        wait=Wait.RETURN,
        expected=_late("invalid_recipient", kinds=("hard",), suppressed=30),
        spared="not for ever: a late report is less than a refusal at RCPT",
    ),
    "unknown_user_behind": Scenario(
        title="Unknown user at the host behind a gateway",
        recipient="noone@gate.com",
        wait=Wait.RETURN,
        expected=_late("invalid_recipient", kinds=("hard",), suppressed=30),
        spared="not for ever: a late report is less than a refusal at RCPT",
    ),
    "unknown_user_lmtp": Scenario(
        title="Unknown user at Dovecot, behind LMTP",
        recipient="noone@box.com",
        wait=Wait.BOUNCE,
        expected=_late("invalid_recipient", kinds=("hard",), suppressed=30),
        spared="not for ever: a late report is less than a refusal at RCPT",
    ),
    "full": Scenario(
        title="Full mailbox of the server's own",
        recipient="full@late.com",
        wait=Wait.BOUNCE,
        expected=_late("mailbox_full"),
        spared="the address is right: nothing is suppressed",
    ),
    "full_behind": Scenario(
        title="Full mailbox at the host behind a gateway",
        recipient="full@gate.com",
        wait=Wait.BOUNCE,
        expected=_late("mailbox_full"),
        spared="the address is right: nothing is suppressed",
    ),
    "full_lmtp": Scenario(
        title="Full mailbox at Dovecot, behind LMTP",
        recipient="full@box.com",
        wait=Wait.BOUNCE,
        expected=_late("mailbox_full"),
        spared="the address is right: nothing is suppressed",
    ),
    "relay_denied": Scenario(
        title="A domain that the server does not serve",
        recipient="john@elsewhere.com",
        wait=Wait.DIALOGUE,
        expected=_at_once("policy", "recipient_refused", "invalid_domain", "system"),
        spared="their MX and their server disagree: nothing is known about the mailbox, nothing is suppressed",
    ),
    "too_big": Scenario(
        title="Message too big, in the dialogue",
        recipient="john@strict.com",
        wait=Wait.DIALOGUE,
        expected=_at_once("message_too_big"),
        spared="it is about the message: nothing is suppressed",
        size=400_000,
    ),
    "too_big_behind": Scenario(
        title="Message too big for the host behind a gateway",
        recipient="big@gate.com",
        wait=Wait.RETURN,
        expected=_late("message_too_big"),
        spared="it is about the message: nothing is suppressed",
    ),
    "content": Scenario(
        title="Content refused in the dialogue",
        recipient="ann@strict.com",
        wait=Wait.DIALOGUE,
        expected=_at_once("content", "policy"),
        spared="it is about the message: nothing is suppressed",
        subject="You have won the lottery",
    ),
    "content_behind": Scenario(
        title="Content refused by the host behind a gateway",
        recipient="spam@gate.com",
        wait=Wait.RETURN,
        expected=_late("content"),
        spared="it is about the message: nothing is suppressed",
    ),
    "helo": Scenario(
        title="Our HELO refused",
        recipient="helo@strict.com",
        wait=Wait.DIALOGUE,
        expected=_at_once("auth", "policy", "reputation", about_us=True),
        spared="it is about us: nothing is suppressed, however final the code",
    ),
    "helo_behind": Scenario(
        title="The server's own HELO refused by the host behind it",
        recipient="john@helo.com",
        wait=Wait.BOUNCE,
        expected=_late("auth", "policy", "system"),
        spared="it is about a server of theirs: nothing is suppressed",
    ),
    "sender": Scenario(
        title="Our sender refused",
        recipient="sender@strict.com",
        wait=Wait.DIALOGUE,
        expected=_at_once("auth", "policy", "reputation", about_us=True),
        spared="it is about us: nothing is suppressed, however final the code",
    ),
    "sender_behind": Scenario(
        title="Our sender refused by the host behind a gateway",
        recipient="john@sender.com",
        wait=Wait.BOUNCE,
        expected=_late("auth", "policy", "reputation", about_us=True),
        spared="it is about us: nothing is suppressed, however final the code",
    ),
    "command_behind": Scenario(
        title="A command refused by the host behind a gateway",
        recipient="john@commands.com",
        wait=Wait.BOUNCE,
        expected=_late("system"),
        spared="two servers do not understand each other: nothing is known about the mailbox",
    ),
    "lost_behind": Scenario(
        title="The host behind a gateway is unknown to the DNS",
        recipient="john@lost.com",
        wait=Wait.BOUNCE,
        expected=_late("unreachable", "system", "invalid_domain", kinds=("soft", "hard"), suppressed=30),
        spared="not for ever: it is a route, and routes come back",
    ),
    "loop": Scenario(
        title="Mail goes round in circles",
        recipient="john@loop.com",
        wait=Wait.BOUNCE,
        expected=_late("unreachable", "system"),
        spared="it is about their routes: nothing is suppressed",
        patience=240,
    ),
    "delay": Scenario(
        title="A delay, told by a warning",
        recipient="slow@busy.com",
        wait=Wait.RETURN,
        expected=Expected(
            state="delivered", events=("deferred",), never=("bounced",), classes=("unreachable",), case=False
        ),
        spared="it is no failure yet: the state stays, nobody gets a letter",
    ),
    "expiry": Scenario(
        title="After the delay, the end of its time",
        recipient="dead@busy.com",
        wait=Wait.BOUNCE,
        expected=_late("unreachable"),
        spared="nothing is known about the mailbox: nothing is suppressed",
    ),
    "list_member": Scenario(
        title="A list with a dead member elsewhere",
        recipient="team@late.com",
        wait=Wait.RETURN,
        expected=_BEYOND_HIM,
        spared=f"a member is gone, the list is not: {_STAYS}",
    ),
    "forward": Scenario(
        title="A forward to a dead address",
        recipient="forward@late.com",
        wait=Wait.RETURN,
        expected=_BEYOND_HIM,
        spared=f"the target is dead, the recipient is not: {_STAYS}",
    ),
    "forward_full": Scenario(
        title="A forward to a full mailbox",
        recipient="forwardfull@late.com",
        wait=Wait.BOUNCE,
        expected=_BEYOND_HIM,
        spared=f"the target is full: {_STAYS}",
    ),
    "forward_nowhere": Scenario(
        title="A forward to a domain that does not exist",
        recipient="forwardnowhere@late.com",
        wait=Wait.BOUNCE,
        expected=_BEYOND_HIM,
        spared=f"the target's domain is gone: {_STAYS}",
    ),
    "chain": Scenario(
        title="A chain of aliases with a dead end",
        recipient="chain@late.com",
        wait=Wait.RETURN,
        expected=_BEYOND_HIM,
        spared=f"the last of the chain is dead, the first is not: {_STAYS}",
    ),
    "sieve_redirect": Scenario(
        title="A Sieve redirect to a dead address",
        recipient="redirect@box.com",
        wait=Wait.RETURN,
        expected=_BEYOND_HIM,
        spared=f"the target is dead, the recipient is not: {_STAYS}",
    ),
    "srs": Scenario(
        title="A forward with SRS to a dead address",
        recipient="forward@srs.com",
        wait=Wait.RETURN,
        expected=_BEYOND_HIM,
        spared=f"the target is dead, the recipient is not: {_STAYS}",
    ),
    "sieve_reject": Scenario(
        title="A Sieve script that rejects",
        recipient="reject@box.com",
        wait=Wait.RETURN,
        expected=_late("recipient_refused", "policy", "content"),
        spared="he may want other mail: nothing is suppressed",
    ),
    "vacation": Scenario(
        title="A vacation answer",
        recipient="away@late.com",
        wait=Wait.RETURN,
        expected=Expected(
            state="delivered", events=("autoresponded",), never=("bounced",), kinds=("auto-reply", "none"), case=False
        ),
        spared="it arrived: no failure, nobody gets a letter",
    ),
    "sieve_vacation": Scenario(
        title="A vacation answer by Sieve",
        recipient="away@box.com",
        wait=Wait.RETURN,
        expected=Expected(
            state="delivered", events=("autoresponded",), never=("bounced",), kinds=("auto-reply", "none"), case=False
        ),
        spared="it arrived: no failure, nobody gets a letter",
    ),
    "greylisting": Scenario(
        title="Greylisting",
        recipient="grey@strict.com",
        wait=Wait.TWO_TRIES,
        expected=Expected(
            state="delivered",
            events=("deferred", "delivered"),
            never=("bounced",),
            classes=("rate_limited",),
            case=False,
        ),
        spared="it is about the moment: no failure, nobody gets a letter",
    ),
}

QUICK = (
    "unknown_user",
    "unknown_user_behind",
    "full_lmtp",
    "relay_denied",
    "content",
    "sender_behind",
    "command_behind",
    "delay",
    "list_member",
    "forward",
    "sieve_redirect",
    "srs",
    "sieve_vacation",
    "greylisting",
)
"""A handful that takes seconds, for a test."""
