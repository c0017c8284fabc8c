"""Receivers: whoever runs the mail hosts of one organization, such as google.com, whatever domains they take mail for.

A receiver counts what comes from us for all of its domains together, so throttling, alarms and figures go by it. It is
named by the registered domain of a mail host. Each host has its own: a recipient's domain may name anybody's hosts in
its MX. So what a host says is charged to its own receiver, and not to that of another host which stands beside it.
"""

import re

from homing.mail.dmarc import SuffixOf, organizational_domain

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9_-]{1,63}\.)+[a-z0-9-]{0,62}[a-z][a-z0-9-]{0,62}")


def receiver_of(host: str, suffix_of: SuffixOf) -> str:
    """The receiver behind a mail host: its public suffix and one label more. A suffix is its own receiver.

    Case and a final dot do not matter. "" where the host's name does not tell: an address (`192.0.2.1`,
    `[IPv6:2001:db8::1]`), a single label, or a text that is no name of a host; then the recipient's domain must do.
    """
    name = host.lower().rstrip(".")
    return organizational_domain(name, suffix_of) if _HOST_NAME.fullmatch(name) else ""
