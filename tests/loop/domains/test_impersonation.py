"""Display names that pass somebody off, and honest ones that must not be taken for such."""

import pytest

from homing.loop.domains.impersonation import Claim, ClaimedWords, Guard, claimable, claimed_words, guard
from homing.loop.domains.known_names import KNOWN_NAMES

OPERATOR = guard(["Homing Mail"], never_a_person=True)
OTHERS = guard(["Acme Rockets Ltd", "Smith & Sons", "John Smith", "Janet", "Sales", "Bob", "Contoso GmbH"])
ALL = (KNOWN_NAMES, OPERATOR, OTHERS)

HONEST = """
    Joe Bloggs;Janet Roe;Zoë Müller;O'Brien & Sons;J. R. R. Tolkien;Ελένη Παπαδοπούλου;Иван Петров;山田 太郎;محمد علي;
    Fiona Apple;Chase Utley;Chase;Apple;Orange;Wise Old Owl;Ali Visa;Hermes Trismegistos;Lloyds;Zoom Zoom;Slack;
    Joe Bloggs (PayPal partner);Microsoft consultant Joe;Amazon Müller;Joe at Google Ads Experts;Ups and Downs;
    Support;Customer Service;Sales;Sales Team;The Team;Billing Department;Bank;DHI Group;Ing. Müller;Studio 54;
    B2B Sales;4You;Agent 007;Team 21;Smart 1;Will Smith;John Smith;Janet;Janet Smith;Bob;Bob Support;Acme;Rockets;Smith;
    Acme Rockets of Wyoming, Inc;Mailing Homing Pigeons;Dr. Irs Meier;Irsa;Visa;Square;Stripes Ltd;
    Paypalova;Anna-Lena Google-Müller;Capital;One Capital;Royal Male;Deutsche Oper;Wells;Dean;Clean Ltd;Lena Ebay Fan;
    Lindsay;lindsay;Ilse;lise;Ill & Co;lll & Co;Iara Silva;Klarna Müller;Łukasz Nowak;Søren Bob;Ɗanjuma Goje;Jøhn Smith;
    Jordan Smith;Smith Jordan;Chase Jordan;Chase Holland;Israel Santander;Wise England;Apple Martin;Hermes Portugal;
    Teaming Up;Banking;Ordering;Accounting Team;ZoomInfo;Squarespace;Amazonas Travel;Upsales;Wordpress;Amazonensis;
    Janet 2;Bob 2;Chase 24;Hermes Müller 2;Irsa Deutschland;Acme Germany;🅰 Team;🆒 Bob;🇩🇪 Verein;J.R.Tolkien
"""
NO_CLAIM_YET = """
    Contoso Germany;ContosoSupport;AcmeRocketsSupport;PayPal Rewards;Mlcrosoft;IinkedIn;Orange France;AmazonPrime
"""
"""What may deceive and is let through, as the module says."""
LOOK_ALIKE = """
    Paypa1;PayPaI;Joe Paypa1;ΡayΡal;раураӏ;rnicrosoft;Micros0ft Security;G00gle;Аррӏе Support;0ffice 365;Nеtfӏix;
    Joe (Arnazon) Miller;Am4zon;D0cuSign;Ho rning Ma1l;Acrne Rockets;Соntoso;Smith & S0ns;
    MlCROSOFT;MlCROSOFT Support;lnstagram;lntesa Sanpao1o;VlSA;HOMlNG;HomingMai1;Joe Ƥaypa1;🅿🅰🆈🅿🅰1;Paypa1Support;
    Micros0ftTeam;H0mingMail;C0ntosoGmbH
"""
IMPERSONATES = """
    PayPal;PayPal Support;PAYPAL;ＰａｙＰａｌ;Pay Pal;P a y P a l;The Google Team;Microsoft Account Team;Apple Support;
    Apple ID;Apple, Inc.;Chase Bank;DHL;DHL Kundenservice;UPS;AT&T;Credit Agricole;Crédit Agricole Service;
    Bank of America Alerts;Office 365;N26;Visa Security;Finanzamt;Amazon.;𝖯𝖺𝗒𝖯𝖺𝗅 Support;
    Homing;Homing Mail;Homing-Mail Support;
    Acme Rockets Ltd;Acme Rockets;ACME ROCKETS Billing;Smith & Sons;John Smith Support;Contoso;Contoso Service;
    🅿🅰🆈🅿🅰🅻;🅿️🅰️🆈️🅿️🅰️🅻️ Support;🄿🄰🅈🄿🄰🄻;🅟🅐🅨🅟🅐🅛;⒫⒜⒴⒫⒜⒧;🇵🇦🇾🇵🇦🇱;PayPal 🇩🇪🇦🇹;Apple 🆔;Ƥayƥal;Ꝑayꝑal;PayʼPal;ꜰacebook;
    PayPal Germany;PayPal GmbH;PayPal S.A.;PayPal (Europe) S.à r.l. et Cie, S.C.A.;PayPal DE;PayPal France;PayPal 24;
    Microsoft Deutschland;Microsoft Россия;PayPal 日本;PayPal 한국;DHL Express UK;Apple Deutschland;Orange España;
    PayPal Supp0rt;PayPalSupport;PayPalGermany;PayPal24;PayPalSupportTeam24;TeamPayPal;GoogleMail;DHLExpress;
    HomingMail;homingmail;Homing Mai1;HomingSupport;Homing Mail 2;Homing Mail Deutschland;
    AcmeRocketsLtd;AcmeRockets;ContosoGmbH;Acme Røckets;Ｊohn Smith S.A.
"""


def claimed(
    name: str, guards: tuple[Guard, ...], *, own: str, own_domains: frozenset[str] | set[str] = frozenset()
) -> Claim | None:
    found = claimed_words(name, guards, own=own, own_domains=own_domains)
    return None if found is None else found.claim


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(";")]


@pytest.mark.parametrize("name", names(HONEST), ids=ascii)
def test_honest_names(name: str) -> None:
    assert claimed(name, ALL, own="Bloggs Ltd") is None


@pytest.mark.parametrize("name", names(NO_CLAIM_YET), ids=ascii)
def test_what_is_not_found(name: str) -> None:
    assert claimed(name, ALL, own="Bloggs Ltd") is None


@pytest.mark.parametrize("name", names(LOOK_ALIKE), ids=ascii)
def test_names_in_disguise(name: str) -> None:
    assert claimed(name, ALL, own="Bloggs Ltd") is Claim.LOOK_ALIKE


@pytest.mark.parametrize("name", names(IMPERSONATES), ids=ascii)
def test_other_peoples_names(name: str) -> None:
    assert claimed(name, ALL, own="Bloggs Ltd") is Claim.IMPERSONATES


@pytest.mark.parametrize("name", ["PayPal", "PayPal Support", "Paypa1"])
def test_who_has_proved_the_domain_may_bear_the_name(name: str) -> None:
    assert claimed(name, ALL, own="Bloggs", own_domains={"paypal.com"}) is None
    assert claimed(name, ALL, own="Bloggs", own_domains={"mail.paypal.com"}) is None
    assert claimed(name, ALL, own="Bloggs", own_domains={"notpaypal.com", "paypal.com.evil.net"}) is not None


@pytest.mark.parametrize("own", ["Acme Rockets Ltd", "Acme Rockets", "The Acme Rockets Group of Companies"])
def test_an_organization_may_bear_its_own_name(own: str) -> None:
    assert claimed("Acme Rockets Support", ALL, own=own) is None
    assert claimed("AcmeRocketsLtd", [guard([own])], own=own) is None
    assert claimed("Contoso Support", ALL, own=own) is Claim.IMPERSONATES


def test_long_names_take_no_time() -> None:
    assert claimed("a " * 64, ALL, own="x") is None
    assert claimed("1|!I" * 32, ALL, own="x") is None
    assert claimed("mail" * 32, ALL, own="x") is None
    assert len(claimable("x1y2!|" * 21)) == 2
    assert all(len(claimable(f"{'1' * strokes}abc")) <= 16 for strokes in range(9))


def test_every_known_name_is_known_by_itself() -> None:
    assert len({one.letters for one in KNOWN_NAMES.values()}) > 80
    for skeleton, one in KNOWN_NAMES.items():
        assert one.domains, one
        assert one.letters
        assert skeleton


@pytest.mark.parametrize(
    "name",
    [
        "PayPal ✓",
        "✅ PayPal",
        "PayPal™",
        "PayPal ® Support",
        "PayPal 👨\u200d👩\u200d👧",
        "The PayPal Companies",
        "Pay\u200cPal",
    ],
    ids=ascii,
)
def test_signs_beside_a_name_make_no_other_name_of_it(name: str) -> None:
    assert claimed(name, ALL, own="Bloggs") is Claim.IMPERSONATES


@pytest.mark.parametrize("name", ["рау-Раl", "раурal-IT", "Аррlе-Сервис", "µber"], ids=ascii)
def test_words_of_two_alphabets_disguise_nothing(name: str) -> None:
    assert claimed(name, ALL, own="Bloggs") is Claim.LOOK_ALIKE


@pytest.mark.parametrize("own", ["PayPal", "PayPal Germany", "PayPalGermany GmbH"])
def test_what_the_operator_allowed_an_organization_may_be_called_in_from(own: str) -> None:
    for name in ("PayPal", "PayPal Germany", "PayPal Support", own):
        assert claimed(name, ALL, own=own) is None


@pytest.mark.parametrize("own", ["Friends of PayPal Fans", "PayPal Consulting Partners", "Joe at Contoso"])
@pytest.mark.parametrize("name", ["PayPal Support", "Paypa1", "Contoso"])
def test_who_has_somebody_elses_name_within_his_own_may_not_bear_it(own: str, name: str) -> None:
    assert claimed(own, ALL, own="") is None
    assert claimed(name, ALL, own=own) is not None


@pytest.mark.parametrize("name", names(HONEST) + names(NO_CLAIM_YET), ids=ascii)
def test_an_organization_bears_no_name_that_it_could_not_be_given(name: str) -> None:
    """Whatever passes as an organization's name lets it send under no name that is somebody else's."""
    if claimed_words(name, ALL, own="", never_a_person=True) is None:
        for other in ("PayPal", "Apple Support", "Orange Billing", "Homing", "Acme Rockets Ltd", "Contoso Service"):
            assert claimed(other, ALL, own=name) is claimed(other, ALL, own="Bloggs")


@pytest.mark.parametrize(
    ("name", "claim", "words"),
    [
        ("Apple", Claim.IMPERSONATES, "Apple"),
        ("Janet", Claim.IMPERSONATES, "Janet"),
        ("John Smith Ltd", Claim.IMPERSONATES, "John Smith"),
        ("Contoso", Claim.IMPERSONATES, "Contoso"),
        ("Friends of Paypa1", Claim.LOOK_ALIKE, "Paypa1"),
        ("Ｈｏｍｉｎｇ Support", Claim.IMPERSONATES, "Homing"),
    ],
)
def test_an_organization_is_no_person_and_bears_no_name_of_another(name: str, claim: Claim, words: str) -> None:
    assert claimed_words(name, ALL, own="", never_a_person=True) == ClaimedWords(claim, words)
