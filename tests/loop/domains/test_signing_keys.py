"""The life of DKIM keys: a table of moves, what is due, and what holds however long it goes on."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homing.loop.domains.signing_keys import (
    ED25519,
    IN_USE,
    KEY_TRANSITIONS,
    RSA,
    Create,
    DkimKey,
    KeyState,
    Move,
    Terms,
    active_key,
    due,
    hand_over,
    move_key,
    successor,
)
from homing.mail.dkim import SigningKey

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SLOTS = ("h1", "h2")
TERMS = Terms(drain=timedelta(days=13))
DAY = timedelta(days=1)


def a_key(number: int = 1, selector: str = "h1", state: KeyState = KeyState.CREATED, at: datetime = NOW) -> DkimKey:
    key = DkimKey(
        id=UUID(int=number),
        organization=None,
        domain="post.example",
        selector=selector,
        algorithm=RSA,
        record_name=f"{selector}._domainkey.post.example",
        record="v=DKIM1; k=rsa; p=AAAA",
        state=KeyState.CREATED,
        created_at=at,
    )
    for step in (KeyState.PUBLISHED, KeyState.ACTIVE, KeyState.DRAINING, KeyState.RETIRED):
        if key.state is state:
            return key
        key = move_key(key, step, at)
    return key


ACTIVE = a_key(1, "h1", KeyState.ACTIVE)


LIFE = (KeyState.CREATED, KeyState.PUBLISHED, KeyState.ACTIVE, KeyState.DRAINING, KeyState.RETIRED)


@pytest.mark.parametrize("before", KeyState)
def test_a_key_lives_on_step_by_step_or_is_revoked_before_its_end(before: KeyState) -> None:
    """Whoever lost a private key revokes it, wherever it stands; what has ended stays ended, and no step is left out:
    each was waited for."""
    onwards = set(LIFE[LIFE.index(before) + 1 :][:1]) if before in LIFE else set()
    ended = before in (KeyState.RETIRED, KeyState.REVOKED)
    assert set(KEY_TRANSITIONS[before]) == onwards | (set() if ended else {KeyState.REVOKED})


@pytest.mark.parametrize("before", KeyState)
@pytest.mark.parametrize("after", KeyState)
def test_a_key_moves_as_the_table_says(before: KeyState, after: KeyState) -> None:
    key = replace(a_key(), state=before)
    if after in KEY_TRANSITIONS[before]:
        moved = move_key(key, after, NOW)
        assert moved.state is after
        assert NOW in (moved.published_at, moved.activated_at, moved.draining_at, moved.retired_at, moved.revoked_at)
    else:
        with pytest.raises(ValueError, match="cannot go"):
            move_key(key, after, NOW)


def moves(*steps: object) -> list[tuple[int, KeyState]]:
    return [(step.key.id.int, step.state) for step in steps if isinstance(step, Move)]


def test_a_domain_without_keys_gets_two() -> None:
    assert due([], SLOTS, [], NOW, TERMS) == (Create(selector="h1"), Create(selector="h2"))


def test_the_first_key_signs_as_soon_as_it_is_seen() -> None:
    created = [a_key(1, "h1"), a_key(2, "h2")]
    assert due(created, SLOTS, [], NOW, TERMS) == ()
    seen = {UUID(int=1)}
    assert moves(*due(created, SLOTS, seen, NOW, TERMS)) == [(1, KeyState.PUBLISHED)]
    published = [move_key(created[0], KeyState.PUBLISHED, NOW), created[1]]
    assert moves(*due(published, SLOTS, seen, NOW, TERMS)) == [(1, KeyState.ACTIVE)]
    assert due(published, SLOTS, [], NOW, TERMS) == ()  # it was seen once, and is so no more


def test_a_key_that_nobody_sees_never_signs() -> None:
    standby = a_key(2, "h2", KeyState.PUBLISHED)
    assert due([ACTIVE, standby], SLOTS, [], NOW + 1000 * DAY, TERMS) == ()


def test_the_next_key_signs_when_the_time_of_the_first_is_over() -> None:
    standby = a_key(2, "h2", KeyState.PUBLISHED)
    seen = {ACTIVE.id, standby.id}
    assert due([ACTIVE, standby], SLOTS, seen, NOW + 179 * DAY, TERMS) == ()
    steps = due([ACTIVE, standby], SLOTS, seen, NOW + 180 * DAY, TERMS)
    assert moves(*steps) == [(1, KeyState.DRAINING), (2, KeyState.ACTIVE)]


def test_a_draining_key_keeps_its_selector_until_nothing_of_it_is_on_its_way() -> None:
    draining, active = a_key(1, "h1", KeyState.DRAINING), a_key(2, "h2", KeyState.ACTIVE)
    assert due([draining, active], SLOTS, [], NOW + timedelta(days=13, seconds=-1), TERMS) == ()
    assert moves(*due([draining, active], SLOTS, [], NOW + TERMS.drain, TERMS)) == [(1, KeyState.RETIRED)]
    retired = move_key(draining, KeyState.RETIRED, NOW)
    assert due([retired, active], SLOTS, [], NOW, TERMS) == (Create(selector="h1"),)


def test_a_selector_that_was_used_before_must_be_out_of_the_caches() -> None:
    before, active = a_key(1, "h1", KeyState.RETIRED), a_key(2, "h2", KeyState.ACTIVE, NOW - 200 * DAY)
    following = a_key(3, "h1", KeyState.PUBLISHED)
    known, seen = [before, active, following], {following.id}
    assert successor(known, seen, NOW + timedelta(hours=2, seconds=-1), TERMS) is None
    assert successor(known, seen, NOW + timedelta(hours=2), TERMS) == following
    assert successor([active, following], seen, NOW, TERMS) == following


def test_which_key_signed_under_a_selector_is_told_by_the_time() -> None:
    assert ACTIVE.signed(NOW)
    assert ACTIVE.signed(NOW - timedelta(minutes=10))
    assert not ACTIVE.signed(NOW - timedelta(minutes=10, seconds=1))
    assert a_key(1, "h1", KeyState.DRAINING).signed(NOW + DAY)
    assert not a_key(1, "h1", KeyState.PUBLISHED).signed(NOW)
    assert not move_key(ACTIVE, KeyState.REVOKED, NOW).signed(NOW)


def test_hand_over_leaves_one_active_key() -> None:
    standby = a_key(2, "h2", KeyState.PUBLISHED)
    assert moves(*hand_over(ACTIVE, standby)) == [(1, KeyState.DRAINING), (2, KeyState.ACTIVE)]
    assert moves(*hand_over(None, standby)) == [(2, KeyState.ACTIVE)]


HAPPENINGS = st.lists(
    st.tuples(st.sampled_from(["seen", "unseen", "revoke"]), st.integers(0, 100 * 24)), min_size=1, max_size=40
)


@settings(max_examples=150)
@given(HAPPENINGS)
def test_whatever_happens(happenings: list[tuple[str, int]]) -> None:
    """Never two active keys, never two keys in use under one selector, no key signs that was not seen, and where all is
    seen some key signs."""
    keys: list[DkimKey] = []
    now = NOW
    for what, hours in happenings:
        now += timedelta(hours=hours)
        if what == "revoke":
            keys = [move_key(one, KeyState.REVOKED, now) if one.state is KeyState.ACTIVE else one for one in keys]
        seen = [] if what == "unseen" else [one.id for one in keys if one.state in IN_USE]
        for _ in range(4):
            for step in due(keys, SLOTS, seen, now, TERMS):
                match step:
                    case Create(selector=selector):
                        keys.append(a_key(len(keys) + 1, selector, at=now))
                    case Move(key=key, state=state):
                        assert state is not KeyState.ACTIVE or key.id in seen
                        keys = [move_key(one, state, now) if one.id == key.id else one for one in keys]
            assert sum(one.state is KeyState.ACTIVE for one in keys) <= 1
            in_use = [one.selector for one in keys if one.state in IN_USE]
            assert len(in_use) == len(set(in_use))
            seen = seen and [one.id for one in keys if one.state in IN_USE]
    later = now + TERMS.settle + TERMS.drain
    for _ in range(6):
        seen = [one.id for one in keys if one.state in IN_USE]
        for step in due(keys, SLOTS, seen, later, TERMS):
            match step:
                case Create(selector=selector):
                    keys.append(a_key(len(keys) + 1, selector, at=later))
                case Move(key=key, state=state):
                    keys = [move_key(one, state, later) if one.id == key.id else one for one in keys]
        later += TERMS.settle
    assert active_key(keys) is not None


def test_an_algorithm_is_called_as_in_the_signatures() -> None:
    ours = (SigningKey.generate("post.example", "h1"), SigningKey.generate_ed25519("post.example", "h2"))
    assert tuple(key.algorithm for key in ours) == (RSA, ED25519)
