"""Vet what came in: ask SPF, DKIM and DMARC about it, as evidence and within a few seconds.

Nothing is refused for the answer, and no answer is waited for: what the DNS does not tell in time is a temporary error.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from homing.flow.outgoing import Clock
from homing.mail.authentication import Authentication, author_domain, vouched_by
from homing.mail.dkim import keys_of, verify
from homing.mail.dmarc import SuffixOf, evaluate
from homing.mail.spf import SpfVerdict, check
from homing.mail.spf_record import SpfResult
from homing.net.dns import Resolver
from homing.net.questions import answer
from homing.store.inbound import Inbound

_PATIENCE = 2.0
"""Seconds for SPF and the keys of DKIM together, and as many again for DMARC."""


@dataclass(slots=True, kw_only=True)
class Vetting:
    """`suffix_of` None: no public suffix list is installed, and DMARC goes by the tree walk alone."""

    resolver: Resolver
    suffix_of: SuffixOf | None
    clock: Clock
    patience: float = _PATIENCE

    async def vet(self, mail: Inbound) -> Authentication:
        """What the three say of a kept mail, judged on all of its bytes."""
        raw = await asyncio.to_thread(_whole, mail)
        spf, keys = await asyncio.gather(self._spf(mail), answer(keys_of(raw), self.resolver, patience=self.patience))
        dkim = await asyncio.to_thread(verify, raw, keys.get, int(self.clock().timestamp()))
        author = author_domain(raw)
        dmarc = None
        if author is not None:
            dialogue = evaluate(author, vouched_by(spf, dkim), self.suffix_of)
            dmarc = await answer(dialogue, self.resolver, patience=self.patience)
        return Authentication(spf=spf, dkim=dkim, dmarc=dmarc)

    async def _spf(self, mail: Inbound) -> SpfVerdict:
        if not mail.ip:
            return SpfVerdict(result=SpfResult.NONE, domain="", reason="the client's address is not known")
        dialogue = check(mail.ip, mail.envelope_sender, mail.helo)
        return await answer(dialogue, self.resolver, patience=self.patience)


def _whole(mail: Inbound) -> bytes:
    """All of it, or its first MiB where the rest cannot be read: a signature then fails, and nothing else does."""
    if mail.spool:
        with suppress(OSError):
            return Path(mail.spool).read_bytes()
    return mail.raw or b""
