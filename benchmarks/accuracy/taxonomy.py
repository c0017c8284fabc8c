"""The words in which readers of returned mail are compared: why (20 classes), roughly why (9 groups), what it means for
the address (5 kinds). And how the reasons of other readers are said in these words.

Class and kind are two axes. A kind follows from the class, unless the mail tells of a delay, which is never hard.
"""

from collections.abc import Mapping

GROUPS: Mapping[str, str] = {
    "invalid_recipient": "address",
    "invalid_domain": "address",
    "inactive_mailbox": "address",
    "mailbox_full": "mailbox_full",
    "recipient_refused": "refused",
    "auth": "refused",
    "reputation": "refused",
    "policy": "refused",
    "rate_limited": "refused",
    "message_too_big": "message",
    "content": "message",
    "unreachable": "infra",
    "system": "infra",
    "undetermined": "undetermined",
    "complaint": "complaint",
    "unsubscribe": "complaint",
    "auto_reply": "auto",
    "challenge_response": "auto",
    "delivered": "none",
    "not_a_report": "none",
}
"""Every class, and its group."""

MEANINGS: Mapping[str, str] = {
    "invalid_recipient": "no such mailbox, or no longer",
    "invalid_domain": "no such domain, or one that takes no mail",
    "inactive_mailbox": "switched off, suspended, closed",
    "mailbox_full": "no room in the mailbox",
    "recipient_refused": "the recipient, or the server for him, does not want it; no more is said",
    "auth": "SPF, DKIM, DMARC or the name of our host",
    "reputation": "blocklists, bad repute, an address range that may not send",
    "policy": "a rule of the receiver: relaying, the sender, who may write",
    "rate_limited": "too much, too fast, too many; greylisting",
    "message_too_big": "the size of the message",
    "content": "spam, virus, an attachment, a broken message",
    "unreachable": "connections, routes, loops, time that ran out",
    "system": "a fault of a server, its disk, its settings",
    "undetermined": "refused, and nothing tells why",
    "complaint": "somebody pressed the spam button",
    "unsubscribe": "somebody wants no more of it",
    "auto_reply": "absence notes and other answers of programs",
    "challenge_response": "prove first that you are a person",
    "delivered": "a report of success",
    "not_a_report": "an ordinary mail",
}

KINDS: Mapping[str, str] = {
    "hard": "the address will not work again",
    "soft": "it may",
    "complaint": "stop writing to it",
    "auto-reply": "it works",
    "none": "nothing is said of it",
}

SISIMAI: Mapping[str, str] = {
    "userunknown": "invalid_recipient",
    "hasmoved": "invalid_recipient",
    "hostunknown": "invalid_domain",
    "notaccept": "invalid_domain",
    "suspend": "inactive_mailbox",
    "suppressed": "inactive_mailbox",
    "mailboxfull": "mailbox_full",
    "filtered": "recipient_refused",
    "mesgtoobig": "message_too_big",
    "exceedlimit": "message_too_big",
    "emailtoolarge": "message_too_big",
    "spamdetected": "content",
    "virusdetected": "content",
    "contenterror": "content",
    "notcompliantrfc": "content",
    "authfailure": "auth",
    "requireptr": "auth",
    "blocked": "reputation",
    "badreputation": "reputation",
    "rejected": "policy",
    "policyviolation": "policy",
    "norelaying": "policy",
    "securityerror": "policy",
    "speeding": "rate_limited",
    "toomanyconn": "rate_limited",
    "ratelimited": "rate_limited",
    "networkerror": "unreachable",
    "expired": "unreachable",
    "failedstarttls": "unreachable",
    "systemerror": "system",
    "systemfull": "system",
    "mailererror": "system",
    "syntaxerror": "system",
    "feedback": "complaint",
    "vacation": "auto_reply",
    "delivered": "delivered",
    "onhold": "undetermined",
    "undefined": "undetermined",
    "": "undetermined",
}
"""Sisimai's reasons, as classes."""
