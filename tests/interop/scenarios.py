"""Messages as receivers get them, honest and not, and the DNS that they are judged by; and what each verifier must say.

Names end in a real public suffix and hold no hyphen: some verifiers misjudge `.example` or read a domain only so far.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from homing.mail.address import parse_address
from homing.mail.compose import Draft, Mailbox, compose, front
from homing.mail.dkim import SigningKey, sign

IP, HELO = "192.0.2.10", "out1.acmepost.com"
STRANGER = "198.51.100.7"
NOW = int(datetime.now(UTC).timestamp())


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A message on its way into a receiver, from `ip`."""

    raw: bytes
    mail_from: str
    ip: str = IP


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """What is to be said of a scenario. `walk`: DMARC by the tree walk (RFC 9989); `suffix`: by the public suffix list.

    `duplicate`: another From was put in, and a verifier may as well refuse to judge.
    """

    spf: str
    dkim: str
    walk: str
    suffix: str
    duplicate: bool = False


KEYS = {domain: SigningKey.generate(domain, "k1") for domain in ("post.acmepost.com", "customer.com")}
ED25519 = SigningKey.generate_ed25519("post.acmepost.com", "e1")
REVOKED = SigningKey("post.acmepost.com", "old", KEYS["post.acmepost.com"].private_key)


def _siblings(domain: str) -> dict[str, list[tuple[str, str]]]:
    """A return path beside the From domain instead of below it."""
    return {
        f"post.{domain}": [("MX", "10 mx.acmepost.com.")],
        f"notes.{domain}": [("TXT", f"v=spf1 ip4:{IP} -all"), ("MX", "10 mx.acmepost.com.")],
        f"_dmarc.post.{domain}": [("TXT", "v=DMARC1; p=reject")],
    }


RECORDS = {
    "acmepost.com": [("MX", "10 mx.acmepost.com.")],
    "_dmarc.acmepost.com": [("TXT", "v=DMARC1; p=none")],
    "post.acmepost.com": [("MX", "10 mx.acmepost.com."), ("TXT", f"v=spf1 ip4:{IP} -all")],
    "_dmarc.post.acmepost.com": [("TXT", "v=DMARC1; p=reject; adkim=s")],
    "b.post.acmepost.com": [("MX", "10 mx.acmepost.com."), ("TXT", f"v=spf1 ip4:{IP} -all")],
    "rp.acmepost.com": [("MX", "10 mx.acmepost.com."), ("TXT", f"v=spf1 ip4:{IP} -all")],
    HELO: [("A", IP), ("TXT", "v=spf1 a -all")],
    "mx.acmepost.com": [("A", IP)],
    "customer.com": [("MX", "10 mx.customer.com."), ("TXT", "v=spf1 -all")],
    "mx.customer.com": [("A", "203.0.113.5")],
    "_dmarc.customer.com": [("TXT", "v=DMARC1; p=reject")],
    "bounce.customer.com": [("CNAME", "rp.acmepost.com.")],
    **{key.dns_name: [("TXT", key.dns_record())] for key in (*KEYS.values(), ED25519)},
    REVOKED.dns_name: [("TXT", "v=DKIM1; p=")],
    **_siblings("xpost.com"),
    **_siblings("ypost.com"),
    "_dmarc.ypost.com": [("TXT", "v=DMARC1; p=none")],
}


def _message(header_from: str, *keys: SigningKey) -> bytes:
    draft = Draft(
        subject="Your call this morning",
        to=(Mailbox("John", parse_address("john@receiver.com")),),
        date=datetime.now(UTC),
        message_id="m1@post.acmepost.com",
        text="Hello John,\n\nthank you for your call.\n",
        html="<p>Hello John, <b>thank you</b> for your call.</p>",
    )
    reply_to = parse_address("janet@customer.com")
    raw = front(parse_address(header_from), "Janet Roe", reply_to, "trace") + compose(draft)
    return b"".join(sign(raw, key, NOW - 60, NOW + 86_400) for key in keys) + raw


_OURS = KEYS["post.acmepost.com"]
_SHARED = _message("service@post.acmepost.com", _OURS)
_CUSTOM = _message("janet@customer.com", KEYS["customer.com"])
_TAMPERED = _SHARED.replace(b"thank you", b"thank me!")
_SECOND = b"From: Boss <boss@customer.com>\r\n" + _SHARED
_RETURN = "b+token@b.post.acmepost.com"


def _case(raw: bytes, mail_from: str, ip: str = IP) -> Scenario:
    return Scenario(raw=raw, mail_from=mail_from, ip=ip)


SCENARIOS: dict[str, tuple[Scenario, Cells]] = {
    "shared": (_case(_SHARED, _RETURN), Cells(spf="pass", dkim="pass", walk="pass", suffix="pass")),
    "shared_signed_twice": (
        _case(_message("service@post.acmepost.com", _OURS, ED25519), _RETURN),
        Cells(spf="pass", dkim="pass", walk="pass", suffix="pass"),
    ),
    "shared_forwarded": (
        _case(_SHARED, _RETURN, STRANGER),
        Cells(spf="fail", dkim="pass", walk="pass", suffix="pass"),
    ),
    "custom_full": (
        _case(_CUSTOM, "b+token@bounce.customer.com"),
        Cells(spf="pass", dkim="pass", walk="pass", suffix="pass"),
    ),
    "custom_dkim": (_case(_CUSTOM, _RETURN), Cells(spf="pass", dkim="pass", walk="pass", suffix="pass")),
    "tampered": (_case(_TAMPERED, _RETURN), Cells(spf="pass", dkim="fail", walk="pass", suffix="pass")),
    "tampered_forwarded": (
        _case(_TAMPERED, _RETURN, STRANGER),
        Cells(spf="fail", dkim="fail", walk="fail", suffix="fail"),
    ),
    "second_from": (
        _case(_SECOND, _RETURN),
        Cells(spf="pass", dkim="fail", walk="fail", suffix="fail", duplicate=True),
    ),
    "impersonation": (
        _case(_message("janet@customer.com", _OURS), _RETURN),
        Cells(spf="pass", dkim="pass", walk="fail", suffix="fail"),
    ),
    "revoked_key_forwarded": (
        _case(_message("service@post.acmepost.com", REVOKED), _RETURN, STRANGER),
        Cells(spf="fail", dkim="fail", walk="fail", suffix="fail"),
    ),
    "sibling_return_path": (
        _case(_message("service@post.xpost.com"), "b@notes.xpost.com"),
        Cells(spf="pass", dkim="none", walk="fail", suffix="pass"),
    ),
    "sibling_with_record_above": (
        _case(_message("service@post.ypost.com"), "b@notes.ypost.com"),
        Cells(spf="pass", dkim="none", walk="pass", suffix="pass"),
    ),
}

SIGNED = {name: scenario.raw for name, (scenario, _) in SCENARIOS.items() if scenario.raw.startswith(b"DKIM")}


def mutants() -> dict[str, bytes]:
    """The shared message with each signed header changed, and with another copy of each oversigned one put in."""
    names = re.search(rb"h=([^;]*);", _SHARED)
    assert names is not None
    changed: dict[str, bytes] = {}
    for name in dict.fromkeys(re.sub(rb"\s", b"", names[1]).split(b":")):
        label = name.decode()
        changed[f"second-{label}"] = name + b": boss@customer.com\r\n" + _SHARED
        if found := re.search(rb"(?im)^" + name + rb": ?[^\r\n]{2}", _SHARED):
            changed[f"changed-{label}"] = _SHARED[: found.end() - 1] + b"Q" + _SHARED[found.end() :]
    return changed
