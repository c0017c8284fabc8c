"""A store in which every text that somebody else may write is the same hostile one, whatever the doors refuse today.

Columns are taken from the tables: a new column of text is filled too, unless `OURS` says why only we write it. A word
that a CHECK or an enumeration of ours knows stays what it is.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from homing.loop import evidence, ids, model
from homing.loop.domains import sending_domains
from homing.loop.evidence import Answered, What
from homing.loop.model import CaseKind, EventType, NewEvent, Verdict
from homing.loop.policy import BUILTIN_DEFAULT
from homing.loop.watch import LoopFault, RoundEnd
from homing.mail import dkim_verification, dmarc, dmarc_record, spf_record
from homing.mail.reply import Reply, Stage
from homing.store import events, loop_probes, tables
from homing.store.events import Happening, Subject
from homing.store.json_documents import policy_to_json
from homing.store.tables import Moment
from tests.store.scenes import all_rows

from .failing import NO_SUCH_DOMAIN, fail, refusal
from .gateway import Gateway
from .test_inbound import came
from .test_lists import an_alarm, suppress

_SECRET = "sealed, or a hash: nothing that reads like text"
_CHOSEN = "one of our own words, by which code chooses; a stranger's word never gets there"
OURS = {
    "api_key.hash": _SECRET,
    "api_key.last_four": _SECRET,
    "api_key.scopes": _CHOSEN,
    "attempt.stage": _CHOSEN,
    "case.failure": _CHOSEN,
    "case.strength": _CHOSEN,
    "dkim_key.sealed": _SECRET,
    "hearsay.strength": _CHOSEN,
    "idempotency.payload_hash": _SECRET,
    "inbound.queue": _CHOSEN,
    "inbound.spool": "the name of a file that we made",
    "inbound.state": _CHOSEN,
    "inbound.what": _CHOSEN,
    "loop_probe.fault": _CHOSEN,
    "loop_probe.state": _CHOSEN,
    "message_content.body_hash": _SECRET,
    "organization.sealed_webhook_secret": _SECRET,
    "proof.token_hash": _SECRET,
    "session.hash": _SECRET,
    "session.key_hash": _SECRET,
    "waiting_queue.line": _CHOSEN,
    "waiting_stream.line": _CHOSEN,
}
"""Why nobody else writes these columns."""

_ENUMERATIONS = (model, evidence, sending_domains, dkim_verification, dmarc, dmarc_record, spf_record)
_CHANNELS = {"letter", "live", "administrator", "log", "nothing", "route"}
OUR_WORDS = _CHANNELS | {
    word.value
    for module in _ENUMERATIONS
    for words in vars(module).values()
    if isinstance(words, type) and issubclass(words, StrEnum)
    for word in words
}
"""Words of ours within a JSON document; they stay."""

KEYS_TOO = {"message.metadata"}
"""Documents of which others choose the keys too."""

_HEADERS = ("From", "To", "Subject", "Reply-To", "X-Loop", "List-Id", "Message-ID")

Words = Callable[[str], str]
"""The text for a column, which is named like `message.subject`."""


def written_by_others() -> list[sa.Column[Any]]:
    """The columns that hold what somebody else wrote."""
    return [column for column in text_columns() if str(column) not in OURS]


def text_columns() -> Iterator[sa.Column[Any]]:
    """Every column for text, documents or octets, but those for which a CHECK lists the words."""
    for table in tables.metadata.sorted_tables:
        checked = {
            str(one.name).rpartition("ck_")[2] for one in table.constraints if isinstance(one, sa.CheckConstraint)
        }
        for column in table.c:
            chosen = f"{table.name}_{column.name}" in checked or column.name in checked
            if isinstance(column.type, sa.String | sa.JSON | sa.LargeBinary) and not chosen:
                yield column


# -- rows of every table -----------------------------------------------------------------------------------------------


async def furnish(home: Gateway) -> dict[str, list[str]]:
    """Rows in every table, by way of the doors where they have a way. Returns what stands for the parameter of each
    page that has one: the ids of messages and of mails that came in, and tokens."""
    organization = home.acme.organization.id
    await home.call("PUT", "/v1/streams/news", json={"bulk": True})
    sent = [await home.send(stream="news", metadata={"a": "b"}, to=[f"r{n}@example.org"]) for n in range(7)]
    delivery = [one["deliveries"][0]["id"] for one in sent]
    home.clock.advance(timedelta(hours=4))
    await fail(home, delivery[0], refusal("no such user"))
    await fail(home, delivery[1], NO_SUCH_DOMAIN)
    await fail(home, delivery[2], _answered(452, Stage.RCPT_TO))
    await fail(home, delivery[3], _answered(250, Stage.DOT))
    await suppress(home, "r0@example.org", reason="none of ours")
    suppressed = await home.send(stream="news", to=["r0@example.org"])
    await an_alarm(home)
    mails = [await came(home, delivery[0]), await came(home), await came(home, purpose="abuse")]
    for fault in (LoopFault.REFUSED, LoopFault.TOKEN_REFUSED):
        await home.parts.loop_watch.look()
        probe = await home.database.read(loop_probes.newest)
        await home.parts.loop_watch._finish(probe, RoundEnd(fault=fault, said="no"))
    await home.database.write(_behind, UUID(int=ids.read("delivery", delivery[3]).int))
    await home.database.write(_happen, home, sent[4], organization)
    for table in tables.metadata.sorted_tables:
        if not await home.database.read(all_rows, table):
            await home.database.write(_one_row, table, home, organization)
    await home.database.write(_complete, home)
    return {"messages": [one["id"] for one in (*sent, suppressed)], "inbound": mails, "deliveries": delivery}


def _answered(code: int, stage: Stage) -> Answered:
    verdict = Verdict(failure_class="mailbox_full", kind="soft", rule="words.quota", text="so")
    return Answered(stage=stage, reply=Reply.of(code, "so"), host="mx.example.org", verdict=verdict)


def _behind(conn: sa.Connection, delivery: UUID) -> None:
    """A case of an address behind that of this delivery's recipient."""
    case = tables.case
    row = dict(conn.execute(case.select().where(case.c.kind == CaseKind.FAILURE.value)).mappings().first() or {})
    own = {"id": uuid4(), "delivery": delivery, "kind": CaseKind.FORWARDING_FAILURE.value, "failure": None}
    conn.execute(case.insert().values(row | own | {"subject": "behind"}))


def _happen(conn: sa.Connection, home: Gateway, sent: dict[str, Any], organization: UUID) -> None:
    """An event of each type, with and without each detail that a sentence may mention."""
    subject = Subject(
        organization=organization,
        message=ids.read("message", sent["id"]),
        delivery=ids.read("delivery", sent["deliveries"][0]["id"]),
    )
    said = dict.fromkeys(("host", "recipient", "to", "why", "header_from", "detail"), "x")
    variants = [
        said | {"receiver": "x", "closed_case": "x", "possibly_delivered": True},
        said | {"what": "x", "late": "x", "stage": "x", "changes": "x", "kind": "x"},
    ]
    by_channel = [said | {"channel": channel} for channel in ("x", "letter", "live", "administrator", "log")]
    told = {EventType.NOTIFIED, EventType.ACTION_FAILED}
    moments = [
        Happening(subject=subject, event=NewEvent(type=kind, data=data), at=home.clock())
        for kind in EventType
        for data in (by_channel if kind in told else variants)
    ]
    events.append(conn, moments)


CHOSEN = {"dkim_key.state": "active", "failure_policy.document": policy_to_json(BUILTIN_DEFAULT)}


def _one_row(conn: sa.Connection, table: sa.Table, home: Gateway, organization: UUID) -> None:
    values = {
        column.name: organization if column.name == "organization" else _value(column, home)
        for column in table.c
        if not (column.nullable or column.server_default or column.autoincrement is True)
    }
    conn.execute(table.insert().values(values))


def _value(column: sa.Column[Any], home: Gateway) -> Any:
    if str(column) in CHOSEN:
        return CHOSEN[str(column)]
    match column.type:
        case Moment():
            return home.clock()
        case sa.Uuid():
            return uuid4()
        case sa.Boolean():
            return True
        case sa.Integer():
            return 1
        case sa.LargeBinary():
            return b"x"
        case sa.JSON():
            return {"x": "x"}
        case _:
            return "x"


def _complete(conn: sa.Connection, home: Gateway) -> None:
    """What a page tells only where it is set."""
    now, nobody = home.clock(), UUID(int=0)
    conn.execute(tables.human_sender.update().values(attested_at=now, attested_key=nobody))
    conn.execute(tables.attempt.update().values(dialogue="x", verdict=None))
    conn.execute(tables.action.update().values(ended_at=now))
    delivery, waiting = tables.delivery, iter(_queued(conn))
    conn.execute(delivery.update().where(delivery.c.state == "deferred").values(possibly_delivered=True))
    for state in ("failed", "expired"):
        one = next(waiting)
        conn.execute(delivery.update().where(delivery.c.id == one.id).values(state=state))
    conn.execute(tables.message_content.delete().where(tables.message_content.c.message == one.message))
    reports = tables.inbound.update().where(tables.inbound.c.what.is_not(None))
    conn.execute(reports.values(what=What.COMPLAINT.value))


def _queued(conn: sa.Connection) -> Sequence[sa.Row[Any]]:
    """The deliveries that wait, the one to which everything happened first."""
    delivery = tables.delivery
    query = sa.select(delivery.c.id, delivery.c.message).where(delivery.c.state == "queued", delivery.c.origin == "api")
    return conn.execute(query.order_by(delivery.c.id)).all()


# -- what others wrote in them -----------------------------------------------------------------------------------------


def overwrite(conn: sa.Connection, words: Words) -> int:
    """Every column that somebody else may write says what `words` has for it; returns how many there are. The first row
    of a table has the bare text; where texts must differ, the others have a number behind it."""
    columns = written_by_others()
    for table in tables.metadata.sorted_tables:
        rows = conn.execute(table.select().order_by(*table.primary_key)).mappings().all()
        assert rows or table.name == "session", f"furnish makes no row of {table.name}"
        for number, row in enumerate(rows):
            values = {
                column.name: _written(column, row[column.name], words(str(column)), number)
                for column in columns
                if column.table is table
            }
            if values:
                here = [column == row[column.name] for column in table.primary_key]
                conn.execute(table.update().where(*here).values(values))
    return len(columns)


def _written(column: sa.Column[Any], before: Any, text: str, number: int) -> Any:
    match column.type:
        case sa.JSON() if str(column) in KEYS_TOO:
            return {text: text}
        case sa.JSON():
            return None if before is None else _document(before, text)
        case sa.LargeBinary():
            return a_mail(text)
        case _:
            if str(column) == "suppression.address":
                text = text.lower()
            if not _distinct(column):
                return text[: column.type.length]
            return text[: (column.type.length or 1000) - 4] + (f" {number}" if number else "")


def _document(value: Any, text: str) -> Any:
    match value:
        case dict():
            return {key: _document(each, text) for key, each in value.items()}
        case list():
            return [_document(each, text) for each in value]
        case str() if value not in OUR_WORDS:
            return text
        case _:
            return value


def _distinct(column: sa.Column[Any]) -> bool:
    """Whether a key or an index wants texts of this column to differ."""
    table = column.table
    keys = [one.columns for one in table.constraints if isinstance(one, sa.UniqueConstraint | sa.PrimaryKeyConstraint)]
    keys += [index.columns for index in table.indexes if index.unique]
    return bool(column.unique) or any(column.name in key for key in keys)


def a_mail(text: str) -> bytes:
    """A mail that says it wherever a mail says something, names of its attachments included."""
    one_line = " ".join(text.split())
    quoted = one_line.replace("\\", "\\\\").replace('"', '\\"')
    fields = "".join(f"{name}: {one_line}\r\n" for name in _HEADERS)
    disposition = f'Content-Disposition: attachment; filename="{quoted}"\r\n'
    report = f"Reporting-MTA: dns; {one_line}\r\n\r\nFinal-Recipient: rfc822; {one_line}\r\nAction: failed\r\n"
    return (
        f"{fields}MIME-Version: 1.0\r\nContent-Type: multipart/report; boundary=b\r\n\r\n"
        f"--b\r\nContent-Type: text/html\r\n\r\n{text}\r\n"
        f"--b\r\nContent-Type: message/delivery-status\r\n\r\n{report}Diagnostic-Code: smtp; 550 {one_line}\r\n\r\n"
        f'--b\r\nContent-Type: image/svg+xml; name="{quoted}"\r\n{disposition}\r\n{text}\r\n--b--\r\n'
    ).encode()
