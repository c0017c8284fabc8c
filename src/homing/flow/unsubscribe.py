"""Leave a bulk stream: by the link or the address in List-Unsubscribe (RFC 8058, RFC 2369).

Opening the link changes nothing, since scanners follow links; a POST unsubscribes, and so does a mail to the address.
Any holder of the message may unsubscribe its recipient. This concerns one address, one organization and one stream.
"""

from dataclasses import dataclass

from homing.flow.alarms import raise_alarm
from homing.flow.outgoing import Clock
from homing.loop import ids, store_mark
from homing.loop.evidence import Unsubscribed
from homing.loop.model import DeliveryId
from homing.loop.token import Purpose, TokenRefused, Tokens
from homing.store import organizations, sent_deliveries, suppressions
from homing.store.database import Database
from homing.store.organizations import Organization
from homing.store.record import DeliveryEvidence, record
from homing.store.sent_deliveries import Sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscription:
    """What a link is about. `left`: nothing is sent to the address any more."""

    sent: Sent
    organization: Organization
    left: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribing:
    database: Database
    tokens: Tokens
    clock: Clock

    async def look(self, token: str) -> Unsubscription | None:
        """None: the token is not ours, its time is over, or its delivery is not in the store, which raises an alarm."""
        try:
            delivery = DeliveryId(self.tokens.open(Purpose.UNSUBSCRIBE, token, now=self.clock()))
        except TokenRefused:
            return None
        sent = await self.database.read(sent_deliveries.by_delivery, delivery)
        if sent is None:
            said = f"a link to unsubscribe is about {ids.show('delivery', delivery)}"
            await raise_alarm(self.database, store_mark.missing(said), self.clock())
            return None
        organization = await self.database.read(organizations.get, sent.delivery.organization)
        assert organization is not None
        place = (organization.id, sent.stream, suppressions.fold(sent.delivery.recipient))
        listed = await self.database.read(suppressions.find, [place], self.clock())
        return Unsubscription(sent=sent, organization=organization, left=bool(listed))

    async def use(self, token: str) -> Unsubscription | None:
        """Unsubscribe, once and for all: a repeated request changes nothing. None: see `look`."""
        leave = await self.look(token)
        if leave is not None and not leave.left:
            evidence = Unsubscribed(by="one-click")
            finding = DeliveryEvidence(delivery=leave.sent.delivery.id, evidence=evidence, now=self.clock())
            await self.database.write(record, [finding])
        return leave
