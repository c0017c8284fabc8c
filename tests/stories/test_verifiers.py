"""Other people's libraries, and we ourselves, judge the same messages and come to the same verdicts."""

from functools import cache
from pathlib import Path

import authheaders
import dkim
import pytest
import spf as pyspf
from authheaders import dmarc_lookup
from authres import SPFAuthenticationResult
from publicsuffix2 import PublicSuffixList

from homing.mail.authentication import Authentication, author_domain, vouched_by
from homing.mail.dkim_verification import Result, keys_of, verify
from homing.mail.dmarc import evaluate
from homing.mail.dns_question import Ask, Found, RecordType
from homing.mail.spf import check
from tests.interop.gateway_mail import caught
from tests.interop.scenarios import CELLS, HELO, NOW, Scenario, mutants, records, scenarios, whole
from tests.interop.table import page
from tests.mail.answering import Zones, run
from tests.mail.test_dmarc import suffix_of


def txt():
    """The DNS for a library that asks for texts."""
    zones = Zones(records())

    def look_up(name, *_, **__):
        answer = zones.answer(Ask((name.decode() if isinstance(name, bytes) else name).rstrip("."), RecordType.TXT))
        text = answer.records[0] if isinstance(answer, Found) else None
        return text if text is None or isinstance(name, str) else text.encode()

    return look_up


def results_of_dkimpy(raw: bytes) -> list[bool]:
    """Whether each signature verifies."""

    def verifies(index: int) -> bool:
        try:
            return bool(dkim.DKIM(raw).verify(index, dnsfunc=txt()))
        except dkim.DKIMException:
            return False

    return [verifies(index) for index in range(raw.count(b"DKIM-Signature: "))]


def cell_of(passed: list[bool]) -> str:
    return "none" if not passed else "pass" if all(passed) else "fail" if not any(passed) else "mixed"


def ours(scenario: Scenario) -> Authentication:
    zones = Zones(records())
    spf = run(check(scenario.ip, scenario.mail_from, HELO), zones)
    signatures = verify(scenario.raw, run(keys_of(scenario.raw), zones).get, NOW)
    author = author_domain(scenario.raw)
    dmarc = run(evaluate(author, vouched_by(spf, signatures), suffix_of), zones) if author else None
    return Authentication(spf=spf, dkim=signatures, dmarc=dmarc)


def test_the_table_is_about_all_scenarios() -> None:
    assert CELLS.keys() == scenarios().keys()
    committed = Path(__file__).parents[2] / "docs" / "verifiers.md"
    assert committed.read_text("utf-8") == page(), "write it anew: python -m tests.interop.table"


def test_what_the_gateway_sent_is_what_the_rows_say() -> None:
    seen = {
        name: (
            mail.addresses("From")[0],
            (mail.envelope_sender or "").rpartition("@")[2],
            mail.content.count(b"\nDKIM-"),
        )
        for name, mail in caught().mails.items()
    }
    own, back = "message-service@post.acme-mail.com", "b.post.acme-mail.com"
    assert seen == {  # From, return path, signatures beside the first
        "shared": (own, back, 0),
        "shared_bulk": (own, back, 0),
        "shared_twice": (own, back, 1),
        "shared_selector": (own, back, 0),
        "shared_tenant": ("crm@post.acme-mail.com", back, 1),
        "custom_full": ("joe@bloggs.com", "bounce.bloggs.com", 1),
        "custom_dkim": ("jim@carter.com", back, 1),
    }


def test_we_ourselves() -> None:
    for name, scenario in scenarios().items():
        cells, verdict = CELLS[name], ours(scenario)
        assert verdict.spf.result == cells.spf, name
        assert cell_of([one.result is Result.PASS for one in verdict.dkim.signatures]) == cells.dkim, name
        if cells.duplicate:
            assert verdict.dmarc is None
            continue
        assert verdict.dmarc is not None
        assert verdict.dmarc.suffix_list is not None
        assert (verdict.dmarc.tree_walk.result, verdict.dmarc.suffix_list.result) == (cells.walk, cells.suffix), name


def test_dkimpy() -> None:
    for name, scenario in scenarios().items():
        assert cell_of(results_of_dkimpy(scenario.raw)) == CELLS[name].dkim, name


@cache
def suffixes(path: str) -> PublicSuffixList:
    """The list of authheaders, which reads it anew at each question."""
    with Path(path).open(encoding="utf-8") as file:
        return PublicSuffixList(file)


def test_authheaders(monkeypatch: pytest.MonkeyPatch) -> None:
    """By both methods, given the SPF of the table. By itself it reads a domain only as far as the first hyphen."""
    monkeypatch.setattr(authheaders, "get_domain_part", lambda address: str(address).rpartition("@")[2].lower())
    monkeypatch.setattr(dmarc_lookup, "PublicSuffixList", lambda file: suffixes(file.name))
    look_up = txt()
    for name, scenario in scenarios().items():
        cells = CELLS[name]
        signature = authheaders.check_dkim(scenario.raw, dnsfunc=look_up) if cells.dkim != "none" else None
        spf = SPFAuthenticationResult(result=cells.spf, smtp_mailfrom=scenario.mail_from)
        found = [
            authheaders.check_dmarc(scenario.raw, spf, signature, look_up, dmarcbis=tree_walk).result
            for tree_walk in (True, False)
        ]
        if name == "sibling_return_path":  # its walk is that of an early draft, which went on without a record
            assert found == ["pass", cells.suffix]
        else:
            assert "pass" not in found if cells.duplicate else found == [cells.walk, cells.suffix], name


def test_pyspf(monkeypatch: pytest.MonkeyPatch) -> None:
    known = records()

    def look_up(name, kind, *_, **__):
        found = []
        alias = name.rstrip(".").lower()
        while alias:
            at, alias = alias, ""
            for one, text in known.get(at, ()):
                if one == kind:
                    found.append(((at, kind), _as_pyspf_has_it(kind, text)))
                elif one == "CNAME":
                    alias = text.rstrip(".")
                    found.append(((at, "CNAME"), alias))
        return found

    monkeypatch.setattr(pyspf, "DNSLookup", look_up)
    for name, scenario in scenarios().items():
        result, *_ = pyspf.check2(scenario.ip, scenario.mail_from, HELO)
        assert result == CELLS[name].spf, name


def _as_pyspf_has_it(kind: str, text: str):
    if kind == "MX":
        preference, host = text.split()
        return int(preference), host.rstrip(".")
    return (text.encode(),) if kind == "TXT" else text


def test_every_mutant_fails_everywhere() -> None:
    keys = run(keys_of(whole()), Zones(records()))
    assert results_of_dkimpy(whole()) == [True]
    assert len(mutants()) > 70
    for name, raw in mutants().items():
        assert raw != whole()
        assert results_of_dkimpy(raw) == [False], name
        assert [one.result for one in verify(raw, keys.get, NOW).signatures] == [Result.FAIL], name
