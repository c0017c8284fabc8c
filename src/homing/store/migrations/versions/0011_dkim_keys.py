"""DKIM keys in the store, and two more events: a delivery was signed anew, a sending domain changed."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_IN_USE = "state IN ('created', 'published', 'active', 'draining')"
_STATES = "state IN ('created', 'published', 'active', 'draining', 'retired', 'revoked')"
_EVENTS = (
    "queued attempted deferred delivered bounced expired failed suppressed canceled complained autoresponded replied "
    "opened_case rerouted fallback_sent notified action_failed unheard resent unexplained_return forwarding_failed "
    "signed_anew domain_changed"
)


def upgrade() -> None:
    """Keys that lie in files are taken in by the gateway when it starts."""
    op.create_table(
        "dkim_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization", sa.Uuid()),
        sa.Column("domain", sa.String(255), nullable=False),
        sa.Column("selector", sa.String(63), nullable=False),
        sa.Column("algorithm", sa.String(16), nullable=False),
        sa.Column("record_name", sa.String(255), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger())
            for name in ("published_at", "activated_at", "draining_at", "retired_at", "revoked_at")
        ),
        sa.CheckConstraint(_STATES, name=op.f("ck_dkim_key_state")),
        sa.PrimaryKeyConstraint("id", name="pk_dkim_key"),
    )
    only = sa.text(_IN_USE)
    op.create_index(
        "ix_dkim_key_in_use", "dkim_key", ["record_name"], unique=True, sqlite_where=only, postgresql_where=only
    )
    _allow_events()


def _allow_events() -> None:
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
