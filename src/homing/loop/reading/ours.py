"""Refusals that name us: our envelope sender, our domain in From, our HELO name, the address that we connect from.

"b.post.example.com: host unknown" is said of the sender and not of the recipient, whatever the words alone would mean
(sender verification and callouts, RFC 5321 §4.1.1.1 and §4.1.4 on HELO, look-ups of the connecting address).
"""

import re
from dataclasses import replace
from typing import NamedTuple

from homing.loop.model import Verdict
from homing.mail.address import domain_of

NAMED = "ours.named"
"""The rule of a verdict that rests on one of our names."""

_SAYS_MORE = frozenset({"words.relaying"})
"""Rules that say more than that a name of ours stands beside their words: "Relaying denied. IP name lookup failed"."""

_TEXT_CHARACTERS = 4096
_OUR = "<our>"
_BETWEEN = (
    r"(?:(?!(?:user|mailbox|recipient|account|addressee|message|mail|to|for|and|your|who)\b)"
    r"[\w'/-]{1,24}[\s:,()\"'-]{1,4})"
)
_ABSENT = (
    r"(?:unknown|invalid|not found|not (?:a )?valid|not exist|doesn'?t exist|do(?:es)? not (?:exist|resolve)|"
    r"not resolve|nonexist|non-exist|unresolvable|unverifiable|no such|no (?:valid )?(?:mx|a|dns|ptr)\b|no mail host|"
    r"(?:could|can) ?not be (?:found|resolved|verified|reached)|can'?t be (?:found|resolved|verified))"
)
_OF_NOBODY = r"(?!\s+(?:(?:local|such)\s+)?(?:user|recipient|mailbox|account|address|addressee|person))"
_ABSENT_TRANSLATED = (
    r"(?:n['’]existe p|est inconnu|inconnue?\b|introuvable|n['’]est pas (?:abonn|inscrit|autoris|membre|valide)|"
    r"existiert nicht|(?:ist )?unbekannt|(?:ist |wurde )?nicht (?:gefunden|bekannt|vorhanden|abonniert|eingetragen)|"
    r"no existe|(?:es )?desconocid|no (?:está|esta) (?:suscrit|registrad|inscrit)|no se (?:encuentra|encontró)|"
    r"non esiste|(?:è )?sconosciut|non (?:è|risulta) (?:iscritt|valid|registrat)|não existe|não (?:está|foi) "
    r"(?:inscrit|cadastrad|registrad|encontrad)|bestaat niet|(?:is )?onbekend|is niet (?:bekend|geabonneerd|gevonden)|"
    r"nie istnieje|(?:jest )?nieznan|nie (?:jest|został|znalezion)|neexistuje|není (?:přihlášen|znám|členem)|"
    r"finns inte|är (?:okänd|inte)|findes ikke|finnes ikke|er (?:ukendt|ukjent)|ei ole (?:olemassa|tilaaja)|"
    r"nem létezik|ismeretlen|nu există|mevcut değil|kayıtlı değil|не существует|не найден|неизвестн|не подписан|"
    r"не зарегистрирован|не існує|не знайден|невідом|不存在|は存在しません|は登録されていません|が見つかりません)"
)
_OURS = r"(?:helo|ehlo|sender|domain|host ?name|host|client|mail from|return path|envelope)"
_AFTER = re.compile(
    rf"(?<!from )(?<!from <){_OUR}[\s>\])\"'»”:]{{0,4}}{_ABSENT}|"
    rf"{_OUR}[\s>\])\"'»”:;,.-]{{0,6}}(?:{_BETWEEN}{{0,6}}{_ABSENT}{_OF_NOBODY}|{_ABSENT_TRANSLATED}|"
    rf"{_BETWEEN}{{0,3}}{_OURS}\s(?:{_BETWEEN}{{0,3}})(?:rejected|refused|denied|failed|blocked|not allowed))"
)
_BEFORE = re.compile(
    r"(?:impersonating|(?:unknown|invalid|bad|unverified|unresolvable|nonexistent) (?:helo|ehlo|sender|domain|"
    r"host ?name|host)|"
    r"(?:cannot|can'?t|could not|couldn'?t|unable to|failed to) (?:find|resolve|"
    r"verify|look ?up|reach|connect to)|(?:verification|verify|callout|callback|call-back|look-?up) (?:failed|failure)|"
    r"no (?:valid )?(?:mx|a|dns|ptr)\w*)"
    r"(?:[\s:,()\"'\[-]{1,4}(?!(?:user|mailbox|recipient|account|addressee|message|mail|from)\b)[\w'/-]{1,24}){0,5}"
    rf"[\s:,()\"'\[<-]{{0,4}}{_OUR}"
)


class Ours(NamedTuple):
    """What a server may call us; "" where it is not known: the domains of the envelope sender and of From, the name
    that we give ourselves, and the IP address from which we connected."""

    return_domain: str = ""
    from_domain: str = ""
    helo: str = ""
    egress_address: str = ""

    def names(self, recipient: str = "") -> tuple[str, ...]:
        """The names, longest first, without those that are the recipient's too: an organization may write to itself."""
        theirs = f".{domain_of(recipient)}"
        return tuple(sorted((name for name in self.given() if not theirs.endswith(f".{name}")), key=len, reverse=True))

    def given(self) -> set[str]:
        """All names that are known, in lower case."""
        given = self.return_domain, self.from_domain, self.helo, self.egress_address
        return {name.lower().rstrip(".") for name in given if name.strip(".")}


NOBODY = Ours()


def about_us(verdict: Verdict, ours: Ours, recipient: str = "") -> Verdict:
    """The verdict, as one about us where its text refuses one of our names. It is never hard then."""
    if verdict.about_us or verdict.rule in _SAYS_MORE:
        return verdict
    text = verdict.text[:_TEXT_CHARACTERS].lower()
    if not any(name in text for name in ours.given()):  # true of nearly all texts
        return verdict
    found = _refused(text, ours.names(recipient))
    if not found:
        return verdict
    return replace(verdict, failure_class="policy", kind="soft", rule=NAMED, matched=found, about_us=True, passes=False)


def _refused(lowered: str, names: tuple[str, ...]) -> str:
    """The words by which a text refuses one of the names, "" if it does not."""
    if not any(name in lowered for name in names):
        return ""
    lowered = " ".join(lowered.split())
    named = re.compile(rf"(?<![\w.-])(?:[\w.+=-]{{1,80}}@)?(?:{'|'.join(map(re.escape, names))})(?![\w-]|\.\w)")
    marked = named.sub(_OUR, lowered)
    found = _AFTER.search(marked) or _BEFORE.search(marked)
    return found[0][:100] if found else ""
