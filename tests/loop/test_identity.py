"""The identity of a delivery: what it may never be, whatever is asked for and whatever is proved."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.loop.identity import (
    FREEMAIL,
    NAME_DECEIVES,
    NEEDS_SMTPUTF8,
    NO_OWN_DOMAIN,
    OWN_DOMAIN,
    OWN_RECIPIENTS,
    REPLY_TO_UNPROVED,
    RETURN_PATH_UNPROVED,
    DomainFact,
    Facts,
    OperatorIdentity,
    RequestedFrom,
    own_identity,
    resolve,
)
from homing.loop.model import Identity, Level
from homing.mail.address import Address, parse_address

OPERATOR = OperatorIdentity(from_domain="post.acme.example", return_domain="b.post.acme.example")
FULL = DomainFact(level=Level.CUSTOM_FULL, return_domain="bounce.bloggs.com")
DKIM = DomainFact(level=Level.CUSTOM_DKIM, return_domain="bounce.bloggs.com")
TAKEN = DomainFact(level=Level.CUSTOM_FULL, return_domain="bounce.bloggs.com", own_recipients=True)
JOE = "joe@bloggs.com"


def resolved(
    domains: Mapping[str, DomainFact],
    *,
    reply_to: str = JOE,
    address: str | None = None,
    recipient: str = "corp.com",
    proved: bool = False,
    name: str = "Joe Bloggs",
    local_part: str | None = None,
) -> Identity:
    reply = parse_address(reply_to)
    facts = Facts(
        operator=OPERATOR,
        proved=frozenset({reply.folded} if proved else ()),
        domains=domains,
        local_part=local_part,
    )
    wanted = parse_address(address) if address else None
    return resolve("Acme", RequestedFrom(name=name, reply_to=reply, address=wanted), recipient, facts)


@pytest.mark.parametrize(
    ("domains", "more", "level", "header_from", "reason"),
    [
        ({"bloggs.com": FULL}, {}, Level.CUSTOM_FULL, JOE, OWN_DOMAIN),
        ({"bloggs.com": DKIM}, {}, Level.CUSTOM_DKIM, JOE, OWN_DOMAIN),
        ({"bloggs.com": FULL}, {"address": "ann@bloggs.com"}, Level.CUSTOM_FULL, "ann@bloggs.com", OWN_DOMAIN),
        ({"bloggs.com": FULL}, {"recipient": "bloggs.com"}, Level.SHARED, None, OWN_RECIPIENTS),
        ({"bloggs.com": FULL}, {"recipient": "mail.bloggs.com"}, Level.SHARED, None, OWN_RECIPIENTS),
        ({"bloggs.com": TAKEN}, {"recipient": "bloggs.com"}, Level.CUSTOM_FULL, JOE, OWN_DOMAIN),
        ({"bloggs.com": FULL}, {"address": "joe@mail.bloggs.com"}, Level.SHARED, None, NO_OWN_DOMAIN),
        ({"bloggs.com": FULL}, {"address": "jöe@bloggs.com"}, Level.SHARED, None, NEEDS_SMTPUTF8),
        ({"gmail.com": FULL}, {"reply_to": "joe@gmail.com"}, Level.SHARED, None, NO_OWN_DOMAIN),
        ({}, {"proved": True}, Level.SHARED, None, NO_OWN_DOMAIN),
        ({}, {"proved": True, "local_part": "crm"}, Level.SHARED_TENANT, "crm@post.acme.example", NO_OWN_DOMAIN),
        ({}, {}, Level.REFUSE, None, REPLY_TO_UNPROVED),
        ({"other.com": FULL}, {}, Level.REFUSE, None, REPLY_TO_UNPROVED),
        ({"bloggs.com": FULL}, {"name": "boss@bank.com"}, Level.REFUSE, None, NAME_DECEIVES),
        ({"bloggs.com": FULL}, {"name": "Support bank.com"}, Level.REFUSE, None, NAME_DECEIVES),
        ({"bloggs.com": FULL}, {"name": "P\u0430yPal"}, Level.REFUSE, None, NAME_DECEIVES),
        ({"bloggs.com": FULL}, {"name": "Joe \u202eBloggs"}, Level.REFUSE, None, NAME_DECEIVES),
    ],
)
def test_the_strongest_that_is_proved(
    domains: dict[str, DomainFact], more: dict[str, object], level: Level, header_from: str | None, reason: str
) -> None:
    identity = resolved(domains, **more)  # type: ignore[arg-type]
    assert (identity.level, identity.reasons[0]) == (level, reason)
    assert identity.header_from == (header_from or OPERATOR.header_from)


def test_weaknesses_are_noted() -> None:
    assert RETURN_PATH_UNPROVED in resolved({"bloggs.com": DKIM}).reasons
    assert FREEMAIL in resolved({}, reply_to="joe@gmail.com", proved=True).reasons
    assert "recipient-domain=corp.com" in resolved({"bloggs.com": FULL}).reasons


def test_replies_to_an_own_domain_with_an_address_elsewhere() -> None:
    """The domain covers the addresses under it: nobody at it has to prove one by one."""
    identity = resolved({"bloggs.com": FULL}, reply_to="sales@bloggs.com", address="joe@elsewhere.com")
    assert (identity.level, identity.reply_to) == (Level.SHARED, "sales@bloggs.com")


NAMES = st.sampled_from(["bloggs.com", "mail.bloggs.com", "corp.com", "gmail.com", "post.acme.example", "acme.example"])
LOCALS = st.sampled_from(["joe", "ann", "jöe", "message-service"])
ADDRESSES = st.builds(Address, LOCALS, NAMES)
LEVELS = st.sampled_from([Level.CUSTOM_FULL, Level.CUSTOM_DKIM])


@st.composite
def domain_facts(draw: st.DrawFn) -> dict[str, DomainFact]:
    names = draw(st.sets(st.sampled_from(["bloggs.com", "mail.bloggs.com", "corp.com", "gmail.com"])))
    return {
        name: DomainFact(level=draw(LEVELS), return_domain=f"bounce.{name}", own_recipients=draw(st.booleans()))
        for name in names
    }


@given(domain_facts(), st.sets(ADDRESSES), ADDRESSES, st.none() | ADDRESSES, NAMES, st.sampled_from([None, "crm"]))
def test_what_no_identity_ever_is(
    domains: dict[str, DomainFact],
    proved: set[Address],
    reply_to: Address,
    address: Address | None,
    recipient: str,
    local_part: str | None,
) -> None:
    facts = Facts(
        operator=OPERATOR,
        proved=frozenset(one.folded for one in proved),
        domains=domains,
        local_part=local_part,
    )
    identity = resolve("Acme", RequestedFrom(name="Joe", reply_to=reply_to, address=address), recipient, facts)
    from_domain = identity.header_from.rpartition("@")[2]

    # From is under a proved domain or the operator's, and DKIM's d= is exactly it.
    assert from_domain == OPERATOR.from_domain or from_domain in domains
    assert identity.sending_domain == from_domain
    # The envelope domain is one that we run an MX for, and where SPF must align it is a child of From's.
    assert identity.return_domain in {OPERATOR.return_domain, *(one.return_domain for one in domains.values())}
    if identity.level in {Level.CUSTOM_FULL, Level.SHARED, Level.SHARED_TENANT}:
        assert identity.return_domain.endswith(f".{from_domain}")
    # Nobody's mailbox provider is his own domain, and no reply goes where nobody proved anything.
    assert from_domain != "gmail.com"
    if identity.level is not Level.REFUSE:
        assert reply_to.folded in facts.proved or reply_to.domain in domains
    assert identity.reply_to == str(reply_to)
    # A company's own server is spared its own domain from outside, until it is known to take it.
    if from_domain in domains and not domains[from_domain].own_recipients:
        assert recipient != from_domain
    assert identity.reasons


def test_our_own_letters_are_the_operators() -> None:
    identity = own_identity("Acme Mail", OPERATOR)
    assert (identity.header_from, identity.sending_domain) == (OPERATOR.header_from, OPERATOR.from_domain)
