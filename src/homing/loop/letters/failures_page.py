"""docs/failures.md: every cause as a person is told of it, for whoever builds an application on top."""

from homing.loop.letters.phrases import CAUSES, NOT_FAILURES, Cause

_OPENING = """# What failures mean

When a message does not reach a recipient, its human sender is told why in one of the texts below. They are the same in
the e-mail, on the screen, in a text message and here; example.com stands for the recipient's domain. The words in
`code` are what an application sees: the *class* of the verdict says why, the *state* of the delivery says how it ended,
and the heading is the text that follows from both. The mail server's own words and codes always stay beside it,
without the links in them: whoever reads an e-mail of ours would take such a link for ours. The API has the words as
they came.

The first failure is told at once. What else the same person must hear within the next five minutes goes into one
e-mail, each message with its own text and its own link; the first twenty in full, the others by their recipients.

A delivery that only waits has not failed. After some hours its human sender is told of that as well, in the texts whose
names begin with `delayed`; see [attempts.md](attempts.md#when-it-takes-long).

Three things can be added to each text. **It came back**: the server accepted the message first, and a report came
later (`bounced`, late). **It may have arrived**: on one attempt the connection broke off after the whole message had
been sent (`possibly_delivered`). **Did you mean …?**: the domain is one typing mistake away from a well-known one.
"""

_EXAMPLE = {
    "recipient": "john@example.com",
    "domain": "example.com",
    "suggestion": "examples.com",
    "organization": "Example Ltd",
    "span": "5 days",
    "times": "12 times",
    "until": "Friday, 6 March 2026, 14:05 UTC",
}

_LATE = "case of the kind `delay`: the delivery waits"

_WHEN = {
    "invalid_domain_typo": "class `invalid_domain`, where a well-known domain is one typing mistake away",
    "about_us": "classes `auth` and `reputation`, and any other refusal that is about us and not about the recipient",
    "unreachable": "class `unreachable`, where a report says so; after attempts of our own it is `expired`",
    "expired": "state `expired`, where no class says more",
    "in_doubt": "state `expired`, where no class says more and a copy may have arrived",
    "undetermined": "class `undetermined`, where the other side gave words that no rule knows",
    "unexplained": "class `undetermined`, where the other side gave no words",
    "suppressed": "state `suppressed`, after a permanent failure",
    "suppressed_mailbox_full": "state `suppressed`, after one failure for a full mailbox after the other",
    "suppressed_complaint": "state `suppressed`, after a `complaint` or an `unsubscribe`",
    "smtputf8": "class `policy`, where an address needs SMTPUTF8 (RFC 6531) and the server does not have it. A "
    "recipient whose own address is ASCII is not troubled by another one's: his copy has the name alone",
    "forwarding_failed": "event `forwarding_failed`: the state stays as it is, and nothing is suppressed",
    "delayed": f"{_LATE}, where no class says more",
    "delayed_mailbox_full": f"{_LATE}, class `mailbox_full`",
    "delayed_unreachable": f"{_LATE}, class `unreachable`",
    "delayed_about_us": f"{_LATE}, where its cause is about us: classes `auth`, `reputation` and `rate_limited`, and a "
    "receiver that found us too fast",
    "delayed_by_us": f"{_LATE}, where no DKIM key can sign: nothing goes out unsigned",
    "failed": "state `failed`: the fault is ours",
    "failed_in_doubt": "state `failed`, where a copy may have arrived",
}


def failures_page() -> str:
    """The page, in Markdown."""
    meanings = "".join(f"* `{name}`: {meaning}\n" for name, meaning in NOT_FAILURES.items())
    closing = f"## Not failures\n\nA message can have these classes, too, but they open no case.\n\n{meanings}"
    return "\n".join((_OPENING, *(_section(one) for one in CAUSES.values()), closing))


def _section(one: Cause) -> str:
    when = _WHEN.get(one.key, f"class `{one.key}`")
    link = "offers a link to correct the address and send again" if one.resend else "offers no link to send again"
    if one.key == "forwarding_failed":
        link = "offers a link to send it to another address"
    return (
        f"## `{one.key}`\n\n"
        f"> **{one.headline}**\n>\n> {one.explanation}\n>\n> {one.next_step}\n\n"
        f"When: {when}. The e-mail {link}.\n"
    ).format_map(_EXAMPLE)
