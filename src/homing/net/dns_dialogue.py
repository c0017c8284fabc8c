"""Asks the DNS the questions of a dialogue (see `mail.dns_question`), within limits of number and time."""

import asyncio

from homing.mail.dns_question import Answer, Ask, Dialogue, LookupFailed, LookupFault, VerdictT
from homing.net.dns import Resolver

MOST_QUESTIONS = 120
"""The most that an honest evaluation asks: SPF with ten MX terms of ten hosts each."""

PATIENCE = 10.0
"""Seconds for a whole dialogue. RFC 7208 §4.6.4 asks for 20 where mail is refused for the result; we only record it."""


async def answer(
    dialogue: Dialogue[VerdictT], resolver: Resolver, *, most: int = MOST_QUESTIONS, patience: float = PATIENCE
) -> VerdictT:
    """Run a dialogue to its verdict. After `most` questions or `patience` seconds all further ones are answered
    `LookupFailed` at once, so that the dialogue always comes to a verdict of its own."""
    deadline = asyncio.get_running_loop().time() + patience
    asked = 0
    try:
        ask = next(dialogue)
        while True:
            told = await _told(ask, resolver, deadline) if asked < most else _too_many
            asked += 1
            ask = dialogue.send(told)
    except StopIteration as end:
        verdict: VerdictT = end.value
        return verdict


_too_many = LookupFailed(why=LookupFault.REFUSED, server="none: too many questions")
_too_late = LookupFailed(why=LookupFault.TIMEOUT, server="none: no time left")


async def _told(ask: Ask, resolver: Resolver, deadline: float) -> Answer[str]:
    if asyncio.get_running_loop().time() >= deadline:
        return _too_late
    try:
        async with asyncio.timeout_at(deadline):
            return await resolver.records(ask)
    except TimeoutError:
        return _too_late
