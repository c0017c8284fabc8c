"""Asks the DNS the questions of a dialogue (see `mail.dns_question`), within limits of number and time."""

import asyncio
from typing import Protocol

from homing.mail.dns_question import Answer, Ask, Dialogue, LookupFailed, LookupFault, VerdictT

MOST_QUESTIONS = 120
"""The most that an honest evaluation asks: SPF with ten MX terms of ten hosts each."""

_AGAIN = 20
"""How often each of them may be asked, on average: what was told is known by then."""

PATIENCE = 10.0
"""Seconds for a whole dialogue. RFC 7208 §4.6.4 asks for 20 where mail is refused for the result; we only record it."""


class Answering(Protocol):
    """A resolver, or what stands before one."""

    async def records(self, ask: Ask) -> Answer[str]: ...


class OneAnswerEach:
    """Asks each question once, so that all dialogues of an examination hear the same. `patience`: seconds for all
    questions together; one that is not answered then never is."""

    def __init__(self, resolver: Answering, patience: float) -> None:
        self._resolver = resolver
        self._deadline = asyncio.get_running_loop().time() + patience
        self._asked: dict[Ask, asyncio.Task[Answer[str]]] = {}

    async def records(self, ask: Ask) -> Answer[str]:
        question = Ask(ask.name.lower(), ask.record_type)
        if question not in self._asked:
            self._asked[question] = asyncio.create_task(_told(question, self._resolver, self._deadline))
        return await asyncio.shield(self._asked[question])

    async def close(self) -> None:
        """Leave off what nobody waits for any more."""
        for task in self._asked.values():
            task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)


async def answer(
    dialogue: Dialogue[VerdictT], resolver: Answering, *, most: int = MOST_QUESTIONS, patience: float = PATIENCE
) -> VerdictT:
    """Run a dialogue to its verdict. After `most` different questions or `patience` seconds all further ones are
    answered `LookupFailed` at once, so that the dialogue always comes to a verdict of its own."""
    deadline = asyncio.get_running_loop().time() + patience
    asked: set[Ask] = set()
    left = most * _AGAIN
    try:
        ask = next(dialogue)
        while True:
            asked.add(ask)
            left -= 1
            told = await _told(ask, resolver, deadline) if len(asked) <= most and left >= 0 else _too_many
            ask = dialogue.send(told)
    except StopIteration as end:
        verdict: VerdictT = end.value
        return verdict


_too_many = LookupFailed(why=LookupFault.REFUSED, server="none: too many questions")
_too_late = LookupFailed(why=LookupFault.TIMEOUT, server="none: no time left")


async def _told(ask: Ask, resolver: Answering, deadline: float) -> Answer[str]:
    if asyncio.get_running_loop().time() >= deadline:
        return _too_late
    try:
        async with asyncio.timeout_at(deadline):
            return await resolver.records(ask)
    except TimeoutError:
        return _too_late
