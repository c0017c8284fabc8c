"""Where the limits of checks lie: the last value that is fine, and the first that is not."""

from itertools import pairwise

import pytest

from homing.loop.doctor.finding import Outcome

from .examined import HELO, IP, RETURN, TENANT_KEY, Records, facts, of, zones

OK, WARNING = Outcome.OK, Outcome.WARNING
LONGEST = "v=spf1 -all"


def look_ups(count: int) -> dict[str, Records]:
    return spf("v=spf1 " + f"a:{HELO} " * count + "-all")


def spf(text: str) -> dict[str, Records]:
    return {RETURN: [("TXT", text), ("MX", f"10 {HELO}.")]}


def of_octets(count: int) -> dict[str, Records]:
    """An SPF record of this length; its last term is padded."""
    begin, end = "v=spf1 exp=", f".{RETURN} -all"
    return spf(begin + "x" * (count - len(begin) - len(end)) + end)


def beside(count: int) -> dict[str, Records]:
    """An SPF record beside another text of this length."""
    return {RETURN: [("TXT", LONGEST), ("TXT", "x" * count), ("MX", f"10 {HELO}.")]}


def aliases(count: int) -> dict[str, Records]:
    chain = [TENANT_KEY, *(f"c{number}.net" for number in range(1, count + 1))]
    links: dict[str, Records] = {name: [("CNAME", f"{target}.")] for name, target in pairwise(chain)}
    return links | {chain[-1]: [("A", IP)]}


FULL = 1232 - len(LONGEST) - len(RETURN) - 18 - 2 * 12 - 4
"""Octets of a text that fills a datagram of 1232 beside the record and their headers."""


@pytest.mark.parametrize(
    ("check", "about", "published", "outcome", "words"),
    [
        ("SPF03", RETURN, look_ups(7), OK, "7 look-ups"),
        ("SPF03", RETURN, look_ups(8), WARNING, "8 look-ups"),
        ("SPF06", RETURN, spf("v=spf1 ip4:8.0.0.0/9 -all"), OK, ""),
        ("SPF06", RETURN, spf("v=spf1 ip4:8.0.0.0/8 -all"), WARNING, "ip4:8.0.0.0/8"),
        ("SPF06", RETURN, spf("v=spf1 ip6:2001:4860::/17 -all"), OK, ""),
        ("SPF06", RETURN, spf("v=spf1 ip6:2001:4860::/16 -all"), WARNING, "ip6:2001:4860::/16"),
        ("SPF07", RETURN, of_octets(450), OK, "fit into one datagram"),
        ("SPF07", RETURN, of_octets(451), WARNING, "451 octets"),
        ("SPF07", RETURN, beside(FULL), OK, "fit into one datagram"),
        ("SPF07", RETURN, beside(FULL + 1), WARNING, "about 1233"),
        ("DNS03", TENANT_KEY, aliases(3), OK, "leads to c3.net"),
        ("DNS03", TENANT_KEY, aliases(4), WARNING, "over 4 aliases"),
    ],
)
def test_limits(check: str, about: str, published: dict[str, Records], outcome: Outcome, words: str) -> None:
    (finding,) = [one for one in of(check, facts(), zones() | published) if one.about == about]
    assert (finding.outcome, words in finding.sentence) == (outcome, True), finding
