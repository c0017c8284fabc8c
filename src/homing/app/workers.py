"""The workers of a gateway, each wired with what it needs."""

import random
from datetime import timedelta

from homing.app.key_files import SELECTOR
from homing.app.shared import Shared, dice
from homing.config import Settings
from homing.flow.act import Actor
from homing.flow.alarms import AlarmNotifier
from homing.flow.authenticate_inbound import InboundAuthentication
from homing.flow.deliver import Deliverer, DeliveryAgent, Recorder
from homing.flow.receive import Receiver
from homing.flow.rotate_keys import Selectors
from homing.flow.tidy import Tidier
from homing.flow.verify_domains import DomainVerifier
from homing.flow.wakeup import WakeUp
from homing.flow.watch_loop import LoopWatch
from homing.loop.throttle import Throttles
from homing.net.fetch import Fetcher
from homing.net.route import Router
from homing.net.sms import GenericHttp, SmsSender, TwilioShaped
from homing.net.smtp_client import PoolLimits, SmtpClient
from homing.net.suffix import suffix_list
from homing.store.inbound import InboundQuota

SMTP_PORT = 25
"""Where strangers find a mail host (RFC 5321 §4.5.4.2)."""


def make_deliverer(shared: Shared) -> Deliverer:
    settings = shared.settings
    lab = settings.lab_private_addresses
    router = Router(
        shared.resolver,
        settings.lab_outbound_port,
        lab,
        own_name=settings.hostname,
        dice=random.SystemRandom().random,
        keep=0.0 if lab else 60.0,
    )
    agent = DeliveryAgent(
        database=shared.database,
        outgoing=shared.outgoing,
        proved=shared.proved,
        signer=shared.signer,
        router=router,
        client=SmtpClient(settings.hostname),
        throttles=Throttles(),
        suffix_of=suffix_list(),
        rules=shared.rules,
        helo=settings.hostname,
        recorder=Recorder(database=shared.database, clock=shared.clock, actions=shared.actions),
        clock=shared.clock,
        dice=dice,
    )
    return Deliverer(
        database=shared.database,
        disk=shared.disk,
        agent=agent,
        clock=shared.clock,
        jumped_at=shared.clock.jumped_at,
        owner=shared.owner,
        at_once=settings.deliveries_at_once,
        work=shared.work,
        news=shared.news,
    )


def make_receiver(shared: Shared) -> Receiver:
    return Receiver(
        database=shared.database,
        disk=shared.disk,
        tokens=shared.tokens,
        operator=shared.settings.operator,
        rules=shared.rules,
        clock=shared.clock,
        dice=dice,
        spool=shared.settings.data_dir / "inbound",
        reply_retention=timedelta(days=shared.settings.reply_retention_days),
        retention=timedelta(days=shared.settings.content_retention_days),
        inbound_authentication=InboundAuthentication(
            resolver=shared.resolver, suffix_of=suffix_list(), clock=shared.clock
        ),
        feedback_domains=frozenset(shared.settings.feedback_domains),
        actions=shared.actions,
        news=shared.news,
        names=shared.names,
        quota=InboundQuota(
            octets_per_organization=shared.settings.returned_mail_mib_per_day * 1024 * 1024,
            octets_per_day=shared.settings.role_mail_mib_per_day * 1024 * 1024,
        ),
    )


def make_actor(shared: Shared) -> Actor:
    return Actor(
        database=shared.database,
        disk=shared.disk,
        outgoing=shared.outgoing,
        fetcher=shared.fetcher,
        sealed_secrets=shared.sealed_secrets,
        sms=_sms(shared.settings, shared.fetcher),
        clock=shared.clock,
        administrator=shared.settings.administrator,
        public_url=shared.settings.public_url,
        actions=shared.actions,
        work=shared.work,
        gather_for=timedelta(minutes=shared.settings.gather_letters_minutes),
        news=shared.news,
    )


def make_warner(shared: Shared) -> AlarmNotifier:
    return AlarmNotifier(
        database=shared.database,
        outgoing=shared.outgoing,
        clock=shared.clock,
        administrator=shared.settings.administrator,
        public_url=shared.settings.public_url,
        work=shared.work,
    )


def make_tidier(shared: Shared) -> Tidier:
    return Tidier(
        database=shared.database,
        clock=shared.clock,
        jumped_at=shared.clock.jumped_at,
        owner=shared.owner,
        alone=shared.settings.database_url.startswith("sqlite"),
        content_retention=timedelta(days=shared.settings.content_retention_days),
        spool=shared.settings.data_dir / "inbound",
        work=shared.work,
    )


def make_loop_watch(shared: Shared) -> LoopWatch:
    """Its router alone is told no name of our own, and so leads here. Nothing is remembered from round to round."""
    settings = shared.settings
    return LoopWatch(
        database=shared.database,
        outgoing=shared.outgoing,
        router=Router(shared.resolver, allow_private=settings.lab_private_addresses, own_name=None, keep=0.0),
        client=SmtpClient(settings.hostname, limits=PoolLimits(messages=1)),
        clock=shared.clock,
        hostname=settings.hostname,
        port=SMTP_PORT,
        every=timedelta(minutes=settings.loop_watch_minutes),
        wake_up=WakeUp(),
    )


def make_examiner(shared: Shared) -> DomainVerifier:
    domain, delegation = shared.settings.from_domain, shared.settings.delegation
    return DomainVerifier(
        database=shared.database,
        resolver=shared.resolver,
        rotation=shared.rotation,
        signer=shared.signer,
        own=Selectors(
            domain=domain,
            rsa=(SELECTOR, "h2"),
            ed25519=("e1", "e2") if shared.settings.dkim_ed25519 else None,
            record_name=lambda selector: f"{selector}._domainkey.{domain}",
        ),
        delegated=Selectors(
            domain=delegation.dkim_domain,
            rsa=delegation.selectors,
            ed25519=None,
            record_name=delegation.record_name,
        ),
        delegation=delegation,
        clock=shared.clock,
        spread=random.SystemRandom().random,
        news=shared.news,
        names=shared.names,
        organization_selectors=shared.settings.organization_selectors,
    )


def _sms(settings: Settings, fetcher: Fetcher) -> SmsSender | None:
    match settings.sms_adapter:
        case "generic":
            return GenericHttp(
                fetcher=fetcher,
                url=settings.sms_url,
                template=settings.sms_template,
                headers={"Authorization": f"Bearer {settings.sms_secret.get_secret_value()}"},
            )
        case "twilio":
            return TwilioShaped(
                fetcher=fetcher,
                base_url=settings.sms_url,
                account_sid=settings.sms_account,
                auth_token=settings.sms_secret.get_secret_value(),
                from_number=settings.sms_sender,
            )
        case _:
            return None
