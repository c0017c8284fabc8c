"""The pages: who may see them, what they tell, and that links in letters do something only when somebody says so."""

import json
import re
from datetime import timedelta
from ipaddress import ip_network
from urllib.parse import quote
from uuid import UUID

import httpx2
import pytest

from homing.doors.web.rendering import CONTENT_SECURITY_POLICY
from homing.doors.web.visitors import COOKIE, SECURE_COOKIE
from homing.loop import ids
from homing.loop.alarm import alarm
from homing.loop.evidence import Answered
from homing.loop.model import CaseKind, NewCase, Verdict
from homing.loop.policy import BUILTIN_DEFAULT
from homing.loop.token import Purpose
from homing.mail.reply import Reply, Stage
from homing.store import alarms, cases, human_senders, tables
from tests.data import HOSTILE_INPUTS
from tests.store.scenes import all_rows

from .failing import fail, refusal
from .gateway import ADMINISTRATOR, Gateway, make_key


def here(home: Gateway, **more: str) -> httpx2.AsyncClient:
    """A browser on the same machine."""
    transport = httpx2.ASGITransport(home.app, client=("127.0.0.1", 4711))
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8025", headers=more)


async def correction(home: Gateway, delivery: str) -> str:
    last_day = (home.clock() + timedelta(days=30)).date()
    identifier = ids.read("delivery", delivery)
    token = home.parts.tokens.mint(Purpose.CORRECTION, identifier, made=home.clock(), last_day=last_day)
    return f"/correct/{token}"


# -- who may see the pages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/cases", "/suppressions", "/people", "/alarms", "/messages/msg_" + "0" * 32, "/?organization=x"]
)
async def test_strangers_are_asked_for_a_key(home: Gateway, path: str) -> None:
    response = await home.client.get(path)
    assert response.status_code == 401
    assert "API key" in response.text
    assert "acme" not in response.text.lower()


@pytest.mark.parametrize(
    "header",
    [
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"Host": "rebound.example"},
    ],
)
async def test_a_header_makes_nobody_local(home: Gateway, header: dict[str, str]) -> None:
    assert (await home.client.get("/", headers=header | {"X-Forwarded-For": "127.0.0.1"})).status_code == 401
    async with here(home) as browser:
        assert (await browser.get("/")).status_code == 200
        assert (await browser.get("/", headers=header)).status_code == 401


async def test_a_key_opens_the_pages_of_its_organization_alone(home: Gateway) -> None:
    mine, others = await home.send(subject="Mine"), await home.send(home.other, subject="Of others")
    signed_in = await home.client.post("/sign_in", data={"key": home.acme.key})
    assert signed_in.status_code == 303
    cookie = signed_in.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert home.acme.key not in cookie
    listed = await home.client.get("/")
    assert "Mine" in listed.text
    assert "Of others" not in listed.text
    assert (await home.client.get(f"/messages/{mine['id']}")).status_code == 200
    unknown = await home.client.get("/messages/msg_" + "0" * 32)
    foreign = await home.client.get(f"/messages/{others['id']}")
    assert (foreign.status_code, foreign.text) == (unknown.status_code, unknown.text) == (404, unknown.text)
    chosen = ids.show("organization", home.other.organization.id)
    assert "Of others" not in (await home.client.get(f"/?organization={chosen}")).text
    await home.client.post("/sign_out")
    assert (await home.client.get("/")).status_code == 401


async def test_an_administrator_sees_every_organization(home: Gateway) -> None:
    others = await home.send(home.other, subject="Of others")
    await home.client.post("/sign_in", data={"key": ADMINISTRATOR})
    chosen = ids.show("organization", home.other.organization.id)
    assert "Of others" in (await home.client.get(f"/?organization={chosen}")).text
    assert "Of others" not in (await home.client.get("/")).text
    assert (await home.client.get(f"/messages/{others['id']}")).status_code == 200
    assert (await home.client.get("/?organization=org_" + "0" * 32)).status_code == 404


async def test_a_session_ends_with_its_time_and_with_its_key(home: Gateway) -> None:
    await home.client.post("/sign_in", data={"key": home.acme.key})
    home.clock.advance(timedelta(hours=12))
    assert (await home.client.get("/")).status_code == 401
    await home.client.post("/sign_in", data={"key": home.acme.key})
    assert (await home.client.get("/")).status_code == 200
    path = f"/v1/organizations/{ids.show('organization', home.acme.organization.id)}/keys"
    [key] = (await home.client.get(path, headers=home.administrator)).json()["keys"]
    await home.client.delete(f"{path}/{key['id']}", headers=home.administrator)
    assert (await home.client.get("/")).status_code == 401


async def test_a_copied_cookie_ends_with_the_sign_out_and_no_other_session_does(home: Gateway) -> None:
    cookies = []
    for _ in range(2):
        signed_in = await home.client.post("/sign_in", data={"key": home.acme.key})
        cookies.append({"Cookie": f"{COOKIE}={signed_in.cookies[COOKIE]}"})
        home.client.cookies.clear()
    assert [(await home.client.get("/", headers=copied)).status_code for copied in cookies] == [200, 200]
    foreign = {"Origin": "https://evil.example"}
    await home.client.post("/sign_out", headers=cookies[0] | foreign)
    assert (await home.client.get("/", headers=cookies[0])).status_code == 200, "nobody else signs one out"
    await home.client.post("/sign_out", headers=cookies[0])
    assert [(await home.client.get("/", headers=copied)).status_code for copied in cookies] == [401, 200]
    assert len(await home.database.read(all_rows, tables.session)) == 1


async def test_the_sessions_of_a_replaced_key_end(home: Gateway) -> None:
    await home.client.post("/sign_in", data={"key": ADMINISTRATOR})
    assert (await home.client.get("/")).status_code == 200
    home.parts.keyring.administrator_key = f"{ADMINISTRATOR[:-1]}x"
    assert (await home.client.get("/")).status_code == 401


async def test_what_the_store_knows_of_a_session_opens_none(home: Gateway) -> None:
    await home.client.post("/sign_in", data={"key": home.acme.key})
    [row] = await home.database.read(all_rows, tables.session)
    value = home.client.cookies[COOKIE]
    home.client.cookies.clear()
    assert value not in str(row)
    for guess in (row["hash"], row["key_hash"], "", "x" * 10_000):
        assert (await home.client.get("/", headers={"Cookie": f"{COOKIE}={guess}"})).status_code == 401


async def test_over_tls_the_cookie_is_this_hosts_alone(home: Gateway) -> None:
    transport = httpx2.ASGITransport(home.app, client=("192.0.2.7", 4711))
    headers = {"X-Forwarded-Proto": "https"}
    home.parts.peers._proxies = (ip_network("192.0.2.7"),)
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway.example", headers=headers) as browser:
        signed_in = await browser.post(
            "/sign_in", data={"key": home.acme.key}, headers={"Origin": "https://gateway.example"}
        )
        cookie = signed_in.headers["set-cookie"]
        assert cookie.startswith(f"{SECURE_COOKIE}=")
        assert {"secure", "httponly", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
        assert "domain" not in cookie.lower()
        value = cookie.partition("=")[2].partition(";")[0]
        assert (await browser.get("/", headers={"Cookie": f"{SECURE_COOKIE}={value}"})).status_code == 200
        assert (await browser.get("/", headers={"Cookie": f"{COOKIE}={value}"})).status_code == 401


async def test_signing_in_takes_a_key_that_reads_and_a_form_of_ours(home: Gateway) -> None:
    sending = await make_key(home.database, home.clock, home.acme.organization.id, ("send",))
    for key in ("", "x", sending, "homing_live_" + "a" * 48, "\x00\xff"):
        response = await home.client.post("/sign_in", data={"key": key})
        assert response.status_code == 403
        assert "set-cookie" not in response.headers
    for origin in ("https://evil.example", "null"):
        response = await home.client.post("/sign_in", data={"key": home.acme.key}, headers={"Origin": origin})
        assert response.status_code == 403
    ours = await home.client.post("/sign_in", data={"key": home.acme.key}, headers={"Origin": "http://gateway.example"})
    assert ours.status_code == 303
    assert (await home.client.post("/sign_in", content=b"x" * 10**6)).status_code == 403


# -- what they tell --------------------------------------------------------------------------------------------------


async def test_every_page_has_its_strict_headers_and_no_script(home: Gateway) -> None:
    answer = await home.send(to=["john@gmial.com"])
    await fail(home, answer["deliveries"][0]["id"])
    link = await correction(home, answer["deliveries"][0]["id"])
    async with here(home) as browser:
        for path in ("/", "/cases", f"/messages/{answer['id']}", link, "/prove/x", "/correct/x", "/?q=x:y"):
            response = await browser.get(path)
            assert response.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["cache-control"] == "no-store"
            assert response.headers["x-robots-tag"] == "noindex, nofollow"
            assert not re.search(r"<script|<style|style=|\son\w+=|javascript:", response.text), path
            assert "http://" not in response.text
            assert "https://" not in response.text
        for path in (link, "/prove/x"):
            assert (await browser.get(path)).headers["referrer-policy"] == "no-referrer"


async def test_the_list_finds_what_is_asked_for(home: Gateway) -> None:
    await home.send(subject="To John")
    await home.send(subject="To Mary", to=["mary@example.net"], stream="bills")
    async with here(home) as browser:

        async def found(question: str) -> set[str]:
            return set(re.findall(r"To (?:John|Mary)", (await browser.get("/", params={"q": question})).text))

        assert await found("") == {"To John", "To Mary"}
        assert await found("mary@example.net") == {"To Mary"}
        assert await found("to:MARY@example.net state:queued") == {"To Mary"}
        assert await found("stream:default") == {"To John"}
        assert await found("from:janet@example.com") == {"To John", "To Mary"}
        assert await found("state:bounced") == set()
        for question in ("state:lost", "from:x", "from:nobody@example.net", "hello", "x:y", "\x00", "to:"):
            response = await browser.get("/", params={"q": question})
            assert response.status_code == 200
            if question.strip("\x00"):
                assert 'role="alert"' in response.text, question


async def test_older_messages_are_a_page_away(home: Gateway) -> None:
    for number in range(51):
        await home.send(subject=f"Number {number:02}")
    async with here(home) as browser:
        first = (await browser.get("/")).text
        assert "Number 01" in first
        assert "Number 00" not in first
        older = re.search(r'href="(/\?[^"]*before=[^"]*)"', first)[1].replace("&amp;", "&")
        assert "Number 00" in (await browser.get(older)).text


async def test_a_failed_message_is_told_in_plain_words_with_the_details_folded(home: Gateway) -> None:
    answer = await home.send()
    await fail(home, answer["deliveries"][0]["id"], refusal())
    async with here(home) as browser:
        text = (await browser.get(f"/messages/{answer['id']}")).text
        above = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
        assert "There is no mailbox john@example.org." in above
        assert "E-mail: in progress" in above
        assert "mx.example.org refused the message" in above
        assert not re.search(r"\b5\.1\.1\b|\b550\b|rule", above)
        assert "5.1.1" in text
        assert "status-5.1.1" in text
        assert 'On the words</th><td class="mono">no such user<' in text
        listed = (await browser.get("/cases")).text
        assert "john@example.org" in listed
        assert "“Our call this morning”" in listed
        assert "E-mail to an administrator: only if nobody else is reached" in listed
        assert (await browser.get("/cases?state=resolved")).text.count("<tr>") == 0


async def test_no_page_carries_a_link_in_the_words_of_a_server(home: Gateway) -> None:
    """Programs get them as they came."""
    said = "No such user, see https://e.example/pay or ht\u200btp://e.example/pay"
    answer = await home.send()
    await fail(home, answer["deliveries"][0]["id"], refusal(said))
    await home.database.write(alarms.raise_alarm, [(alarm("x", text=said), home.clock())])
    async with here(home) as browser:
        for path in (f"/messages/{answer['id']}", "/suppressions", "/alarms"):
            text = (await browser.get(path)).text
            assert "e.example/pay" not in text, path
            assert "No such user, see (link) or (link)" in text, path
    told = await home.client.get(f"/v1/messages/{answer['id']}", headers=home.acme.headers)
    assert said in json.loads(told.text)["deliveries"][0]["verdict"]["text"]


async def test_a_late_message_is_told_in_plain_words_until_it_has_arrived(home: Gateway) -> None:
    late, failed = await home.send(), await home.send(to=["mary@example.org"])
    home.clock.advance(timedelta(hours=4))
    hostile = "<script>alert(1)</script> come again"
    verdict = Verdict(failure_class="mailbox_full", kind="soft", rule="words.quota", text=hostile)
    reply = Reply(reply_code=452, enhanced_status_code="4.2.2", text=hostile)
    later = Answered(stage=Stage.RCPT_TO, reply=reply, host="mx.example.org", verdict=verdict)
    await fail(home, late["deliveries"][0]["id"], later)
    await fail(home, failed["deliveries"][0]["id"], refusal())
    async with here(home) as browser:
        text = (await browser.get(f"/messages/{late['id']}")).text
        above = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
        assert "The mailbox of john@example.org is full." in above
        assert "You need do nothing." in above
        assert "The message to john@example.org is late" in above
        assert "E-mail: in progress" in above
        assert "<script>alert" not in text
        listed = (await browser.get("/cases")).text
        assert re.search(r'<span class="state delay" title="A delivery is late.">', listed)
        for kind, shown in (("delay", {"john"}), ("failure", {"mary"}), ("digest", {"mary", "john"})):
            listed = (await browser.get("/cases", params={"kind": kind})).text
            assert set(re.findall(r">(\w+)@example\.org</a>", listed)) == shown
        assert 'state=open&amp;kind=failure"' in (await browser.get("/cases?kind=failure")).text

        taken = Answered(stage=Stage.DOT, reply=Reply.of(250, "2.0.0 ok"), host="mx.example.org", verdict=verdict)
        await fail(home, late["deliveries"][0]["id"], taken)
        text = (await browser.get(f"/messages/{late['id']}")).text
        assert "is full" not in text
        assert "accepted the message to john@example.org. The case of its delay is closed." in text


async def test_a_case_about_no_message_stands_in_the_list(home: Gateway) -> None:
    case = NewCase(
        organization=home.acme.organization.id,
        kind=CaseKind.DIGEST,
        subject="2026-03-01",
        policy=BUILTIN_DEFAULT,
        opened_at=home.clock(),
    )
    assert await home.database.write(cases.open_case, case)
    async with here(home) as browser:
        text = (await browser.get("/cases")).text
        assert re.search(
            r'<span class="state digest" title="[^"]+"><span aria-hidden="true">!</span>digest</span>', text
        )
        assert "E-mail: in progress" in text
        assert "None" not in text


async def test_an_empty_house_says_what_to_do(home: Gateway) -> None:
    async with here(home) as browser:
        assert "POST /v1/messages" in (await browser.get("/")).text
        assert "good news" in (await browser.get("/cases")).text


HOSTILE = json.loads((HOSTILE_INPUTS / "api" / "xss.json").read_text())


async def fill_with_hostile_text(home: Gateway) -> list[str]:
    """Every stored field that a stranger may choose. Returns the paths of pages that show them."""
    paths = ["/", "/cases", "/suppressions", "/people", "/alarms"]
    await home.database.write(alarms.raise_alarm, [(alarm(text, text), home.clock()) for text in HOSTILE])
    for number, text in enumerate(HOSTILE):
        subject = text.replace("\t", " ")
        answer = await home.send(
            subject=subject,
            to=[{"name": "x", "address": f"r{number}@example.org"}],
            metadata={"text": text.replace("\t", " ")},
            headers={"X-Text": subject},
        )
        await fail(home, answer["deliveries"][0]["id"], refusal(text, host=text))
        paths += [f"/messages/{answer['id']}", await correction(home, answer["deliveries"][0]["id"])]
        paths += [f"/?q={quote(text)}"]
    await home.database.write(_rename, home, HOSTILE[0])
    return paths


def _rename(conn, home: Gateway, text: str) -> None:
    from homing.store import tables

    for table, column in ((tables.organization, "display_name"), (tables.message, "human_sender_name")):
        conn.execute(table.update().values({column: text}))
    conn.execute(tables.message.update().values(stream=HOSTILE[3][:64], failure_policy=HOSTILE[4][:64]))
    own = {"receiver": HOSTILE[2][:255], "egress_ip": HOSTILE[4][:64], "dialogue": "\n".join(HOSTILE)}
    conn.execute(tables.attempt.update().values(tls=HOSTILE[3][:64], ip=HOSTILE[6][:64], **own))
    person = {"name": HOSTILE[0][:128], "attested_key_name": HOSTILE[1][:64], "attested_note": "\n".join(HOSTILE)}
    conn.execute(tables.human_sender.update().values(**person, attested_at=home.clock(), attested_key=UUID(int=0)))
    conn.execute(tables.case.update().values(verdict=tables.case.c.verdict))


async def test_hostile_text_is_text(home: Gateway) -> None:
    paths = await fill_with_hostile_text(home)
    seen = 0
    async with here(home) as browser:
        for path in paths:
            response = await browser.get(path)
            assert response.status_code == 200, path
            assert ("<summary>SMTP dialogue</summary>" in response.text) == path.startswith("/messages/")
            tags = set(re.findall(r"<(/?[a-zA-Z!][a-zA-Z0-9]*)", response.text))
            assert tags.isdisjoint({"script", "svg", "iframe", "math", "style", "base", "object"}), path
            assert "49" not in re.findall(r"\b49\b", response.text) or "{{7*7}}" in response.text
            assert not re.search(r"<img(?! src=\"/static/icon)|<meta http-equiv|<a href=\"java", response.text), path
            seen += "&lt;script&gt;" in response.text
    assert seen > len(HOSTILE)


# -- where links in letters lead -------------------------------------------------------------------------------------


async def proof_link(home: Gateway) -> tuple[str, human_senders.HumanSender]:
    body = {"name": "Joe Bloggs", "address": "joe@example.net"}
    made = (await home.call("POST", "/v1/human_senders", json=body)).json()
    identifier = ids.read("human_sender", made["id"])
    content = await home.database.read(_last_letter)
    body = content.replace(b"=\r\n", b"").decode()
    return re.search(r"/prove/[A-Za-z0-9_-]+", body)[0], identifier


def _last_letter(conn) -> bytes:
    from homing.store import tables

    content, message = tables.message_content, tables.message
    query = content.select().join(message, message.c.id == content.c.message).order_by(message.c.created_at.desc())
    return conn.execute(query).first().content


async def test_only_pressing_the_button_proves_an_address_and_only_once(home: Gateway) -> None:
    link, sender = await proof_link(home)

    async def proved() -> bool:
        return (await home.database.read(human_senders.get, home.acme.organization.id, sender)).proved_at is not None

    for _ in range(3):
        looked = await home.client.get(link)
        assert looked.status_code == 200
        assert "joe@example.net" in looked.text
        assert "“Acme”" in looked.text
    await home.client.head(link)
    assert not await proved()
    pressed = await home.client.post(link)
    assert pressed.status_code == 200
    assert await proved()
    assert (await home.client.post(link)).status_code == 410
    assert (await home.client.get(link)).status_code == 410


async def test_a_proof_link_lives_for_a_day(home: Gateway) -> None:
    link, _ = await proof_link(home)
    home.clock.advance(timedelta(hours=23, minutes=59))
    assert (await home.client.get(link)).status_code == 200
    home.clock.advance(timedelta(minutes=1))
    assert (await home.client.get(link)).status_code == 410
    assert (await home.client.post(link)).status_code == 410


async def test_the_address_is_corrected_and_the_message_sent_again_once(home: Gateway) -> None:
    answer = await home.send(to=["john@gmial.com"])
    delivery = answer["deliveries"][0]["id"]
    link = await correction(home, delivery)
    assert (await home.client.get(link)).status_code == 410  # nothing has failed yet
    await fail(home, delivery)
    shown = await home.client.get(link)
    assert shown.status_code == 200
    assert "Our call this morning" in shown.text
    assert 'value="john@gmail.com"' in shown.text
    bad = await home.client.post(link, data={"recipient": "a@b,c@d.example"})
    assert (bad.status_code, 'role="alert"' in bad.text) == (422, True)
    assert len((await home.call("GET", "/v1/messages")).json()["messages"]) == 1
    sent = await home.client.post(link, data={"recipient": "john@gmail.com"})
    assert sent.status_code == 200
    assert "on its way to john@gmail.com" in sent.text
    again = await home.client.post(link, data={"recipient": "john@gmail.com"})
    other = await home.client.post(link, data={"recipient": "somebody@else.example"})
    assert again.text == other.text == (await home.client.get(link)).text == sent.text
    recipients = (await home.call("GET", "/v1/messages")).json()["messages"]
    assert sum(len(one["deliveries"]) for one in recipients) == 2


async def test_what_is_no_live_link_of_ours_leads_nowhere(home: Gateway) -> None:
    answer = await home.send()
    delivery = answer["deliveries"][0]["id"]
    await fail(home, delivery)
    link = await correction(home, delivery)
    identifier = ids.read("delivery", delivery)
    envelope = home.parts.tokens.mint(Purpose.ENVELOPE, identifier, made=home.clock())
    for path in (f"/correct/{envelope}", link[:-1] + ("a" if link[-1] != "a" else "b"), "/correct/x", "/prove/x"):
        assert (await home.client.get(path)).status_code == 410
        assert (await home.client.post(path, data={"recipient": "x@example.org"})).status_code == 410
    home.clock.advance(timedelta(days=40))
    assert (await home.client.get(link)).status_code == 410


async def test_a_refused_resend_says_why_in_words(home: Gateway) -> None:
    answer = await home.send()
    await fail(home, answer["deliveries"][0]["id"])
    link = await correction(home, answer["deliveries"][0]["id"])
    path = f"/v1/organizations/{ids.show('organization', home.acme.organization.id)}"
    await home.client.post(f"{path}/pause", headers=home.administrator, json={"reason": "a look at it"})
    response = await home.client.post(link, data={"recipient": "john@example.net"})
    assert response.status_code == 403
    assert "Sending is paused" in response.text


async def test_the_style_sheet_is_ours_and_may_be_kept(home: Gateway) -> None:
    response = await home.client.get("/static/style.css")
    assert response.headers["content-type"].startswith("text/css")
    assert "immutable" in response.headers["cache-control"]
    for name in ("..%2fpaper.py", "paper.py", ""):
        assert (await home.client.get(f"/static/{name}")).status_code == 404
