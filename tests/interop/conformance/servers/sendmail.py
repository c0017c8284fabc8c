"""Sendmail: mailboxes by mail.local, aliases, rule sets that refuse, a mailer table, vacation(1), Dovecot by LMTP."""

from tests.interop.conformance.beyond import ROUTES
from tests.interop.conformance.machine import Machine
from tests.interop.conformance.namespace import DOVECOT, HELPER, INSIDE, SERVER
from tests.interop.conformance.server import Server

from . import dovecot
from .aliases import ALIASES

_TAB = "\t"
_MC = f"""\
divert(-1)dnl
divert(0)dnl
OSTYPE(`debian')dnl
DOMAIN(`generic')dnl
undefine(`confHOST_STATUS_DIRECTORY')dnl
undefine(`STATUS_FILE')dnl
define(`confDOMAIN_NAME', `mx.hall.com')dnl
define(`confMAX_MESSAGE_SIZE', `200000')dnl
define(`confTO_QUEUEWARN', `1s')dnl
define(`confTO_QUEUERETURN', `10s')dnl
define(`confTO_QUEUERETURN_DSN', `1h')dnl
define(`confTO_IDENT', `0')dnl
define(`confMIN_QUEUE_AGE', `0')dnl
define(`confPRIVACY_FLAGS', `')dnl
define(`confDONT_PROBE_INTERFACES', `True')dnl
define(`confDELIVERY_MODE', `background')dnl
define(`confCONNECTION_RATE_THROTTLE', `0')dnl
define(`confMAX_HOP', `10')dnl
define(`confLOG_LEVEL', `12')dnl
define(`ALIAS_FILE', `/etc/mail/aliases')dnl
undefine(`ALIAS_FILE_DB')dnl
define(`LOCAL_MAILER_MAX', `0')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`nouucp', `nospecial')dnl
FEATURE(`mailertable', `hash -o /etc/mail/mailertable')dnl
FEATURE(`virtusertable', `hash -o /etc/mail/virtusertable')dnl
FEATURE(`access_db', `hash -T<TMPF> -o /etc/mail/access')dnl
FEATURE(`blacklist_recipients')dnl
FEATURE(`delay_checks')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`accept_unqualified_senders')dnl
DAEMON_OPTIONS(`Family=inet, Name=MTA, Port=25, Addr={SERVER}')dnl
DAEMON_OPTIONS(`Family=inet, Name=INSIDE, Port=25, Addr={INSIDE}')dnl
VIRTUSER_DOMAIN(`strict.com')dnl
LOCAL_DOMAIN(`late.com')dnl
FEATURE(`local_lmtp', `/usr/libexec/sendmail/mail.local', `mail.local -l')dnl
MAILER(`local')dnl
MAILER(`smtp')dnl
MAILER_DEFINITIONS
Mdovecot,{_TAB}P=[IPC], F=lsDFMuXz5:|/@8, S=EnvFromSMTP/HdrFromSMTP, R=EnvToSMTP, E=\\r\\n, L=990,
{_TAB}{_TAB}T=DNS/RFC822/SMTP, A=TCP $h 24
LOCAL_CONFIG
Kgreylist program /usr/local/bin/greylist
LOCAL_RULESETS
HSubject: $>CheckSubject
SCheckSubject
R$* lottery $*{_TAB}$#error $@ 5.7.1 $: 550 5.7.1 Message content rejected
SLocal_check_rcpt
R$*{_TAB}{_TAB}$: $1 $| $&s
R$* helo@strict.com $* $| mx.acme-mail.com{_TAB}$#error $@ 5.7.1 $: 550 5.7.1 Invalid HELO name
R$* sender@strict.com $* $| $*{_TAB}$#error $@ 5.1.8 $: 553 5.1.8 Domain of sender address $&f does not exist
R$* grey@strict.com $* $| $*{_TAB}$: $1 grey@strict.com $2 $| $(greylist x $: known $)
R$* $| first{_TAB}{_TAB}$#error $@ 4.7.1 $: 451 4.7.1 Greylisted, please try again in five minutes
R$* $| $*{_TAB}{_TAB}$: $1
"""

_ACCESS = f"""\
Connect:{HELPER} RELAY
"""

_GREYLIST = """\
#!/bin/sh
[ -e /var/lib/sendmail/seen ] && exit 1
touch /var/lib/sendmail/seen
echo first
"""


async def _start(machine: Machine) -> None:
    for user in ("smmta", "smmsp"):
        machine.user(user, "/var/lib/sendmail")
    for user in ("john", "away"):
        number = machine.user(user, f"/home/{user}")
        machine.folder(f"/home/{user}", owner=f"{number}")
    machine.folder("/var/mail", 0o3777, "root:mail")
    for folder in ("/var/spool/mqueue", "/run/sendmail/mta", "/var/lib/sendmail"):
        machine.folder(folder, 0o777 if folder == "/var/lib/sendmail" else 0o750)
    machine.write("/home/away/.vacation.msg", "Subject: On vacation\n\nI am on vacation until Monday.\n", owner="away")
    machine.write(
        "/home/away/.forward", '\\away, "|/usr/libexec/sendmail/vacation.sendmail -a away away"\n', owner="away"
    )
    machine.write("/etc/shells", "/SENDMAIL/ANY/SHELL/\n")
    machine.write("/usr/local/bin/greylist", _GREYLIST, 0o755)
    machine.write("/etc/mail/sendmail.mc", _MC)
    machine.write("/etc/mail/access", _ACCESS)
    machine.write("/etc/mail/local-host-names", "late.com\nhall.com\n")
    relays = {domain: f"esmtp:[{ip}]" for domain, ip in ROUTES.items()} | {
        "box.com": f"dovecot:[{DOVECOT}]",
        "lost.com": "esmtp:[inner.nowhere.com]",
        "loop.com": f"esmtp:[{SERVER}]",
    }
    machine.write("/etc/mail/mailertable", "".join(f"{domain}\t{route}\n" for domain, route in relays.items()))
    machine.write("/etc/mail/relay-domains", "\n".join(relays) + "\n")
    strict = "".join(f"{name}@strict.com\tjohn\n" for name in ("john", "ann", "grey", "helo", "sender"))
    machine.write("/etc/mail/virtusertable", strict + "@strict.com\terror:5.1.1:550 User unknown\n")
    machine.write("/etc/mail/aliases", ALIASES + "postmaster: root\nmailer-daemon: postmaster\n")
    machine.run("sh", "-c", "m4 /usr/share/sendmail/cf/m4/cf.m4 /etc/mail/sendmail.mc > /etc/mail/sendmail.cf")
    for table in ("access", "mailertable", "virtusertable"):
        machine.run("sh", "-c", f"makemap hash /etc/mail/{table}.db < /etc/mail/{table}")
    machine.run("/usr/libexec/sendmail/sendmail", "-bi", check=False)
    _submission(machine)
    await dovecot.start(machine)
    machine.start("/usr/libexec/sendmail/sendmail", "-bD", "-q1s")
    await machine.listens(SERVER, 25)


def _submission(machine: Machine) -> None:
    """What its own programs send, vacation's answers, goes through the other half of Sendmail."""
    machine.write("/etc/mail/submit.mc", f"OSTYPE(`debian')dnl\nFEATURE(`msp', `[{INSIDE}]')dnl\n")
    machine.run("sh", "-c", "m4 /usr/share/sendmail/cf/m4/cf.m4 /etc/mail/submit.mc > /etc/mail/submit.cf")
    machine.folder("/var/spool/clientmqueue", 0o770, "smmsp:smmsp")
    machine.folder("/run/sendmail/msp", 0o770, "smmsp:smmsp")
    machine.run("chgrp", "smmsp", "/usr/libexec/sendmail/sendmail")
    machine.run("chmod", "2755", "/usr/libexec/sendmail/sendmail")
    machine.run("ln", "-sf", "/usr/libexec/sendmail/sendmail", "/usr/sbin/sendmail")


SENDMAIL = Server(
    name="sendmail",
    title="Sendmail",
    start=_start,
    version=("/usr/libexec/sendmail/sendmail", "-d0.1", "-bv", "root", r"Version ([\d.]+)"),
    packages=("sendmail-bin", "sendmail-cf", "m4", *dovecot.PACKAGES),
    lacks={
        "unknown_user_late": "it looks for its own users at RCPT, always",
        "full": "its mail.local knows the quota of the file system only",
        "srs": "it has no SRS without a milter of others",
    },
)
