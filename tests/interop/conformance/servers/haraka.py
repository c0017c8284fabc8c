"""Haraka: it has no mailboxes, so all mail goes on; a plugin of ours says where to, and what is refused."""

import json
import re

from tests.interop.conformance.beyond import INNER, ROUTES
from tests.interop.conformance.machine import Machine
from tests.interop.conformance.namespace import DOVECOT, HELPER, INSIDE, SERVER
from tests.interop.conformance.server import Server

from . import dovecot

_PLUGIN = """\
'use strict'
const routes = ROUTES
const known = ['john', 'ann', 'grey', 'helo', 'sender']
const aliases = {
  team: ['john@late.com', 'gone@away.com'], forward: ['gone@away.com'], forwardfull: ['full@away.com'],
  forwardnowhere: ['joe@nowhere.com'],
  chain: ['chain2@late.com'], chain2: ['chain3@late.com'], chain3: ['gone@away.com'],
}
let greylisted = false
const Address = require('/opt/npm/node_modules/@haraka/email-address').Address

exports.register = function () {
  this.outbound = this.haraka_require('outbound')
}

exports.hook_rcpt = function (next, connection, params) {
  const user = params[0].user.toLowerCase()
  const host = params[0].host.toLowerCase()
  if (connection.remote.ip === 'HELPER') return next(OK)
  if (!routes[host]) return next()
  if (host !== 'strict.com') return next(OK)
  if (!known.includes(user)) return next(DENY, 'No such user')
  if (user === 'helo') return next(DENY, 'HELO host name rejected: mx.acme-mail.com')
  if (user === 'sender') return next(DENY, 'Mail from this sender is not accepted')
  if (user === 'grey' && !greylisted) {
    greylisted = true
    return next(DENYSOFT, 'Greylisted, please try again in five minutes')
  }
  next(OK)
}

exports.hook_data_post = function (next, connection) {
  const subject = connection.transaction.header.get('Subject')
  next(subject.includes('lottery') ? DENY : CONT, 'Message looks like spam')
}

exports.hook_queue = function (next, connection) {
  const transaction = connection.transaction
  const expand = (one) => {
    const found = one.host === 'late.com' && aliases[one.user]
    return found ? found.flatMap((to) => expand(new Address(`<${to}>`))) : [one]
  }
  transaction.rcpt_to = transaction.rcpt_to.flatMap(expand)
  this.outbound.send_trans_email(transaction, next)
}

exports.hook_get_mx = function (next, hmail, domain) {
  if (!routes[domain]) return next()
  const [exchange, port, lmtp] = routes[domain]
  next(OK, { priority: 0, exchange, port, using_lmtp: lmtp })
}
"""

_ROUTES = {domain: [ip, 25, False] for domain, ip in ROUTES.items()} | {
    "late.com": [INNER, 25, False],
    "strict.com": [INNER, 25, False],
    "box.com": [DOVECOT, 24, True],
    "lost.com": ["inner.nowhere.com", 25, False],
    "loop.com": [SERVER, 25, False],
}


async def _start(machine: Machine) -> None:
    folder = "/etc/haraka"
    for path in ("queue", "plugins", "config"):
        machine.folder(f"{folder}/{path}")
    plugin = _PLUGIN.replace("ROUTES", json.dumps(_ROUTES)).replace("HELPER", HELPER)
    machine.write(f"{folder}/plugins/hall.js", plugin)
    machine.write(f"{folder}/config/plugins", "hall\n")
    machine.write(f"{folder}/config/smtp.ini", f"listen={SERVER}:25,{INSIDE}:25\n")
    machine.write(f"{folder}/config/me", "mx.hall.com\n")
    usual = machine.path("/opt/npm/node_modules/Haraka/config/connection.ini").read_text()
    usual = usual.replace("max_received=100", "max_received=5")
    machine.write(f"{folder}/config/connection.ini", re.sub(r"(?m)^;?bytes ?=.*", "bytes=200000", usual))
    outbound = "enable_tls=false\nlocal_mx_ok=true\ntemp_fail_intervals=5s,5s\ninet_prefer=v4\n"
    machine.write(f"{folder}/config/outbound.ini", outbound)
    await dovecot.start(machine)
    machine.start("node", "/opt/npm/node_modules/Haraka/bin/haraka", "-c", folder)
    await machine.listens(SERVER, 25)


_NO_MAILBOXES = "it has no mailboxes of its own"

HARAKA = Server(
    name="haraka",
    title="Haraka",
    start=_start,
    version=("node", "/opt/npm/node_modules/Haraka/bin/haraka", "-v", r"Version: ([\d.]+)"),
    packages=dovecot.PACKAGES,
    npm="Haraka",
    lacks={
        "full": _NO_MAILBOXES,
        "vacation": _NO_MAILBOXES,
        "srs": "it has no SRS without a plugin of others",
        "delay": "it never warns of a delay, it only gives up in the end",
    },
)
