"""OpenSMTPD: maildirs and aliases, relays, SRS of its own, Dovecot behind LMTP, a filter for what it refuses."""

from tests.interop.conformance.beyond import ROUTES
from tests.interop.conformance.machine import Machine
from tests.interop.conformance.namespace import DOVECOT, HELPER, INSIDE, SERVER, SRS
from tests.interop.conformance.server import Server

from . import dovecot
from .aliases import ALIASES

_CONF = f"""\
smtp max-message-size 200000
srs key "a secret of nobody"
queue ttl 14s
bounce warn-interval 1s
table aliases file:/etc/aliases
table strict {{ john@strict.com, ann@strict.com, grey@strict.com, helo@strict.com, sender@strict.com }}
table strictusers {{ "john" = "john", "ann" = "john", "grey" = "john", "helo" = "john", "sender" = "john" }}
table srsaliases {{ "forward" = "gone@away.com" }}
table boxusers {{ "@" = "vmail" }}
table helpers {{ {HELPER} }}
filter refuses proc-exec "/usr/local/bin/refuses"
listen on {SERVER} filter refuses
listen on {INSIDE} hostname mx.hall.com
listen on {SRS} hostname mx.srs.com
action late maildir "/var/mail/late/%{{user.username}}" alias <aliases>
action strict maildir "/var/mail/late/%{{user.username}}" virtual <strictusers>
action "srs" maildir "/var/mail/late/%{{user.username}}" alias <srsaliases>
action box lmtp "{DOVECOT}:24" rcpt-to virtual <boxusers>
action lost relay host smtp://inner.nowhere.com
action loop relay host smtp://{SERVER}
action outside relay srs
RELAYS
match from any for domain late.com action late
match from any for domain strict.com rcpt-to <strict> action strict
match from any for domain srs.com action "srs"
match from any for domain box.com action box
match from any for domain lost.com action lost
match from any for domain loop.com action loop
match from src <helpers> for any action outside
match from local for any action outside
"""

_FILTER = '''\
#!/usr/bin/python3 -u
"""Refuses a HELO, a sender, a subject; puts off one recipient once."""
import sys

senders, bad, greylisted = {}, set(), False
for line in sys.stdin:
    line = line.rstrip("\\n")
    fields = line.split("|")
    if line == "config|ready":
        for phase in ("rcpt-to", "data-line", "commit", "mail-from"):
            print(f"register|filter|smtp-in|{phase}")
        print("register|ready")
        continue
    if fields[0] != "filter":
        continue
    phase, session, token = fields[4], fields[5], fields[6]
    value = "|".join(fields[7:])
    answer = "proceed"
    if phase == "data-line":
        if value.lower().startswith("subject:") and "lottery" in value:
            bad.add(session)
        print(f"filter-dataline|{session}|{token}|{value}")
        continue
    if phase == "commit" and session in bad:
        bad.discard(session)
        answer = "reject|550 5.7.1 Message rejected as spam"
    if phase == "rcpt-to":
        if "helo@strict.com" in value:
            answer = "reject|550 5.7.1 Invalid HELO name mx.acme-mail.com"
        elif "sender@strict.com" in value:
            answer = "reject|550 5.7.1 Sender address rejected"
        elif "grey@strict.com" in value and not greylisted:
            greylisted = True
            answer = "reject|451 4.7.1 Greylisted, please try again in five minutes"
    print(f"filter-result|{session}|{token}|{answer}")
'''


async def _start(machine: Machine) -> None:
    machine.user("opensmtpd", "/var/lib/opensmtpd/empty")
    machine.user("opensmtpq", "/var/lib/opensmtpd/empty")
    machine.folder("/home/john", owner=f"{machine.user('john', '/home/john')}")
    machine.folder("/var/mail/late", 0o1777)
    machine.folder("/var/lib/opensmtpd/empty", 0o711)
    machine.folder("/var/spool/smtpd", 0o711)
    relays = [f"action to_{domain[:-4]} relay host smtp://{ip}" for domain, ip in ROUTES.items()]
    relays += [f"match from any for domain {domain} action to_{domain[:-4]}" for domain in ROUTES]
    machine.write("/etc/smtpd.conf", _CONF.replace("RELAYS", "\n".join(relays)))
    machine.write("/etc/aliases", ALIASES)
    machine.write("/usr/local/bin/refuses", _FILTER, 0o755)
    await dovecot.start(machine)
    machine.start("/usr/sbin/smtpd", "-d", "-f", "/etc/smtpd.conf")
    await machine.listens(SERVER, 25)


OPENSMTPD = Server(
    name="opensmtpd",
    title="OpenSMTPD",
    start=_start,
    version=("/usr/sbin/smtpd", "-h", r"version: OpenSMTPD ([\w.]+)"),
    packages=("opensmtpd", *dovecot.PACKAGES),
    words_of={"relay_denied": "unknown_user"},
    waiting=frozenset({"unknown_user_lmtp"}),
    lacks={
        "unknown_user_late": "it looks for its own mailboxes at RCPT, always",
        "full": "its own mailboxes have no quota",
        "vacation": "it has none of its own; it leaves that to Sieve or to a program",
    },
)
