"""One more event: a delivery goes out under another identity than it was accepted with."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_EVENTS = (
    "queued attempted deferred delivered bounced expired failed suppressed canceled complained autoresponded replied "
    "opened_case rerouted fallback_sent notified action_failed unheard resent unexplained_return forwarding_failed "
    "signed_anew domain_changed identity_changed"
)


def upgrade() -> None:
    """SQLite cannot change a constraint: there the table is copied, and its numbers go on where they were."""
    words = ", ".join(f"'{word}'" for word in _EVENTS.split())
    conn = op.get_bind()
    on_sqlite = conn.dialect.name == "sqlite"
    last = conn.execute(sa.text("SELECT seq FROM sqlite_sequence WHERE name = 'event'")).scalar() if on_sqlite else None
    with op.batch_alter_table("event", table_kwargs={"sqlite_autoincrement": True}) as event:
        if not on_sqlite:
            event.drop_constraint(op.f("ck_event_type"), type_="check")
        event.create_check_constraint(op.f("ck_event_type"), f"type IN ({words})")
    if last is not None:
        conn.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = 'event'"))
        conn.execute(sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES ('event', :last)"), {"last": last})
