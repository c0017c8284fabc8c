"""Mail that came back is shown to those whom it concerns, and what strangers wrote in it does nothing."""

import quopri
import re
from base64 import b64decode, b64encode, encodebytes
from dataclasses import replace
from html import unescape
from uuid import UUID, uuid4

import pytest

from homing.doors.api.inbound import HEAD
from homing.loop import ids
from homing.loop.evidence import What
from homing.loop.model import InboundId, Verdict
from homing.mail.authentication import Authentication
from homing.mail.dkim_verification import Result, Signature, Verification
from homing.mail.mime import decode_words
from homing.mail.spf import SpfVerdict
from homing.mail.spf_record import SpfResult
from homing.store import inbound, tables
from homing.store.inbound import InboundQuota, InboundResult, NewInbound

from .gateway import ADMINISTRATOR, Gateway, Member, make_key
from .test_web import here

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"
RAW = f"Subject: {HOSTILE}\r\nFrom: x\r\n\r\n550 no such user\r\n".encode()
VERDICT = Verdict(
    failure_class="invalid_recipient", kind="hard", rule="r1", matched="no such user", text=f"gone {HOSTILE}"
)

AUTHENTICATION = Authentication(
    spf=SpfVerdict(result=SpfResult.PASS, domain=f"evil.example{HOSTILE}"),
    dkim=Verification((Signature("corp.com", "k1", "rsa-sha256", Result.FAIL, "the body was changed"),)),
    dmarc=None,
)


async def came(home: Gateway, about: str | None = None, who: Member | None = None, **fields: object) -> str:
    """A mail that came in and was understood; `about`: the delivery that it was found to be about."""
    identifier = InboundId(uuid4())
    delivery = None if about is None else ids.read("delivery", about)
    new = NewInbound(
        id=identifier,
        received_at=home.clock(),
        envelope_sender=f"{HOSTILE}@evil.example",
        recipient="b+token@b.post.example.com",
        purpose="envelope",
        size=len(RAW),
        raw=RAW,
        helo=HOSTILE,
        ip="192.0.2.9",
        flags=frozenset({"bare_lf"}),
    )
    organization = None if about is None else (who or home.acme).organization.id
    tied = {"delivery": delivery, "organization": organization}
    await home.database.write(inbound.keep, replace(new, **tied | fields), InboundQuota())
    what = None if fields.get("purpose") == "abuse" else What.BOUNCE
    heard = InboundResult(id=identifier, what=what, verdict=VERDICT, authentication=AUTHENTICATION)
    await home.database.write(inbound.finish, heard)
    return ids.show("inbound", identifier)


async def listed(home: Gateway, who: Member | None = None, query: str = "", **headers: str) -> list[str]:
    answer = await home.call("GET", f"/v1/inbound{query}", who, headers=headers)
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["inbound"]]


async def _all(home: Gateway, query: str = "", **headers: str) -> list[str]:
    answer = await home.client.get(f"/v1/inbound{query}", headers=home.administrator | headers)
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["inbound"]]


# -- the API -----------------------------------------------------------------------------------------------------------


async def test_an_organization_sees_its_own_and_an_administrator_everything(home: Gateway) -> None:
    mine, others = await home.send(), await home.send(home.other)
    first = await came(home, mine["deliveries"][0]["id"])
    second = await came(home, others["deliveries"][0]["id"], home.other)
    nobodys = await came(home)
    assert await listed(home) == [first]
    assert await listed(home, home.other) == [second]
    assert set(await _all(home)) == {first, second, nobodys}
    assert await _all(home, **{"Homing-Organization": "acme"}) == [first]
    answer = await home.call("GET", f"/v1/inbound/{first}")
    assert answer.json()["message"] == mine["id"]
    assert answer.json()["delivery"] == mine["deliveries"][0]["id"]
    said = answer.json()["authentication"]
    assert said == "spf=pass(evil.example<script>alert(1)</script>) dkim=fail dmarc=permerror"
    unknown = await home.call("GET", "/v1/inbound/inb_" + "0" * 32, headers={"X-Request-Id": "the-same-for-all"})
    for foreign in (second, nobodys):
        refused = await home.call("GET", f"/v1/inbound/{foreign}", headers={"X-Request-Id": "the-same-for-all"})
        assert (refused.status_code, refused.content) == (404, unknown.content)
        assert (await home.client.get(f"/v1/inbound/{foreign}", headers=home.administrator)).status_code == 200


async def test_a_token_alone_makes_a_mail_nobodys_until_it_is_understood(home: Gateway) -> None:
    """The address that it came to names a delivery; whose it is, is said when it was found to be about that."""
    sent = await home.send()
    identifier = await came(home, delivery=ids.read("delivery", sent["deliveries"][0]["id"]))
    assert await listed(home) == []
    answer = await home.client.get(f"/v1/inbound/{identifier}", headers=home.administrator)
    assert (answer.json()["message"], answer.json()["delivery"]) == (None, None)


async def test_a_mail_is_told_with_its_beginning_and_what_follows_from_it(home: Gateway) -> None:
    identifier = await came(home)
    mail = (await home.client.get(f"/v1/inbound/{identifier}", headers=home.administrator)).json()
    assert (mail["what"], mail["purpose"], mail["flags"], mail["ip"]) == (
        "bounce",
        "envelope",
        ["bare_lf"],
        "192.0.2.9",
    )
    assert (mail["verdict"]["rule"], mail["verdict"]["matched"]) == ("r1", "no such user")
    assert mail["head"] == "Subject: <script>alert(1)</script>\nFrom: x\n\n550 no such user"


async def test_at_most_64_kib_are_shown_whatever_came(home: Gateway) -> None:
    identifier = await came(home, raw=b"\xff" * 200_000)
    mail = (await home.client.get(f"/v1/inbound/{identifier}", headers=home.administrator)).json()
    assert 0 < len(mail["head"].encode()) <= 64 * 1024


async def test_what_was_erased_is_a_tombstone(home: Gateway) -> None:
    identifier = await came(home)
    gone = tables.inbound.update().where(tables.inbound.c.id == UUID(identifier[4:])).values(raw=None)
    await home.database.write(lambda conn: conn.execute(gone) and None)
    mail = (await home.client.get(f"/v1/inbound/{identifier}", headers=home.administrator)).json()
    assert (mail["kept"], mail["head"]) == (False, None)


async def test_the_list_is_filtered_and_paged(home: Gateway) -> None:
    bounces = [await came(home) for _ in range(3)]
    abuse = await came(home, purpose="abuse", recipient="abuse@example.com")
    assert set(await _all(home, "?what=bounce")) == set(bounces)
    assert await _all(home, "?purpose=abuse") == [abuse]
    seen: list[str] = []
    cursor = ""
    for _ in range(2):
        answer = await home.client.get(f"/v1/inbound?limit=2{cursor}", headers=home.administrator)
        seen += [one["id"] for one in answer.json()["inbound"]]
        cursor = f"&cursor={answer.json()['cursor']}"
    assert sorted(seen) == sorted([*bounces, abuse])
    for wrong in ("cursor=x", "what=x", "purpose=%00", "limit=0"):
        assert (await home.client.get(f"/v1/inbound?{wrong}", headers=home.administrator)).status_code == 422


TOKEN = "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnop"
LINK = "https://mail.example.com/prove/Zm9vYmFyUmVhbGx5c2VjcmV0IGJ5dGVzIGhlcmUhIQ"
QUOTED = f"press {LINK} or write to b+{TOKEN}@b.post.example.com"
ENCODED = {
    "clear": QUOTED.encode(),
    "quoted-printable": quopri.encodestring(QUOTED.encode()),
    "base64": encodebytes(QUOTED.encode()),
}


@pytest.mark.parametrize("encoding", ENCODED)
async def test_no_reader_finds_a_token_or_a_link_in_what_came_back_however_it_is_encoded(
    home: Gateway, encoding: str
) -> None:
    body = ENCODED[encoding]
    head = f"Subject: =?utf-8?B?{b64encode(TOKEN.encode()).decode()}?=\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    sent = await home.send()
    mail = await came(
        home,
        sent["deliveries"][0]["id"],
        raw=head.encode() + body,
        recipient=f"b+{TOKEN}@b.post.example.com",
        envelope_sender=f"b+{TOKEN}@b.other.example",
    )
    for scopes in (("read", "manage"), ("read",)):
        key = await make_key(home.database, home.clock, home.acme.organization.id, scopes)
        shown = await home.call("GET", f"/v1/inbound/{mail}", headers={"Authorization": f"Bearer {key}"})
        _shows_none(shown.text, shown.json()["head"])
    async with here(home) as browser:
        page, listing = (await browser.get(f"/inbound/{mail}")).text, (await browser.get("/inbound")).text
    [(_, in_page)] = re.findall(r"<pre( class=\"mail\")>(.+?)</pre>", page, re.DOTALL)
    _shows_none(page, unescape(in_page))
    assert TOKEN not in listing


def _shows_none(answer: str, head: str) -> None:
    header, _, body = head.partition("\n\n")
    decoded = [quopri.decodestring(body), b64decode(re.sub(r"[^A-Za-z0-9+/]", "", body) + "==")]
    for shown in (answer, decode_words(header), body, *map(str, decoded)):
        assert TOKEN not in shown
        assert LINK[-43:] not in shown
    assert TOKEN[:12] in answer


async def test_a_token_is_cut_that_ends_behind_what_is_shown(home: Gateway) -> None:
    identifier = await came(home, raw=b"x" * (HEAD - 47) + b" " + TOKEN.encode())
    mail = (await home.client.get(f"/v1/inbound/{identifier}", headers=home.administrator)).json()
    assert TOKEN[:13] not in mail["head"]


# -- the pages ---------------------------------------------------------------------------------------------------------


async def test_the_pages_are_for_administrators_and_this_machine(home: Gateway) -> None:
    identifier = await came(home)
    for path in ("/inbound", f"/inbound/{identifier}"):
        assert (await home.client.get(path)).status_code == 401
        async with here(home) as browser:
            assert (await browser.get(path)).status_code == 200
    await home.client.post("/sign_in", data={"key": home.acme.key})
    for path in ("/inbound", f"/inbound/{identifier}"):
        assert (await home.client.get(path)).status_code == 404
    assert "/inbound" not in (await home.client.get("/")).text
    await home.client.post("/sign_in", data={"key": ADMINISTRATOR})
    assert 'href="/inbound"' in (await home.client.get("/")).text
    assert (await home.client.get(f"/inbound/{identifier}")).status_code == 200


async def test_what_strangers_wrote_does_nothing_on_the_pages(home: Gateway) -> None:
    sent = await home.send(subject="<b>An invoice</b>")
    identifier = await came(home, sent["deliveries"][0]["id"])
    nobodys = await came(home)
    async with here(home) as browser:
        listing = (await browser.get("/inbound")).text
        one = (await browser.get(f"/inbound/{identifier}")).text
        unmatched = (await browser.get(f"/inbound/{nobodys}")).text
        filtered = (await browser.get("/inbound?what=complaint")).text
    for page in (listing, one, unmatched):
        assert "<script" not in page
        assert "<b>An" not in page
        assert "\x1b" not in page
        assert "\u202e" not in page
        assert "&lt;script&gt;" in page
    assert (">r1<" in one, ">no such user<" in one) == (True, True), "the rule, and what it matched"
    assert f'href="/messages/{sent["id"]}"' in listing
    assert f'href="/messages/{sent["id"]}"' in one
    assert "&lt;b&gt;An invoice" in listing
    assert "&lt;b&gt;An invoice" in one
    assert "no known message" in listing
    assert "could not be matched to a message" in unmatched
    assert "550 no such user" in one
    assert "spf=pass(evil.example&lt;script&gt;" in one
    assert "dkim=fail dmarc=permerror" in one
    assert identifier not in filtered


@pytest.mark.parametrize("end", [b"\n", b"\r"], ids=["lf", "cr"])
async def test_whatever_ends_the_lines_a_key_that_may_only_read_is_shown_the_header_alone(
    home: Gateway, end: bytes
) -> None:
    mine = await home.send()
    raw = end.join((b"Subject: failure notice", b"From: x", b"", b"550 no such user", b"", b"the original itself"))
    mail = await came(home, mine["deliveries"][0]["id"], raw=raw, size=len(raw))
    key = await make_key(home.database, home.clock, home.acme.organization.id, ("read",))
    shown = (await home.call("GET", f"/v1/inbound/{mail}", headers={"Authorization": f"Bearer {key}"})).json()
    assert "failure notice" in shown["head"]
    assert "the original itself" not in shown["head"]
