"""Every verifier says of every scenario what the table says: the honest pass everywhere, the others nowhere."""

from pathlib import Path

from . import mailauth, opendkim
from .opendmarc import an_opendmarc
from .rspamd import an_rspamd
from .scenarios import ED25519, KEYS, SCENARIOS, SIGNED, Scenario, mutants


def test_mailauth_which_walks_the_tree() -> None:
    said = mailauth.verdicts({name: scenario for name, (scenario, _) in SCENARIOS.items()})
    assert tuple(map(int, said["mailauth"].split("."))) >= (7, 1)
    assert int(said["node"].partition(".")[0]) >= 22
    for name, (_, cells) in SCENARIOS.items():
        found = said["verdicts"][name]
        assert found["spf"] == cells.spf, name
        assert set(found["dkim"].split(",")) == {"pass"} if cells.dkim == "pass" else "pass" not in found["dkim"], name
        assert found["dmarc"] == ("absent" if cells.duplicate else cells.walk), name


def test_mailauth_believes_no_mutant() -> None:
    said = mailauth.verdicts({name: Scenario(raw=raw, mail_from="") for name, raw in mutants().items()})
    for name, found in said["verdicts"].items():
        assert found["dkim"] != "pass", name


def test_opendkim(tmp_path: Path) -> None:
    config = opendkim.configured(tmp_path, (*KEYS.values(), ED25519))
    said = opendkim.verify(config, tmp_path, SIGNED)
    assert {name: verdict == "pass" for name, verdict in said.items()} == {
        name: SCENARIOS[name][1].dkim == "pass" for name in SIGNED
    }
    for name, verdict in opendkim.verify(config, tmp_path, mutants()).items():
        assert verdict == "signature verification failed", name


async def test_rspamd(tmp_path: Path) -> None:
    async with an_rspamd(tmp_path) as rspamd:
        for name, (scenario, cells) in SCENARIOS.items():
            found = await rspamd.verdict(scenario)
            assert found["spf"] == cells.spf, name
            assert (found["dkim"] == "pass") is (cells.dkim == "pass"), name
            if cells.duplicate:
                assert found["dmarc"] != "pass", name
            else:
                assert found["dmarc"] == cells.suffix, name
        for name, raw in mutants().items():
            assert (await rspamd.verdict(Scenario(raw=raw, mail_from="")))["dkim"] == "fail", name


async def test_opendmarc(tmp_path: Path) -> None:
    """It judges what OpenDKIM found; of SPF it is told what the table says, in which the others agree."""
    config = opendkim.configured(tmp_path, (*KEYS.values(), ED25519))
    found = opendkim.verify(config, tmp_path, SIGNED)
    async with an_opendmarc(tmp_path) as judge:
        for name, (scenario, cells) in SCENARIOS.items():
            signature = "pass" if found.get(name) == "pass" else "fail"
            assert await judge.verdict(scenario, cells.spf, signature) == cells.suffix, name
