"""Suggestions for mistyped domains: a dead domain that is one typing error away from a very common one."""

WELL_KNOWN = tuple(
    # Words in lines read better than a hundred quoted strings.
    """
    gmail.com outlook.com yahoo.com hotmail.com icloud.com aol.com live.com msn.com me.com mac.com mail.com
    protonmail.com proton.me pm.me googlemail.com ymail.com rocketmail.com fastmail.com zoho.com hey.com tutanota.com
    gmx.de gmx.net gmx.com gmx.at gmx.ch web.de t-online.de freenet.de arcor.de posteo.de mailbox.org
    hotmail.co.uk hotmail.fr hotmail.de hotmail.it hotmail.es outlook.de outlook.fr outlook.es outlook.it
    outlook.com.br live.co.uk live.fr live.nl live.com.au live.ca
    yahoo.co.uk yahoo.fr yahoo.de yahoo.it yahoo.es yahoo.ca yahoo.co.in yahoo.in yahoo.co.jp yahoo.com.br yahoo.com.au
    yahoo.com.ar yahoo.com.mx
    orange.fr wanadoo.fr free.fr laposte.net sfr.fr neuf.fr libero.it virgilio.it tiscali.it alice.it
    btinternet.com sky.com virginmedia.com ntlworld.com talktalk.net bluewin.ch telenet.be skynet.be ziggo.nl kpnmail.nl
    home.nl telia.com telefonica.net terra.com.br uol.com.br bol.com.br
    comcast.net verizon.net att.net sbcglobal.net bellsouth.net cox.net charter.net shaw.ca rogers.com sympatico.ca
    bigpond.com optusnet.com.au xtra.co.nz
    mail.ru yandex.ru wp.pl o2.pl interia.pl onet.pl seznam.cz centrum.cz qq.com 163.com 126.com naver.com hanmail.net
    rediffmail.com docomo.ne.jp
    """.split()  # noqa: SIM905
)
"""Domains of mailboxes that many people have, the more common ones first."""


def suggest(domain: str) -> str | None:
    """The well-known domain one letter away (missing, extra, wrong or two swapped; a dot counts), if any.

    A well-known domain gets no suggestion, however near another one is.
    """
    given = domain.rstrip(".").lower()
    if given in WELL_KNOWN:
        return None
    return next((known for known in WELL_KNOWN if _one_slip_apart(given, known)), None)


def _one_slip_apart(given: str, meant: str) -> bool:
    """Damerau's distance of exactly one: what differs after the common beginning and end is one slip."""
    if given == meant or abs(len(given) - len(meant)) > 1:
        return False
    start = 0
    while start < min(len(given), len(meant)) and given[start] == meant[start]:
        start += 1
    rest, meant_rest = given[start:], meant[start:]
    return (
        rest[1:] == meant_rest[1:]
        or rest[1:] == meant_rest
        or rest == meant_rest[1:]
        or (len(rest) > 1 and rest[:2] == meant_rest[1::-1] and rest[2:] == meant_rest[2:])
    )
