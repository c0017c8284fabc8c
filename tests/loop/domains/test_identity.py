"""The identity of a delivery: what it may never be, whatever is asked for and whatever is proved."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.loop.domains.identity import (
    ACCEPTED_AS,
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
    resolve_again,
)
from homing.loop.domains.impersonation import Claim, guard
from homing.loop.model import Identity, Level
from homing.mail.address import Address, parse_address

OPERATOR = OperatorIdentity(from_domain="post.acme.example", return_domain="b.post.acme.example")
FULL = DomainFact(level=Level.CUSTOM_FULL, return_domain="bounce.bloggs.com")
DKIM = DomainFact(level=Level.CUSTOM_DKIM, return_domain="bounce.bloggs.com")
TAKEN = DomainFact(level=Level.CUSTOM_FULL, return_domain="bounce.bloggs.com", own_recipients=True)
OWNED = DomainFact(level=Level.SHARED, return_domain="bounce.bloggs.com")
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
        guards=(guard(["Corner Shop Ltd", "Acme"]),),
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
        ({"bloggs.com": OWNED}, {}, Level.SHARED, None, NO_OWN_DOMAIN),
        ({"bloggs.com": OWNED}, {"local_part": "crm"}, Level.SHARED_TENANT, "crm@post.acme.example", NO_OWN_DOMAIN),
        ({"bloggs.com": FULL}, {"name": "boss@bank.com"}, Level.REFUSE, None, NAME_DECEIVES),
        ({"bloggs.com": FULL}, {"name": "Support bank.com"}, Level.REFUSE, None, NAME_DECEIVES),
        ({"bloggs.com": FULL}, {"name": "P\u0430yPal"}, Level.REFUSE, None, NAME_DECEIVES),
        ({"bloggs.com": FULL}, {"name": "Joe \u202eBloggs"}, Level.REFUSE, None, NAME_DECEIVES),
        ({"bloggs.com": FULL}, {"name": "PayPal Support"}, Level.REFUSE, None, Claim.IMPERSONATES),
        ({"bloggs.com": FULL}, {"name": "Paypa1"}, Level.REFUSE, None, Claim.LOOK_ALIKE),
        ({"bloggs.com": FULL}, {"name": "Corner Shop Ltd"}, Level.REFUSE, None, Claim.IMPERSONATES),
        ({"bloggs.com": FULL}, {"name": "Acme Support"}, Level.CUSTOM_FULL, JOE, OWN_DOMAIN),
        (
            {"paypal.com": FULL},
            {"name": "PayPal", "reply_to": "a@paypal.com"},
            Level.CUSTOM_FULL,
            "a@paypal.com",
            OWN_DOMAIN,
        ),
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
LEVELS = st.sampled_from([Level.CUSTOM_FULL, Level.CUSTOM_DKIM, Level.SHARED])


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
    assert from_domain == OPERATOR.from_domain or domains[from_domain].level is identity.level is not Level.SHARED
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


@pytest.mark.parametrize(
    ("accepted", "stands", "tried", "level"),
    [
        (FULL, FULL, True, Level.CUSTOM_FULL),
        (FULL, DKIM, True, Level.CUSTOM_DKIM),
        (FULL, None, True, Level.SHARED),
        (DKIM, None, False, Level.SHARED),
        (DKIM, FULL, True, Level.CUSTOM_DKIM),
        (DKIM, FULL, False, Level.CUSTOM_FULL),
        (None, FULL, True, Level.SHARED),
        (None, FULL, False, Level.CUSTOM_FULL),
        (None, None, False, Level.SHARED),
    ],
)
def test_down_whenever_it_must_and_up_only_before_anybody_knows(
    accepted: DomainFact | None, stands: DomainFact | None, tried: bool, level: Level
) -> None:
    before = resolved({"bloggs.com": accepted} if accepted else {}, proved=True)
    facts = Facts(operator=OPERATOR, domains={"bloggs.com": stands} if stands else {})
    after = resolve_again(before, "corp.com", facts, tried=tried)
    assert after.level is level
    if after.level is before.level:
        assert after is before
    else:
        assert f"{ACCEPTED_AS}={before.level}" in after.reasons
    assert (after.reply_to, after.display_name) == (before.reply_to, before.display_name)


def test_another_address_than_the_one_that_was_asked_for_never_comes_up() -> None:
    before = resolved({}, proved=True, address="joe@elsewhere.com")
    facts = Facts(operator=OPERATOR, domains={"bloggs.com": FULL})
    assert resolve_again(before, "corp.com", facts, tried=False) is before


def test_what_was_stored_before_the_wish_was_kept() -> None:
    """It falls when it must, and otherwise stays."""
    full = replace(resolved({"bloggs.com": FULL}), requested_from=None)
    shared = replace(resolved({}, proved=True), requested_from=None)
    nothing, everything = Facts(operator=OPERATOR), Facts(operator=OPERATOR, domains={"bloggs.com": FULL})
    assert resolve_again(full, "corp.com", nothing, tried=True).level is Level.SHARED
    assert resolve_again(full, "corp.com", everything, tried=True) is full
    assert resolve_again(shared, "corp.com", everything, tried=False) is shared


@given(
    domain_facts(),
    domain_facts(),
    ADDRESSES,
    st.none() | ADDRESSES,
    NAMES,
    st.booleans(),
    st.sampled_from([None, "crm"]),
)
def test_what_goes_out_is_always_proved_at_that_moment(
    then: dict[str, DomainFact],
    now: dict[str, DomainFact],
    reply_to: Address,
    address: Address | None,
    recipient: str,
    tried: bool,
    local_part: str | None,
) -> None:
    proved = frozenset({reply_to.folded})
    requested = RequestedFrom(name="Joe", reply_to=reply_to, address=address)
    facts = [Facts(operator=OPERATOR, proved=proved, domains=one, local_part=local_part) for one in (then, now)]
    before, strongest = (resolve("Acme", requested, recipient, one) for one in facts)
    after = resolve_again(before, recipient, facts[1], tried=tried)
    levels = list(Level)
    assert levels.index(after.level) >= levels.index(strongest.level)
    if after.level is not before.level:
        assert (after.level, after.header_from, after.return_domain) == (
            strongest.level,
            strongest.header_from,
            strongest.return_domain,
        )
    assert after.header_from.rpartition("@")[2] == after.sending_domain
    assert after.sending_domain == OPERATOR.from_domain or now[after.sending_domain].level is not Level.SHARED
    assert after.return_domain in {OPERATOR.return_domain, *(one.return_domain for one in now.values())}
    if not tried:
        assert after.level is strongest.level
    elif levels.index(strongest.level) <= levels.index(before.level):
        assert after is before
    assert resolve_again(after, recipient, facts[1], tried=tried) is after


def test_our_own_letters_are_the_operators() -> None:
    identity = own_identity("Acme Mail", OPERATOR)
    assert (identity.header_from, identity.sending_domain) == (OPERATOR.header_from, OPERATOR.from_domain)
    answered = own_identity("Acme Mail", OPERATOR, "joe@bloggs.com")
    facts = Facts(operator=OPERATOR, domains={"bloggs.com": FULL}, local_part="crm")
    assert resolve_again(answered, "corp.com", facts, tried=False) is answered
