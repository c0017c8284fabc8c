"""Other people's libraries, and we ourselves, judge the same messages and come to the same verdicts."""

import dkim
import pytest
from authheaders import check_dkim, dmarc_per_from
from authres import SPFAuthenticationResult

from homing.mail.authentication import Authentication, author_domain, vouched_by
from homing.mail.dkim import Result, keys_of, verify
from homing.mail.dmarc import evaluate
from homing.mail.question import Ask, Found, RecordType
from homing.mail.spf import check
from tests.interop.scenarios import HELO, NOW, RECORDS, SCENARIOS, Scenario, mutants

from .answering import Zones, run
from .test_dmarc import suffix_of


def txt():
    """The DNS for a library that asks for texts."""
    zones = Zones(RECORDS)

    def look_up(name, *_, **__):
        answer = zones.answer(Ask((name.decode() if isinstance(name, bytes) else name).rstrip("."), RecordType.TXT))
        text = answer.records[0] if isinstance(answer, Found) else None
        return text if text is None or isinstance(name, str) else text.encode()

    return look_up


def ours(scenario: Scenario) -> Authentication:
    zones = Zones(RECORDS)
    spf = run(check(scenario.ip, scenario.mail_from, HELO), zones)
    signatures = verify(scenario.raw, run(keys_of(scenario.raw), zones).get, NOW)
    author = author_domain(scenario.raw)
    dmarc = run(evaluate(author, vouched_by(spf, signatures), suffix_of), zones) if author else None
    return Authentication(spf=spf, dkim=signatures, dmarc=dmarc)


@pytest.mark.parametrize("name", SCENARIOS)
def test_we_ourselves(name: str) -> None:
    scenario, cells = SCENARIOS[name]
    verdict = ours(scenario)
    assert verdict.spf.result == cells.spf
    signed = bool(verdict.dkim.signatures)
    assert ("none" if not signed else "pass" if verdict.dkim.passed else "fail") == cells.dkim
    if cells.duplicate:
        assert verdict.dmarc is None
        return
    assert verdict.dmarc is not None
    assert verdict.dmarc.suffix_list is not None
    assert (verdict.dmarc.tree_walk.result, verdict.dmarc.suffix_list.result) == (cells.walk, cells.suffix)


@pytest.mark.parametrize("name", SCENARIOS)
def test_dkimpy_and_authheaders(name: str) -> None:
    """authheaders has no SPF of its own here, so it is given ours; it aligns by the public suffix list."""
    scenario, cells = SCENARIOS[name]
    look_up = txt()
    signature = check_dkim(scenario.raw, dnsfunc=look_up) if cells.dkim != "none" else None
    assert (signature.result if signature else "none") == cells.dkim
    spf = SPFAuthenticationResult(result=cells.spf, smtp_mailfrom=scenario.mail_from)
    author = author_domain(scenario.raw) or "customer.com"
    result, *_ = dmarc_per_from(author, spf_result=spf, dkim_result=signature, dnsfunc=look_up)
    assert result == cells.suffix


def test_every_mutant_fails_everywhere() -> None:
    scenario, _ = SCENARIOS["shared"]
    keys = run(keys_of(scenario.raw), Zones(RECORDS))
    assert dkim.verify(scenario.raw, dnsfunc=txt())
    assert len(mutants()) > 20
    for name, raw in mutants().items():
        assert not dkim.verify(raw, dnsfunc=txt()), name
        assert [one.result for one in verify(raw, keys.get, NOW).signatures] == [Result.FAIL], name
