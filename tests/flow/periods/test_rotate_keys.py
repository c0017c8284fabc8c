"""How long keys sign and their records stand."""

from datetime import timedelta

from homing.flow.rotate_keys import terms_for


def test_a_record_stands_a_day_longer_than_the_last_signature_is_valid() -> None:
    """Signed for the first time just before another key took over, a delivery is attempted for its lifetime with that
    signature, which is valid for a week more."""
    terms = terms_for(lifetime=timedelta(days=5), every=timedelta(days=90))
    assert terms.drain == timedelta(days=5 + 7 + 1)
    assert terms.every == timedelta(days=90)
