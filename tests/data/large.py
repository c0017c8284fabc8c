"""Mails that are large or deep for their own sake, made where they are wanted: together they have 8 MB."""

_FIELDS = (
    "From: MAILER-DAEMON@x.example\nTo: b+tok@g.example\nSubject: Undelivered Mail Returned to Sender\n"
    "MIME-Version: 1.0\n"
)
_REPORT = f"{_FIELDS}Content-Type: multipart/report; report-type=delivery-status; boundary=B\n\n"
_PART = "--B\nContent-Type: text/plain\n\nx\n"


def large_mails() -> dict[str, bytes]:
    """By name."""
    mails = {
        "5000-recipients": _recipients(5000),
        "nested-200": _nested(200),
        "1-MB-in-one-line": f"{_FIELDS}\n{'550 user unknown ' * 65_536}\n",
        "20000-at-signs": f"{_FIELDS}\n{'a@b.c <a@b.c> ' * 20_000}\n",
        "10000-fields": f"{_FIELDS}{''.join(f'X-H{n}: v{chr(10)}' for n in range(10_000))}\nbody\n",
        "5-MB-of-prose": f"{_FIELDS}Content-Type: text/plain\n\n"
        + "This is text that says nothing at all, line after line.\n" * 95_000,
        "20000-parts": f"{_REPORT}{_PART * 20_000}--B--\n",
        "8000-encoded-words": "From: a@b.example\nTo: t@g.example\nSubject: "
        + "=?utf-8?B?w6Q=?=\n " * 8000
        + "x\n\nbody\n",
    }
    return {name: mail.encode() for name, mail in mails.items()}


def _recipients(count: int) -> str:
    about = "".join(f"Final-Recipient: rfc822; u{n}@h.example\nAction: failed\nStatus: 5.1.1\n\n" for n in range(count))
    return f"{_REPORT}{_PART}--B\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n{about}\n--B--\n"


def _nested(depth: int) -> str:
    parts = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(depth))
    return f"{_FIELDS}{parts}Content-Type: text/plain\n\nhi\n"
