"""What is known of recipients: whom not to write to, and which domains take mail."""

import sqlalchemy as sa

from homing.store.tables.columns import Moment, metadata, where

suppression = sa.Table(
    "suppression",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("organization", sa.Uuid, nullable=False),
    sa.Column("stream", sa.String(64), nullable=False),
    sa.Column("address", sa.String(320), nullable=False),  # folded to lower case
    sa.Column("reason", sa.String(64), nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment),
    sa.Column("rule", sa.Text),  # of the verdict that led to it; null: nobody's
    sa.UniqueConstraint("organization", "stream", "address"),
    sa.Index("ix_suppression_address", "organization", "address", "stream"),
    where("ix_suppression_expires", "expires_at", only="expires_at IS NOT NULL"),
    # To lift what a rule caused, everywhere or for one, or all for one reason, and to look at no other rows.
    where("ix_suppression_rule", "rule", "created_at", "id", only="rule IS NOT NULL"),
    where("ix_suppression_own_rule", "organization", "rule", "created_at", "id", only="rule IS NOT NULL"),
    sa.Index("ix_suppression_reason", "organization", "reason", "created_at", "id"),
)

lifted_suppression = sa.Table(
    "lifted_suppression",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("organization", sa.Uuid, nullable=False),
    sa.Column("stream", sa.String(64), nullable=False),
    sa.Column("address", sa.String(320), nullable=False),  # folded to lower case
    sa.Column("reason", sa.String(64), nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("rule", sa.Text),
    sa.Column("suppressed_at", Moment, nullable=False),
    sa.Column("lifted_at", Moment, nullable=False, index=True),
    sa.Column("why", sa.Text, nullable=False),  # it was lifted, in words
    sa.Index(None, "organization", "id"),
    where("ix_lifted_suppression_rule", "rule", "organization", only="rule IS NOT NULL"),
)

full_mailbox = sa.Table(
    "full_mailbox",
    metadata,
    sa.Column("organization", sa.Uuid, primary_key=True),
    sa.Column("stream", sa.String(64), primary_key=True),
    sa.Column("address", sa.String(320), primary_key=True),  # folded to lower case
    sa.Column("times", sa.Integer, nullable=False),  # deliveries that failed because of it, one after the other
    sa.Column("first_at", Moment, nullable=False),
    sa.Column("last_at", Moment, nullable=False, index=True),
)

hearsay = sa.Table(
    "hearsay",
    metadata,
    sa.Column("organization", sa.Uuid, primary_key=True),
    sa.Column("stream", sa.String(64), primary_key=True),
    sa.Column("address", sa.String(320), primary_key=True),  # folded to lower case
    sa.Column("delivery", sa.Uuid, primary_key=True),
    sa.Column("said_at", Moment, nullable=False, index=True),
    sa.Column("strength", sa.String(8), nullable=False, server_default="weak"),
    sa.Column("rule", sa.Text),  # of the verdict that said so; null: not known
    # To take back what a rule said, everywhere or for one.
    where("ix_hearsay_rule", "rule", "said_at", "delivery", only="rule IS NOT NULL"),
    where("ix_hearsay_own_rule", "organization", "rule", "said_at", "delivery", only="rule IS NOT NULL"),
)

mail_domain = sa.Table(
    "mail_domain",
    metadata,
    sa.Column("domain", sa.String(255), primary_key=True),
    sa.Column("taken_at", Moment, nullable=False, index=True),  # to within a day
    sa.Column("denied_since", Moment),
)
