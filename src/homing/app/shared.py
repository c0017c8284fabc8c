"""What workers and doors share, made once from settings, clock and dice."""

import os
import secrets
import socket
from dataclasses import dataclass, field
from datetime import timedelta

from homing.app.clock import Clock
from homing.app.descriptors import BESIDE, EXAMINING, READING
from homing.app.key_files import Keys
from homing.config import Settings, server_of
from homing.flow.deliver.sign import Signer
from homing.flow.disk_space import DiskSpace
from homing.flow.identity_facts import IdentityFacts
from homing.flow.outgoing import Outgoing
from homing.flow.own_names import OwnNames
from homing.flow.rotate_keys import KeyRotation, terms_for
from homing.flow.rules import reading_rules
from homing.flow.sealed_secrets import SealedSecrets
from homing.flow.store_watch import StoreHold
from homing.flow.wakeup import Broadcast, WakeUp
from homing.loop.reading.rulebook import Rules
from homing.loop.sealing import Sealer
from homing.loop.token import Tokens
from homing.net.dns import AS_PUBLISHED, Keep, Resolver
from homing.net.fetch import Fetcher
from homing.store.database import Database

CALLS = 64
WEBHOOK_PORTS = frozenset({443})


def webhook_ports(settings: Settings) -> frozenset[int]:
    """The ports that webhooks may call; any port in a lab."""
    return frozenset(range(1, 65536)) if settings.lab_private_addresses else WEBHOOK_PORTS


def dice() -> bytes:
    return os.urandom(10)


def secret() -> bytes:
    return secrets.token_bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Askers:
    """The resolver as each kind of asker has it: what one asks, the others do not wait for. `beside`: all else."""

    deliveries: Resolver
    calls: Resolver
    reading: Resolver
    examining: Resolver
    beside: Resolver

    @classmethod
    def of(cls, resolver: Resolver, deliveries: int) -> "Askers":
        return cls(
            deliveries=resolver.apart(deliveries),
            calls=resolver.apart(CALLS),
            reading=resolver.apart(READING),
            examining=resolver.apart(EXAMINING),
            beside=resolver.apart(BESIDE),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What workers and doors share: one of each in a process. `owner` names this process in its leases."""

    settings: Settings
    clock: Clock
    keys: Keys
    database: Database
    disk: DiskSpace
    tokens: Tokens
    outgoing: Outgoing
    proved: IdentityFacts
    rules: Rules
    askers: Askers
    sealed_secrets: SealedSecrets
    signer: Signer
    rotation: KeyRotation
    names: OwnNames
    fetcher: Fetcher
    owner: str
    work: WakeUp = field(default_factory=WakeUp)
    actions: WakeUp = field(default_factory=WakeUp)
    news: Broadcast = field(default_factory=Broadcast)
    hold: StoreHold = field(default_factory=StoreHold)

    @classmethod
    def of(cls, settings: Settings, clock: Clock) -> "Shared":
        keys = Keys.in_folder(settings.data_dir, settings, clock())
        tokens = Tokens(keys.tokens)
        lab = settings.lab_private_addresses
        servers = [server_of(text) for text in settings.dns_servers] or None
        resolver = Resolver(
            servers,
            keep=AS_PUBLISHED if lab else Keep(),
            allow_private=lab,
            zone_port=servers[0][1] if lab and servers else 53,
        )
        askers = Askers.of(resolver, settings.deliveries_at_once)
        database = Database.open(settings.database_url)
        sealer = Sealer(keys.secret, keys.secret_before)
        sealed_secrets = SealedSecrets(sealer=sealer, secret=secret)
        threads = settings.signer_threads or os.cpu_count() or 1
        delegated = settings.delegation.dkim_domain
        signer = Signer(database, sealer, own=settings.from_domain, delegated=delegated, threads=threads)
        return cls(
            settings=settings,
            clock=clock,
            keys=keys,
            database=database,
            disk=DiskSpace(folder=settings.data_dir, reserve=settings.disk_reserve_mib * 1024 * 1024),
            sealed_secrets=sealed_secrets,
            signer=signer,
            names=OwnNames(database=database, organization_addresses=settings.organization_addresses, clock=clock),
            rotation=KeyRotation(
                database=database,
                resolver=askers.beside,
                sealed_secrets=sealed_secrets,
                signer=signer,
                clock=clock,
                dice=dice,
                terms=terms_for(settings.lifetime, timedelta(days=settings.dkim_rotation_days)),
            ),
            tokens=tokens,
            outgoing=Outgoing(
                tokens=tokens,
                operator=settings.operator,
                operator_name=settings.operator_name,
                lifetime=settings.lifetime,
                dice=dice,
                url=settings.public_url,
            ),
            proved=IdentityFacts(
                database=database,
                operator=settings.operator,
                signing=lambda: settings.delegation.purpose_of(signer.delegated_selector),
                clock=clock,
                organization_addresses=settings.organization_addresses,
            ),
            rules=reading_rules(),
            askers=askers,
            fetcher=Fetcher(askers.calls, ports=webhook_ports(settings), allow_private=lab),
            owner=f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}",
        )
