"""Cases, and the actions that are due for them."""

import sqlalchemy as sa

from homing.loop.model import ActionKind, ActionState, CaseKind, CaseState
from homing.loop.subject import SUBJECT
from homing.store.tables.columns import Json, Moment, metadata, one_of, where

case = sa.Table(
    "case",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("organization", sa.Uuid, nullable=False),
    sa.Column("delivery", sa.Uuid, index=True),  # null: it is about no single one
    sa.Column("failure", sa.String(10)),  # null, like strength and verdict: no delivery has failed
    sa.Column("late", sa.Boolean, nullable=False),
    sa.Column("possibly_delivered", sa.Boolean, nullable=False),
    sa.Column("strength", sa.String(8)),
    sa.Column("verdict", Json),
    sa.Column("policy", Json, nullable=False),
    sa.Column("steps", Json, nullable=False),  # list of step states
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("opened_at", Moment, nullable=False),
    sa.Column("kind", sa.String(24), nullable=False),
    sa.Column("subject", sa.String(SUBJECT), nullable=False),  # which of its kind: see loop.subject
    one_of("kind", CaseKind),
    one_of("state", CaseState),
    sa.Index("ix_case_organization_id", "organization", "id"),
    # A delivery fails once, and an old forwarding failure makes place for a new one (`cases.open_all`); the others may
    # come again after somebody has dealt with them.
    where(
        "uq_case_subject",
        "organization",
        "kind",
        "subject",
        only="state <> 'resolved' OR kind IN ('failure', 'delay', 'forwarding_failure')",
        unique=True,
    ),
    sa.Index("ix_case_organization_state_id", "organization", "state", "id"),
    where("ix_case_unsettled", "state", only="state IN ('open', 'unheard')"),
)

told_delay = sa.Table(
    "told_delay",
    metadata,
    sa.Column("case_id", sa.Uuid, primary_key=True),
    sa.Column("organization", sa.Uuid, nullable=False),
    sa.Column("address", sa.String(320), nullable=False),  # where the e-mail went, in lower case
    sa.Column("receiver", sa.String(320), nullable=False),
    sa.Column("told_by", sa.Uuid, nullable=False),  # the case whose e-mail it was
    sa.Index("ix_told_delay_place", "organization", "address", "receiver"),
    where("uq_told_delay_place", "organization", "address", "receiver", only="told_by = case_id", unique=True),
)

action = sa.Table(
    "action",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("organization", sa.Uuid, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("case_id", sa.Uuid),
    sa.Column("step", sa.Integer),
    sa.Column("delivery", sa.Uuid),
    sa.Column("recipient", sa.String(320)),  # the failed delivery's, for budgets
    sa.Column("data", Json, nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("due_at", Moment, nullable=False),
    sa.Column("lease_until", Moment),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("claimed_at", Moment),  # the last claim; budgets count it
    sa.Column("started_at", Moment),  # intent: committed before an effect that must not happen twice
    sa.Column("provider_id", sa.String(255), index=True),  # the SMS provider's id, for status callbacks
    sa.Column("result", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),
    sa.Column("sent_to", sa.String(320)),  # address or number that it writes to, folded to count it; null: unknown
    sa.Column("queue", sa.Uuid),  # `loop.queue`; null: written by an older version, and in no line yet
    one_of("kind", ActionKind),
    one_of("state", ActionState),
    sa.UniqueConstraint("case_id", "step"),
    sa.Index("ix_action_delivery", "delivery"),
    sa.Index("ix_action_budget", "organization", "kind", "claimed_at"),
    where("ix_action_sent_to", "kind", "sent_to", "claimed_at", only="sent_to IS NOT NULL"),
    where("ix_action_due", "due_at", only="state IN ('due', 'running')"),
    where("ix_action_queue", "queue", "due_at", only="state = 'due'"),
)

gathered_case = sa.Table(
    "gathered_case",
    metadata,
    # A case that the letter of another one tells as well: its step ends as that letter does.
    sa.Column("letter", sa.Uuid, primary_key=True),  # the message
    sa.Column("case_id", sa.Uuid, primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
)
