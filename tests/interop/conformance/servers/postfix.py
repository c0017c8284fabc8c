"""Postfix: local(8) with aliases, strict mailboxes of virtual(8), relays, Dovecot behind LMTP, PostSRSd for SRS."""

from tests.interop.conformance.beyond import ROUTES
from tests.interop.conformance.greylist import a_greylist
from tests.interop.conformance.machine import Machine
from tests.interop.conformance.namespace import DOVECOT, HELPER, INSIDE, SERVER, SRS
from tests.interop.conformance.server import Server

from . import dovecot
from .aliases import ALIASES

_MASTER = f"""\
{SERVER}:25 inet n - n - - smtpd
{INSIDE}:25 inet n - n - - smtpd
{SRS}:25 inet n - n - - smtpd
  -o cleanup_service_name=cleanup-srs
  -o myhostname=mx.srs.com
cleanup unix n - n - 0 cleanup
cleanup-srs unix n - n - 0 cleanup
  -o sender_canonical_maps=tcp:127.0.0.1:10001
  -o sender_canonical_classes=envelope_sender
pickup unix n - n 60 1 pickup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
local unix - n n - - local
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
flush unix n - n 1000? 0 flush
postlog unix-dgram n - n - 1 postlogd
"""

_ROUTES = {
    **{domain: f"smtp:[{ip}]" for domain, ip in ROUTES.items()},
    "lost.com": "smtp:[inner.nowhere.com]",
    "loop.com": f"smtp:[{SERVER}]",
    "box.com": f"lmtp:inet:{DOVECOT}:24",
}

_MAIN = """\
compatibility_level = 3.6
myhostname = mx.hall.com
myorigin = late.com
inet_interfaces = {server}, {inside}, {srs}
inet_protocols = ipv4
mynetworks = {helper}
mydestination = late.com, hall.com, srs.com
local_recipient_maps =
alias_maps = hash:/etc/aliases
recipient_canonical_maps = tcp:127.0.0.1:10002
recipient_canonical_classes = envelope_recipient
alias_database =
biff = no
mailbox_size_limit = 300000
message_size_limit = 200000
smtp_host_lookup = native, dns
relay_domains = {relayed}
relay_recipient_maps =
transport_maps = inline:{{ {routes} }}
virtual_mailbox_domains = strict.com
virtual_mailbox_base = /var/mail/strict
virtual_mailbox_maps = inline:{{ {mailboxes} }}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_restriction_classes = strict_helo, strict_sender, greylist
strict_helo = check_helo_access inline:{{ {{ mx.acme-mail.com = REJECT }} }}
strict_sender = check_sender_access inline:{{ {{ b.post.acme-mail.com = REJECT }} }}
greylist = check_policy_service inet:{greylist}
smtpd_recipient_restrictions = check_recipient_access inline:{{
  {{ helo@strict.com = strict_helo }} {{ sender@strict.com = strict_sender }} {{ grey@strict.com = greylist }} }}
header_checks = regexp:/etc/postfix/header_checks
delay_warning_time = 1s
maximal_queue_lifetime = 10s
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
smtp_tls_security_level = none
"""


async def _start(machine: Machine) -> None:
    for user in ("postfix", "postsrsd"):
        machine.user(user)
    machine.group("postdrop")
    for user in ("john", "full"):
        machine.user(user, f"/home/{user}")
    machine.folder("/var/mail", 0o1777)
    machine.folder("/var/mail/strict", owner="nobody:nogroup")
    greylist = await a_greylist()
    mailboxes = ", ".join(f"{{ {name}@strict.com = {name}/ }}" for name in ("john", "ann", "helo", "sender", "grey"))
    text = _MAIN.format(
        server=SERVER,
        inside=INSIDE,
        srs=SRS,
        helper=HELPER,
        relayed=", ".join(_ROUTES),
        routes=", ".join(f"{{ {domain} = {route} }}" for domain, route in _ROUTES.items()),
        mailboxes=mailboxes,
        greylist=greylist,
    )
    machine.write("/etc/postfix/main.cf", text)
    machine.write("/etc/postfix/master.cf", _MASTER)
    machine.write("/etc/postfix/header_checks", "/^Subject:.*lottery/ REJECT Message content rejected\n")
    machine.write("/etc/aliases", ALIASES)
    machine.write("/etc/postsrsd.secret", "a secret of nobody\n")
    machine.path("/var/mail/full").write_bytes(b"From old\n\n" + b"x" * 299_000)
    machine.run("chown", "full:mail", "/var/mail/full")
    machine.run("postfix", "set-permissions", check=False)
    machine.run("postalias", "hash:/etc/aliases")
    machine.start(
        "postsrsd",
        "-s",
        "/etc/postsrsd.secret",
        "-d",
        "srs.com",
        "-f",
        "10001",
        "-r",
        "10002",
        "-l",
        "127.0.0.1",
    )
    await dovecot.start(machine)
    machine.start("/usr/lib/postfix/sbin/master", "-d")
    await machine.listens(SERVER, 25)


POSTFIX = Server(
    name="postfix",
    title="Postfix",
    start=_start,
    version=("postconf", "-h", "mail_version", r"([\d.]+)"),
    packages=("postfix", "postsrsd", *dovecot.PACKAGES),
    lacks={"vacation": "it has none of its own; it leaves that to Sieve or to a program"},
)
