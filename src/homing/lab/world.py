"""The whole Internet in a box, started and stopped as one: what a story or a user's CI needs of the world outside.

async with World("acme-mail.com", gateway_mx=("127.0.0.1", port)) as world:
    world.mx("corp.com").refuses("john@corp.com", "550 5.1.1 No such user")
"""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType

from homing.lab.behaviour import Mail
from homing.lab.certificate import self_signed
from homing.lab.dns import DnsServer
from homing.lab.mx import MxHost, Site
from homing.lab.outbound import Outbound, Sent
from homing.lab.sms import SmsProvider
from homing.lab.webhook import WebhookSink
from homing.mail.address import domain_of
from homing.net.smtp_client import Envelope


class World:
    """DNS, mail hosts, an SMS provider and a webhook endpoint, all on loopback.

    `operator` is the gateway's organizational domain: mail for `post.OPERATOR` and `b.post.OPERATOR` goes to
    `gateway_mx` (address, port). The other domains' hosts listen at 127.0.1.1, 127.0.1.2, …, all at `smtp_port` (0: the
    system chooses one); there are `hosts` of them. `journal` is a file that gets a JSON line for each message that a
    host accepted.
    """

    dns: DnsServer
    sms: SmsProvider
    webhooks: WebhookSink
    post: Outbound
    smtp_port: int

    def __init__(
        self,
        operator: str = "acme-mail.com",
        gateway_mx: tuple[str, int] = ("127.0.0.1", 25),
        *,
        hosts: int = 16,
        tls: bool = True,
        journal: Path | None = None,
        smtp_port: int = 0,
    ) -> None:
        self.operator = operator
        self._gateway_mx = gateway_mx
        self._host_count = hosts
        self._tls = tls
        self._journal = journal
        self.smtp_port = smtp_port
        self._hosts: list[MxHost] = []
        self._sites: dict[str, Site] = {}
        self._running = AsyncExitStack()

    async def __aenter__(self) -> "World":
        try:
            await self._start()
        except BaseException:
            await self._running.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._running.aclose()

    @property
    def sites(self) -> list[Site]:
        return list(self._sites.values())

    def mx(self, domain: str) -> Site:
        """The mail domain of this name, with a host of its own. Raises ValueError when all hosts are taken."""
        domain = domain.lower()
        if domain not in self._sites:
            host = next((host for host in self._hosts if host.site is None), None)
            if host is None:
                raise ValueError(f"this world has only {self._host_count} mail hosts")
            host.site = Site(domain)
            host.hostname = f"mx.{domain}"
            spf = 'TXT "v=spf1 mx ip4:127.0.0.1 -all"'  # all mail of the lab leaves from there
            self.dns.publish(domain, f"MX 10 {host.hostname}", spf)
            self.dns.publish(host.hostname, f"A {host.ip}")
            self._sites[domain] = host.site
        return self._sites[domain]

    def lacks(self, domain: str, keyword: str) -> Site:
        """The mail domain of this name, whose host no longer offers an SMTP extension, such as SMTPUTF8."""
        site = self.mx(domain)
        for host in self._hosts:
            if host.site is site:
                host.lacks(keyword)
        return site

    def inbox(self, address: str) -> list[Mail]:
        """What arrived for an address of any of the lab's domains, oldest first."""
        return self.mx(domain_of(address)).inbox(address)

    async def writes(self, envelope_sender: str | None, recipient: str, content: bytes, helo: str = "") -> Sent:
        """Sends a mail as an outside sender, by real SMTP from the host of the sender's domain, or as `helo`."""
        domain = domain_of(envelope_sender or "") or "stranger.net"
        envelope = Envelope(envelope_sender=envelope_sender, recipient=recipient, content=content)
        return await self.post.send(helo or f"mx.{domain}", envelope)

    def gateway_is_at(self, ip: str, port: int) -> None:
        """Publishes where the gateway's MX door listens."""
        self.post.gateway = (ip, port)
        mx_host = f"mx.post.{self.operator}"
        for domain in (f"post.{self.operator}", f"b.post.{self.operator}"):
            self.dns.publish(domain, f"MX 10 {mx_host}", f'TXT "v=spf1 ip4:{ip} -all"')
        self.dns.publish(mx_host, f"A {ip}")

    def publish_key(self, selector: str, record: str) -> None:
        """Publishes the gateway's DKIM key (RFC 6376 §3.6.1)."""
        self.dns.publish_text(f"{selector}._domainkey.post.{self.operator}", record)

    async def _start(self) -> None:
        self.dns = DnsServer()
        self._running.push_async_callback(self.dns.close)
        await self.dns.start()
        await self.dns.start()  # the second resolver, which confirms that a domain does not exist
        for suffix in ("com", "net", "org", "example"):
            self.dns.publish(suffix, "NS ns.lab")  # the one server is that of every zone, too
        self.dns.publish("ns.lab", "A 127.0.0.1")
        self.post = Outbound(self.dns.servers, self._gateway_mx)
        await self._start_hosts()
        self.post.smtp_port = self.smtp_port
        self.sms, self.webhooks = SmsProvider(), WebhookSink()
        self._running.push_async_callback(self._close_services)
        await self.sms.start()
        await self.webhooks.start()
        self.gateway_is_at(*self._gateway_mx)
        for domain in (self.operator, f"post.{self.operator}"):
            self.dns.publish_text(f"_dmarc.{domain}", f"v=DMARC1; p=none; rua=mailto:dmarc@post.{self.operator}")

    async def _close_services(self) -> None:
        await asyncio.gather(self.sms.close(), self.webhooks.close())

    async def _start_hosts(self) -> None:
        """All hosts at one port; where the system is to choose it, it does so for the first."""
        tls_context = self_signed(f"mx.{self.operator}") if self._tls else None
        for number in range(1, self._host_count + 1):
            host = MxHost(f"127.0.1.{number}", self.post, self._journal)
            self._running.push_async_callback(host.close)
            self.smtp_port = await host.start(self.smtp_port, tls_context)
            self._hosts.append(host)
