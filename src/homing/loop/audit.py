"""The fate of mail that an application sends in the name of its users' own domains, domain by domain.

An application that writes its users' addresses into From sends in the name of domains that know nothing of it. Some of
them ask for such mail to be refused. The records that a domain publishes are looked up and judged as receivers judge
them; how its own mail server treats mail from its own domain can only be guessed, so the guess has a `Sureness`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from homing.loop.domains.identity import is_freemail
from homing.mail.dmarc import DmarcResult, MethodVerdict, SuffixOf, Vouched, evaluate
from homing.mail.dmarc_record import Policy
from homing.mail.dns_question import Answer, Ask, Dialogue, Found, LookupFailed, NoSuchName, RecordType, with_silence
from homing.mail.spf import SpfVerdict, check
from homing.mail.spf_record import SpfResult

STRANGER = "192.0.2.1"
"""An address for documentation (RFC 5737), which no domain lets send: it stands for "not one of theirs"."""


class Reason(StrEnum):
    """Why mail from a domain fails, the most decisive one first."""

    NO_SUCH_DOMAIN = "no_such_domain"
    NO_MAIL = "no_mail"
    FREEMAIL = "freemail"
    DMARC_REJECT = "dmarc_reject"
    DMARC_QUARANTINE = "dmarc_quarantine"
    SPF_HARD_FAIL = "spf_hard_fail"
    OWN_REFUSAL = "own_refusal"


MEANING = {
    Reason.NO_SUCH_DOMAIN: "the domain does not exist, so receivers refuse it and replies come back to nobody",
    Reason.NO_MAIL: "the domain takes no mail, so receivers distrust it and replies come back to nobody",
    Reason.FREEMAIL: "a freemail or Internet provider's domain: never yours to send from; in Reply-To filters count it",
    Reason.DMARC_REJECT: "the domain asks receivers to reject mail that it did not send (DMARC p=reject)",
    Reason.DMARC_QUARANTINE: "the domain asks receivers to put such mail into the spam folder (DMARC p=quarantine)",
    Reason.SPF_HARD_FAIL: "the domain says that nobody else may send (SPF -all); many receivers refuse for that",
    Reason.OWN_REFUSAL: "its own mail server most likely refuses its own domain from outside: colleagues get nothing",
}


class Sureness(StrEnum):
    """How sure we are that a domain's own server refuses its own domain from outside.

    `likely`: its server, a mail gateway of its choice, or Google or Microsoft guards it, and it publishes that others
    may not send. `possible`: such a guard, and nothing or little published. `""`: nothing speaks for it.
    """

    LIKELY = "likely"
    POSSIBLE = "possible"
    NO = ""


class MailHost(StrEnum):
    """Who takes the mail of a domain, as far as the name of its MX host tells."""

    OWN = "own"
    GATEWAY = "gateway"
    GOOGLE = "google"
    MICROSOFT = "microsoft"
    OTHER = "other"
    NONE = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """A domain, all reasons why mail in its name fails (none: it does not), and what they rest on.

    `unknown` says what could not be looked up. `dmarc` is what the domain asks for a message that is not its own.
    """

    domain: str
    reasons: tuple[Reason, ...] = ()
    own_refusal: Sureness = Sureness.NO
    spf: str = ""
    dmarc: str = ""
    mail_host: MailHost = MailHost.NONE
    mx: str = ""
    unknown: str = ""

    @property
    def verdict(self) -> str:
        """One word: the decisive reason, `unknown`, `own_refusal` if it is merely possible, or `fine`."""
        if self.reasons:
            return self.reasons[0]
        if self.unknown:
            return UNKNOWN
        return Reason.OWN_REFUSAL if self.own_refusal else FINE

    @property
    def fails(self) -> bool:
        """Whether mail in its name fails at receivers other than its own."""
        return any(reason is not Reason.OWN_REFUSAL for reason in self.reasons)


FINE = "fine"
UNKNOWN = "unknown"
INVALID = "invalid"
"""The verdict of what is no address."""


def audit(domain: str, egress: Sequence[str], suffix_of: SuffixOf | None) -> Dialogue[Audited]:
    """Judge one domain (lower-case A-labels). `egress`: the addresses that the application sends from; with none, those
    of a stranger."""
    mx = yield Ask(domain, RecordType.MX)
    if isinstance(mx, NoSuchName):
        return Audited(domain=domain, reasons=(Reason.NO_SUCH_DOMAIN,))
    exchange, silent = yield from _exchange(domain, mx)
    spf = yield from _worst_spf(domain, egress or (STRANGER,))
    vouched = Vouched(spf=domain if spf.result is SpfResult.PASS else "", uncertain=spf.result is SpfResult.TEMPERROR)
    dmarc = yield from evaluate(domain, vouched, suffix_of)
    methods = [method for method in (dmarc.tree_walk, dmarc.suffix_list) if method is not None]
    disposition = max(map(_asked_for, methods), key=list(Policy).index)
    host = _mail_host(domain, exchange)
    own = _own_refusal(host, spf.result, disposition)
    reasons = {
        Reason.NO_MAIL: not exchange and not silent,
        Reason.FREEMAIL: is_freemail(domain),
        Reason.DMARC_REJECT: disposition is Policy.REJECT,
        Reason.DMARC_QUARANTINE: disposition is Policy.QUARANTINE,
        Reason.SPF_HARD_FAIL: spf.result is SpfResult.FAIL,
        Reason.OWN_REFUSAL: own is Sureness.LIKELY,
    }
    unknown = [
        *(["MX"] if silent else []),
        *(["SPF"] if spf.result is SpfResult.TEMPERROR else []),
        *(["DMARC"] if any(method.result is DmarcResult.TEMPERROR for method in methods) else []),
    ]
    return Audited(
        domain=domain,
        reasons=tuple(reason for reason, holds in reasons.items() if holds),
        own_refusal=own,
        spf=spf.result,
        dmarc=_told(methods, disposition),
        mail_host=host,
        mx=exchange,
        unknown=", ".join(unknown),
    )


_GATEWAYS = (
    "pphosted.com",
    "ppe-hosted.com",
    "mimecast.com",
    "mimecast.co.za",
    "barracudanetworks.com",
    "iphmx.com",
    "messagelabs.com",
    "trendmicro.com",
    "trendmicro.eu",
    "hornetsecurity.com",
    "antispameurope.com",
    "sophos.com",
    "mailcontrol.com",
    "fireeyecloud.com",
    "retarus.com",
    "arsmtp.com",
    "vadesecure.com",
    "spamhero.com",
)
_GOOGLE = ("google.com", "googlemail.com")
_MICROSOFT = ("mail.protection.outlook.com", "mx.microsoft")


def _exchange(domain: str, mx: Answer[str]) -> Dialogue[tuple[str, bool]]:
    """The first MX host (a null MX counts only where it stands alone, RFC 7505 §3), else the domain itself if it has an
    address (RFC 5321 §5.1), else ""; and whether nobody could tell."""
    if isinstance(mx, LookupFailed):
        return "", True
    if isinstance(mx, Found):
        ranked = sorted((int(preference), host) for preference, host in (record.split() for record in mx.records))
        hosts = [host.rstrip(".").lower() for _, host in ranked]
        return next(filter(None, hosts), ""), False
    for kind in (RecordType.A, RecordType.AAAA):
        answer = yield Ask(domain, kind)
        if isinstance(answer, LookupFailed):
            return "", True
        if isinstance(answer, Found):
            return domain, False
    return "", False


def _told(methods: Sequence[MethodVerdict], disposition: Policy) -> str:
    """What the domain asks for by DMARC: "" for nothing, `unknown` where nobody could tell."""
    results = {method.result for method in methods}
    if results == {DmarcResult.NONE}:
        return ""
    return UNKNOWN if DmarcResult.TEMPERROR in results and disposition is Policy.NONE else disposition


def _asked_for(method: MethodVerdict) -> Policy:
    """The policy that the strictest receiver applies: one that follows RFC 7489 ignores `t=y`."""
    return method.policy if method.result is DmarcResult.FAIL and method.policy else Policy.NONE


def _worst_spf(domain: str, egress: Sequence[str]) -> Dialogue[SpfVerdict]:
    """The worst of the SPF verdicts on the addresses that are sent from."""
    verdicts = []
    for ip in egress:
        verdict, silent = yield from with_silence(check(ip, f"user@{domain}", domain))
        if silent and verdict.result is not SpfResult.PASS:  # a "ptr" of which nobody could tell (RFC 7208 §5.5)
            verdict = replace(verdict, result=SpfResult.TEMPERROR)
        verdicts.append(verdict)
    return max(verdicts, key=lambda verdict: _SPF_GRAVITY.index(verdict.result))


_SPF_GRAVITY = (
    SpfResult.PASS,
    SpfResult.NONE,
    SpfResult.NEUTRAL,
    SpfResult.SOFTFAIL,
    SpfResult.PERMERROR,
    SpfResult.TEMPERROR,
    SpfResult.FAIL,
)


def _mail_host(domain: str, exchange: str) -> MailHost:
    for host, suffixes in (
        (MailHost.GATEWAY, _GATEWAYS),
        (MailHost.GOOGLE, _GOOGLE),
        (MailHost.MICROSOFT, _MICROSOFT),
        (MailHost.OWN, (domain,)),
    ):
        if any(f".{exchange}".endswith(f".{suffix}") for suffix in suffixes):
            return host
    return MailHost.OTHER if exchange else MailHost.NONE


def _own_refusal(host: MailHost, spf: SpfResult, disposition: Policy) -> Sureness:
    """The sureness of an own refusal, by the domain's guard and by whether its records forbid others to send for it."""
    told = spf is SpfResult.FAIL or disposition is not Policy.NONE
    match host:
        case _ if spf in (SpfResult.PASS, SpfResult.TEMPERROR):  # it may be PASS, for all that we know
            return Sureness.NO
        case MailHost.OWN | MailHost.GATEWAY if told:
            return Sureness.LIKELY
        case MailHost.GOOGLE | MailHost.MICROSOFT if disposition is not Policy.NONE:
            return Sureness.LIKELY
        case MailHost.GATEWAY:
            return Sureness.POSSIBLE
        case MailHost.MICROSOFT if told:
            return Sureness.POSSIBLE
        case MailHost.OWN if spf is SpfResult.SOFTFAIL:
            return Sureness.POSSIBLE
        case _:
            return Sureness.NO
