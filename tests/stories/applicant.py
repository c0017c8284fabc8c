"""An application as a process of its own: submits messages and writes a line for every 202 that it was given.

`python -m tests.stories.applicant LEDGER URL KEY SEED MESSAGES RATE`. It never gives up on a message: while it has no
answer it asks again under the same Idempotency-Key. After SIGTERM it begins no new message once it has MESSAGES.
"""

import asyncio
import itertools
import json
import random
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import httpx2

from .outside import HUMAN_SENDER, MIX

WORKERS = 12
AGAIN = 20
"""Every so many messages, one is sent a second time under its key although it was answered."""
_COME_AGAIN = {409, 429, 500, 503}


@dataclass
class Applicant:
    http: httpx2.AsyncClient
    ledger: TextIO
    dice: random.Random
    least: int
    rate: float
    told_to_stop: asyncio.Event
    numbers: Iterator[int] = field(default_factory=itertools.count)
    begun: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    async def work(self) -> None:
        for number in self.numbers:
            if self.told_to_stop.is_set() and number >= self.least:
                return
            await asyncio.sleep(self.begun + number / self.rate - asyncio.get_running_loop().time())
            key, body = f"key-{number}", self._message(number)
            await self._submit(key, body)
            if number % AGAIN == 0:
                await asyncio.sleep(self.dice.random() * 3)
                await self._submit(key, body, again=True)

    def _message(self, number: int) -> dict[str, Any]:
        recipients = 2 if self.dice.random() < 0.1 else 1
        domains = self.dice.choices(list(MIX), list(MIX.values()), k=recipients)
        return {
            "human_sender": {"name": "Janet Roe", "address": HUMAN_SENDER},
            "to": [f"m{number}.{place}@{domain}" for place, domain in enumerate(domains)],
            "subject": f"Message {number}",
            "text": f"This is message {number}.\n" * 20,
            "metadata": {"key": f"key-{number}"},
        }

    async def _submit(self, key: str, body: dict[str, Any], *, again: bool = False) -> None:
        tries: Counter[str] = Counter()
        while True:
            try:
                answer = await self.http.post("/v1/messages", json=body, headers={"Idempotency-Key": key})
            except httpx2.TransportError:
                tries["unanswered"] += 1
                await asyncio.sleep(0.05 + self.dice.random() * 0.2)
                continue
            if answer.status_code == 202:
                self._write({"key": key, "again": again, **tries, **answer.json()})
                return
            if answer.status_code not in _COME_AGAIN:
                self._write({"key": key, "refused": answer.status_code, "said": answer.text})
                return
            tries["come_again"] += 1
            await asyncio.sleep(0.05 + self.dice.random() * 0.2)

    def _write(self, line: dict[str, Any]) -> None:
        self.ledger.write(f"{json.dumps(line)}\n")
        self.ledger.flush()


async def main(ledger: Path, url: str, key: str, seed: int, messages: int, rate: float) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    headers = {"Authorization": f"Bearer {key}"}
    with ledger.open("a", encoding="utf-8") as lines:
        async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=10) as http:
            one = Applicant(http, lines, random.Random(seed), messages, rate, stop)
            async with asyncio.TaskGroup() as group:
                for _ in range(WORKERS):
                    group.create_task(one.work())


if __name__ == "__main__":
    asyncio.run(
        main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6]))
    )
