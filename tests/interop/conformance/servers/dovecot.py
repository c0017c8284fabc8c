"""Dovecot with Pigeonhole behind a server: LMTP with a quota, and Sieve scripts that redirect, reject and answer."""

from tests.interop.conformance.machine import Machine
from tests.interop.conformance.namespace import DOVECOT, INSIDE

PACKAGES = ("dovecot-core", "dovecot-lmtpd", "dovecot-sieve")

_USERS = ("john", "full", "redirect", "reject", "away")

_CONF = f"""\
protocols = lmtp
log_path = /var/log/dovecot
ssl = no
listen = {DOVECOT}
default_internal_user = dovecot
default_login_user = dovenull
first_valid_uid = 1
mail_location = maildir:/var/vmail/%n
mail_plugins = quota
postmaster_address = postmaster@box.com
hostname = box.hall.com
submission_host = {INSIDE}:25
recipient_delimiter = +
service lmtp {{
  inet_listener lmtp {{
    address = {DOVECOT}
    port = 24
  }}
}}
service anvil {{
  chroot =
}}
protocol lmtp {{
  mail_plugins = quota sieve
}}
passdb {{
  driver = passwd-file
  args = username_format=%n /etc/dovecot/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%n /etc/dovecot/users
}}
plugin {{
  quota = maildir:User quota
  quota_grace = 0
  sieve = file:/var/vmail/%n/script.sieve
}}
"""

_SCRIPTS = {
    "redirect": 'redirect "gone@away.com";',
    "reject": 'require "reject"; reject "I do not take mail from programs.";',
    "away": 'require "vacation"; vacation :days 1 :addresses ["away@box.com"] "I am on vacation until Monday.";',
}


async def start(machine: Machine) -> None:
    for user in ("dovecot", "dovenull"):
        machine.user(user)
    number = machine.user("vmail")
    lines = []
    for user in _USERS:
        quota = "1k" if user == "full" else "1G"
        lines.append(f"{user}:{{PLAIN}}x:{number}:{number}::/var/vmail/{user}::userdb_quota_rule=*:storage={quota}")
    machine.write("/etc/dovecot/users", "\n".join(lines) + "\n", owner="root:dovecot")
    machine.write("/etc/dovecot/dovecot.conf", _CONF)
    machine.folder("/var/vmail", owner="vmail:vmail")
    machine.folder("/var/lib/dovecot")
    for user in _USERS:
        machine.folder(f"/var/vmail/{user}", owner="vmail:vmail")
    for user, script in _SCRIPTS.items():
        machine.write(f"/var/vmail/{user}/script.sieve", script + "\n", owner="vmail:vmail")
    machine.start("dovecot", "-F")
    await machine.listens(DOVECOT, 24)
