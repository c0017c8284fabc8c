"""Words that stand beside a name in mail of its owner, and say nothing of their own."""

ROLES = frozenset(
    """
    support service services team security billing account accounts help helpdesk desk customer customers care client
    notification notifications notice alert alerts info information admin administrator official center centre
    department dept no reply noreply donotreply the of from for by via your our online payment payments invoice invoices
    verification verify update updates message messages mail email news postmaster bank banking office group global
    sales marketing finance legal press jobs careers hr it orders order shop store newsletter events test demo example
    operator gateway tenant organization organisation school hotel club university hospital crm saas app
    international europe usa uk inc incorporated ltd limited llc llp corp corporation company co gmbh ag kg se sa sas
    sarl bv nv plc spa srl oy ab as
    et cie sca scs rl kgaa ohg gbr ug mbh pte pty pvt bhd sdn oyj asa aps sro doo zrt kft ood eood slu ltda eirl
    ооо оао зао
    kundenservice kundendienst kundenbetreuung sicherheit konto rechnung hilfe zahlung buchhaltung
    equipe securite compte facture assistance clientele soporte servicio seguridad cuenta factura pago assistenza
    servizio sicurezza suporte seguranca conta atendimento ondersteuning klantenservice beveiliging rekening
    """.split()  # noqa: SIM905 - words in lines read better than quoted strings
)
"""What somebody does, and the form of a firm."""

BRANCHES = frozenset(
    """
    emea apac dach latam benelux nordics american european africa
    germany deutschland allemagne alemania germania duitsland austria osterreich switzerland schweiz suisse svizzera
    italy italia italie italien espana espagne spanien belgium belgique belgie belgien netherlands
    nederland niederlande luxembourg luxemburg
    denmark danmark sweden sverige norway norge finland suomi iceland polska polen czechia hungary magyarorszag
    romania bulgaria croatia hrvatska slovenia slovakia slovensko greece hellas turkey turkiye ukraine russia lithuania
    latvia estonia serbia canada mexico brazil brasil argentina colombia chile peru australia zealand japan korea
    taiwan singapore indonesia malaysia thailand philippines vietnam pakistan bangladesh emirates uae qatar kuwait
    egypt morocco maroc nigeria россия украина 中国 日本 한국
    express parcel paket delivery shipping tracking
    """.split()  # noqa: SIM905
)
"""Countries and regions, in English and in their own words, and lines of business: hardly anybody's name."""

BRANCHES_OR_PEOPLE = frozenset(
    """
    france francia frankreich england britain ireland scotland wales holland india china kenya israel jordan georgia
    poland portugal spain cuba cyprus malta america asia north south east west new great united kingdom states republic
    de at ch fr es pt nl be lu pl cz dk fi gb ie us ca mx br au nz jp cn kr sg hk za in eu
    """.split()  # noqa: SIM905
)
"""The same, but also given or family names (Jordan, Wales), or somebody's initials."""
