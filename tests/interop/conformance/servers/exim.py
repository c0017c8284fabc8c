"""Exim: mailboxes with a quota, aliases, autoreply, SRS of its own, relays, Dovecot behind LMTP, ACLs that refuse."""

from tests.interop.conformance.beyond import ROUTES
from tests.interop.conformance.machine import Machine
from tests.interop.conformance.namespace import DOVECOT, HELPER, INSIDE, SERVER, SRS
from tests.interop.conformance.server import Server

from . import dovecot
from .aliases import ALIASES

_CONF = """\
primary_hostname = mx.hall.com
qualify_domain = late.com
local_interfaces = {server} : {inside} : {srs}
daemon_smtp_ports = 25
hostlist helpers = {helper}
domainlist here = late.com : strict.com : srs.com : hall.com
domainlist relayed = {relayed}
acl_smtp_rcpt = at_rcpt
acl_smtp_data = at_data
message_size_limit = 200000
exim_user = Debian-exim
exim_group = Debian-exim
never_users =
host_lookup =
rfc1413_query_timeout = 0s
tls_advertise_hosts =
delay_warning = 1s
timeout_frozen_after = 1h
ignore_bounce_errors_after = 1h
smtp_accept_max = 0
bounce_return_linesize_limit = 998
keep_environment =
log_file_path = syslog
syslog_timestamp = false
dsn_advertise_hosts = *
SRS_SECRET = a secret of nobody

begin acl

at_rcpt:
  accept hosts = +helpers
  deny recipients = helo@strict.com
       condition = ${{if eq{{$sender_helo_name}}{{mx.acme-mail.com}}}}
       message = EHLO argument does not match calling host
  deny recipients = sender@strict.com
       sender_domains = b.post.acme-mail.com
       message = sender envelope address $sender_address is locally blacklisted here
  defer recipients = grey@strict.com
        !condition = ${{if exists{{/var/spool/exim4/greylisted}}}}
        condition = ${{run{{/usr/bin/touch /var/spool/exim4/greylisted}}{{yes}}{{yes}}}}
        message = Greylisted, please try again in five minutes
  require message = relay not permitted
          domains = +here : +relayed
  accept !domains = strict.com
  require verify = recipient
  accept

at_data:
  deny condition = ${{if match{{$h_subject:}}{{lottery}}}}
       message = This message looks like spam
  accept

begin routers

to_dovecot:
  driver = accept
  domains = box.com
  transport = to_dovecot

to_nowhere:
  driver = manualroute
  domains = lost.com
  route_list = * inner.nowhere.com
  host_find_failed = fail
  transport = remote

to_itself:
  driver = manualroute
  domains = loop.com
  route_list = * {server}
  self = send
  transport = remote

relays:
  driver = manualroute
  domains = +relayed
  route_data = ${{lookup{{$domain}}lsearch{{/etc/exim4/routes}}}}
  transport = remote

inbound_srs:
  driver = redirect
  domains = srs.com
  senders = :
  condition = ${{if inbound_srs{{$local_part}}{{SRS_SECRET}}}}
  data = $srs_recipient

forward_srs:
  driver = redirect
  domains = srs.com
  local_parts = forward
  data = gone@away.com
  address_data = srs

outside:
  driver = dnslookup
  domains = ! +here
  ignore_target_hosts = 0.0.0.0
  transport = ${{if eq{{$original_domain}}{{srs.com}}{{remote_srs}}{{remote}}}}
  no_more

aliases:
  driver = redirect
  domains = late.com
  data = ${{lookup{{$local_part}}lsearch{{/etc/aliases}}}}

vacation:
  driver = accept
  domains = late.com
  local_parts = away
  transport = vacation
  unseen

mailboxes:
  driver = accept
  domains = late.com : strict.com : srs.com
  local_parts = lsearch;/etc/exim4/mailboxes
  transport = mailbox
  cannot_route_message = Unknown user

begin transports

to_dovecot:
  driver = smtp
  protocol = lmtp
  hosts = {dovecot}
  port = 24
  hosts_override

remote:
  driver = smtp
  hosts_try_chunking =
  allow_localhost

remote_srs:
  driver = smtp
  hosts_try_chunking =
  return_path = ${{srs_encode{{SRS_SECRET}}{{$return_path}}{{srs.com}}}}

mailbox:
  driver = appendfile
  directory = /var/mail/$local_part_data
  maildir_format
  create_directory
  user = mail
  group = mail
  quota = ${{if eq{{$local_part}}{{full}}{{1}}{{100M}}}}

vacation:
  driver = autoreply
  user = mail
  from = $local_part@$domain
  to = $sender_address
  subject = On vacation: $h_subject:
  text = I am on vacation until Monday.

begin retry

* quota
* * F,10s,1s

begin rewrite
"""


async def _start(machine: Machine) -> None:
    machine.user("Debian-exim", "/var/spool/exim4")
    machine.folder("/var/spool/exim4", 0o750, "Debian-exim:Debian-exim")
    machine.folder("/var/mail", owner="mail:mail")
    text = _CONF.format(
        server=SERVER,
        inside=INSIDE,
        srs=SRS,
        helper=HELPER,
        dovecot=DOVECOT,
        relayed=" : ".join((*ROUTES, "box.com", "lost.com", "loop.com")),
    )
    machine.write("/etc/exim4/exim4.conf", text)
    machine.write("/etc/exim4/routes", "".join(f"{domain}: {ip}\n" for domain, ip in ROUTES.items()))
    machine.write(
        "/etc/exim4/mailboxes", "".join(f"{name}: {name}\n" for name in ("john", "ann", "full", "away", "grey"))
    )
    machine.write("/etc/aliases", ALIASES)
    await dovecot.start(machine)
    machine.start("/usr/sbin/exim4", "-bdf", "-q1s")
    await machine.listens(SERVER, 25)


EXIM = Server(
    name="exim",
    title="Exim",
    start=_start,
    version=("/usr/sbin/exim4", "-bV", r"Exim version ([\d.]+)"),
    silent=frozenset({"lost_behind", "loop"}),
    packages=("exim4-daemon-heavy", *dovecot.PACKAGES),
)
