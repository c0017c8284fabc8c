"""Every verifier says of every scenario what the table says: the honest pass everywhere, the others nowhere."""

from pathlib import Path

from . import mailauth, opendkim
from .opendmarc import an_opendmarc
from .rspamd import an_rspamd
from .scenarios import CELLS, Scenario, mutants, published_keys, scenarios, whole


def test_mailauth_which_walks_the_tree() -> None:
    said = mailauth.verdicts(scenarios())
    assert tuple(map(int, said["mailauth"].split("."))) >= (7, 1)
    assert int(said["node"].partition(".")[0]) >= 22
    for name, cells in CELLS.items():
        found = said["verdicts"][name]
        assert found["spf"] == cells.spf, name
        assert set(found["dkim"].split(",")) == {"pass"} if cells.dkim == "pass" else "pass" not in found["dkim"], name
        assert found["dmarc"] == ("absent" if cells.duplicate else cells.walk), name


def test_mailauth_believes_no_mutant() -> None:
    made = {"whole": whole(), **mutants()}
    said = mailauth.verdicts({name: Scenario(raw=raw, mail_from="") for name, raw in made.items()})["verdicts"]
    assert said.pop("whole")["dkim"] == "pass"
    assert [name for name, found in said.items() if "pass" in found["dkim"]] == []


def test_opendkim(tmp_path: Path) -> None:
    config = opendkim.configured(tmp_path, published_keys())
    signed = {name: one.raw for name, one in scenarios().items() if CELLS[name].dkim != "none"}
    said = opendkim.verify(config, tmp_path, signed)
    assert {name: verdict == "pass" for name, verdict in said.items()} == {
        name: CELLS[name].dkim == "pass" for name in signed
    }


def test_opendkim_believes_no_mutant(tmp_path: Path) -> None:
    config = opendkim.configured(tmp_path, published_keys())
    said = opendkim.verify(config, tmp_path, {"whole": whole(), **mutants()})
    assert said.pop("whole") == "pass"
    assert "dkim=permerror (bad message/signature format)" in said.pop("removed_from")  # not read any further
    assert set(said.values()) == {"signature verification failed"}


async def test_rspamd(tmp_path: Path) -> None:
    async with an_rspamd(tmp_path) as rspamd:
        for name, scenario in scenarios().items():
            cells, found = CELLS[name], await rspamd.verdict(scenario)
            assert found["spf"] == cells.spf, name
            assert (found["dkim"] == "pass") is (cells.dkim == "pass"), name
            if cells.duplicate:
                assert found["dmarc"] != "pass", name
            else:
                assert found["dmarc"] == cells.suffix, name
        assert (await rspamd.verdict(Scenario(raw=whole(), mail_from="")))["dkim"] == "pass"
        for name, raw in mutants().items():
            assert (await rspamd.verdict(Scenario(raw=raw, mail_from="")))["dkim"] == "fail", name


async def test_opendmarc(tmp_path: Path) -> None:
    """It judges what OpenDKIM found; of SPF it is told what the table says, in which the others agree."""
    config = opendkim.configured(tmp_path, published_keys())
    found = opendkim.verify(config, tmp_path, {name: one.raw for name, one in scenarios().items()})
    async with an_opendmarc(tmp_path) as judge:
        for name, scenario in scenarios().items():
            signature = "pass" if found.get(name) == "pass" else "fail"
            assert await judge.verdict(scenario, CELLS[name].spf, signature) == CELLS[name].suffix, name
