"""The mark by which a restored store is told from the one that it was, and large mails wherever the data folder is."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

_NAMES = {
    "sqlite": "UPDATE inbound SET spool = id || '.eml' WHERE spool IS NOT NULL",
    "postgresql": "UPDATE inbound SET spool = replace(id::text, '-', '') || '.eml' WHERE spool IS NOT NULL",
}


def upgrade() -> None:
    mark = op.create_table(
        "store_mark",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("mark", sa.BigInteger(), nullable=False),
        sa.Column("held_at", sa.BigInteger()),
        sa.Column("txid_ahead", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_store_mark"),
    )
    op.bulk_insert(mark, [{"id": 1, "generation": _first(), "mark": 0, "held_at": None, "txid_ahead": 0}])
    op.execute(_NAMES[op.get_bind().dialect.name])


def _first() -> int:
    """Cursors that were given out before are of generation 0, and stay good; a new store has none out."""
    has_events = op.get_bind().execute(sa.text("SELECT 1 FROM event LIMIT 1")).first() is not None
    return 0 if has_events else time.time_ns() // 1000
