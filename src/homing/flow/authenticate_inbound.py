"""Authenticate incoming mail by SPF, DKIM and DMARC, as evidence and within a few seconds.

No mail is refused because of the result, and none waits for it: a DNS answer that does not come in time is a temporary
error.
"""

import asyncio
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from homing.flow.outgoing import Clock
from homing.mail.authentication import Authentication, author_domain, vouched_by
from homing.mail.dkim_verification import PublishedKey, Verification, keys_of, verify
from homing.mail.dmarc import SuffixOf, evaluate
from homing.mail.spf import SpfVerdict, check
from homing.mail.spf_record import SpfResult
from homing.net.dns import Resolver
from homing.net.dns_dialogue import answer
from homing.store.inbound import Inbound

_PATIENCE = 2.0
"""Seconds for SPF and the keys of DKIM together, and as many again for DMARC."""
_AT_ONCE = 2
"""Questions of one mail under way: of SPF, and of DKIM or DMARC. What it has not heard in time is left off."""
_PIECE_OCTETS = 256 * 1024


@dataclass(slots=True, kw_only=True)
class InboundAuthentication:
    """`suffix_of` None: no public suffix list is installed, and DMARC goes by the tree walk alone. `spool`: the folder
    of large mails."""

    resolver: Resolver
    suffix_of: SuffixOf | None
    clock: Clock
    spool: Path
    patience: float = _PATIENCE

    async def authenticate(self, mail: Inbound) -> Authentication:
        """The SPF, DKIM and DMARC results of a kept mail, computed over all of its octets."""
        with closing(self.resolver.share(_AT_ONCE)) as resolver:
            return await self._authenticated(mail, resolver)

    async def _authenticated(self, mail: Inbound, resolver: Resolver) -> Authentication:
        head = mail.raw or b""
        keys_asked = answer(keys_of(head), resolver, patience=self.patience)
        spf, keys = await asyncio.gather(self._spf(mail, resolver), keys_asked)
        dkim = await self._dkim(mail, keys)
        author = author_domain(head)
        dmarc = None
        if author is not None:
            dialogue = evaluate(author, vouched_by(spf, dkim), self.suffix_of)
            dmarc = await answer(dialogue, resolver, patience=self.patience)
        return Authentication(spf=spf, dkim=dkim, dmarc=dmarc)

    async def _dkim(self, mail: Inbound, keys: dict[str, PublishedKey]) -> Verification:
        now = int(self.clock().timestamp())
        return await asyncio.to_thread(lambda: verify(mail.raw or b"", keys.get, now, _rest(self.spool, mail)))

    async def _spf(self, mail: Inbound, resolver: Resolver) -> SpfVerdict:
        if not mail.ip:
            return SpfVerdict(result=SpfResult.NONE, domain="", reason="the client's address is not known")
        dialogue = check(mail.ip, mail.envelope_sender, mail.helo)
        return await answer(dialogue, resolver, patience=self.patience)


def _rest(spool: Path, mail: Inbound) -> Iterator[bytes]:
    """What stands behind `mail.raw` in the spool, piece by piece; nothing where it cannot be read: a signature then
    fails, and nothing else does."""
    if mail.spool:
        with suppress(OSError), (spool / mail.spool).open("rb", buffering=0) as file:
            file.seek(len(mail.raw or b""))
            while piece := file.read(_PIECE_OCTETS):
                yield piece
