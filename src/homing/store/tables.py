"""Every table, once, for both databases.

Portable by rule: ids are UUIDs made by the application; moments are BIGINT microseconds UTC; JSON documents are
`JSON` (JSONB on PostgreSQL); states are short text with a CHECK. `organization` stands in every organization's row and
index, and no foreign key crosses organizations, so that the same schema can be sharded by organization.
"""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from homing.loop.domains.sending_domains import RecordPurpose
from homing.loop.domains.signing_keys import KeyState
from homing.loop.model import ActionKind, ActionState, CaseKind, CaseState, EventType, Origin, Role, State
from homing.loop.subject import SUBJECT

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(sa.TypeDecorator[datetime]):
    """An aware datetime as microseconds since 1970 (UTC)."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else (value - _EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else _EPOCH + timedelta(microseconds=value)


class CurrentTransaction(sa.sql.functions.FunctionElement[int]):
    """The number of the running transaction on PostgreSQL; 0 on SQLite, which has one writer and needs none."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(CurrentTransaction)
def _no_transaction_number(element: CurrentTransaction, compiler: SQLCompiler, **_: object) -> str:  # noqa: ARG001
    return "0"


@compiles(CurrentTransaction, "postgresql")
def _transaction_number(element: CurrentTransaction, compiler: SQLCompiler, **_: object) -> str:  # noqa: ARG001
    return "(pg_current_xact_id()::text)::bigint"


Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _one_of(column: str, values: type) -> sa.CheckConstraint:
    words = ", ".join(f"'{value}'" for value in values)  # type: ignore[attr-defined]
    return sa.CheckConstraint(f"{column} IN ({words})", name=column)


def _where(name: str, *columns: str, only: str) -> sa.Index:
    """An index of the rows alone for which `only` holds. A statement that it shall serve says the same words."""
    return sa.Index(name, *columns, sqlite_where=sa.text(only), postgresql_where=sa.text(only))


# Compared octet by octet, so that an index serves for beginnings of names.
_Name = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")

organization = sa.Table(
    "organization",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", _Name, nullable=False, unique=True),
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
    sa.Column("scopes", Json, nullable=False),  # list: send, read, manage, admin
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("revoked_at", Moment),
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
    sa.UniqueConstraint("organization", "address"),
)

proof = sa.Table(
    "proof",
    metadata,
    sa.Column("token_hash", sa.String(64), primary_key=True),
    sa.Column("organization", sa.Uuid, nullable=False),
    sa.Column("human_sender", sa.Uuid, nullable=False),
    sa.Column("address", sa.String(320), nullable=False),  # folded
    sa.Column("day", sa.Integer, nullable=False),  # days since 1970 (UTC)
    sa.Column("number", sa.Integer, nullable=False),  # 1, 2, 3: which letter of that day to that address
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Column("used_at", Moment),
    sa.UniqueConstraint("address", "day", "number"),
    sa.Index("ix_proof_day", "day"),
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
    _where("ix_suppression_expires", "expires_at", only="expires_at IS NOT NULL"),
    # To lift what a rule caused, everywhere or for one, or all for one reason, and to look at no other rows.
    _where("ix_suppression_rule", "rule", "created_at", "id", only="rule IS NOT NULL"),
    _where("ix_suppression_own_rule", "organization", "rule", "created_at", "id", only="rule IS NOT NULL"),
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
    _where("ix_lifted_suppression_rule", "rule", "organization", only="rule IS NOT NULL"),
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
    _where("ix_hearsay_rule", "rule", "said_at", "delivery", only="rule IS NOT NULL"),
    _where("ix_hearsay_own_rule", "organization", "rule", "said_at", "delivery", only="rule IS NOT NULL"),
)

mail_domain = sa.Table(
    "mail_domain",
    metadata,
    sa.Column("domain", sa.String(255), primary_key=True),
    sa.Column("taken_at", Moment, nullable=False, index=True),  # to within a day
    sa.Column("denied_since", Moment),
)

wall_clock = sa.Table(
    "wall_clock",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),  # one row
    sa.Column("seen_at", Moment, nullable=False),
    sa.Column("jumped_at", Moment),
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
    _where("ix_alarm_untold", "first_at", only="told_at IS NULL OR last_at > told_at"),
)

message = sa.Table(
    "message",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("organization", sa.Uuid, nullable=False),
    sa.Column("origin", sa.String(16), nullable=False),
    sa.Column("stream", sa.String(64), nullable=False),
    sa.Column("human_sender", sa.Uuid),
    sa.Column("human_sender_name", sa.String(128), nullable=False),
    sa.Column("human_sender_address", sa.String(320), nullable=False),
    sa.Column("application_user", sa.String(128)),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("message_id", sa.String(255), nullable=False),  # Message-ID without angle brackets
    sa.Column("failure_policy", sa.String(64), nullable=False),
    sa.Column("metadata", Json, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),  # octets of the content
    sa.Column("smtputf8", sa.Boolean, nullable=False),
    sa.Column("case_id", sa.Uuid),  # the case that a letter serves
    sa.Column("case_step", sa.Integer),
    sa.Column("created_at", Moment, nullable=False),
    _one_of("origin", Origin),
    sa.Index(None, "organization", "id"),
)

message_content = sa.Table(
    "message_content",
    metadata,
    sa.Column("message", sa.Uuid, primary_key=True),
    # From, Reply-To, the trace header and the signature belong to the delivery and are not in here.
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("body_hash", sa.LargeBinary),  # what each of its signatures says in bh=; null: accepted long ago
)

delivery = sa.Table(
    "delivery",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("organization", sa.Uuid, nullable=False),
    sa.Column("message", sa.Uuid, nullable=False, index=True),
    sa.Column("origin", sa.String(16), nullable=False),
    sa.Column("recipient", sa.String(320), nullable=False),
    sa.Column("recipient_domain", sa.String(255), nullable=False),
    sa.Column("role", sa.String(3), nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("possibly_delivered", sa.Boolean, nullable=False),
    sa.Column("bounced_late", sa.Boolean, nullable=False),
    sa.Column("identity", Json, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("silent_deaths", sa.Integer, nullable=False),  # claims that died without an answer
    sa.Column("reports", sa.Integer, nullable=False),
    sa.Column("next_attempt_at", Moment),
    sa.Column("lease_until", Moment),
    sa.Column("lease_owner", sa.String(64)),
    sa.Column("expires_at", Moment, nullable=False),
    # DKIM selectors (with commas; `@`: of the operator's own domain) and t= of the first attempt: later ones send the
    # same bytes.
    sa.Column("selector", sa.String(63)),
    sa.Column("signed_at", Moment),
    sa.Column("verdict", Json),
    sa.Column("resent_from", sa.Uuid),
    sa.Column("phone", sa.String(32)),  # the recipient's, for SMS steps that go to the recipient
    sa.Column("resent_key", sa.String(255)),
    sa.Column("case_id", sa.Uuid),  # the case that this delivery serves, when it is a letter
    sa.Column("case_step", sa.Integer),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("receiver", sa.String(255)),  # whose mail hosts its last attempt went to; null before there was a route
    _one_of("origin", Origin),
    _one_of("role", Role),
    _one_of("state", State),
    sa.UniqueConstraint("organization", "resent_from", "resent_key"),
    # The queue: only rows with something to do are in these indexes.
    _where("ix_delivery_due", "next_attempt_at", only="state IN ('queued', 'deferred')"),
    _where("ix_delivery_suspect", "next_attempt_at", only="state IN ('queued', 'deferred') AND silent_deaths > 0"),
    _where("ix_delivery_leased", "lease_until", only="state = 'sending'"),
    # What lists ask for, in the order of lists, which is that of messages. What goes well is not in the second one.
    sa.Index("ix_delivery_recipient", "organization", sa.text("lower(recipient)"), "message"),
    _where(
        "ix_delivery_troubled",
        "organization",
        "state",
        "message",
        only="state IN ('deferred', 'bounced', 'expired', 'canceled', 'suppressed', 'failed')",
    ),
)

attempt = sa.Table(
    "attempt",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("organization", sa.Uuid, nullable=False),
    sa.Column("delivery", sa.Uuid, nullable=False, index=True),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("lease_owner", sa.String(64)),  # who opened it
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),  # null: open. A crash leaves it so, and the delivery is then in doubt
    sa.Column("in_doubt", sa.Boolean, nullable=False),
    sa.Column("stage", sa.String(16)),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("ip", sa.String(64), nullable=False),
    sa.Column("tls", sa.String(64), nullable=False),
    sa.Column("reply_code", sa.Integer),
    sa.Column("enhanced_status_code", sa.String(16), nullable=False),
    sa.Column("text", sa.Text, nullable=False),  # of the reply, or why there was none
    sa.Column("verdict", Json),
    sa.Column("receiver", sa.String(255), nullable=False, server_default=""),  # "": there was no route, or long ago
    sa.Column("egress_ip", sa.String(64), nullable=False, server_default=""),  # ours, of the connection
    sa.Column("dialogue", sa.Text),  # the SMTP dialogue, unless it ended with a plain 250
    _where("ix_attempt_open", "started_at", only="ended_at IS NULL"),
)

event = sa.Table(
    "event",
    metadata,
    sa.Column("seq", Serial, primary_key=True, autoincrement=True),
    # PostgreSQL fills in the transaction's id: readers stay below the oldest running one, so that no late committer
    # is skipped. SQLite has one writer, where `seq` alone is the order of commits.
    sa.Column("txid", sa.BigInteger, nullable=False, server_default=CurrentTransaction()),
    sa.Column("id", sa.Uuid, nullable=False),
    sa.Column("organization", sa.Uuid, nullable=False),
    sa.Column("message", sa.Uuid),
    sa.Column("delivery", sa.Uuid),
    sa.Column("human_sender", sa.Uuid),
    sa.Column("type", sa.String(24), nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("data", Json, nullable=False),
    _one_of("type", EventType),
    sa.Index("ix_event_organization_txid_seq", "organization", "txid", "seq"),
    sa.Index("ix_event_message", "message"),
    # A number is never used twice, even when the newest rows were removed: a reader's cursor stays good.
    sqlite_autoincrement=True,
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

usage = sa.Table(
    "usage",
    metadata,
    sa.Column("organization", sa.Uuid, primary_key=True),
    sa.Column("day", sa.Integer, primary_key=True, index=True),  # days since 1970 (UTC)
    sa.Column("deliveries", sa.Integer, nullable=False),
)

inbound = sa.Table(
    "inbound",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("received_at", Moment, nullable=False),
    sa.Column("envelope_sender", sa.String(320)),  # null: the null sender
    sa.Column("recipient", sa.String(320), nullable=False),
    sa.Column("purpose", sa.String(16), nullable=False),  # envelope, header_from, unsubscribe, postmaster, abuse, …
    sa.Column("organization", sa.Uuid),
    sa.Column("delivery", sa.Uuid, index=True),
    sa.Column("ip", sa.String(64), nullable=False),
    sa.Column("helo", sa.String(255), nullable=False),
    sa.Column("tls", sa.String(64), nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("flags", Json, nullable=False),  # list: bare_lf, bare_cr, nul, smtputf8
    sa.Column("raw", sa.LargeBinary),  # the first MiB; null after its retention time (a tombstone stays)
    sa.Column("spool", sa.Text),  # file with all of it, when it is larger
    sa.Column("state", sa.String(12), nullable=False),  # waiting, working, done, unparsed
    sa.Column("what", sa.String(16)),
    sa.Column("verdict", Json),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("lease_until", Moment),
    sa.Column("erase_at", Moment),
    sa.Column("authentication", Json),  # what SPF, DKIM and DMARC said of it
    sa.Column("queue", sa.String(8), nullable=False, server_default="other"),  # evidence, other, large
    _where("ix_inbound_erase", "erase_at", only="erase_at IS NOT NULL"),
    _where("ix_inbound_waiting", "queue", "id", only="state IN ('waiting', 'working')"),
    sa.Index("ix_inbound_organization_id", "organization", "id"),
    sa.Index("ix_inbound_what_id", "what", "id"),
)

inbound_usage = sa.Table(  # of mail to addresses that belong to no delivery
    "inbound_usage",
    metadata,
    sa.Column("day", sa.Integer, primary_key=True),
    sa.Column("octets", sa.BigInteger, nullable=False),
)

oops_answer = sa.Table(
    "oops_answer",
    metadata,
    sa.Column("organization", sa.Uuid, primary_key=True),
    sa.Column("address", sa.String(320), primary_key=True),  # folded
    sa.Column("day", sa.Integer, primary_key=True, index=True),
)

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
    _one_of("kind", CaseKind),
    _one_of("state", CaseState),
    sa.Index("ix_case_organization_id", "organization", "id"),
    # A delivery fails once, and an old forwarding failure makes place for a new one (`cases.open_all`); the others may
    # come again after somebody has dealt with them.
    sa.Index(
        "uq_case_subject",
        "organization",
        "kind",
        "subject",
        unique=True,
        sqlite_where=sa.text("state <> 'resolved' OR kind IN ('failure', 'delay', 'forwarding_failure')"),
        postgresql_where=sa.text("state <> 'resolved' OR kind IN ('failure', 'delay', 'forwarding_failure')"),
    ),
    sa.Index("ix_case_organization_state_id", "organization", "state", "id"),
    _where("ix_case_unsettled", "state", only="state IN ('open', 'unheard')"),
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
    _one_of("kind", ActionKind),
    _one_of("state", ActionState),
    sa.UniqueConstraint("case_id", "step"),
    sa.Index("ix_action_delivery", "delivery"),
    sa.Index("ix_action_budget", "organization", "kind", "claimed_at"),
    _where("ix_action_due", "due_at", only="state IN ('due', 'running')"),
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
    _one_of("state", KeyState),
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
    _one_of("signing", RecordPurpose),
    sa.UniqueConstraint("organization", "domain"),
    _where("ix_sending_domain_due", "next_check_at", only="removed_at IS NULL"),
)
