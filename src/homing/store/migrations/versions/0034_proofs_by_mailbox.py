"""Letters that ask for a proof are counted by mailbox; those of before, by the address as it was spelled."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("proof", sa.Column("mailbox", sa.String(320), nullable=False, server_default=""))
    proof = sa.table("proof", sa.column("address"), sa.column("mailbox"))
    op.execute(proof.update().values(mailbox=proof.c.address))
    with op.batch_alter_table("proof") as table:
        table.drop_constraint("uq_proof_address_day_number", type_="unique")
        table.create_unique_constraint("uq_proof_mailbox_day_number", ["mailbox", "day", "number"])
