"""The whole list of what the doctor looks at: no check is lost, none is graver or lighter than it was meant to be."""

from homing.loop.doctor.checks import CHECKS
from homing.loop.doctor.finding import Outcome, Severity

from .examined import facts, of
from .test_checks import CASES, spoilt

ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO

CATALOGUE: dict[str, tuple[Severity, str]] = {
    "SPF01": (ERROR, "one record"),
    "SPF02": (ERROR, "well formed as a whole"),
    "SPF03": (ERROR, "ten look-ups at most, a warning from eight on; no circle; ten hosts of an mx"),
    "SPF04": (ERROR, "two void look-ups at most"),
    "SPF05": (ERROR, "every egress address passes, as evaluated"),
    "SPF06": (ERROR, "no +all; ?all, ptr and huge networks are a warning"),
    "SPF07": (WARNING, "450 octets, the answer 1232"),
    "SPF08": (INFO, "no record of type SPF"),
    "SPF09": (INFO, "no provider's shared hosts under From"),
    "SPF10": (INFO, "-all on a name that is only in From"),
    "SPF11": (ERROR, "an alias as return path has MX and TXT behind it"),
    "SPF12": (ERROR, "includes and redirects lead to one well-formed record, at any depth"),
    "SPF13": (WARNING, "no terms behind all, no private addresses"),
    "DK01": (ERROR, "the CNAME leads to where it was to"),
    "DK02": (ERROR, "a key that can be read"),
    "DK03": (ERROR, "2048 bits; from 1024 on a warning; the exponent"),
    "DK04": (ERROR, "the key is the one in our store"),
    "DK05": (ERROR, "one record, joined rightly"),
    "DK06": (WARNING, "t=y; t=s is worth knowing"),
    "DK07": (ERROR, "h= and s= let us"),
    "DK08": (ERROR, "a signed message is verified with what each server says"),
    "DK09": (WARNING, "a key out of use is gone"),
    "DK10": (WARNING, "an hour of TTL at most"),
    "DM01": (ERROR, "one record, or one above"),
    "DM02": (ERROR, "v=DMARC1 first"),
    "DM03": (ERROR, "p= and all tags have values; absent p= is a warning, p= out of place worth knowing"),
    "DM04": (WARNING, "rua=, and ours in it"),
    "DM05": (ERROR, "others want the reports that go to them"),
    "DM06": (ERROR, "a record at the organization; an error only for a sibling as return path"),
    "DM07": (ERROR, "aligned by both methods"),
    "DM08": (WARNING, "psd="),
    "DM09": (INFO, "pct, rf, ri, t"),
    "DM10": (WARNING, "sp= is not weaker; np= missing is worth knowing"),
    "DM11": (INFO, "ruf= and fo="),
    "DM12": (WARNING, "no wildcard, no alias"),
    "DM13": (ERROR, "adkim=s and aspf=s fit"),
    "DM14": (ERROR, "not at the domain itself"),
    "PTR01": (ERROR, "address, name and back"),
    "PTR02": (WARNING, "the name in EHLO"),
    "MX01": (ERROR, "MX of From and return path lead to hosts"),
    "MX02": (ERROR, "no null MX where replies go or beside others, no alias, no address"),
    "MX03": (ERROR, "the hosts answer, with STARTTLS, and take the null sender"),
    "RP01": (WARNING, "postmaster and abuse"),
    "TLS01": (WARNING, "MTA-STS: record, policy over HTTPS, hosts, mode"),
    "TLS02": (ERROR, "TLSA: kind, certificate, signatures of the zone"),
    "TLS03": (WARNING, "TLS reports"),
    "DNS01": (ERROR, "servers and resolvers say the same; a lagging serial number is a warning, since it passes"),
    "DNS02": (ERROR, "signatures of the zone"),
    "DNS03": (ERROR, "aliases lead somewhere"),
    "DNS04": (ERROR, "the names exist"),
    "DNS05": (WARNING, "blocklists"),
    "BI01": (INFO, "BIMI: DMARC, picture, certificate"),
    "M01": (ERROR, "one From"),
    "M02": (ERROR, "From is signed twice, Content-Type too"),
    "M03": (ERROR, "no l="),
    "M04": (WARNING, "one-click unsubscription is signed"),
    "M05": (WARNING, "Date and Message-ID"),
    "M06": (ERROR, "lines"),
    "M07": (WARNING, "t= and x="),
    "M08": (INFO, "CFBL-Address and Feedback-ID"),
    "RT01": (INFO, "replies to a freemail provider"),
}

NO_RECORD = {
    "SPF07": "which record is needed least only its owner knows",
    "SPF08": "the record is to be taken out",
    "SPF09": "whether the provider sends, only the owner knows",
    "DM11": "whether somebody reads the reports, only the owner knows",
    "DK03": "another key is needed, which nobody has made yet",
    "DM07": "other names are needed, not other records",
    "MX03": "the host is at fault, not the DNS",
    "RP01": "the host is at fault, not the DNS",
    "DNS01": "the server is at fault, not what it was given",
    "DNS02": "signatures are made anew, by the zone's own program",
    "DNS05": "the lists decide",
    "BI01": "files and DMARC are at fault; DMARC's own checks give its record",
} | dict.fromkeys(
    ("M01", "M02", "M03", "M04", "M05", "M06", "M07", "M08", "RT01"), "the message is at fault, not the DNS"
)
"""Where a fault has a cure in words alone, and why."""

FAULTY = (Outcome.BROKEN, Outcome.WARNING)


def test_every_check_is_here_and_as_grave_as_it_was_meant() -> None:
    assert {check.id: check.severity for check in CHECKS} == {name: grave for name, (grave, _) in CATALOGUE.items()}


def test_each_fault_gives_the_record_that_mends_it_or_there_is_none() -> None:
    with_record: set[str] = set()
    for identifier, changes, other, _, _ in CASES:
        for finding in of(identifier, facts(**other), spoilt(changes)):
            if finding.records and finding.outcome is not Outcome.OK:
                with_record.add(finding.check)
    assert {check.id for check in CHECKS} - with_record == NO_RECORD.keys()


def test_each_fault_says_who_was_asked_what() -> None:
    """What is wrong with a message is in the message; all else rests on what somebody said."""
    for identifier, changes, other, _, _ in CASES:
        for finding in of(identifier, facts(**other), spoilt(changes)):
            if finding.outcome in FAULTY and not identifier.startswith("M0"):
                assert finding.evidence, finding
                assert all(one.query and one.server and one.answer for one in finding.evidence), finding
            if finding.outcome in FAULTY:
                assert finding.cure, finding
