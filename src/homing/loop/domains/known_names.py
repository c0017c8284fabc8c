"""The names impersonated most, and the domains from which their owners send.

A question mark stands before a name that is also a person's or a thing's.
"""

from homing.loop.domains.impersonation import Guard, Guarded, parts_of
from homing.mail.look_alike import plain, skeletons

_NAMES = """
    PayPal: paypal.com paypal.de paypal.co.uk
    Microsoft: microsoft.com
    Microsoft 365: microsoft.com
    Office 365: microsoft.com
    Outlook: microsoft.com outlook.com
    OneDrive: microsoft.com
    SharePoint: microsoft.com
    Google: google.com
    Gmail: google.com gmail.com
    Google Drive: google.com
    Facebook: facebook.com meta.com
    Instagram: instagram.com meta.com
    WhatsApp: whatsapp.com meta.com
    LinkedIn: linkedin.com
    Netflix: netflix.com
    Spotify: spotify.com
    Airbnb: airbnb.com
    Uber: uber.com
    eBay: ebay.com ebay.de ebay.co.uk
    Amazon: amazon.com amazon.de amazon.co.uk
    Amazon Web Services: amazon.com
    iCloud: apple.com icloud.com
    Apple ID: apple.com
    ?Apple: apple.com
    Adobe: adobe.com
    DocuSign: docusign.com docusign.net
    Dropbox: dropbox.com
    WeTransfer: wetransfer.com
    Salesforce: salesforce.com
    QuickBooks: intuit.com
    Intuit: intuit.com
    Xero: xero.com
    Shopify: shopify.com
    ?Stripe: stripe.com
    ?Square: squareup.com
    ?Wise: wise.com
    Klarna: klarna.com
    Revolut: revolut.com
    N26: n26.com
    Coinbase: coinbase.com
    Binance: binance.com
    Kraken: kraken.com
    MetaMask: metamask.io
    American Express: americanexpress.com aexp.com
    Mastercard: mastercard.com
    ?Visa: visa.com
    Bank of America: bankofamerica.com
    Wells Fargo: wellsfargo.com
    Citibank: citi.com
    Citigroup: citi.com
    ?Chase: chase.com
    JPMorgan: jpmorgan.com jpmorganchase.com
    Capital One: capitalone.com
    HSBC: hsbc.com hsbc.co.uk
    Barclays: barclays.com barclays.co.uk
    Santander: santander.com santander.co.uk
    NatWest: natwest.com
    ?Lloyds: lloydsbank.com
    Deutsche Bank: db.com deutsche-bank.de
    Commerzbank: commerzbank.de commerzbank.com
    Sparkasse: sparkasse.de
    Volksbank: vr.de volksbank.de
    Postbank: postbank.de
    ING: ing.com ing.de ing.nl
    BNP Paribas: bnpparibas.com
    Crédit Agricole: credit-agricole.fr
    Société Générale: socgen.com societegenerale.com
    UniCredit: unicredit.eu
    Intesa Sanpaolo: intesasanpaolo.com
    BBVA: bbva.com
    CaixaBank: caixabank.com caixabank.es
    Rabobank: rabobank.nl
    DHL: dhl.com dhl.de
    FedEx: fedex.com
    UPS: ups.com
    USPS: usps.com
    Royal Mail: royalmail.com
    Deutsche Post: deutschepost.de
    La Poste: laposte.fr
    PostNL: postnl.nl
    ?Hermes: hermesworld.com
    Telekom: telekom.de
    Vodafone: vodafone.com vodafone.de
    AT&T: att.com
    Verizon: verizon.com
    Comcast: comcast.com
    ?Orange: orange.com orange.fr
    GitHub: github.com
    GitLab: gitlab.com
    ?Slack: slack.com
    ?Zoom: zoom.us
    Cloudflare: cloudflare.com
    GoDaddy: godaddy.com
    IRS: irs.gov
    HMRC: hmrc.gov.uk
    Medicare: medicare.gov
    Finanzamt: elster.de
"""


def _guard(text: str) -> Guard:
    guarded: dict[str, Guarded] = {}
    for line in text.strip().splitlines():
        name, _, domains = line.strip().partition(": ")
        joined = "".join(parts_of(name.removeprefix("?")))
        one = Guarded(letters=plain(joined), domains=tuple(domains.split()), common=name.startswith("?"), known=True)
        guarded |= dict.fromkeys(skeletons(joined), one)
    return guarded


KNOWN_NAMES = _guard(_NAMES)
