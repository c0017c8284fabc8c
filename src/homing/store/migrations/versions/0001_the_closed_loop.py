"""The closed loop: organizations and people, messages and deliveries, what came back, cases and actions.

Written once from `store.tables` and frozen: later versions change the schema in files of their own.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MOMENT = sa.BigInteger()
_JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_ORIGINS = "api submission letter proof oops"
_STATES = "queued sending deferred delivered bounced expired canceled suppressed failed"
_EVENTS = (
    "queued attempted deferred delivered bounced expired failed suppressed canceled complained autoresponded replied "
    "opened_case rerouted fallback_sent notified action_failed unheard resent unexplained_return forwarding_failed"
)
_ACTIONS = "letter live sms webhook administrator log oops"


def upgrade() -> None:
    """Every table of the first version."""
    _organization()
    _api_key()
    _human_sender()
    _proof()
    _failure_policy()
    _stream()
    _suppression()
    _message()
    _message_content()
    _delivery()
    _attempt()
    _event()
    _idempotency()
    _usage()
    _inbound()
    _oops_answer()
    _case()
    _action()


def downgrade() -> None:
    """There is nothing before the first version: restore a backup instead."""
    raise NotImplementedError("the first version has none before it")


def _one_of(table: str, column: str, words: str) -> sa.CheckConstraint:
    quoted = ", ".join(f"'{word}'" for word in words.split())
    return sa.CheckConstraint(f"{column} IN ({quoted})", name=op.f(f"ck_{table}_{column}"))


def _index(name: str, table: str, columns: list[str], where: str | None = None) -> None:
    only = None if where is None else sa.text(where)
    op.create_index(name, table, columns, sqlite_where=only, postgresql_where=only)


def _transaction_number() -> sa.TextClause:
    on_postgresql = op.get_context().dialect.name == "postgresql"
    return sa.text("(pg_current_xact_id()::text)::bigint" if on_postgresql else "0")


def _organization() -> None:
    op.create_table(
        "organization",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("display_name", sa.String(128), nullable=False),
        sa.Column("failure_policy", sa.String(64), nullable=False),
        sa.Column("rate_limit", sa.Integer(), nullable=False),
        sa.Column("daily_cap", sa.Integer(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("pause_reason", sa.Text(), nullable=True),
        sa.Column("cors_origins", _JSON, nullable=False),
        sa.Column("administrator", sa.String(320), nullable=True),
        sa.Column("sms_fallback", sa.String(32), nullable=True),
        sa.Column("webhook_url", sa.Text(), nullable=True),
        sa.Column("webhook_secret", sa.Text(), nullable=True),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organization"),
        sa.UniqueConstraint("name", name="uq_organization_name"),
    )


def _api_key() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization", sa.Uuid(), nullable=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("last_four", sa.String(4), nullable=False),
        sa.Column("scopes", _JSON, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("revoked_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_key"),
        sa.UniqueConstraint("hash", name="uq_api_key_hash"),
    )
    _index("ix_api_key_organization", "api_key", ["organization"])


def _human_sender() -> None:
    op.create_table(
        "human_sender",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("address", sa.String(320), nullable=False),
        sa.Column("application_user", sa.String(128), nullable=True),
        sa.Column("phone", sa.String(32), nullable=True),
        sa.Column("proved_at", _MOMENT, nullable=True),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_human_sender"),
        sa.UniqueConstraint("organization", "address", name="uq_human_sender_organization_address"),
    )


def _proof() -> None:
    op.create_table(
        "proof",
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("human_sender", sa.Uuid(), nullable=False),
        sa.Column("address", sa.String(320), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("used_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("token_hash", name="pk_proof"),
        sa.UniqueConstraint("address", "day", "number", name="uq_proof_address_day_number"),
    )


def _failure_policy() -> None:
    op.create_table(
        "failure_policy",
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("document", _JSON, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("organization", "name", name="pk_failure_policy"),
    )


def _stream() -> None:
    op.create_table(
        "stream",
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("bulk", sa.Boolean(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("organization", "name", name="pk_stream"),
    )


def _suppression() -> None:
    op.create_table(
        "suppression",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("stream", sa.String(64), nullable=False),
        sa.Column("address", sa.String(320), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_suppression"),
        sa.UniqueConstraint("organization", "stream", "address", name="uq_suppression_organization_stream_address"),
    )


def _message() -> None:
    op.create_table(
        "message",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("stream", sa.String(64), nullable=False),
        sa.Column("human_sender", sa.Uuid(), nullable=True),
        sa.Column("human_sender_name", sa.String(128), nullable=False),
        sa.Column("human_sender_address", sa.String(320), nullable=False),
        sa.Column("application_user", sa.String(128), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("message_id", sa.String(255), nullable=False),
        sa.Column("failure_policy", sa.String(64), nullable=False),
        sa.Column("metadata", _JSON, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("smtputf8", sa.Boolean(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=True),
        sa.Column("case_step", sa.Integer(), nullable=True),
        sa.Column("created_at", _MOMENT, nullable=False),
        _one_of("message", "origin", _ORIGINS),
        sa.PrimaryKeyConstraint("id", name="pk_message"),
    )
    _index("ix_message_organization_id", "message", ["organization", "id"])


def _message_content() -> None:
    op.create_table(
        "message_content",
        sa.Column("message", sa.Uuid(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("message", name="pk_message_content"),
    )


def _delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("message", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("recipient", sa.String(320), nullable=False),
        sa.Column("recipient_domain", sa.String(255), nullable=False),
        sa.Column("role", sa.String(3), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("possibly_delivered", sa.Boolean(), nullable=False),
        sa.Column("bounced_late", sa.Boolean(), nullable=False),
        sa.Column("identity", _JSON, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("silent_deaths", sa.Integer(), nullable=False),
        sa.Column("reports", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", _MOMENT, nullable=True),
        sa.Column("lease_until", _MOMENT, nullable=True),
        sa.Column("lease_owner", sa.String(64), nullable=True),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("selector", sa.String(63), nullable=True),
        sa.Column("signed_at", _MOMENT, nullable=True),
        sa.Column("verdict", _JSON, nullable=True),
        sa.Column("resent_from", sa.Uuid(), nullable=True),
        sa.Column("phone", sa.String(32), nullable=True),
        sa.Column("resent_key", sa.String(255), nullable=True),
        sa.Column("case_id", sa.Uuid(), nullable=True),
        sa.Column("case_step", sa.Integer(), nullable=True),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        _one_of("delivery", "origin", _ORIGINS),
        _one_of("delivery", "role", "to cc bcc"),
        _one_of("delivery", "state", _STATES),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
        sa.UniqueConstraint(
            "organization", "resent_from", "resent_key", name="uq_delivery_organization_resent_from_resent_key"
        ),
    )
    _index("ix_delivery_due", "delivery", ["next_attempt_at"], "state IN ('queued', 'deferred')")
    _index("ix_delivery_leased", "delivery", ["lease_until"], "state = 'sending'")
    _index("ix_delivery_message", "delivery", ["message"])
    _index("ix_delivery_organization_id", "delivery", ["organization", "id"])


def _attempt() -> None:
    op.create_table(
        "attempt",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("delivery", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(64), nullable=True),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT, nullable=True),
        sa.Column("in_doubt", sa.Boolean(), nullable=False),
        sa.Column("stage", sa.String(16), nullable=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("ip", sa.String(64), nullable=False),
        sa.Column("tls", sa.String(64), nullable=False),
        sa.Column("reply_code", sa.Integer(), nullable=True),
        sa.Column("enhanced_status_code", sa.String(16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("verdict", _JSON, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_attempt"),
    )
    _index("ix_attempt_delivery", "attempt", ["delivery"])
    _index("ix_attempt_open", "attempt", ["started_at"], "ended_at IS NULL")


def _event() -> None:
    op.create_table(
        "event",
        sa.Column("seq", _SERIAL, nullable=False, autoincrement=True),
        sa.Column("txid", sa.BigInteger(), nullable=False, server_default=_transaction_number()),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("message", sa.Uuid(), nullable=True),
        sa.Column("delivery", sa.Uuid(), nullable=True),
        sa.Column("human_sender", sa.Uuid(), nullable=True),
        sa.Column("type", sa.String(24), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("data", _JSON, nullable=False),
        _one_of("event", "type", _EVENTS),
        sa.PrimaryKeyConstraint("seq", name="pk_event"),
        sqlite_autoincrement=True,
    )
    _index("ix_event_message", "event", ["message"])
    _index("ix_event_organization_txid_seq", "event", ["organization", "txid", "seq"])


def _idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("payload_hash", sa.String(64), nullable=False),
        sa.Column("message", sa.Uuid(), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("organization", "key", name="pk_idempotency"),
    )
    _index("ix_idempotency_created_at", "idempotency", ["created_at"])


def _usage() -> None:
    op.create_table(
        "usage",
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("organization", "day", name="pk_usage"),
    )


def _inbound() -> None:
    op.create_table(
        "inbound",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("received_at", _MOMENT, nullable=False),
        sa.Column("envelope_sender", sa.String(320), nullable=True),
        sa.Column("recipient", sa.String(320), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("organization", sa.Uuid(), nullable=True),
        sa.Column("delivery", sa.Uuid(), nullable=True),
        sa.Column("ip", sa.String(64), nullable=False),
        sa.Column("helo", sa.String(255), nullable=False),
        sa.Column("tls", sa.String(64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("flags", _JSON, nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=True),
        sa.Column("spool", sa.Text(), nullable=True),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("what", sa.String(16), nullable=True),
        sa.Column("verdict", _JSON, nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("lease_until", _MOMENT, nullable=True),
        sa.Column("erase_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_inbound"),
    )
    _index("ix_inbound_delivery", "inbound", ["delivery"])
    _index("ix_inbound_erase", "inbound", ["erase_at"], "erase_at IS NOT NULL")
    _index("ix_inbound_waiting", "inbound", ["id"], "state IN ('waiting', 'working')")


def _oops_answer() -> None:
    op.create_table(
        "oops_answer",
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("address", sa.String(320), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("organization", "address", "day", name="pk_oops_answer"),
    )


def _case() -> None:
    op.create_table(
        "case",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("delivery", sa.Uuid(), nullable=False),
        sa.Column("failure", sa.String(10), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("possibly_delivered", sa.Boolean(), nullable=False),
        sa.Column("strength", sa.String(8), nullable=False),
        sa.Column("verdict", _JSON, nullable=False),
        sa.Column("policy", _JSON, nullable=False),
        sa.Column("steps", _JSON, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("opened_at", _MOMENT, nullable=False),
        _one_of("case", "state", "open notified unheard resolved"),
        sa.PrimaryKeyConstraint("id", name="pk_case"),
        sa.UniqueConstraint("delivery", name="uq_case_delivery"),
    )
    _index("ix_case_organization_id", "case", ["organization", "id"])


def _action() -> None:
    op.create_table(
        "action",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=True),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("delivery", sa.Uuid(), nullable=True),
        sa.Column("recipient", sa.String(320), nullable=True),
        sa.Column("data", _JSON, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_at", _MOMENT, nullable=False),
        sa.Column("lease_until", _MOMENT, nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("claimed_at", _MOMENT, nullable=True),
        sa.Column("started_at", _MOMENT, nullable=True),
        sa.Column("provider_id", sa.String(255), nullable=True),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT, nullable=True),
        _one_of("action", "kind", _ACTIONS),
        _one_of("action", "state", "due running done failed skipped in_doubt"),
        sa.PrimaryKeyConstraint("id", name="pk_action"),
        sa.UniqueConstraint("case_id", "step", name="uq_action_case_id_step"),
    )
    _index("ix_action_budget", "action", ["organization", "kind", "claimed_at"])
    _index("ix_action_delivery", "action", ["delivery"])
    _index("ix_action_due", "action", ["due_at"], "state IN ('due', 'running')")
    _index("ix_action_provider_id", "action", ["provider_id"])
