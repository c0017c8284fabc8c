"""An organization's own domain: what it publishes, and how slowly a proof is lost."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import dns.zone
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.loop.domains.publication import Judgement, Publication
from homing.loop.domains.sending_domains import (
    APART,
    BACK_AFTER,
    LOST_AFTER,
    UNKNOWN,
    Delegation,
    RecordFact,
    RecordPurpose,
    RecordState,
    SendingDomain,
    after_check,
    alternatives,
    behind_aliases,
    is_owned,
    label_of,
    level_of,
    next_check,
    records_of,
)
from homing.loop.model import Level, OrganizationId

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ORGANIZATION = OrganizationId(UUID(int=7))
OURS = Delegation(
    operator_domain="acme.example",
    dkim_domain="dkim.acme.example",
    return_host="rp.acme.example",
    hostname="mx.acme.example",
    selectors=("acme1", "acme2"),
    reports_to="dmarc@post.acme.example",
)
DOMAIN = SendingDomain(
    id=UUID(int=1),
    organization=ORGANIZATION,
    domain="bloggs.com",
    label=label_of(ORGANIZATION, "bloggs.com"),
    created_at=NOW,
    next_check_at=NOW,
)


def checked(
    *standings: Publication, fact: RecordFact = UNKNOWN, wrong: bool = False, apart: timedelta = APART
) -> RecordFact:
    for standing in standings:
        found = Judgement(standing=standing, server="ns", answer="what it said", wrong=wrong)
        now = NOW if fact.checked_at is None else fact.checked_at + apart
        fact = after_check(fact, found, "name CNAME", now)
    return fact


THERE, GONE, SILENT = Publication.THERE, Publication.MISSING, Publication.UNKNOWN


@pytest.mark.parametrize(
    ("standings", "state", "held"),
    [
        ((), RecordState.PENDING, False),
        ((GONE,), RecordState.PENDING, False),
        ((SILENT,), RecordState.TEMPORARY_FAILURE, False),
        ((THERE,), RecordState.VERIFIED, True),
        ((THERE, GONE), RecordState.FAILED, True),
        ((THERE, GONE, GONE), RecordState.FAILED, True),
        ((THERE, GONE, GONE, GONE), RecordState.FAILED, False),
        ((THERE, GONE, GONE, THERE, GONE, GONE), RecordState.FAILED, True),
        ((THERE, GONE, SILENT, GONE, SILENT, GONE), RecordState.FAILED, False),
        ((THERE, *(SILENT,) * 100), RecordState.TEMPORARY_FAILURE, True),
        ((THERE, GONE, GONE, GONE, THERE), RecordState.PENDING, False),
        ((THERE, GONE, GONE, GONE, THERE, THERE), RecordState.VERIFIED, True),
        ((THERE, GONE, GONE, GONE, THERE, GONE, THERE), RecordState.PENDING, False),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else str(value),
)
def test_a_proof_comes_at_once_and_goes_slowly(
    standings: tuple[Publication, ...], state: RecordState, held: bool
) -> None:
    fact = checked(*standings)
    assert (fact.state, fact.held) == (state, held)


def test_something_else_in_its_place_is_told_at_once() -> None:
    assert checked(GONE, wrong=True).state is RecordState.FAILED


def test_the_evidence_is_kept() -> None:
    fact = checked(THERE, GONE)
    assert (fact.query, fact.server, fact.answer) == ("name CNAME", "ns", "what it said")
    assert fact.checked_at == fact.bad_at == NOW + APART


def test_whoever_asks_often_loses_nothing_the_sooner() -> None:
    minute = timedelta(minutes=1)
    assert checked(THERE, *(GONE,) * 10, apart=minute).held
    assert not checked(THERE, *(GONE,) * 11, apart=minute).held


@given(st.lists(st.sampled_from(Publication)))
def test_silence_changes_nothing_that_counts(standings: list[Publication]) -> None:
    """And a proof is never lost but by denials in a row, nor found again but by good answers in a row."""
    fact, bad, good = UNKNOWN, 0, 0
    for standing in standings:
        after = checked(standing, fact=fact)
        bad = bad + 1 if standing is GONE else 0 if standing is THERE else bad
        good = good + 1 if standing is THERE else 0 if standing is GONE else good
        if standing is SILENT:
            assert (after.held, after.lost, after.good, after.bad) == (fact.held, fact.lost, fact.good, fact.bad)
        if fact.held and not after.held:
            assert bad >= LOST_AFTER
        if fact.lost and after.held:
            assert good >= BACK_AFTER
        assert not (after.held and after.lost)
        fact = after


HELD = checked(THERE)


@pytest.mark.parametrize(
    ("held", "signing", "level"),
    [
        ((), None, Level.SHARED),
        (("dkim_1", "dkim_2", "return_path"), None, Level.SHARED),
        (("dkim_1", "return_path"), "dkim_2", Level.SHARED),
        (("dkim_1",), "dkim_1", Level.CUSTOM_DKIM),
        (("dkim_2", "return_path"), "dkim_2", Level.CUSTOM_FULL),
        (("return_path", "dmarc"), "dkim_1", Level.SHARED),
    ],
)
def test_the_level_that_the_records_bear_out(held: tuple[str, ...], signing: str | None, level: Level) -> None:
    facts = {RecordPurpose(purpose): HELD for purpose in held}
    domain = replace(DOMAIN, facts=facts, signing=RecordPurpose(signing) if signing else None)
    assert level_of(domain) is level
    assert level_of(replace(domain, removed_at=NOW)) is Level.SHARED


def test_each_organization_has_its_own_label() -> None:
    other = label_of(OrganizationId(UUID(int=8)), "bloggs.com")
    assert len({DOMAIN.label, other, label_of(ORGANIZATION, "bloggs.net")}) == 3
    assert all(len(label) == 16 and label.isalnum() for label in (DOMAIN.label, other))


def test_the_records_can_be_copied_into_a_zone() -> None:
    records = [record for some in records_of(DOMAIN, OURS).values() for record in some]
    text = "".join(
        f"{record.in_zone()}\n" for record in (*records, *alternatives(replace(DOMAIN, domain="x.com"), OURS))
    )
    zone = dns.zone.from_text(text, origin=".", relativize=False, check_origin=False)
    found = {name.to_text(): rdata.to_text() for name, _, rdata in zone.iterate_rdatas()}
    label = DOMAIN.label
    assert found["acme1._domainkey.bloggs.com."] == f"{label}.acme1.dkim.acme.example."
    assert found["acme2._domainkey.bloggs.com."] == f"{label}.acme2.dkim.acme.example."
    assert found["bounce.bloggs.com."] == "rp.acme.example."
    assert "rua=mailto:dmarc@post.acme.example" in found["_dmarc.bloggs.com."]
    assert OURS.record_name("acme1") == "*.acme1.dkim.acme.example"
    assert [record.name for record in behind_aliases(OURS)] == ["rp.acme.example"] * 2


@pytest.mark.parametrize(
    ("held", "owned"),
    [
        (RecordPurpose.DKIM_1, True),
        (RecordPurpose.DKIM_2, True),
        (RecordPurpose.RETURN_PATH, False),
        (RecordPurpose.DMARC, False),
    ],
)
def test_either_alias_of_a_key_proves_the_owner(held: RecordPurpose, owned: bool) -> None:
    """Both lead to names that are this organization's alone; where return paths lead is the same for all."""
    assert is_owned(replace(DOMAIN, facts={held: HELD})) is owned
    assert not is_owned(replace(DOMAIN, facts={held: HELD}, removed_at=NOW))


def test_a_selector_is_led_to_by_the_record_of_its_number() -> None:
    """The key signs under this selector, so this record must be proved before it does."""
    for selector, purpose in (("acme1", RecordPurpose.DKIM_1), ("acme2", RecordPurpose.DKIM_2)):
        assert OURS.purpose_of(selector) is purpose
        (alias,) = records_of(DOMAIN, OURS)[purpose]
        assert alias.name == f"{selector}._domainkey.bloggs.com"
    assert OURS.purpose_of(None) is None


def test_the_dns_is_asked_soon_while_somebody_waits_or_something_is_amiss() -> None:
    full = dict.fromkeys(RecordPurpose, HELD)
    proved = replace(DOMAIN, facts=full, signing=RecordPurpose.DKIM_1)
    amiss = replace(proved, facts=full | {RecordPurpose.RETURN_PATH: checked(GONE, fact=HELD)})
    minutes, hour = timedelta(minutes=1), timedelta(hours=1)
    for age, wait in ((timedelta(), 5 * minutes), (47 * hour, 5 * minutes), (48 * hour, hour), (72 * hour, hour)):
        assert next_check(DOMAIN, NOW + age, 0.0) == NOW + age + wait
    assert next_check(proved, NOW, 0.0) == NOW + hour
    assert next_check(amiss, NOW, 0.0) == NOW + 15 * minutes
    assert next_check(proved, NOW, 1.0) == NOW + 75 * minutes
