"""Messages, what became of them, and what came back for them."""

import sqlalchemy as sa

from homing.loop.model import EventType, Origin, Role, State
from homing.store.tables.columns import CurrentTransaction, Json, Moment, Serial, metadata, one_of, where

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
    one_of("origin", Origin),
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
    sa.Column("receiver", sa.String(255)),  # who runs the host at which its last attempt ended; null before the first
    one_of("origin", Origin),
    one_of("role", Role),
    one_of("state", State),
    sa.UniqueConstraint("organization", "resent_from", "resent_key"),
    # The queue: only rows with something to do are in these indexes.
    where("ix_delivery_due", "next_attempt_at", only="state IN ('queued', 'deferred')"),
    where("ix_delivery_suspect", "next_attempt_at", only="state IN ('queued', 'deferred') AND silent_deaths > 0"),
    where("ix_delivery_leased", "lease_until", only="state = 'sending'"),
    # What lists ask for, in the order of lists, which is that of messages. What goes well is not in the second one.
    sa.Index("ix_delivery_recipient", "organization", sa.text("lower(recipient)"), "message"),
    where(
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
    where("ix_attempt_open", "started_at", only="ended_at IS NULL"),
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
    one_of("type", EventType),
    sa.Index("ix_event_organization_txid_seq", "organization", "txid", "seq"),
    sa.Index("ix_event_message", "message"),
    # A number is never used twice, even when the newest rows were removed: a reader's cursor stays good.
    sqlite_autoincrement=True,
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
    where("ix_inbound_erase", "erase_at", only="erase_at IS NOT NULL"),
    where("ix_inbound_waiting", "queue", "id", only="state IN ('waiting', 'working')"),
    sa.Index("ix_inbound_organization_id", "organization", "id"),
    sa.Index("ix_inbound_what_id", "what", "id"),
)

inbound_usage = sa.Table(  # of mail to an organization's deliveries, and to addresses that belong to none
    "inbound_usage",
    metadata,
    sa.Column("day", sa.Integer, primary_key=True),
    sa.Column("scope", sa.String(64), primary_key=True),  # an organization or a purpose; or one of them and a network
    sa.Column("octets", sa.BigInteger, nullable=False),
)

oops_answer = sa.Table(
    "oops_answer",
    metadata,
    sa.Column("organization", sa.Uuid, primary_key=True),
    sa.Column("address", sa.String(320), primary_key=True),  # folded
    sa.Column("day", sa.Integer, primary_key=True, index=True),
)
