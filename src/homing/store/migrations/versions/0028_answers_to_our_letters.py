"""What came back for e-mails of our own is the operator's."""

from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    inbound = sa.table("inbound", sa.column("delivery", sa.Uuid), sa.column("organization", sa.Uuid))
    delivery = sa.table("delivery", sa.column("id", sa.Uuid), sa.column("message", sa.Uuid))
    message = sa.table("message", sa.column("id", sa.Uuid), sa.column("origin", sa.String))
    ours = (
        sa.select(delivery.c.id)
        .join(message, message.c.id == delivery.c.message)
        .where(message.c.origin.in_(["letter", "proof", "oops"]))
    )
    op.execute(inbound.update().where(inbound.c.delivery.in_(ours)).values(organization=UUID(int=0)))
