"""Organizations, their API keys and their streams."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from homing.loop.domains.impersonation import ClaimedWords, Guard, Guarded, claimable, guard
from homing.loop.model import OrganizationId
from homing.store import tables, turns
from homing.store.dialect import insert, insert_all, on_postgresql
from homing.store.human_senders import ATTESTED, Attestation, attestation_in, attestation_of
from homing.store.ids import earliest
from homing.store.room import require_room

NEW_RATE_LIMIT = 60
"""Deliveries a minute of an organization that nobody has set limits for."""
NEW_DAILY_CAP = 100
"""Deliveries a day (UTC) of such an organization."""
STREAMS = 1000
"""Streams of an organization."""

_BEHIND_ALL = "\U0010ffff"
_KEY_LENGTH = 200
_NAMES = 0x6E616D65
"""The lock that PostgreSQL holds for whoever takes a display name."""
_AT_ONCE = 500
_T = tables.organization
_GUARDED = tables.guarded_name
_ALLOWED = tables.allowed_name
_KEY = tables.api_key
_STREAM = tables.stream
_ATTESTED = tuple(f"administrator_{name}" for name in ATTESTED)
_PLAIN = "webhook_secret"
"""A column of older versions, emptied at the first start of this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """An organization. `rate_limit`: deliveries a minute; `daily_cap`: deliveries a day (UTC). `sealed_webhook_secret`
    signs calls of the webhook, and opens with the secret key alone. `display_name_checked_at`: when the guard was asked
    about the display name, None: it is from before that. `administrator_proved_at`: since when the administrator's
    address is known to be his, from a click of its owner's or from the operator's word (`administrator_attestation`);
    `administrator_taken_over`: it counts without, as it was set before that was asked."""

    id: OrganizationId
    name: str
    display_name: str
    created_at: datetime
    failure_policy: str = "default"
    rate_limit: int = NEW_RATE_LIMIT
    daily_cap: int = NEW_DAILY_CAP
    paused: bool = False
    pause_reason: str | None = None
    cors_origins: tuple[str, ...] = ()
    administrator: str | None = None
    sms_fallback: str | None = None
    webhook_url: str | None = None
    display_name_checked_at: datetime | None = None
    sealed_webhook_secret: bytes | None = field(default=None, repr=False)
    administrator_proved_at: datetime | None = None
    administrator_taken_over: bool = False
    administrator_attestation: Attestation | None = None

    @property
    def proved_administrator(self) -> str | None:
        """The administrator's address, if it may be written to: its owner or the operator's word has proved it, or it
        is from before such addresses were proved."""
        return self.administrator if self.administrator_proved_at or self.administrator_taken_over else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """`organization` None: an administrator's key. `hash`: SHA-256, hex, of the whole key, which is shown once."""

    id: UUID
    organization: OrganizationId | None
    name: str
    hash: str
    last_four: str
    scopes: frozenset[str]
    created_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A kind of mail with a suppression list of its own: one-time codes, invoices, a newsletter."""

    organization: OrganizationId
    name: str
    bulk: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedName:
    """A display name that the guard refuses for `claim`, which the operator has allowed all the same: with which key of
    his, and for which reason."""

    id: UUID
    organization: OrganizationId
    display_name: str
    claim: str
    words: str
    reason: str
    api_key: UUID
    api_key_name: str
    allowed_at: datetime


Judge = Callable[[Guard], ClaimedWords | None]
"""Whether a display name is somebody else's, by the guarded names of other organizations that it could impersonate."""


class NameClaimed(Exception):  # noqa: N818 - it says what is the case
    """The display name has become another organization's in the meantime."""

    def __init__(self, found: ClaimedWords) -> None:
        super().__init__(found.words)
        self.found = found


def create(
    conn: sa.Connection, organization: Organization, allowed: AllowedName | None = None, judge: Judge | None = None
) -> bool:
    """False when the name is taken. `allowed`: its display name, where the guard refuses that. Raises NameClaimed."""
    _judge(conn, organization.id, organization.display_name, judge)
    row = _fields(organization)
    created = conn.execute(insert(conn, _T).values(row).on_conflict_do_nothing().returning(_T.c.id))
    if created.first() is None:
        return False
    _guard(conn, organization.id, organization.display_name)
    _allow(conn, allowed)
    return True


def get(conn: sa.Connection, organization: OrganizationId) -> Organization | None:
    return _one(conn, _T.c.id == organization)


def by_name(conn: sa.Connection, name: str) -> Organization | None:
    return _one(conn, _T.c.name == name)


def list_page(conn: sa.Connection, *, begins: str = "", after: str = "", limit: int = 100) -> list[Organization]:
    """In the order of their names: those whose name begins so, behind the name `after`."""
    query = _T.select().where(_T.c.name > after)
    if begins:
        query = query.where(_T.c.name >= begins, _T.c.name < f"{begins}{_BEHIND_ALL}")
    return [_organization(row) for row in conn.execute(query.order_by(_T.c.name).limit(limit)).mappings()]


def names_since(conn: sa.Connection, since: datetime) -> list[str]:
    """Names of those that were created since then."""
    return list(conn.scalars(sa.select(_T.c.name).where(_T.c.id >= earliest(since))))


def replace(conn: sa.Connection, organization: Organization) -> bool:
    """Write all of its settings. False when there is no such organization."""
    row = {name: value for name, value in _fields(organization).items() if name not in {"id", "created_at"}}
    return _set(conn, organization.id, row)


def change(
    conn: sa.Connection,
    organization: OrganizationId,
    changes: Mapping[str, Any],
    allowed: AllowedName | None = None,
    judge: Judge | None = None,
    *,
    by_itself: bool = False,
) -> bool:
    """Write these settings and leave the others; of another administrator nothing is proved yet. False when there is no
    such organization. `allowed`: its new display name, where the guard refuses that. `by_itself`: on nobody's word but
    its own, so that no person of another organization loses his name by it. Raises NameClaimed."""
    if judge is not None:
        _judge(conn, organization, changes["display_name"], judge)
    others = {name: value for name, value in changes.items() if name != "administrator"}
    if others != changes:
        _set_administrator(conn, organization, changes["administrator"])
    there = _set(conn, organization, others, by_itself) if others else get(conn, organization) is not None
    if there:
        _allow(conn, allowed)
    return there


def _set_administrator(conn: sa.Connection, organization: OrganizationId, address: str | None) -> None:
    """Nothing is proved of another address yet; one that differs in nothing stays as it is."""
    unproved = {"administrator_proved_at": None, "administrator_taken_over": False, **dict.fromkeys(_ATTESTED)}
    query = _T.update().where(_T.c.id == organization, _T.c.administrator.is_distinct_from(address))
    conn.execute(query.values(administrator=address, **unproved))


def prove_administrator(conn: sa.Connection, organization: OrganizationId, address: str, now: datetime) -> bool:
    """The owner of the administrator's address has proved it; upper and lower case are alike. False: it is another one
    by now. An attestation stays on record."""
    known = get(conn, organization)
    if known is None or known.administrator is None or known.administrator.lower() != address.lower():
        return False
    there = (_T.c.id == organization, _T.c.administrator == known.administrator)
    return conn.execute(_T.update().where(*there).values(administrator_proved_at=now)).rowcount == 1


def attest_administrator(
    conn: sa.Connection, organization: OrganizationId, address: str, attestation: Attestation
) -> bool:
    """Record the administrator's address as proved on the operator's word; the first word stands. False: it is another
    one by now."""
    told = {"administrator_proved_at": attestation.at, **attestation_in(attestation, _ATTESTED)}
    first = {name: sa.func.coalesce(_T.c[name], sa.literal(value, _T.c[name].type)) for name, value in told.items()}
    query = _T.update().where(_T.c.id == organization, _T.c.administrator == address)
    return conn.execute(query.values(first)).rowcount == 1


def pause(conn: sa.Connection, organization: OrganizationId, reason: str) -> bool:
    """Stop sending for it until `resume`; bounces and other reports are still taken."""
    return _set(conn, organization, {"paused": True, "pause_reason": reason})


def resume(conn: sa.Connection, organization: OrganizationId, now: datetime) -> bool:
    """Let it send again, what waits first of all."""
    turns.resume(conn, organization, now)
    return _set(conn, organization, {"paused": False, "pause_reason": None})


def webhook_secrets(conn: sa.Connection) -> list[tuple[OrganizationId, str | None, bytes | None]]:
    """The webhook secret of each organization that has one, to be sealed: in clear from an older version, or sealed."""
    there = _T.c.webhook_secret.is_not(None) | _T.c.sealed_webhook_secret.is_not(None)
    query = sa.select(_T.c.id, _T.c.webhook_secret, _T.c.sealed_webhook_secret).where(there).order_by(_T.c.id)
    return [(row.id, row.webhook_secret, row.sealed_webhook_secret) for row in conn.execute(query.with_for_update())]


def seal_webhook_secret(conn: sa.Connection, organization: OrganizationId, sealed: bytes) -> None:
    _set(conn, organization, {"sealed_webhook_secret": sealed, "webhook_secret": None})


# -- API keys --------------------------------------------------------------------------------------------------------


def create_key(conn: sa.Connection, key: ApiKey) -> None:
    row = {
        "id": key.id,
        "organization": key.organization,
        "name": key.name,
        "hash": key.hash,
        "last_four": key.last_four,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
    }
    conn.execute(_KEY.insert(), row)


def key_by_hash(conn: sa.Connection, key_hash: str) -> tuple[ApiKey, Organization | None] | None:
    """The live key with this hash, and its organization (None: an administrator's)."""
    return _live_key(conn, _KEY.c.hash == key_hash)


def key_by_id(conn: sa.Connection, key: UUID) -> tuple[ApiKey, Organization | None] | None:
    """The live key with this id, and its organization (None: an administrator's)."""
    return _live_key(conn, _KEY.c.id == key)


def list_keys(
    conn: sa.Connection, organization: OrganizationId | None, *, after: UUID | None = None, limit: int = 500
) -> list[ApiKey]:
    """Revoked ones too, the oldest first, those after `after`; with None the administrators' keys."""
    query = _KEY.select().where(_KEY.c.organization == organization)
    if after is not None:
        query = query.where(_KEY.c.id > after)
    return [_api_key(row) for row in conn.execute(query.order_by(_KEY.c.id).limit(limit)).mappings()]


def revoke_key(conn: sa.Connection, organization: OrganizationId | None, key: UUID, now: datetime) -> bool:
    query = _KEY.update().where(_KEY.c.id == key, _KEY.c.organization == organization, _KEY.c.revoked_at.is_(None))
    return conn.execute(query.values(revoked_at=now)).rowcount == 1


# -- streams ---------------------------------------------------------------------------------------------------------


def ensure_stream(conn: sa.Connection, stream: Stream) -> None:
    """Made if it is not there; an existing one stays as it is. Raises LimitReached for one more than `STREAMS`."""
    if get_stream(conn, stream.organization, stream.name) is not None:
        return
    require_room(conn, _STREAM, stream.organization, STREAMS)
    row = {
        "organization": stream.organization,
        "name": stream.name,
        "bulk": stream.bulk,
        "created_at": stream.created_at,
    }
    conn.execute(insert(conn, _STREAM).values(row).on_conflict_do_nothing())


def get_stream(conn: sa.Connection, organization: OrganizationId, name: str) -> Stream | None:
    query = _STREAM.select().where(_STREAM.c.organization == organization, _STREAM.c.name == name)
    row = conn.execute(query).mappings().first()
    return None if row is None else Stream(**row)


def list_streams(conn: sa.Connection, organization: OrganizationId, *, after: str = "", limit: int) -> list[Stream]:
    """In the order of their names, behind the name `after`."""
    query = _STREAM.select().where(_STREAM.c.organization == organization, _STREAM.c.name > after)
    return [Stream(**row) for row in conn.execute(query.order_by(_STREAM.c.name).limit(limit)).mappings()]


# -- guarded names ---------------------------------------------------------------------------------------------------


def allowed_names(conn: sa.Connection, wanted: Collection[Organization]) -> dict[OrganizationId, AllowedName]:
    """The allowances for the display names that these organizations have now; the last one of each."""
    names = {one.id: one.display_name for one in wanted}
    query = _ALLOWED.select().where(_ALLOWED.c.organization.in_(names)).order_by(_ALLOWED.c.id)
    found = (AllowedName(**row) for row in conn.execute(query).mappings())
    return {one.organization: one for one in found if one.display_name == names[one.organization]}


def guard_against(conn: sa.Connection, name: str, besides: OrganizationId | None = None) -> Guard:
    """The guarded names of organizations, `besides` one, that a display name could impersonate. If two are alike, the
    older organization has the name."""
    sought = claimable(name)
    places = sorted({skeleton[:_KEY_LENGTH] for skeleton in sought})
    found: dict[str, Guarded] = {}
    others = () if besides is None else (_GUARDED.c.organization != besides,)
    for start in range(0, len(places), _AT_ONCE):
        some = _GUARDED.c.skeleton.in_(places[start : start + _AT_ONCE])
        query = _GUARDED.select().where(some, *others).order_by(_GUARDED.c.organization.desc())
        for row in conn.execute(query):
            found[row.skeleton] = Guarded(letters=row.letters, common=row.common)
    return {skeleton: found[cut] for skeleton in sought if (cut := skeleton[:_KEY_LENGTH]) in found}


def _judge(conn: sa.Connection, organization: OrganizationId, name: str, judge: Judge | None) -> None:
    """Look once more, while nobody else can take a name: of two who want the same, one comes second."""
    if judge is None:
        return
    if on_postgresql(conn):
        conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_NAMES)))
    found = judge(guard_against(conn, name, organization))
    if found is not None:
        raise NameClaimed(found)


def _allow(conn: sa.Connection, allowed: AllowedName | None) -> None:
    if allowed is not None:
        conn.execute(_ALLOWED.insert(), {name: getattr(allowed, name) for name in _ALLOWED.c.keys()})  # noqa: SIM118


def _guard(conn: sa.Connection, organization: OrganizationId, display_name: str, by_itself: bool = False) -> None:
    """Guard the name, as migration 0019 did for existing organizations."""
    conn.execute(_GUARDED.delete().where(_GUARDED.c.organization == organization))
    rows = {
        skeleton[:_KEY_LENGTH]: {"letters": one.letters, "common": one.common or by_itself}
        for skeleton, one in guard([display_name]).items()
    }
    insert_all(conn, _GUARDED, [{"skeleton": key, "organization": organization, **row} for key, row in rows.items()])


# -- rows ------------------------------------------------------------------------------------------------------------


def _one(conn: sa.Connection, condition: sa.ColumnElement[bool]) -> Organization | None:
    row = conn.execute(_T.select().where(condition)).mappings().first()
    return None if row is None else _organization(row)


def _live_key(conn: sa.Connection, condition: sa.ColumnElement[bool]) -> tuple[ApiKey, Organization | None] | None:
    row = conn.execute(_KEY.select().where(condition, _KEY.c.revoked_at.is_(None))).mappings().first()
    if row is None:
        return None
    key = _api_key(row)
    return key, get(conn, key.organization) if key.organization else None


def _set(conn: sa.Connection, organization: OrganizationId, values: Mapping[str, Any], by_itself: bool = False) -> bool:
    there = conn.execute(_T.update().where(_T.c.id == organization).values(values)).rowcount == 1
    if there and "display_name" in values:
        _guard(conn, organization, values["display_name"], by_itself)
    return there


def _fields(organization: Organization) -> dict[str, Any]:
    others = {_PLAIN, *_ATTESTED}
    row = {name: getattr(organization, name) for name in _T.c.keys() if name not in others}  # noqa: SIM118 - columns
    row["cors_origins"] = list(organization.cors_origins)
    return row | attestation_in(organization.administrator_attestation, _ATTESTED)


def _organization(row: sa.RowMapping) -> Organization:
    known = {name: value for name, value in row.items() if name not in {_PLAIN, *_ATTESTED}}
    return Organization(
        **{**known, "cors_origins": tuple(row["cors_origins"])},
        administrator_attestation=attestation_of(row, _ATTESTED),
    )


def _api_key(row: sa.RowMapping) -> ApiKey:
    return ApiKey(**{**row, "scopes": frozenset(row["scopes"])})
