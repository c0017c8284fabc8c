"""What many servers' answers mean together."""

import pytest

from homing.loop.domains.publication import Judgement, Observation, Publication, judge, same_name, same_text
from homing.mail.dns_question import Answer, Found, LookupFailed, LookupFault, NoData, NoSuchName

RECORD = "v=DKIM1; k=rsa; p=AAAA"
GOOD: Answer[str] = Found(records=("v=DKIM1;k=rsa; p=AA AA",), server="s")
OTHER: Answer[str] = Found(records=("v=DKIM1; k=rsa; p=BBBB",), server="s")
GONE: Answer[str] = NoSuchName(server="s", authoritative=True)
EMPTY: Answer[str] = NoData(server="s")
SILENT: Answer[str] = LookupFailed(why=LookupFault.SERVFAIL, server="s")


def judged(zone: list[Answer[str]], resolvers: list[Answer[str]]) -> Judgement:
    sightings = [Observation(server=f"zone{at}", authoritative=True, answer=answer) for at, answer in enumerate(zone)]
    sightings += [
        Observation(server=f"res{at}", authoritative=False, answer=answer) for at, answer in enumerate(resolvers)
    ]
    return judge(sightings, same_text(RECORD))


@pytest.mark.parametrize(
    ("zone", "resolvers", "standing"),
    [
        ([GOOD], [GOOD], Publication.THERE),
        ([GOOD, GOOD], [GOOD, GOOD], Publication.THERE),
        ([GOOD, SILENT], [GOOD, SILENT], Publication.THERE),
        ([], [GOOD, GOOD], Publication.UNKNOWN),
        ([GOOD], [], Publication.UNKNOWN),
        ([GOOD], [SILENT], Publication.UNKNOWN),
        ([GOOD], [GONE], Publication.UNKNOWN),
        ([GOOD, OTHER], [GOOD], Publication.UNKNOWN),
        ([GONE], [GOOD], Publication.UNKNOWN),
        ([GONE], [GONE], Publication.MISSING),
        ([EMPTY], [SILENT], Publication.MISSING),
        ([OTHER], [OTHER], Publication.MISSING),
        ([SILENT], [GONE, GONE], Publication.UNKNOWN),
        ([], [GONE, GONE], Publication.UNKNOWN),
        ([SILENT], [SILENT], Publication.UNKNOWN),
        ([], [], Publication.UNKNOWN),
    ],
)
def test_what_they_say_together(zone: list[Answer[str]], resolvers: list[Answer[str]], standing: Publication) -> None:
    assert judged(zone, resolvers).standing is standing


def test_the_evidence_is_the_answer_that_decided() -> None:
    missing = judged([GOOD, OTHER], [SILENT])
    assert (missing.server, missing.answer, missing.wrong) == ("zone1", "v=DKIM1; k=rsa; p=BBBB", True)
    assert judged([GONE], [GONE]).answer == "no such name"
    assert judged([SILENT], []).answer == "no answer: servfail"
    assert judged([], []).answer == "no server could be asked"


def test_two_records_under_one_name_are_none() -> None:
    assert not same_text(RECORD)((RECORD, RECORD))
    assert same_name("rp.Acme.example")(("RP.acme.example.",))
    assert not same_name("rp.acme.example")(("rp.acme.example.", "x."))
