"""Large stores, quickly: organizations, and deliveries that have ended, made by the database itself, without contents.

What grows with the past grows with `deliveries` or `organizations`; what waits is the same in every store, and so is
how much belongs to one recipient.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa

from homing.loop.domains.impersonation import guard
from homing.loop.model import OrganizationId
from homing.store import tables
from homing.store.dialect import insert_all, on_postgresql
from homing.store.ids import day_of
from homing.store.json_documents import identity_to_json

from .scenes import IDENTITY, NOW

WAITING = 60
"""Deliveries that wait, leases, actions, mails that came in, open cases: so many of each."""
OF_ONE_RECIPIENT = 10

_NOW = int(NOW.timestamp()) * 1000
_APART = 250
"""Milliseconds between two messages: a million of them came within three days."""
_ORGANIZATION, _PERSON, _MESSAGE, _DELIVERY, _OTHER = range(1, 6)


@dataclass(frozen=True, slots=True)
class Size:
    organizations: int
    deliveries: int


@dataclass(frozen=True, slots=True)
class Large:
    """What a large store holds, by number: 0 is the oldest. Most of it belongs to organization 0."""

    size: Size

    @property
    def organization(self) -> OrganizationId:
        return OrganizationId(_id(_ORGANIZATION, 0, 0))

    @property
    def human_sender(self) -> UUID:
        return _id(_PERSON, 0, 0)

    @property
    def recipient(self) -> str:
        return "person1@example1.net"

    def message(self, number: int) -> UUID:
        return _id(_MESSAGE, number, self._moment(number))

    def delivery(self, number: int) -> UUID:
        return _id(_DELIVERY, number, self._moment(number))

    def _moment(self, number: int) -> int:
        return _NOW - (self.size.deliveries - number) * _APART


def build(conn: sa.Connection, size: Size) -> Large:
    """Into an empty, migrated store."""
    sql = _Sql(on_postgresql(conn))
    if not sql.postgresql:
        conn.exec_driver_sql("PRAGMA cache_size = -400000")  # KiB: indexes in no order of time are filled in memory
    for table, given, source in (*_settings(sql, size), *_sent(sql, size), *_came_of_it(sql, size)):
        columns = _filled(sql, table, given)
        chosen = f"SELECT {', '.join(columns.values())} FROM {source}"
        conn.exec_driver_sql(f'INSERT INTO "{table.name}" ({", ".join(columns)}) {chosen}')
    for first in range(0, size.organizations, 1000):
        _guard_names(conn, range(first, min(first + 1000, size.organizations)))
    return Large(size)


def _guard_names(conn: sa.Connection, numbers: range) -> None:
    rows = [
        {"skeleton": skeleton, "organization": _id(_ORGANIZATION, n, 0), "letters": one.letters, "common": one.common}
        for n in numbers
        for skeleton, one in guard([f"Firm {n} Bakers Ltd"]).items()
    ]
    insert_all(conn, tables.guarded_name, rows)


def _id(kind: int, number: int, milliseconds: int) -> UUID:
    return UUID(f"{milliseconds:012x}7{kind:03x}8000{number:012x}")


@dataclass(frozen=True, slots=True)
class _Sql:
    """What the two databases do not spell alike."""

    postgresql: bool

    def numbers(self, first: int, count: int) -> str:
        if self.postgresql:
            return f"generate_series({first}::bigint, {first + count - 1}::bigint) AS s(n)"
        many = f"SELECT {first} AS n UNION ALL SELECT n + 1 FROM s WHERE n + 1 < {first + count}"
        return f"(WITH RECURSIVE s(n) AS ({many}) SELECT n FROM s) AS s"

    def id(self, kind: int, number: str = "n", milliseconds: str = "0") -> str:
        """A UUIDv7 of that moment."""
        if self.postgresql:
            moment, own = (f"lpad(to_hex(({part})::bigint), 12, '0')" for part in (milliseconds, number))
            return f"({moment} || '7{kind:03x}8000' || {own})::uuid"
        return f"printf('%012x7{kind:03x}8000%012x', {milliseconds}, {number})"

    def json(self, text: str) -> str:
        return f"'{text}'::jsonb" if self.postgresql else f"'{text}'"

    def zero(self, column: sa.Column[object]) -> str:
        """What says nothing."""
        match column.type:
            case sa.JSON():
                return self.json("{}")
            case sa.Boolean():
                return "false"
            case sa.Uuid():
                return self.id(_OTHER)
            case sa.LargeBinary():
                return "''"
            case sa.String():
                return "''"
        return "0"


_Row = tuple[sa.Table, dict[str, str], str]


def _filled(sql: _Sql, table: sa.Table, given: dict[str, str]) -> dict[str, str]:
    needed = [one for one in table.columns if not one.nullable and one.server_default is None and one.name != "seq"]
    return {one.name: sql.zero(one) for one in needed} | given


def _settings(sql: _Sql, size: Size) -> Iterator[_Row]:
    """What organizations are and have."""
    each = sql.numbers(0, size.organizations)
    mine = sql.id(_ORGANIZATION)
    name = {"name": "'firm-' || n", "display_name": "'Firm ' || n || ' Bakers Ltd'", "failure_policy": "'default'"}
    yield tables.organization, {"id": mine, "cors_origins": sql.json("[]"), **name, "created_at": "n"}, each
    person = {"id": sql.id(_PERSON), "name": "'Janet'", "address": "'janet' || n || '@example.com'"}
    yield tables.human_sender, {**person, "organization": mine, "proved_at": "n"}, each
    yield tables.usage, {"organization": mine, "day": str(day_of(NOW)), "deliveries": "10"}, each
    domain = {"organization": mine, "domain": "'firm' || n || '.example'", "next_check_at": str(_NOW * 1000 + 10**12)}
    yield tables.sending_domain, {"id": sql.id(_OTHER), **domain}, each


def _sent(sql: _Sql, size: Size) -> Iterator[_Row]:
    """Messages and deliveries: ended ones, then those that wait, due tomorrow."""
    many, now = size.deliveries, _NOW * 1000
    moment = f"({_NOW} - ({many} - n) * {_APART})"
    owner = f"CASE WHEN n % 5 > 0 THEN 0 ELSE n % {size.organizations} END"
    about = {
        "organization": sql.id(_ORGANIZATION, owner),
        "origin": "'api'",
        "created_at": f"{moment} * 1000",
    }
    message = sql.id(_MESSAGE, "n", moment)
    written = {"id": message, "stream": "'default'", "human_sender": sql.id(_PERSON, owner), "subject": "'Hello'"}
    delivery = {
        "id": sql.id(_DELIVERY, "n", moment),
        "message": message,
        "role": "'to'",
        "recipient": f"'person' || n % {max(1, many // OF_ONE_RECIPIENT)} || '@example' || n % 10 || '.net'",
        "recipient_domain": "'example' || n % 10 || '.net'",
        "identity": sql.json(_json(identity_to_json(IDENTITY))),
        "expires_at": str(now + 10**12),
        "updated_at": f"{moment} * 1000",
    }
    failed = "CASE n % 100 WHEN 1 THEN 'expired' WHEN 2 THEN 'suppressed' WHEN 3 THEN 'bounced' WHEN 4 THEN 'bounced'"
    for first, count, state, extra in (
        (0, many, f"{failed} ELSE 'delivered' END", {}),
        (many, WAITING, "'queued'", {"next_attempt_at": str(now + 10**11)}),
        (many + WAITING, WAITING, "'deferred'", {"next_attempt_at": str(now + 10**11)}),
        (many + 2 * WAITING, WAITING, "'sending'", {"lease_until": str(now + 10**9), "lease_owner": "'w'"}),
    ):
        those = sql.numbers(first, count)
        yield tables.message, {**about, **written}, those
        yield tables.delivery, {**about, **delivery, "state": state, **extra}, those
        if extra:
            yield tables.message_content, {"message": message}, those
    tried = {"id": sql.id(_OTHER, "n", moment), "delivery": delivery["id"], "organization": about["organization"]}
    answer = {"started_at": f"{moment} * 1000", "host": "'mx.example.net'", "text": "'2.0.0 ok'"}
    yield tables.attempt, {**tried, **answer, "ended_at": f"{moment} * 1000"}, sql.numbers(0, many)
    yield tables.attempt, {**tried, **answer}, sql.numbers(many + 2 * WAITING, WAITING)
    happened = {"id": sql.id(_OTHER, "n", moment), "message": message, "delivery": delivery["id"]}
    told = {"organization": about["organization"], "human_sender": written["human_sender"], "at": f"{moment} * 1000"}
    for event in ("queued", "delivered"):
        yield tables.event, {**happened, **told, "type": f"'{event}'"}, sql.numbers(0, many)


def _came_of_it(sql: _Sql, size: Size) -> Iterator[_Row]:
    """Cases, actions, returned mail, and what is remembered of addresses: a share of the deliveries each."""
    many, now = size.deliveries, _NOW * 1000
    number = "(n * 20 + 1)"  # of the delivery: never one that belongs to a small organization
    moment = f"({_NOW} - ({many} - {number}) * {_APART})"
    mine = {"organization": sql.id(_ORGANIZATION, "0")}
    case, id = sql.id(_DELIVERY, number, moment), sql.id(_OTHER, "n", moment)  # noqa: A001 - the column's word
    verdict = sql.json('{"failure_class": "system", "kind": "soft", "rule": "r"}')
    failed = {
        **mine,
        "id": case,
        "delivery": case,
        "kind": "'failure'",
        "subject": "CAST(n AS VARCHAR(32))",
        "failure": "'bounced'",
        "strength": "'strong'",
        "verdict": verdict,
        "policy": sql.json('{"name": "default", "steps": []}'),
        "steps": sql.json("[]"),
    }
    done = {
        **mine,
        "id": id,
        "kind": "'letter'",
        "case_id": case,
        "step": "0",
        "delivery": case,
        "data": sql.json("{}"),
    }
    came = {**mine, "id": id, "recipient": "'b+token@b.post.example'", "purpose": "'envelope'", "delivery": case}
    share = many // 20
    settled = "CASE WHEN n % 4 = 0 THEN 'resolved' WHEN n % 4 = 1 THEN 'unheard' ELSE 'notified' END"
    for first, count, in_case, in_action, in_mail in (
        (0, share - WAITING, settled, "'done'", "'done'"),
        (share - WAITING, WAITING, "'open'", "'due'", "'waiting'"),
    ):
        those = sql.numbers(first, count)
        yield tables.case, {**failed, "state": in_case, "opened_at": f"{moment} * 1000"}, those
        yield tables.action, {**done, "state": in_action, "due_at": str(now + 10**12)}, those
        soon = {"lease_until": str(now + 10**9)} if in_mail == "'waiting'" else {"what": "'bounce'"}
        yield tables.inbound, {**came, "flags": sql.json("[]"), "state": in_mail, **soon}, those
    yield from _remembered(sql, size)


def _remembered(sql: _Sql, size: Size) -> Iterator[_Row]:
    """None of it is to be forgotten yet."""
    now, day, share = _NOW * 1000, str(day_of(NOW)), sql.numbers(0, size.deliveries // 20)
    of_address = {"organization": sql.id(_ORGANIZATION, "0"), "stream": "'default'", "address": "'a' || n || '@b.net'"}
    listed = {**of_address, "id": sql.id(_OTHER), "created_at": str(now), "reason": "'bounced'"}
    ruled = {"expires_at": f"CASE n % 2 WHEN 0 THEN {now + 10**12} END", "rule": "'words.' || (n % 3)"}
    yield tables.suppression, {**listed, **ruled}, share
    ended = {"id": sql.id(_OTHER), "rule": "'words.' || (n % 3)", "suppressed_at": str(now), "lifted_at": str(now)}
    yield tables.lifted_suppression, {**of_address, **ended}, share
    yield tables.full_mailbox, {**of_address, "first_at": str(now), "last_at": str(now)}, share
    said = {"said_at": str(now), "strength": "'weak'", "rule": "'words.' || (n % 3)"}
    yield tables.hearsay, {**of_address, **said}, share
    yield tables.mail_domain, {"domain": "'firm' || n || '.example'", "taken_at": str(now)}, share
    yield tables.oops_answer, {"organization": of_address["organization"], "address": "'a' || n", "day": day}, share
    proof = {
        "token_hash": "'hash' || n",
        "address": "'a' || n",
        "mailbox": "'a' || n",
        "day": day,
        "expires_at": str(now + 10**10),
    }
    yield tables.proof, proof, share
    met = {"cause": "'cause ' || n", "last_at": f"{now} - n", "told_at": str(now)}
    yield tables.alarm, met, share
    yield tables.idempotency, {"key": "'key' || n", "created_at": str(now)}, share


def _json(document: dict[str, object]) -> str:
    import json

    return json.dumps(document)


assert timedelta(milliseconds=_APART) * 10**6 < timedelta(days=7)
