"""The servers: how each is laid out in a root of its own, and which scenarios it cannot have."""

from collections.abc import Mapping

from tests.interop.conformance.server import Server

from .exim import EXIM
from .haraka import HARAKA
from .opensmtpd import OPENSMTPD
from .postfix import POSTFIX
from .sendmail import SENDMAIL

SERVERS: Mapping[str, Server] = {server.name: server for server in (POSTFIX, EXIM, SENDMAIL, OPENSMTPD, HARAKA)}
