"""Who may ask what: a row for each route of the HTTP door, and no route without its row."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Keys:
    """Which keys open it: an organization's with one of these `scopes`, and an administrator's who names one in
    `Homing-Organization`. `alone`: an administrator's, too, who names none."""

    scopes: frozenset[str] = frozenset()
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Otherwise:
    """No key opens it. `stranger` is what anybody gets: the address itself is the authority, or nothing is hidden."""

    stranger: int


@dataclass(frozen=True, slots=True)
class Page:
    """A session of a key with the scope read shows it; a form takes the scope manage besides."""

    form: bool = False
    administrators: bool = False


SEND, READ, MANAGE = (Keys(frozenset({scope})) for scope in ("send", "read", "manage"))
SEND_OR_MANAGE = Keys(frozenset({"send", "manage"}))
READ_ALL, MANAGE_ALL = Keys(frozenset({"read"}), alone=True), Keys(frozenset({"manage"}), alone=True)
ADMINISTRATOR = Keys(alone=True)
ATTEST = Keys(frozenset({"attest"}))
PUBLIC = Otherwise(200)


@dataclass(frozen=True, slots=True)
class Row:
    """`kind`: whose id or name stands in the path. `body` and `query`: what its owner would send."""

    access: Keys | Otherwise | Page
    kind: str = ""
    body: dict[str, Any] = field(default_factory=dict)
    query: str = ""


TABLE: dict[str, Row] = {
    "POST /v1/messages": Row(SEND),
    "GET /v1/messages": Row(READ),
    "GET /v1/messages/{id}": Row(READ, "message"),
    "GET /v1/deliveries/{id}": Row(READ, "delivery"),
    "POST /v1/deliveries/{id}/cancel": Row(SEND, "delivery"),
    "POST /v1/deliveries/{id}/resend": Row(SEND, "delivery", {"recipient": "x@example.org"}),
    "GET /v1/events": Row(READ),
    "GET /v1/events/stream": Row(READ),
    "POST /v1/human_senders/{id}/stream_token": Row(READ, "human_sender"),
    "GET /v1/human_senders/{id}/events/stream": Row(Otherwise(401)),
    "OPTIONS /v1/human_senders/{id}/events/stream": Row(Otherwise(401)),
    "GET /v1/inbound": Row(READ_ALL),
    "GET /v1/inbound/{id}": Row(READ_ALL, "inbound"),
    "POST /v1/human_senders": Row(SEND_OR_MANAGE),
    "GET /v1/human_senders": Row(READ),
    "GET /v1/human_senders/{id}": Row(READ, "human_sender"),
    "POST /v1/human_senders/{id}/proof": Row(SEND_OR_MANAGE, "human_sender"),
    "POST /v1/human_senders/{id}/prove": Row(ATTEST, "human_sender"),
    "POST /v1/human_senders/attestations": Row(ATTEST),
    "GET /v1/failure_policies": Row(READ),
    "GET /v1/failure_policies/{name}": Row(READ, "policy"),
    "PUT /v1/failure_policies/{name}": Row(MANAGE),
    "DELETE /v1/failure_policies/{name}": Row(MANAGE, "policy"),
    "GET /v1/suppressions": Row(READ_ALL, query="?rule=nobody"),
    "POST /v1/suppressions": Row(MANAGE),
    "DELETE /v1/suppressions": Row(MANAGE),
    "POST /v1/suppressions/lift": Row(MANAGE_ALL, body={"rule": "nobody"}),
    "GET /v1/suppressions/lifted": Row(READ),
    "POST /v1/suppressions/import": Row(MANAGE),
    "GET /v1/streams": Row(READ),
    "GET /v1/streams/{name}": Row(READ, "stream"),
    "PUT /v1/streams/{name}": Row(MANAGE),
    "POST /v1/organizations": Row(ADMINISTRATOR),
    "GET /v1/organizations": Row(ADMINISTRATOR),
    "GET /v1/organizations/{id}": Row(ADMINISTRATOR, "organization"),
    "PATCH /v1/organizations/{id}": Row(ADMINISTRATOR, "organization"),
    "POST /v1/organizations/{id}/pause": Row(ADMINISTRATOR, "organization"),
    "POST /v1/organizations/{id}/resume": Row(ADMINISTRATOR, "organization"),
    "POST /v1/organizations/{id}/keys": Row(ADMINISTRATOR, "organization", {"name": "x", "scopes": ["send"]}),
    "GET /v1/organizations/{id}/keys": Row(ADMINISTRATOR, "organization"),
    "DELETE /v1/organizations/{id}/keys/{key}": Row(ADMINISTRATOR, "organization"),
    "GET /v1/organization": Row(READ),
    "PATCH /v1/organization": Row(MANAGE),
    "POST /v1/organization/webhook_secret": Row(MANAGE),
    "POST /v1/organization/administrator/proof": Row(MANAGE),
    "POST /v1/organization/administrator/prove": Row(ATTEST),
    "GET /v1/administrator_keys": Row(ADMINISTRATOR),
    "POST /v1/administrator_keys": Row(ADMINISTRATOR),
    "DELETE /v1/administrator_keys/{key}": Row(ADMINISTRATOR, "administrator_key"),
    "GET /v1/dkim_keys": Row(ADMINISTRATOR),
    "POST /v1/dkim_keys/rotate": Row(ADMINISTRATOR, body={"domain": "nobody.example"}),
    "POST /v1/dkim_keys/{id}/revoke": Row(ADMINISTRATOR, "dkim_key"),
    "POST /v1/domains": Row(MANAGE),
    "GET /v1/domains": Row(READ),
    "GET /v1/domains/{name}": Row(READ, "domain"),
    "PATCH /v1/domains/{name}": Row(MANAGE, "domain", {"own_recipients": True}),
    "DELETE /v1/domains/{name}": Row(MANAGE, "domain"),
    "GET /v1/domains/{name}/records": Row(READ, "domain"),
    "POST /v1/domains/{name}/verify": Row(MANAGE, "domain"),
    "GET /v1/doctor": Row(READ_ALL, query="?domain=example.net"),
    "GET /v1/loop_watch": Row(ADMINISTRATOR),
    "POST /v1/loop_watch": Row(ADMINISTRATOR),
    "GET /v1/store": Row(ADMINISTRATOR),
    "POST /v1/store/hold": Row(ADMINISTRATOR),
    "POST /v1/store/release": Row(ADMINISTRATOR),
    "GET /v1/alarms": Row(ADMINISTRATOR),
    "DELETE /v1/alarms": Row(ADMINISTRATOR),
    "GET /healthz": Row(PUBLIC),
    "GET /openapi.json": Row(PUBLIC),
    "GET /metrics": Row(ADMINISTRATOR),
    "POST /v1/sms/status/{token}": Row(Otherwise(404)),
    "GET /": Row(Page()),
    "GET /messages/{id}": Row(Page(), "message"),
    "GET /cases": Row(Page()),
    "GET /people": Row(Page()),
    "GET /health": Row(Page(administrators=True)),
    "GET /inbound": Row(Page(administrators=True)),
    "GET /inbound/{id}": Row(Page(administrators=True), "inbound"),
    "GET /suppressions": Row(Page()),
    "GET /alarms": Row(Page(administrators=True)),
    "GET /organizations": Row(Page(administrators=True)),
    "POST /suppressions/lift": Row(Page(form=True)),
    "POST /alarms/clear": Row(Page(form=True)),
    "POST /sign_in": Row(Otherwise(403)),
    "POST /sign_out": Row(Otherwise(303)),
    "GET /static/{name}": Row(Otherwise(404)),
    "GET /prove/{token}": Row(Otherwise(410)),
    "POST /prove/{token}": Row(Otherwise(410)),
    "GET /correct/{token}": Row(Otherwise(410)),
    "POST /correct/{token}": Row(Otherwise(410)),
    "GET /unsubscribe/{token}": Row(Otherwise(410)),
    "POST /unsubscribe/{token}": Row(Otherwise(410)),
}
