"""DKIM keys as they are published (RFC 6376 §3.6, RFC 8301, RFC 8463)."""

from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from homing.loop.doctor.dkim_cures import (
    LEAST_BITS,
    as_meant,
    excludes_us,
    faults_of,
    offer,
    public_key,
    squeezed,
    tags_of,
)
from homing.loop.doctor.facts import DoctorFacts
from homing.loop.doctor.finding import (
    Evidence,
    Opinion,
    Severity,
    alias,
    check,
    fine,
    moot,
    note,
    records,
    text_record,
    unknown,
    warn,
    wrong,
)
from homing.mail.dkim_verification import Result, Signature, verify
from homing.mail.dns_question import Answer, Ask, Dialogue, Found, LookupFailed, RecordType

_SAFE_BITS = 2048
_EXPONENT = 65537
_LONGEST_TTL = 3600


def live(facts: DoctorFacts) -> Iterable[str]:
    """The keys that should be there."""
    return [key.name for key in facts.keys if not key.retired and not key.spare]


def _delegated(facts: DoctorFacts) -> Iterable[str]:
    return [key.name for key in facts.keys if key.alias and not key.retired]


def _known(facts: DoctorFacts) -> Iterable[str]:
    return [key.name for key in facts.keys if key.record and not key.retired]


def _proved(facts: DoctorFacts) -> Iterable[str]:
    return [key.name for key in facts.keys if key.proof and not key.retired]


def _timed(facts: DoctorFacts) -> Iterable[str]:
    return [name for name in live(facts) if name in facts.times_to_live]


def _retired(facts: DoctorFacts) -> Iterable[str]:
    return [key.name for key in facts.keys if key.retired]


@check(
    "DK01",
    Severity.ERROR,
    _delegated,
    meaning="The name of a delegated key is a CNAME to the target that was given for it, so that keys can be changed "
    "without its owner.",
    cure="Publish the CNAME, and nothing else at this name.",
)
def leads_to_us(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    target, wanted = (yield from alias(name)), facts.key(name).alias
    if target == wanted:
        return fine(f"{name} leads to {wanted}.")
    return wrong(f"{name} leads to {target}." if target else f"{name} is no CNAME.", *as_meant(facts, name))


@check(
    "DK02",
    Severity.ERROR,
    live,
    meaning="A key is published: a TXT record whose tags can be read, v=DKIM1 first where it stands there at all, of a "
    "kind that receivers know, with the key in p= (RFC 6376 §3.6.1).",
    cure="Publish the key's record as it was given, in one TXT record.",
)
def readable(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    texts = yield from _texts(name)
    if not texts:
        return wrong(f"No key is published at {name}.", *as_meant(facts, name))
    faults = faults_of(texts[0])
    if faults:
        said = f"The record at {name} is no usable key: {', and '.join(faults)}."
        return wrong(said, offered=offer(facts, name))
    return fine(f"A key of the kind {tags_of(texts[0]).get('k', 'rsa')} is published at {name}.")


@check(
    "DK03",
    Severity.ERROR,
    live,
    meaning="An RSA key has 2048 bits: with fewer than 1024 no receiver accepts it, with fewer than 2048 some do not "
    "(RFC 8301 §3.2).",
    cure="Make a new key of 2048 bits, publish it under a new selector, and sign with it.",
)
def strong(_: DoctorFacts, name: str) -> Dialogue[Opinion]:
    texts = yield from _texts(name)
    key = public_key(tags_of(texts[0])) if texts else None
    if not isinstance(key, RSAPublicKey):
        return moot(f"There is no RSA key at {name} to be measured.")
    bits, exponent = key.key_size, key.public_numbers().e
    if bits < LEAST_BITS:
        return wrong(f"The key at {name} has only {bits} bits.")
    if bits < _SAFE_BITS:
        return warn(f"The key at {name} has only {bits} bits.")
    if exponent != _EXPONENT:
        return warn(f"The key at {name} has the exponent {exponent}; some receivers only know {_EXPONENT}.")
    return fine(f"The key at {name} has {bits} bits.")


@check(
    "DK04",
    Severity.ERROR,
    _known,
    meaning="The published key is the one that we sign with; otherwise every signature fails.",
    cure="Publish our key's record in place of what stands there.",
)
def ours(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    texts, record = (yield from _texts(name)), facts.key(name).record
    if not texts:
        return wrong(f"No key is published at {name}, and we sign with one.", *as_meant(facts, name))
    if squeezed(tags_of(texts[0]).get("p", "")) == tags_of(record)["p"]:
        return fine(f"The key at {name} is the one that we sign with.")
    return wrong(f"The key at {name} is not the one that we sign with.", *as_meant(facts, name))


@check(
    "DK05",
    Severity.ERROR,
    live,
    meaning="There is one TXT record at the selector; its strings join into a key without spaces or quotation marks.",
    cure="Take out the other TXT records; split a long record into strings without adding anything between them.",
)
def alone_and_clean(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    texts = yield from _texts(name)
    if len(texts) > 1:
        said = f"There are {len(texts)} TXT records at {name}; receivers take any of them."
        return wrong(said, offered=offer(facts, name))
    value = tags_of(texts[0]).get("p", "") if texts else ""
    if any(character in value.strip() for character in ' \t"\\'):
        return wrong(f"The key at {name} has spaces or quotation marks in it.", offered=offer(facts, name))
    return fine(f"There is nothing beside or inside the key at {name}.")


@check(
    "DK06",
    Severity.WARNING,
    live,
    meaning="The key is not marked as a test (t=y): receivers may then treat its mail as unsigned (RFC 6376 §3.6.1).",
    cure="Take t=y out of the record.",
)
def no_test(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    texts = yield from _texts(name)
    flags = squeezed(tags_of(texts[0]).get("t", "")).split(":") if texts else []
    if "y" in flags:
        return wrong(f"The key at {name} is marked as a test.", offered=offer(facts, name))
    if "s" in flags:
        return note(f"The key at {name} is for its own domain alone (t=s), which is how we sign.")
    return fine(f"The key at {name} is no test.")


@check(
    "DK07",
    Severity.ERROR,
    live,
    meaning="The key may be used for SHA-256 and for mail: h= and s= do not exclude them (RFC 6376 §3.6.1).",
    cure="Take h= and s= out of the record.",
)
def for_mail(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    texts = yield from _texts(name)
    tags = tags_of(texts[0]) if texts else {}
    faults = {
        f"not for SHA-256: h={tags.get('h', '')}": excludes_us("h", tags.get("h", "sha256")),
        f"not for mail: s={tags.get('s', '')}": excludes_us("s", tags.get("s", "*")),
    }
    told = [fault for fault, holds in faults.items() if holds]
    if told:
        return wrong(f"The key at {name} is {', and '.join(told)}.", offered=offer(facts, name))
    return fine(f"The key at {name} may be used for mail.")


@check(
    "DK08",
    Severity.ERROR,
    _proved,
    meaning="A message that we sign is verified with the key as published, whichever of the zone's servers or of the "
    "resolvers is asked for it.",
    cure="Publish our key's record in place of what stands there.",
)
def verifies(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    texts = yield from _texts(name)
    proof, asked = facts.key(name).proof, facts.by_server.get(name, {})
    seen = Evidence.everywhere(Ask(name, RecordType.TXT), asked)
    signature = _verified(proof, texts)
    if signature.result is Result.TEMPERROR:
        return unknown(f"The signature could not be verified: {signature.reason}.").seen(*seen)
    if signature.result is not Result.PASS:
        said = f"What we sign is not verified with the key at {name}: {signature.reason}."
        return wrong(said, *as_meant(facts, name)).seen(*seen)
    told = {server: _records_in(answer) for server, answer in asked.items() if not isinstance(answer, LookupFailed)}
    failing = [server for server, records in told.items() if _verified(proof, records).result is not Result.PASS]
    if failing:
        said = f"What we sign is not verified with what {', '.join(failing)} says of {name}; others have the right key."
        return wrong(said, *as_meant(facts, name)).seen(*seen)
    others = f", as told by {', '.join(told)}" if told else ""
    return fine(f"What we sign is verified with the key at {name}{others}.").seen(*seen)


@check(
    "DK09",
    Severity.WARNING,
    _retired,
    meaning="A key that is out of use is not published any more: whoever gets hold of it could still sign with it.",
    cure="Publish the key with an empty p= for a month, then take the record out.",
)
def gone(_: DoctorFacts, name: str) -> Dialogue[Opinion]:
    texts = yield from _texts(name)
    if any(squeezed(tags_of(text).get("p", "")) for text in texts):
        revoked = text_record(name, "v=DKIM1; p=", "revokes the key that is out of use (RFC 6376 §3.6.1)")
        return wrong(f"The key at {name} is out of use and still published.", revoked)
    return fine(f"The key at {name} is gone or revoked.")


@check(
    "DK10",
    Severity.WARNING,
    _timed,
    meaning="The key's record is kept for an hour at most (its TTL), so that a key that leaks is soon withdrawn.",
    cure="Publish the record with a TTL of 3600 or less.",
)
def short_lived(facts: DoctorFacts, name: str) -> Dialogue[Opinion]:
    yield from _texts(name)
    seconds = facts.times_to_live[name]
    if seconds > _LONGEST_TTL:
        return wrong(f"Resolvers keep the key at {name} for {seconds:.0f} seconds or more.", *as_meant(facts, name))
    return fine(f"Resolvers do not keep the key at {name} for long.")


CHECKS = (leads_to_us, readable, strong, ours, alone_and_clean, no_test, for_mail, verifies, gone, short_lived)


def _texts(name: str) -> Dialogue[tuple[str, ...]]:
    return (yield from records(name, RecordType.TXT))


def _verified(proof: bytes, texts: tuple[str, ...]) -> Signature:
    return verify(proof, lambda _: texts[0] if texts else None).signatures[0]


def _records_in(answer: Answer[str]) -> tuple[str, ...]:
    return answer.records if isinstance(answer, Found) else ()
