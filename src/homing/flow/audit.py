"""Audit many domains: each is looked up once, several at a time, at a polite rate; results are kept.

The state file has a line for each domain judged, so that an interrupted audit resumes where it stopped. A domain
without a verdict is not kept, and is asked about again.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from homing.loop.audit import Audited, MailHost, Reason, Sureness, audit
from homing.mail.dmarc import SuffixOf
from homing.net.dns import Resolver
from homing.net.dns_dialogue import answer

AT_ONCE = 40
DOMAINS_A_SECOND = 100.0
PATIENCE = 20.0


@dataclass(slots=True, kw_only=True)
class Auditor:
    """`egress`: the addresses that the application sends from. `pace`: at most so many domains a second."""

    resolver: Resolver
    egress: tuple[str, ...]
    suffix_of: SuffixOf | None
    at_once: int = AT_ONCE
    pace: float = DOMAINS_A_SECOND

    async def audit(self, domains: Sequence[str], judged: Callable[[Audited], None]) -> None:
        """Audit the domains; `judged` is called with each verdict as soon as it is known."""
        clock = asyncio.get_running_loop().time
        begun, waiting = clock(), iter(enumerate(domains))

        async def work() -> None:
            for place, domain in waiting:
                await asyncio.sleep(begun + place / self.pace - clock())
                dialogue = audit(domain, self.egress, self.suffix_of)
                judged(await answer(dialogue, self.resolver, patience=PATIENCE))

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.at_once, len(domains))):
                group.create_task(work())


class StateFile:
    """The results of an audit so far. `question` is what it asked; a different question starts a new file."""

    def __init__(self, path: Path, question: str) -> None:
        self._path = path
        self._question = question
        self.known: dict[str, Audited] = {}
        self._out: TextIO | None = None

    def open(self) -> None:
        """Read what is there; a line that was cut off is overlooked. Raises OSError."""
        text = self._path.read_text("utf-8") if self._path.exists() else ""
        first, *others = text.splitlines() or [""]
        resumed = _read(first) == {"question": self._question}
        for line in others if resumed else ():
            found = _audited(_read(line))
            if found is not None:
                self.known[found.domain] = found
        self._out = self._path.open("a" if resumed else "w", encoding="utf-8")
        if not resumed:
            self._write({"question": self._question})
        elif not text.endswith("\n"):
            self._out.write("\n")

    def keep(self, found: Audited) -> None:
        """Written at once, so that nothing is lost with the process."""
        self.known[found.domain] = found
        if not found.unknown:
            self._write(asdict(found))
            assert self._out is not None
            self._out.flush()

    def close(self, *, done: bool) -> None:
        """`done`: all results are known, so the file is no longer needed."""
        if self._out is not None:
            self._out.close()
        if done:
            self._path.unlink(missing_ok=True)

    def _write(self, document: dict[str, Any]) -> None:
        assert self._out is not None
        self._out.write(json.dumps(document) + "\n")


def _read(line: str) -> Any:
    with suppress(ValueError):
        return json.loads(line)
    return None


def _audited(document: Any) -> Audited | None:
    if not isinstance(document, dict):
        return None
    with suppress(KeyError, ValueError, TypeError):
        return Audited(
            **document
            | {
                "reasons": tuple(map(Reason, document["reasons"])),
                "own_refusal": Sureness(document["own_refusal"]),
                "mail_host": MailHost(document["mail_host"]),
            }
        )
    return None
