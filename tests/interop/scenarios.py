"""Messages as receivers get them, honest and not, and the DNS that they are judged by; and what each verifier must say.

Each level of identity as a whole gateway sends it, and what may become of that on the way; and a few that no gateway of
ours would send. Names end in a real public suffix: some verifiers misjudge `.example`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from homing.mail.address import parse_address
from homing.mail.compose import Draft, Mailbox, compose, front
from homing.mail.dkim import SIGNED_HEADERS, SigningKey, sign

from .gateway_mail import IP, Records, caught

HELO = "out1.acmepost.com"
STRANGER = "198.51.100.7"
NOW = int(datetime.now(UTC).timestamp())

EXPECTED = """
shared                        pass pass pass pass
shared_forwarded              fail pass pass pass
shared_tampered               pass fail pass pass
shared_tampered_forwarded     fail fail fail fail
shared_second_from            pass fail none fail

shared_twice                  pass pass pass pass
shared_twice_forwarded        fail pass pass pass
shared_twice_tampered         pass fail pass pass
shared_twice_second_from      pass fail none fail

shared_bulk                   pass pass pass pass
shared_bulk_forwarded         fail pass pass pass
shared_bulk_tampered          pass fail pass pass
shared_bulk_second_from       pass fail none fail

shared_selector               pass pass pass pass
shared_selector_forwarded     fail pass pass pass
shared_selector_tampered      pass fail pass pass
shared_selector_second_from   pass fail none fail

shared_tenant                 pass pass pass pass
shared_tenant_forwarded       fail pass pass pass
shared_tenant_tampered        pass fail pass pass
shared_tenant_second_from     pass fail none fail

custom_full                   pass pass pass pass
custom_full_forwarded         fail pass pass pass
custom_full_tampered          pass fail pass pass
custom_full_second_from       pass fail none fail

custom_dkim                   pass pass pass pass
custom_dkim_forwarded         fail pass pass pass
custom_dkim_tampered          pass fail fail fail
custom_dkim_second_from       pass fail none fail

ed25519_alone                 pass pass pass pass
impersonation                 pass pass fail fail
revoked_key                   pass fail pass pass
revoked_key_forwarded         fail fail fail fail
sibling_return_path           pass none fail pass
sibling_with_record_above     pass none pass pass
"""
"""By scenario: SPF, DKIM, DMARC by the tree walk (RFC 9989), DMARC by the public suffix list (RFC 7489). DMARC `none`:
with two From there is nobody to judge; who judges nevertheless must not say `pass`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A message on its way into a receiver, from `ip`."""

    raw: bytes
    mail_from: str
    ip: str = IP


@dataclass(frozen=True, slots=True)
class Cells:
    """What is to be said of a scenario."""

    spf: str
    dkim: str
    walk: str
    suffix: str

    @property
    def duplicate(self) -> bool:
        return self.walk == "none"


CELLS = {name: Cells(*words) for name, *words in map(str.split, filter(None, EXPECTED.splitlines()))}

KEY = SigningKey.generate("post.acmepost.com", "k1")
ED25519 = SigningKey.generate_ed25519("post.acmepost.com", "e1")
REVOKED = SigningKey("post.acmepost.com", "old", KEY.private_key)


def _siblings(domain: str) -> Records:
    """A return path beside the From domain instead of below it."""
    return {
        f"post.{domain}": [("MX", "10 mx.acmepost.com.")],
        f"notes.{domain}": [("TXT", f"v=spf1 ip4:{IP} -all"), ("MX", "10 mx.acmepost.com.")],
        f"_dmarc.post.{domain}": [("TXT", "v=DMARC1; p=reject")],
    }


_COMPOSED_RECORDS: Records = {
    "acmepost.com": [("MX", "10 mx.acmepost.com.")],
    "_dmarc.acmepost.com": [("TXT", "v=DMARC1; p=none")],
    "post.acmepost.com": [("MX", "10 mx.acmepost.com."), ("TXT", f"v=spf1 ip4:{IP} -all")],
    "_dmarc.post.acmepost.com": [("TXT", "v=DMARC1; p=reject; adkim=s")],
    "b.post.acmepost.com": [("MX", "10 mx.acmepost.com."), ("TXT", f"v=spf1 ip4:{IP} -all")],
    HELO: [("A", IP), ("TXT", "v=spf1 a -all")],
    "mx.acmepost.com": [("A", IP)],
    "customer.com": [("MX", "10 mx.customer.com."), ("TXT", "v=spf1 -all")],
    "mx.customer.com": [("A", "203.0.113.5")],
    "_dmarc.customer.com": [("TXT", "v=DMARC1; p=reject")],
    **{key.dns_name: [("TXT", key.dns_record())] for key in (KEY, ED25519)},
    REVOKED.dns_name: [("TXT", "v=DKIM1; p=")],
    **_siblings("xpost.com"),
    **_siblings("ypost.com"),
    "_dmarc.ypost.com": [("TXT", "v=DMARC1; p=none")],
}


@cache
def records() -> Records:
    return {**caught().records, **_COMPOSED_RECORDS}


def published_keys() -> dict[str, str]:
    """The DKIM records of all scenarios, wherever the DNS has them."""
    known = records()

    def text(name: str) -> str:
        kind, found = known[name][0]
        return text(found.rstrip(".")) if kind == "CNAME" else found

    return {name: text(name) for name in known if "._domainkey." in name}


@cache
def scenarios() -> Mapping[str, Scenario]:
    """All of them, by the names that EXPECTED has."""
    made: dict[str, Scenario] = {}
    for level, mail in caught().mails.items():
        raw, mail_from = mail.content, mail.envelope_sender or ""
        longer = raw + b"P.S. Please send money.\r\n"
        made |= {
            level: Scenario(raw=raw, mail_from=mail_from),
            f"{level}_forwarded": Scenario(raw=raw, mail_from=mail_from, ip=STRANGER),
            f"{level}_tampered": Scenario(raw=longer, mail_from=mail_from),
            f"{level}_tampered_forwarded": Scenario(raw=longer, mail_from=mail_from, ip=STRANGER),
            f"{level}_second_from": Scenario(raw=_SECOND + raw, mail_from=mail_from),
        }
    return {name: one for name, one in {**made, **_composed()}.items() if name in CELLS}


_SECOND = b"From: Boss <boss@customer.com>\r\n"


def _composed() -> dict[str, Scenario]:
    return_path = "b+token@b.post.acmepost.com"
    revoked = _message("service@post.acmepost.com", REVOKED)
    return {
        "ed25519_alone": Scenario(raw=_message("service@post.acmepost.com", ED25519), mail_from=return_path),
        "impersonation": Scenario(raw=_message("janet@customer.com", KEY), mail_from=return_path),
        "revoked_key": Scenario(raw=revoked, mail_from=return_path),
        "revoked_key_forwarded": Scenario(raw=revoked, mail_from=return_path, ip=STRANGER),
        "sibling_return_path": Scenario(raw=_message("service@post.xpost.com"), mail_from="b@notes.xpost.com"),
        "sibling_with_record_above": Scenario(raw=_message("service@post.ypost.com"), mail_from="b@notes.ypost.com"),
    }


def _message(header_from: str, *keys: SigningKey) -> bytes:
    raw = front(parse_address(header_from), "Janet Roe", parse_address("janet@customer.com"), "trace") + compose(_DRAFT)
    return b"".join(sign(raw, key, NOW - 60, NOW + 86_400) for key in keys) + raw


_DRAFT = Draft(
    subject="Your call this morning",
    to=(Mailbox("John", parse_address("john@receiver.com")),),
    cc=(Mailbox("Ann", parse_address("ann@receiver.com")),),
    date=datetime.now(UTC),
    message_id="m1@post.acmepost.com",
    in_reply_to="q1@receiver.com",
    references=("q0@receiver.com", "q1@receiver.com"),
    auto_submitted="auto-generated",
    text="Hello John,\n\nthank you for your call.\n",
)


def whole() -> bytes:
    """A message that has every header that we sign."""
    raw = _message("service@post.acmepost.com")
    present = {line.partition(b":")[0].lower() for line in raw.partition(b"\r\n\r\n")[0].split(b"\r\n")}
    missing = (name for name in SIGNED_HEADERS if name.lower().encode() not in present)
    raw = "".join(f"{name}: value of {name}\r\n" for name in missing).encode() + raw
    return sign(raw, KEY, NOW - 60, NOW + 86_400) + raw


def mutants() -> dict[str, bytes]:
    """That message with each signed header changed, or removed, or with another copy of it put in above or below; and
    with its body changed."""
    good = whole()
    head, separator, body = good.partition(b"\r\n\r\n")
    changed = {
        "body_changed": head + separator + body.replace(b"thank you", b"thank me!"),
        "body_longer": good + b"P.S. Please send money.\r\n",
        "body_shorter": head + separator + body[: body.index(b"thank")],
    }
    for name in SIGNED_HEADERS:
        field = re.search(rb"(?im)^" + name.encode() + rb":.*\r\n(?:[ \t].*\r\n)*", head + b"\r\n")
        assert field is not None, name
        label, extra = name.lower(), f"{name}: boss@customer.com".encode()
        changed[f"changed_{label}"] = good.replace(field[0], field[0].replace(b": ", b": x", 1), 1)
        changed[f"removed_{label}"] = good.replace(field[0], b"", 1)
        changed[f"above_{label}"] = extra + b"\r\n" + good
        changed[f"below_{label}"] = head + b"\r\n" + extra + separator + body
    return changed
