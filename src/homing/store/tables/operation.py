"""What the operator and the process itself must know."""

import sqlalchemy as sa

from homing.store.tables.columns import Moment, metadata, where

wall_clock = sa.Table(
    "wall_clock",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),  # one row
    sa.Column("seen_at", Moment, nullable=False),
    sa.Column("jumped_at", Moment),
)

store_mark = sa.Table(
    "store_mark",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),  # one row
    sa.Column("generation", sa.BigInteger, nullable=False),  # see loop.store_mark
    sa.Column("mark", sa.BigInteger, nullable=False),
    sa.Column("held_at", Moment),  # null: nothing is held
    sa.Column("txid_ahead", sa.BigInteger, nullable=False),  # by how much numbers of events are ahead of the server's
)

loop_probe = sa.Table(
    "loop_probe",
    metadata,
    sa.Column("round", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("delivery", sa.Uuid, nullable=False),
    sa.Column("message", sa.Uuid, nullable=False),
    sa.Column("envelope_sender", sa.String(320), nullable=False),  # as mail would have borne it
    sa.Column("made_at", Moment, nullable=False),
    sa.Column("due_at", Moment, nullable=False),
    sa.Column("state", sa.String(10), nullable=False),  # see loop.watch
    sa.Column("sent_at", Moment),  # when somebody began to send the notice
    sa.Column("ended_at", Moment, index=True),
    sa.Column("fault", sa.String(32)),  # null: none, or not ended
    sa.Column("said", sa.Text, nullable=False),
)

alarm = sa.Table(
    "alarm",
    metadata,
    sa.Column("cause", sa.String(255), primary_key=True),
    sa.Column("text", sa.Text, nullable=False),  # what was said last
    sa.Column("organization", sa.Uuid),
    sa.Column("delivery", sa.Uuid),  # the last that it met
    sa.Column("first_at", Moment, nullable=False),
    sa.Column("last_at", Moment, nullable=False, index=True),
    sa.Column("times", sa.Integer, nullable=False),
    sa.Column("told_at", Moment, index=True),  # when the operator was last written to
    where("ix_alarm_untold", "first_at", only="told_at IS NULL OR last_at > told_at"),
)
