"""The contents of our own e-mails that have ended are erased, as they are at once from now on: they hold links."""

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "DELETE FROM message_content"
        " WHERE message IN (SELECT id FROM message WHERE origin IN ('letter', 'proof', 'oops'))"
        " AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.message = message_content.message"
        " AND delivery.state IN ('queued', 'sending', 'deferred'))"
    )
