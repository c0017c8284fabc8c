"""To whom actions wrote, whether an administrator's address is proved, and cases that one e-mail tells together."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("action", sa.Column("sent_to", sa.String(320)))
    only = sa.text("sent_to IS NOT NULL")
    columns = ["kind", "sent_to", "claimed_at"]
    op.create_index("ix_action_sent_to", "action", columns, sqlite_where=only, postgresql_where=only)
    with op.batch_alter_table("proof") as proof:
        proof.alter_column("human_sender", existing_type=sa.Uuid(), nullable=True)
    op.create_index("ix_proof_organization_day", "proof", ["organization", "day"])
    for name, kind in (
        ("administrator_proved_at", sa.BigInteger()),
        ("administrator_attested_at", sa.BigInteger()),
        ("administrator_attested_key", sa.Uuid()),
        ("administrator_attested_key_name", sa.String(64)),
        ("administrator_attested_note", sa.Text()),
    ):
        op.add_column("organization", sa.Column(name, kind))
    mark = "administrator_taken_over"
    op.add_column("organization", sa.Column(mark, sa.Boolean(), nullable=False, server_default=sa.false()))
    organization = sa.table("organization", sa.column("administrator"), sa.column(mark))
    there = organization.c.administrator.is_not(None)
    op.execute(organization.update().where(there).values({mark: sa.true()}))
    op.create_table(
        "gathered_case",
        sa.Column("letter", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("letter", "case_id", "step", name="pk_gathered_case"),
    )
