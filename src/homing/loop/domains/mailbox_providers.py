"""Domains where every customer has a mailbox: freemail, Internet and telephone providers.

The most common ones, which people mistype, are in `loop.domains.domain_typos`; these are the others.
"""

PROVIDERS = frozenset(
    # Words in lines read better than a hundred quoted strings.
    """
    mail.de email.de online.de kabelmail.de o2online.de netcologne.de unitybox.de ewetel.net ewe.net
    osnanet.de magenta.de 1und1.de aon.at chello.at inode.at kabsi.at a1.net hispeed.ch sunrise.ch swissonline.ch
    bbox.fr numericable.fr club-internet.fr cegetel.net noos.fr caramail.com tin.it inwind.it iol.it email.it
    fastwebnet.it ono.com jazztel.es sapo.pt iol.pt netcabo.pt mail.pt
    blueyonder.co.uk plus.com plusnet.com o2.co.uk tesco.net fsmail.net freeserve.co.uk lineone.net eircom.net
    xs4all.nl hetnet.nl planet.nl chello.nl upcmail.nl casema.nl quicknet.nl proximus.be scarlet.be pandora.be voo.be
    mail.dk post.tele.dk stofanet.dk jubii.dk online.no broadpark.no getmail.no bredband.net comhem.se spray.se
    bahnhof.se kolumbus.fi elisanet.fi luukku.com suomi24.fi saunalahti.fi dnainternet.net welho.com
    inbox.lv apollo.lv mail.ee hot.ee online.ee inbox.lt takas.lt atlas.cz email.cz post.cz volny.cz azet.sk post.sk
    zoznam.sk centrum.sk freemail.hu citromail.hu indamail.hu t-online.hu tlen.pl gazeta.pl vp.pl op.pl poczta.onet.pl
    abv.bg mail.bg dir.bg yahoo.ro otenet.gr forthnet.gr hol.gr in.gr siol.net t-com.hr net.hr eunet.rs
    ya.ru bk.ru list.ru inbox.ru internet.ru rambler.ru lenta.ru ukr.net i.ua meta.ua bigmir.net tut.by mail.by
    windowslive.com passport.com duck.com gmx.us gmx.co.uk email.com usa.com inbox.com mailfence.com tuta.com tuta.io
    runbox.com hushmail.com lycos.com excite.com netscape.net aim.com juno.com netzero.net earthlink.net mindspring.com
    optonline.net optimum.net windstream.net frontiernet.net centurylink.net embarqmail.com q.com
    roadrunner.com rr.com spectrum.net twc.com ptd.net tds.net cableone.net suddenlink.net mchsi.com wowway.com
    sonic.net pacbell.net swbell.net ameritech.net prodigy.net snet.net hughes.net myfairpoint.net
    bell.net telus.net videotron.ca eastlink.ca sasktel.net mts.net cogeco.ca teksavvy.com nb.sympatico.ca
    iinet.net.au tpg.com.au internode.on.net westnet.com.au dodo.com.au ozemail.com.au bigpond.net.au adam.com.au
    slingshot.co.nz orcon.net.nz vodafone.co.nz clear.net.nz actrix.co.nz mweb.co.za telkomsa.net vodamail.co.za
    webmail.co.za iafrica.com walla.com walla.co.il netvision.net.il 012.net.il bezeqint.net
    sina.com sina.cn sohu.com yeah.net 139.com 189.cn wo.cn foxmail.com aliyun.com tom.com 21cn.com vip.qq.com
    daum.net nate.com korea.com ezweb.ne.jp softbank.ne.jp i.softbank.jp ocn.ne.jp nifty.com biglobe.ne.jp
    so-net.ne.jp plala.or.jp dion.ne.jp excite.co.jp hinet.net pchome.com.tw seed.net.tw netvigator.com singnet.com.sg
    starhub.net.sg tm.net.my streamyx.com indiatimes.com sify.com vsnl.net bsnl.in
    ig.com.br globo.com r7.com oi.com.br prodigy.net.mx infinitum.com.mx fibertel.com.ar speedy.com.ar arnet.com.ar
    ciudad.com.ar vtr.net terra.cl
    """.split()  # noqa: SIM905
)
