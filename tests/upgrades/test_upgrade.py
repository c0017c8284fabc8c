"""A store that an earlier version left in the middle of its work is taken over by the version of today, and the loop
goes on. Every folder of `tests/data/upgrades` is tried; make_store.py tells how one is made and what is in it.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from fastapi import FastAPI, Request, Response
from standardwebhooks import Webhook

from homing.lab.http import LoopbackHttp
from homing.lab.returned_mail import Failure, bounce
from homing.lab.world import World
from homing.loop.lifecycle import TERMINAL
from homing.loop.model import Origin
from homing.store import tables
from homing.store.database import Database
from tests.postgres import Cluster, cluster, durable_cluster
from tests.store.schema import expression_indexes, reflected
from tests.stories.gateway import Story, plain_text, until
from tests.stories.zones import D, receivers_agree, signatures

from .kept import KEPT, Kept, a_world, started
from .make_store import ADMINISTRATOR, IN_WORDS, JANET, JOE, OWN, PHONE

__all__ = ["cluster", "durable_cluster"]

REWRITTEN: frozenset[tuple[str, str]] = frozenset({("inbound", "organization")})
"""Table and column of whatever a migration changes on purpose in rows that were there."""

Rows = dict[str, dict[tuple[Any, ...], dict[str, Any]]]


@pytest.fixture(params=KEPT, ids=str)
def kept(request: pytest.FixtureRequest) -> Kept:
    return request.param


# -- the tables ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def url(request: pytest.FixtureRequest, kept: Kept, tmp_path: Path) -> AsyncIterator[str]:
    """Of a copy that nobody has touched yet."""
    server = request.getfixturevalue("cluster") if kept.on_postgresql else None
    async with kept.opened(tmp_path / "homing", server) as url:
        yield url


@asynccontextmanager
async def _open(url: str) -> AsyncIterator[Database]:
    database = Database.open(url, durable=False)
    await database.start()
    try:
        yield database
    finally:
        await database.close()


def _rows(conn: sa.Connection) -> Rows:
    """All rows of all tables, by their keys, as the database has them."""
    known = sa.MetaData()
    with expression_indexes():
        known.reflect(conn)
    return {
        table.name: {
            tuple(row[column.name] for column in table.primary_key): dict(row)
            for row in conn.execute(table.select()).mappings()
        }
        for table in known.tables.values()
        if table.name != "alembic_version"
    }


async def test_no_row_is_lost_and_none_is_changed_by_accident(url: str) -> None:
    async with _open(url) as database:
        before = await database.read(_rows)
    async with _open(url) as database:
        await database.migrate()
        after = await database.read(_rows)
    assert sum(map(len, before.values())) > 100, "there was something to lose"
    erased = {("message_content", (message,)) for message in _ended_letters(before)}
    assert erased, "what letters say goes with their end, also what those of before said"
    for table, rows in before.items():
        gone = {key for name, key in erased if name == table}
        assert rows.keys() - gone == rows.keys() & after[table].keys(), table
        for key, row in rows.items():
            if key in gone:
                continue
            now = after[table][key]
            same = {name for name in row.keys() & now.keys() if (table, name) not in REWRITTEN}
            assert {name: row[name] for name in same} == {name: now[name] for name in same}, table


def _ended_letters(rows: Rows) -> set[Any]:
    under_way = {row["message"] for row in rows["delivery"].values() if row["state"] not in TERMINAL}
    return {row["id"] for row in rows["message"].values() if Origin(row["origin"]).ours} - under_way


@expression_indexes()
def _differences(conn: sa.Connection) -> list[object]:
    return compare_metadata(MigrationContext.configure(conn), tables.metadata)


async def test_suppressions_know_the_rules_that_their_evidence_names(url: str) -> None:
    async with _open(url) as database:
        await database.migrate()
        rows = (await database.read(_rows))["suppression"].values()
    told = {row["evidence"]: row["rule"] for row in rows if "(rule " in row["evidence"]}
    assert told
    assert all(f"(rule {rule}" in evidence for evidence, rule in told.items())
    assert {row["rule"] for row in rows if row["evidence"] not in told} <= {None}


async def test_hearsay_knows_its_strength_and_the_rule_that_read_it(url: str) -> None:
    async with _open(url) as database:
        await database.migrate()
        rows = (await database.read(_rows))["hearsay"].values()
    assert {row["strength"] for row in rows} >= {"weak"}
    assert all(row["rule"] for row in rows)


async def test_names_and_proofs_from_before_stay_and_are_told_apart(url: str) -> None:
    """No guard has seen the names of organizations, and nobody's word is behind the proofs."""
    async with _open(url) as database:
        before = await database.read(_rows)
        await database.migrate()
        after = await database.read(_rows)
    names = {row["display_name"]: row["display_name_checked_at"] for row in after["organization"].values()}
    assert names == dict.fromkeys((row["display_name"] for row in before["organization"].values()), None)
    people = after["human_sender"].values()
    assert any(row["proved_at"] for row in people)
    assert {row["attested_at"] for row in people} == {None}
    assert after["allowed_name"] == {}


async def test_administrators_of_before_are_taken_over_and_marked(url: str) -> None:
    """They are written to as until now, and it can be seen that nobody has proved their addresses."""
    async with _open(url) as database:
        await database.write(_name_an_administrator)
        await database.migrate()
        rows = (await database.read(_rows))["organization"].values()
    assert "it@crm.example" in {row["administrator"] for row in rows}
    for row in rows:
        assert bool(row["administrator_taken_over"]) is (row["administrator"] is not None)
        assert (row["administrator_proved_at"], row["administrator_attested_at"]) == (None, None)


def _name_an_administrator(conn: sa.Connection) -> None:
    one = "(SELECT min(name) FROM organization)"
    conn.execute(sa.text(f"UPDATE organization SET administrator = 'it@crm.example' WHERE name = {one}"))


async def test_the_schema_is_that_of_a_new_store(kept: Kept, url: str, cluster: Cluster, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        other = f"sqlite:///{tmp_path / 'new.db'}"
        if kept.on_postgresql:
            other = await stack.enter_async_context(cluster.database())
        old, new = [await stack.enter_async_context(_open(one)) for one in (url, other)]
        for database in (old, new):
            await database.migrate()
        assert await old.read(reflected) == await new.read(reflected)
        assert await old.read(_differences) == []


# -- the loop --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def world(kept: Kept) -> AsyncIterator[World]:
    async with a_world(kept) as world:
        yield world


@pytest.fixture
async def story(request: pytest.FixtureRequest, kept: Kept, world: World, tmp_path: Path) -> AsyncIterator[Story]:
    server = request.getfixturevalue("durable_cluster") if kept.on_postgresql else None
    async with kept.opened(tmp_path / "homing", server) as url, started(kept, tmp_path, world, url) as story:
        yield story


async def _becomes(story: Story, message: dict[str, Any], state: str) -> dict[str, Any]:
    """Its delivery, as soon as it is in this state."""
    return dict((await story.applications["crm"].becomes(message, state))["deliveries"][0])


async def _steps(story: Story, message: dict[str, Any], *states: str) -> dict[str, Any]:
    """Its case, as soon as the steps are in these states."""

    async def there() -> dict[str, Any] | None:
        case = (await story.applications["crm"].message(message))["deliveries"][0]["case"]
        return case if case and [step["state"] for step in case["steps"]] == list(states) else None

    return dict(await until(there))


async def _suppressed(story: Story, address: str) -> str | None:
    """The reason for which nothing is sent there on the usual stream."""
    listed = (await story.applications["crm"].call("GET", "/v1/suppressions?limit=500")).json()["suppressions"]
    found = {one["address"]: one["reason"] for one in listed if one["stream"] == "default"}
    return found.get(address)


async def _comes_back(story: Story, mail: dict[str, Any]) -> None:
    """A bounce by which somebody's server gives back what left before the upgrade."""
    failure = Failure(final_recipient=mail["recipient"])
    content = bounce("mx.corp.com", mail["envelope_sender"], mail["content"].encode("latin-1"), failure)
    assert (await story.world.writes(None, mail["envelope_sender"], content)).accepted


async def test_what_waited_goes_on(kept: Kept, story: Story) -> None:
    """Time passes only while nothing is on its way: a lease that ends by the clock would be taken for a dead one's."""
    messages = kept.facts["messages"]
    for name in ("queued", "queued from own domain"):
        await _becomes(story, messages[name], "delivered")
    await _steps(story, messages["returned"], "done", "heard", "waiting")
    story.advance(hours=2)
    await story.app.tidier.look()  # several nodes: what a dead one held is free when its time is over
    for name in ("deferred", "deferred in doubt", "leased"):
        await _becomes(story, messages[name], "delivered")
    story.advance(hours=1)
    await _everything_is_sent(kept, story)
    await _calls_are_made_and_signed(kept, story)


async def _calls_are_made_and_signed(kept: Kept, story: Story) -> None:
    """The text message whose time has come, and the call, signed by the secret of before the upgrade."""
    facts, crm, heard = kept.facts, story.applications["crm"], []
    secret, http = Webhook(facts["webhook_secret"]), FastAPI()

    @http.post("/hook")
    async def hook(request: Request) -> Response:
        body, named = (await request.body()).decode(), request.headers
        at = datetime.fromtimestamp(int(named["webhook-timestamp"]), UTC)
        assert secret.sign(named["webhook-id"], at, body) in named["webhook-signature"].split()
        heard.append(body)
        return Response(status_code=204)

    receiver = LoopbackHttp(http)
    await receiver.start()
    try:
        moved = await crm.call("PATCH", "/v1/organization", {"webhook_url": f"{receiver.url}/hook"})
        assert moved.json()["webhook_secret"] is None, "the secret is kept"
        story.advance(hours=5)
        await _steps(story, facts["messages"]["webhook due"], "heard")
        await _steps(story, facts["messages"]["text due"], "heard")
    finally:
        await receiver.close()
    assert any(facts["messages"]["webhook due"]["recipient"] in one for one in heard), heard
    [text] = story.world.sms.inbox(PHONE)
    assert facts["messages"]["text due"]["recipient"] in text.text


async def _everything_is_sent(kept: Kept, story: Story) -> None:
    """Once each; what was on its way into doubt; and what had a signature with that very signature."""
    messages = kept.facts["messages"]
    waited = ("queued", "queued from own domain", "deferred", "deferred in doubt", "attempt open", "leased")
    ended = {name: await _becomes(story, messages[name], "delivered") for name in waited}
    mails = {}
    for name in waited:
        [mails[name]] = story.world.inbox(messages[name]["recipient"])
    assert any(attempt["in_doubt"] for attempt in ended["attempt open"]["attempts"])
    assert {name for name in waited if ended[name]["possibly_delivered"]} == {"attempt open", "deferred in doubt"}
    for name in ("attempt open", "deferred in doubt"):
        assert mails[name].content == messages[name]["content"].encode("latin-1")
    assert await signatures(story, mails["deferred"]) == [(OWN, kept.facts["signed_by"], "pass")]
    assert await signatures(story, mails["queued"]) == [(OWN, kept.facts["signs_now"], "pass")]
    own = mails["queued from own domain"]
    assert own.addresses("From") == [JOE]
    assert D in {domain for domain, _, result in await signatures(story, own) if result == "pass"}
    await receivers_agree(story, own)


async def test_what_comes_back_finds_what_left_before(kept: Kept, story: Story) -> None:
    await _reports_end_deliveries_and_open_cases(kept, story)
    await _an_open_case_goes_on(kept, story)
    await _what_was_counted_before_counts(kept, story)


async def _reports_end_deliveries_and_open_cases(kept: Kept, story: Story) -> None:
    """One that comes now, one that had come and was not understood yet, and one whose letter was waiting."""
    messages = kept.facts["messages"]
    await _comes_back(story, messages["delivered"])
    delivery = await _becomes(story, messages["delivered"], "bounced")
    assert (delivery["bounced"], delivery["verdict"]["failure_class"]) == ("late", "invalid_recipient")
    for name in ("delivered", "returned"):
        await _steps(story, messages[name], "done", "heard", "waiting")
    story.advance(minutes=30)  # what a dead process held is free by then
    await _becomes(story, messages["returned unread"], "bounced")
    await _steps(story, messages["returned unread"], "done", "heard", "waiting")
    texts = [plain_text(letter) for letter in story.world.inbox(JANET)]
    for name in ("delivered", "returned", "returned unread"):
        assert sum(messages[name]["recipient"] in text for text in texts) == 1
        assert await _suppressed(story, messages[name]["recipient"]) == "invalid_recipient"


async def _an_open_case_goes_on(kept: Kept, story: Story) -> None:
    """Its letter comes back, so the administrator is written to."""
    messages = kept.facts["messages"]
    assert story.world.inbox(ADMINISTRATOR) == []
    await _comes_back(story, messages["letter"])
    await _steps(story, messages["bounced"], "done", "unheard", "heard")
    assert messages["bounced"]["recipient"] in plain_text(story.world.inbox(ADMINISTRATOR)[0])


async def _what_was_counted_before_counts(kept: Kept, story: Story) -> None:
    """The mailbox that stays full, and what was said in words of an address, need one message more each."""
    crm, messages = story.applications["crm"], kept.facts["messages"]
    full = messages["full 0"]["recipient"]
    story.world.mx("corp.com").is_full(full, permanent=True)
    await crm.becomes(await crm.send(JANET, full, failure_policy="quiet"), "bounced")
    assert await _suppressed(story, full) == "mailbox_full"
    mail = messages["rumoured"]
    assert await _suppressed(story, mail["recipient"]) is None
    words = IN_WORDS.format(to=mail["envelope_sender"], recipient=mail["recipient"]).encode()
    assert (await story.world.writes(None, mail["envelope_sender"], words)).accepted
    await _becomes(story, mail, "bounced")
    assert await _suppressed(story, mail["recipient"]) == "invalid_recipient"


async def test_what_was_given_out_before_is_good(kept: Kept, story: Story) -> None:
    await _keys_and_answers_hold(kept, story)
    await _what_ended_stays_as_it_ended(kept, story)
    await _events_go_on(kept, story)
    await _links_work(kept, story)


async def _keys_and_answers_hold(kept: Kept, story: Story) -> None:
    facts, crm = kept.facts, story.applications["crm"]
    for name, application in story.applications.items():
        assert (await application.call("GET", "/v1/organization")).json()["name"] == name
    once = facts["idempotent"]
    again = await crm.call("POST", "/v1/messages", once["body"], Idempotency_Key=once["key"])
    assert (again.status_code, again.json()) == (202, once["answer"])
    await crm.becomes(await crm.send(JANET, facts["messages"]["bounced"]["recipient"]), "suppressed")


async def _what_ended_stays_as_it_ended(kept: Kept, story: Story) -> None:
    facts, crm, messages = kept.facts, story.applications["crm"], kept.facts["messages"]
    ended = {"delivered", "bounced", "expired", "canceled", "suppressed", "failed"}
    stand = {name: state for name, state in facts["states"].items() if state in ended and name != "returned unread"}
    assert ended <= set(stand.values())
    assert {name: (await crm.states(messages[name]))[0] for name in stand} == stand
    case = (await crm.message(messages["bounced"]))["deliveries"][0]["case"]
    assert case["id"] == messages["bounced"]["case"]
    listed = (await story.http.get("/v1/alarms", headers=story.administrator)).json()["alarms"]
    assert set(facts["alarms"]) <= {alarm["cause"] for alarm in listed}


async def _events_go_on(kept: Kept, story: Story) -> None:
    """Behind the cursor that an application had stand those of now, and before it those of before, all of them."""
    facts, crm = kept.facts, story.applications["crm"]
    sent = await crm.becomes(await crm.send(JANET, "new@corp.com"), "delivered")
    [mail] = story.world.inbox("new@corp.com")
    assert await signatures(story, mail) == [(OWN, facts["signs_now"], "pass")]
    await crm.hears("delivered", sent)
    after = (await crm.call("GET", f"/v1/events?limit=500&cursor={facts['cursor']}")).json()["events"]
    events = await crm.events()
    upgraded = datetime.fromisoformat(facts["at"])
    assert [event["id"] for event in events[-len(after) :]] == [event["id"] for event in after]
    assert [event["type"] for event in after if event["message"] == sent["id"]] == ["queued", "delivered"]
    assert {datetime.fromisoformat(event["at"]) >= upgraded for event in after} == {True}
    assert {datetime.fromisoformat(event["at"]) >= upgraded for event in events[: -len(after)]} == {False}


async def _links_work(kept: Kept, story: Story) -> None:
    """In letters and messages that left before: to correct an address, to prove one, to leave a stream."""
    facts, crm = kept.facts, story.applications["crm"]
    failed = facts["messages"]["bounced"]
    assert (await story.http.get(failed["correct"])).status_code == 200
    corrected = await story.http.post(failed["correct"], data={"recipient": "joan@corp.com"})
    assert corrected.status_code == 200, corrected.text
    [mail] = await story.world.mx("corp.com").wait_for("joan@corp.com")
    assert str(mail.headers["Subject"]) == "About bounced"
    assert (await story.http.post(facts["unproved"]["prove"])).status_code == 200
    people = (await crm.call("GET", "/v1/human_senders")).json()["human_senders"]
    assert next(one for one in people if one["address"] == facts["unproved"]["address"])["proved_at"]
    news = facts["messages"]["news"]
    assert (await story.http.post(news["leave"], data={"List-Unsubscribe": "One-Click"})).status_code == 200
    await crm.becomes(await crm.send(JANET, news["recipient"], stream="news"), "suppressed")
