"""Organizations and their people: keys, names, policies, domains, and what they may use up."""

import sqlalchemy as sa

from homing.loop.domains.sending_domains import RecordPurpose
from homing.loop.domains.signing_keys import KeyState
from homing.store.tables.columns import Json, Moment, Name, metadata, one_of, where

organization = sa.Table(
    "organization",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", Name, nullable=False, unique=True),
    sa.Column("display_name", sa.String(128), nullable=False),
    sa.Column("failure_policy", sa.String(64), nullable=False),
    sa.Column("rate_limit", sa.Integer, nullable=False),  # deliveries a minute
    sa.Column("daily_cap", sa.Integer, nullable=False),  # deliveries a day (UTC)
    sa.Column("paused", sa.Boolean, nullable=False),
    sa.Column("pause_reason", sa.Text),
    sa.Column("cors_origins", Json, nullable=False),  # list of origins
    sa.Column("administrator", sa.String(320)),  # address for administrator letters
    sa.Column("sms_fallback", sa.String(32)),  # number for SMS steps without a metadata phone
    sa.Column("webhook_url", sa.Text),
    sa.Column("webhook_secret", sa.Text),  # as older versions left it; sealed at the next start, and then null
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("sealed_webhook_secret", sa.LargeBinary),  # whsec_…, sealed
    sa.Column("display_name_checked_at", Moment),  # null: it is from before names were held to the guard
    sa.Column("administrator_proved_at", Moment),
    # On whose word it is proved, as with human senders.
    sa.Column("administrator_attested_at", Moment),
    sa.Column("administrator_attested_key", sa.Uuid),
    sa.Column("administrator_attested_key_name", sa.String(64)),
    sa.Column("administrator_attested_note", sa.Text),
    # Whether it is from before such addresses were proved.
    sa.Column("administrator_taken_over", sa.Boolean, nullable=False, server_default=sa.false()),
)

allowed_name = sa.Table(
    "allowed_name",
    metadata,
    # What the operator has let an organization be called although the guard refuses it; kept for the record.
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("organization", sa.Uuid, nullable=False, index=True),
    sa.Column("display_name", sa.String(128), nullable=False),
    sa.Column("claim", sa.String(64), nullable=False),  # why the guard refuses it
    sa.Column("words", sa.String(128), nullable=False),  # which words of it
    sa.Column("reason", sa.Text, nullable=False),  # why the operator allowed it
    sa.Column("api_key", sa.Uuid, nullable=False),  # with which key; 0: that of the settings
    sa.Column("api_key_name", sa.String(64), nullable=False),
    sa.Column("allowed_at", Moment, nullable=False),
)

guarded_name = sa.Table(
    "guarded_name",
    metadata,
    # What a display name may be taken for: see loop.domains.impersonation. Cut, so that an index takes it.
    sa.Column("skeleton", sa.String(200), primary_key=True),
    sa.Column("organization", sa.Uuid, primary_key=True, index=True),
    sa.Column("letters", sa.Text, nullable=False),
    sa.Column("common", sa.Boolean, nullable=False),
)

api_key = sa.Table(
    "api_key",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("organization", sa.Uuid, index=True),  # null: an administrator's key
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),  # SHA-256, hex, of the whole key
    sa.Column("last_four", sa.String(4), nullable=False),
    sa.Column("scopes", Json, nullable=False),  # list: send, read, manage, attest, admin
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("revoked_at", Moment),
)

session = sa.Table(  # of a browser on the pages
    "session",
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),  # SHA-256, hex, of what the cookie holds
    sa.Column("key_hash", sa.String(64), nullable=False),  # of the key that it was opened with
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False, index=True),
)

human_sender = sa.Table(
    "human_sender",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("organization", sa.Uuid, nullable=False),
    sa.Column("name", sa.String(128), nullable=False),
    sa.Column("address", sa.String(320), nullable=False),  # domain as A-label, lower case
    sa.Column("application_user", sa.String(128)),  # the application's own id of this person
    sa.Column("phone", sa.String(32)),
    sa.Column("proved_at", Moment),
    sa.Column("created_at", Moment, nullable=False),
    # On whose word it is proved: the key, 0 for that of the settings. Null: only its owner has proved it, or nobody.
    sa.Column("attested_at", Moment),
    sa.Column("attested_key", sa.Uuid),
    sa.Column("attested_key_name", sa.String(64)),
    sa.Column("attested_note", sa.Text),
    sa.UniqueConstraint("organization", "address"),
)

proof = sa.Table(
    "proof",
    metadata,
    sa.Column("token_hash", sa.String(64), primary_key=True),
    sa.Column("organization", sa.Uuid, nullable=False),
    sa.Column("human_sender", sa.Uuid),  # null: the organization's administrator
    sa.Column("address", sa.String(320), nullable=False),  # folded
    sa.Column("day", sa.Integer, nullable=False),  # days since 1970 (UTC)
    sa.Column("number", sa.Integer, nullable=False),  # 1, 2, 3: which letter of that day to that mailbox
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Column("used_at", Moment),
    sa.Column("mailbox", sa.String(320), nullable=False, server_default=""),  # to count: without sub-address
    sa.UniqueConstraint("mailbox", "day", "number"),
    sa.Index("ix_proof_day", "day"),
    sa.Index("ix_proof_organization_day", "organization", "day"),
)

failure_policy = sa.Table(
    "failure_policy",
    metadata,
    sa.Column("organization", sa.Uuid, primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("document", Json, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
)

stream = sa.Table(
    "stream",
    metadata,
    sa.Column("organization", sa.Uuid, primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("bulk", sa.Boolean, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
)

usage = sa.Table(
    "usage",
    metadata,
    sa.Column("organization", sa.Uuid, primary_key=True),
    sa.Column("day", sa.Integer, primary_key=True, index=True),  # days since 1970 (UTC)
    sa.Column("deliveries", sa.Integer, nullable=False),
)

idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column("organization", sa.Uuid, primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("payload_hash", sa.String(64), nullable=False),
    sa.Column("message", sa.Uuid, nullable=False),
    sa.Column("response", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False, index=True),
)

dkim_key = sa.Table(
    "dkim_key",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("organization", sa.Uuid),  # null: the operator's
    sa.Column("domain", sa.String(255), nullable=False),  # d=
    sa.Column("selector", sa.String(63), nullable=False),  # s=
    sa.Column("algorithm", sa.String(16), nullable=False),
    sa.Column("record_name", sa.String(255), nullable=False),  # where the record stands; CNAMEs lead there
    sa.Column("record", sa.Text, nullable=False),  # the public half, as it is published
    sa.Column("sealed", sa.LargeBinary, nullable=False),  # the private half: see loop.sealing
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("published_at", Moment),
    sa.Column("activated_at", Moment),
    sa.Column("draining_at", Moment),
    sa.Column("retired_at", Moment),
    sa.Column("revoked_at", Moment),
    one_of("state", KeyState),
    # One key at a time stands under a name.
    sa.Index(
        "ix_dkim_key_in_use",
        "record_name",
        unique=True,
        sqlite_where=sa.text("state IN ('created', 'published', 'active', 'draining')"),
        postgresql_where=sa.text("state IN ('created', 'published', 'active', 'draining')"),
    ),
)

sending_domain = sa.Table(
    "sending_domain",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("organization", sa.Uuid, nullable=False),
    sa.Column("domain", sa.String(255), nullable=False),  # A-label, lower case
    sa.Column("label", sa.String(16), nullable=False),  # of the names of ours that its records lead to
    sa.Column("own_recipients", sa.Boolean, nullable=False),
    sa.Column("facts", Json, nullable=False),  # what is known of each record, by its purpose
    sa.Column("signing", sa.String(16)),  # which DKIM record leads to the key that signs; null: none does
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("checked_at", Moment),
    sa.Column("next_check_at", Moment, nullable=False),
    sa.Column("removed_at", Moment),  # bounces still come to its return path
    one_of("signing", RecordPurpose),
    sa.UniqueConstraint("organization", "domain"),
    where("ix_sending_domain_due", "next_check_at", only="removed_at IS NULL"),
)
