"""The MX door: its limits, its certificate, and how it is opened and closed."""

import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from homing.app.listening import listening
from homing.config import BadSettings, Settings
from homing.doors.smtp.mx import MxHandler
from homing.doors.smtp.server import Limits, SmtpServer
from homing.flow.accept import LARGEST_MESSAGE
from homing.flow.receive import Receiver
from homing.loop.problem import Fault


@asynccontextmanager
async def smtp_door(
    settings: Settings, receiver: Receiver, tls: ssl.SSLContext | None, connections: int
) -> AsyncIterator[int]:
    """The door, open within the context; yields its port. `connections`: at most, at once. Raises CannotListen."""
    handler = MxHandler(settings.hostname, receiver)
    server = SmtpServer(handler, _limits(settings, connections), tls, spool=settings.data_dir)
    with listening("smtp_port", settings.smtp_host, settings.smtp_port):
        port = await server.start(settings.smtp_host, settings.smtp_port)
    try:
        yield port
    finally:
        await server.close()


def _limits(settings: Settings, connections: int) -> Limits:
    """One recipient (a delivery's token) a transaction; in a lab the whole world shares one network."""
    limits = Limits(message_octets=LARGEST_MESSAGE * 3 // 2, recipients=1, any_sender=True, connections=connections)
    if not settings.lab_private_addresses:
        return limits
    return replace(limits, connections_per_network=limits.connections, octets_per_network=sys.maxsize)


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """None where the settings name no certificate. Raises BadSettings."""
    if settings.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except OSError as error:
        message = f"Cannot be used with tls_key: {error.strerror or error}. Both are PEM files that belong together."
        raise BadSettings(Fault("tls_certificate", "setting-invalid", message)) from None
    return context
