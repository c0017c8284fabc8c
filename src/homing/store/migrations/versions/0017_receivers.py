"""Whose mail hosts a delivery goes to, what was said in each attempt and from where, and the hash of each body."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("delivery", sa.Column("receiver", sa.String(255)))
    op.add_column("attempt", sa.Column("receiver", sa.String(255), nullable=False, server_default=""))
    op.add_column("attempt", sa.Column("egress_ip", sa.String(64), nullable=False, server_default=""))
    op.add_column("attempt", sa.Column("dialogue", sa.Text()))
    op.add_column("message_content", sa.Column("body_hash", sa.LargeBinary()))
