"""Which key signs a delivery: the one that signs now, the one that signed before, or none."""

import os
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from homing.flow.deliver.sign import Signer
from homing.loop.domains.sending_domains import label_of
from homing.loop.domains.signing_keys import ED25519, RSA, DkimKey, KeyState
from homing.loop.ids import new_id
from homing.loop.model import OrganizationId
from homing.loop.sealing import SealBroken, Sealer
from homing.mail.dkim import SigningKey, body_hash
from homing.mail.dkim_verification import verify
from homing.store import dkim_keys
from homing.store.database import Database
from homing.store.dkim_keys import SealedKey

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
SEALER = Sealer(b"k" * 32)
OWN, DELEGATED = "post.acme.example", "dkim.acme.example"
MESSAGE = b"From: joe@bloggs.com\r\nSubject: Hello\r\n\r\nHello\r\n"
PRIVATE = SigningKey.generate_ed25519(OWN, "h1").private_key


def a_signer(database: Database, sealer: Sealer = SEALER) -> Signer:
    return Signer(database, sealer, own=OWN, delegated=DELEGATED, threads=1)


async def put(
    database: Database,
    domain: str,
    selector: str,
    state: KeyState = KeyState.ACTIVE,
    *,
    since: datetime = NOW,
    algorithm: str = RSA,
) -> DkimKey:
    """A key in the store. Ed25519 keys pass for RSA here: they are made at once."""
    private = SigningKey(domain, selector, PRIVATE)
    key = DkimKey(
        id=new_id(since, os.urandom(10)),
        organization=None,
        domain=domain,
        selector=selector,
        algorithm=algorithm,
        record_name=f"{selector}._domainkey.{domain}",
        record=private.dns_record(),
        state=state,
        created_at=since,
        published_at=since,
        activated_at=since,
    )
    sealed = SEALER.seal(private.pem(), key.place, bytes(12))
    assert await database.write(dkim_keys.add, SealedKey(key=key, sealed=sealed))
    return key


async def test_the_active_key_signs_and_the_first_signature_is_kept(database: Database) -> None:
    await put(database, OWN, "h1", KeyState.DRAINING)
    await put(database, OWN, "h2", since=LATER)
    signer = a_signer(database)
    await signer.reload()
    fresh = signer.plan(OWN, None, None, LATER)
    assert fresh and (fresh.selectors, fresh.signed_at, fresh.anew) == ("h2", LATER, False)
    before = signer.plan(OWN, "h1", NOW, LATER)
    assert before and (before.selectors, before.signed_at, before.anew) == ("h1", NOW, False)
    assert await signer.signed(MESSAGE, before, LATER) == await signer.signed(MESSAGE, before, LATER)
    signer.close()


async def test_what_a_key_signed_that_is_gone_is_signed_anew(database: Database) -> None:
    await put(database, OWN, "h2")
    signer = a_signer(database)
    await signer.reload()
    anew = signer.plan(OWN, "h1", NOW, LATER)
    assert anew and (anew.selectors, anew.signed_at, anew.anew) == ("h2", LATER, True)
    signer.close()


async def test_another_key_under_the_same_selector_is_another_key(database: Database) -> None:
    await put(database, OWN, "h1", since=LATER)
    signer = a_signer(database)
    await signer.reload()
    plan = signer.plan(OWN, "h1", NOW, LATER)
    assert plan and plan.anew
    signer.close()


async def test_keys_of_ours_sign_for_domains_that_lead_to_them(database: Database) -> None:
    key = await put(database, DELEGATED, "acme1")
    signer = a_signer(database)
    await signer.reload()
    plan = signer.plan("bloggs.com", None, None, NOW)
    assert plan and plan.domain == "bloggs.com"
    raw = await signer.signed(MESSAGE, plan, LATER)
    verified = verify(raw, {"acme1._domainkey.bloggs.com": key.record}.get)
    assert verified.passed_for("bloggs.com")
    assert signer.plan(OWN, None, None, NOW) is None  # never for the shared domain, which has selectors of its own
    signer.close()


async def test_a_second_signature_stands_beside_the_first(database: Database) -> None:
    await put(database, OWN, "h1")
    await put(database, OWN, "e1", algorithm=ED25519)
    signer = a_signer(database)
    await signer.reload()
    plan = signer.plan(OWN, None, None, NOW)
    assert plan and plan.selectors == "h1,e1"
    assert (await signer.signed(MESSAGE, plan, LATER)).count(b"DKIM-Signature:") == 2
    signer.close()


async def test_a_hash_that_is_known_is_signed_and_one_that_is_not_is_found(database: Database) -> None:
    await put(database, OWN, "h1")
    await put(database, OWN, "e1", algorithm=ED25519)
    signer = a_signer(database)
    await signer.reload()
    plan = signer.plan(OWN, None, None, NOW)
    assert plan
    found = await signer.signed(MESSAGE, plan, LATER)
    assert await signer.signed(MESSAGE, plan, LATER, body_hash(MESSAGE)) == found
    another = await signer.signed(MESSAGE, plan, LATER, bytes(32))
    assert another.count(b"bh=" + b64encode(bytes(32))) == 2, "both go by it"
    signer.close()


async def test_the_operator_signs_beside_a_domain_that_leads_to_keys_of_ours(database: Database) -> None:
    records = {
        "acme1._domainkey.bloggs.com": (await put(database, DELEGATED, "acme1")).record,
        f"h1._domainkey.{OWN}": (await put(database, OWN, "h1")).record,
    }
    await put(database, OWN, "e1", algorithm=ED25519)
    signer = a_signer(database)
    await signer.reload()
    alone = signer.plan("bloggs.com", None, None, NOW)
    assert alone and alone.selectors == "acme1"
    plan = signer.plan("bloggs.com", None, None, NOW, countersigned=True)
    assert plan and plan.selectors == "acme1,@h1"
    verified = verify(await signer.signed(MESSAGE, plan, LATER), records.get)
    assert [(one.domain, one.selector, one.result) for one in verified.signatures] == [
        ("bloggs.com", "acme1", "pass"),
        (OWN, "h1", "pass"),
    ]
    before = signer.plan("bloggs.com", "acme1,@h1", NOW, LATER, countersigned=True)
    assert before and (before.selectors, before.signed_at, before.anew) == ("acme1,@h1", NOW, False)
    signer.close()


async def test_a_countersignature_by_a_key_that_is_gone_makes_all_anew(database: Database) -> None:
    await put(database, DELEGATED, "acme1")
    leaked = await put(database, OWN, "h1")
    signer = a_signer(database)
    await signer.reload()
    assert await database.write(dkim_keys.move, [(leaked, KeyState.REVOKED)], LATER)
    await signer.reload()
    anew = signer.plan("bloggs.com", "acme1,@h1", NOW, LATER, countersigned=True)
    assert anew and (anew.selectors, anew.anew) == ("acme1", True)  # complaints matter less than mail
    await put(database, OWN, "h2")
    await signer.reload()
    anew = signer.plan("bloggs.com", "acme1,@h1", NOW, LATER, countersigned=True)
    assert anew and (anew.selectors, anew.anew) == ("acme1,@h2", True)
    signer.close()


async def test_an_organizations_own_selector_where_its_record_stands(database: Database) -> None:
    key = await put(database, OWN, "h1")
    await put(database, DELEGATED, "acme1")
    signer = a_signer(database)
    await signer.reload()
    organization = OrganizationId(UUID(int=7))
    plain = signer.plan(OWN, None, None, NOW, organization=organization)
    assert plain and plain.selectors == "h1"
    signer.tagged = frozenset({key.id})
    tag = label_of(organization, OWN)
    tagged = signer.plan(OWN, None, None, NOW, organization=organization)
    assert tagged and tagged.selectors == f"{tag}.h1"
    raw = await signer.signed(MESSAGE, tagged, LATER)
    assert f"s={tag}.h1;".encode() in raw
    signer.tagged = frozenset()
    assert signer.plan(OWN, tagged.selectors, NOW, LATER) == tagged
    assert signer.plan(OWN, "h1", NOW, LATER, organization=organization) == plain
    signer.tagged = frozenset({key.id})
    both = signer.plan("bloggs.com", None, None, NOW, countersigned=True, organization=organization)
    assert both and both.selectors == f"acme1,@{tag}.h1"
    assert (await signer.signed(MESSAGE, both, LATER)).count(b"DKIM-Signature:") == 2
    ours = signer.plan(OWN, None, None, NOW)
    assert ours and ours.selectors == "h1"
    signer.close()


async def test_a_node_learns_what_another_one_revoked(database: Database) -> None:
    leaked = await put(database, OWN, "h1")
    await put(database, OWN, "h2", KeyState.PUBLISHED, since=LATER)
    here, there = a_signer(database), a_signer(database)
    for signer in (here, there):
        await signer.reload()
    standby = (await database.read(dkim_keys.list_all, OWN))[1]
    moves = [(leaked, KeyState.REVOKED), (standby, KeyState.ACTIVE)]
    assert await database.write(dkim_keys.move, moves, LATER)
    await there.reload_if_changed()
    plan = there.plan(OWN, None, None, LATER)
    assert plan and plan.selectors == "h2"
    for signer in (here, there):
        signer.close()


async def test_another_secret_key_opens_nothing(database: Database) -> None:
    await put(database, OWN, "h1")
    signer = a_signer(database, Sealer(b"x" * 32))
    with pytest.raises(SealBroken, match="another secret key"):
        await signer.reload()
    signer.close()


async def test_a_signature_is_valid_until_a_week_after_the_deliverys_lifetime(database: Database) -> None:
    """RFC 6376 §3.5, x=: a mail that lay in a queue elsewhere is verified when it arrives."""
    await put(database, OWN, "h1")
    signer = a_signer(database)
    await signer.reload()
    plan = signer.plan(OWN, None, None, NOW)
    assert plan is not None
    signed = await signer.signed(MESSAGE, plan, datetime(2026, 3, 6, tzinfo=UTC))
    assert f"x={int(datetime(2026, 3, 13, tzinfo=UTC).timestamp())};".encode() in signed
    signer.close()
