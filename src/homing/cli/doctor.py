"""`homing doctor`: what is wrong in the DNS, and the records that correct it."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homing.cli.client import Json, Target, reach
from homing.cli.exits import bad_input
from homing.cli.findings import Form, tell
from homing.cli.options import Config
from homing.cli.output import for_person

if TYPE_CHECKING:
    from homing.config import Settings
    from homing.flow.doctor import Doctor, Progress
    from homing.loop.doctor.facts import DoctorFacts, PublishedAt
    from homing.loop.doctor.finding import Finding

    Examined = Callable[[Progress | None], Coroutine[Any, Any, tuple[Finding, ...]]]

_PATIENCE = 90.0
"""Seconds that an examination by the gateway may take if no name server answers."""
_LIVE = ("published", "active", "draining")
_ENDED = ("retired", "revoked")


def doctor(  # noqa: PLR0913 - each way to look is an option
    domain: Annotated[
        str | None, typer.Argument(help="Any domain. Default: your own names, from the settings.")
    ] = None,
    egress: Annotated[
        list[str] | None,
        typer.Option(metavar="IP", help="An address that mail leaves from. Default: those of your hostname."),
    ] = None,
    selector: Annotated[list[str] | None, typer.Option(help="A DKIM selector of a domain that is not yours.")] = None,
    org: Annotated[str | None, typer.Option("--org", help="Whose sending domain it is: ask the gateway.")] = None,
    message: Annotated[Path | None, typer.Option(help="Examine this message, too, as it was sent.")] = None,
    resolver: Annotated[
        str, typer.Option(metavar="IP:PORT", help="Ask this resolver, from here. Default: the gateway asks its own.")
    ] = "",
    probe: Annotated[bool, typer.Option(help="Connect to your own mail hosts on port 25.")] = True,
    everything: Annotated[bool, typer.Option("--all", help="Show the checks without faults, too.")] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON object a line for each finding.")] = False,
    zone: Annotated[bool, typer.Option("--zone", help="Only the records to publish, as part of a zone file.")] = False,
    config: Config = None,
) -> None:
    """Say what is wrong in the DNS with a domain that mail goes out under, and how to correct it.

    Exit code 1 if anything is broken.
    """
    form = Form.ZONE if zone else Form.JSON_LINES if jsonl else Form.ALL if everything else Form.FAULTS
    if org is not None and domain is not None:
        _end(_asked_of_the_gateway(Target(config=config, org=org), domain=domain), form)
        return
    settings = _settings(config, needed=domain is None)
    own = settings is not None and domain in (None, settings.operator_domain, settings.from_domain)
    addresses = tuple(_address(text) for text in egress or ())
    if own and settings and not resolver and message is None and _has_begun(settings):
        asked = _asked_of_the_gateway(Target(config=config), egress=list(addresses) or None, probe=probe)
        _end(asked, form)
        return
    asker = _doctor(settings, resolver)
    keys = _keys(settings, config) if own and settings else []

    async def examined(progress: "Progress | None") -> "tuple[Finding, ...]":
        if own and settings is not None:
            examined = _ourselves(settings, keys, addresses or await asker.egress_of(settings.hostname))
        else:
            examined = _somebody(domain or "", selector or (), addresses)
        examined = replace(examined, now=datetime.now(UTC))
        if message is not None:
            examined = replace(examined, specimen=_octets(message))
        try:
            return await asker.examine(examined, probes=own and probe, progress=progress)
        finally:
            await asker.fetcher.close()

    _end(_with_bar(examined), form)


def _end(findings: "Sequence[Finding]", form: Form) -> None:
    tell(findings, form)
    if any(finding.outcome == "broken" for finding in findings):
        raise typer.Exit(1)


# -- whom to examine, and how -----------------------------------------------------------------------------------------


def _settings(config: Path | None, *, needed: bool) -> "Settings | None":
    """None where there are none and none are needed: any domain can be examined from anywhere."""
    from homing.cli.exits import Unsuccessful
    from homing.cli.serve import settings_from

    try:
        return settings_from(config)
    except Unsuccessful:
        if needed or config is not None:
            raise
        return None


def _doctor(settings: "Settings | None", resolver: str) -> "Doctor":
    from homing.config import server_of
    from homing.flow.doctor import Doctor
    from homing.net.dns import Resolver
    from homing.net.fetch import Fetcher

    texts = [resolver] if resolver else list(settings.dns_servers) if settings else []
    try:
        servers = [server_of(text) for text in texts]
    except ValueError:
        raise bad_input("--resolver", "resolver", "A resolver is given as 9.9.9.9 or 9.9.9.9:53.") from None
    lab = settings is not None and settings.lab_private_addresses
    zone_port = servers[0][1] if lab and servers else 53
    asking = Resolver(servers or None, allow_private=lab, zone_port=zone_port)
    return Doctor(
        resolver=asking,
        fetcher=Fetcher(asking, allow_private=lab),
        hello=settings.hostname if settings else "localhost",
        smtp_port=settings.lab_outbound_port if settings else 25,
        allow_private=lab,
    )


def _ourselves(settings: "Settings", keys: "list[PublishedAt]", egress: tuple[str, ...]) -> "DoctorFacts":
    from homing.loop.doctor.examined import ourselves
    from homing.net.suffix import suffix_list

    own = ourselves(settings.operator_domain, settings.operator, settings.hostname, keys=keys, egress=egress)
    return replace(own, suffix_of=suffix_list())


def _keys(settings: "Settings", config: Path | None) -> "list[PublishedAt]":
    """What should be published for our keys, as the gateway has them. None are made for the question's sake."""
    from homing.loop.doctor.facts import PublishedAt

    if not _has_begun(settings):
        return []
    with reach(Target(config=config)) as gateway:
        listed = gateway.get("/v1/dkim_keys")["dkim_keys"]
    own = [one for one in listed if one["domain"] == settings.from_domain]
    live = [one for one in own if one["state"] in _LIVE] or [one for one in own if one["state"] not in _ENDED]
    taken = {one["selector"] for one in live}
    ended = {one["selector"] for one in own if one["state"] in _ENDED} - taken
    return [
        *(PublishedAt(domain=one["domain"], selector=one["selector"], record=one["record"]) for one in live),
        *(PublishedAt(domain=settings.from_domain, selector=selector, retired=True) for selector in sorted(ended)),
    ]


def _has_begun(settings: "Settings") -> bool:
    """Whether there is a gateway with keys to ask. Asking creates none."""
    return settings.administrator_key is not None or (settings.data_dir / "administrator.key").exists()


def _somebody(domain: str, selectors: Iterable[str], egress: tuple[str, ...]) -> "DoctorFacts":
    from homing.loop.doctor.examined import somebody
    from homing.mail.address import AddressError, parse_domain
    from homing.net.suffix import suffix_list

    try:
        name = parse_domain(domain)
    except AddressError:
        raise bad_input("domain", "domain", f"“{domain}” is not a domain name such as example.com.") from None
    return replace(somebody(name, selectors=selectors, egress=egress), suffix_of=suffix_list())


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise bad_input("--egress", "ip-address", f"“{text}” is not an IP address.") from None


def _octets(file: Path) -> bytes:
    """The message, with lines as they are on the wire: files mostly lose the CR."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise bad_input("--message", "file", f"{file} cannot be read: {error.strerror}.") from None
    return raw if b"\r\n" in raw else raw.replace(b"\n", b"\r\n")


def _asked_of_the_gateway(way: Target, **query: Any) -> "tuple[Finding, ...]":
    """It knows the keys that sign, and which records an organization was asked to publish."""
    from rich.console import Console

    with (
        reach(way) as gateway,
        Console(stderr=True).status("asking the DNS") if for_person() else nullcontext(),
    ):
        found = gateway.get("/v1/doctor", patience=_PATIENCE, **query)["findings"]
    return tuple(map(_finding, found))


def _finding(one: Json) -> "Finding":
    from homing.loop.doctor.finding import Evidence, Finding, Outcome, Severity
    from homing.loop.domains.dns_records import DnsRecord

    return Finding(
        check=one["check"],
        severity=Severity(one["severity"]),
        about=one["about"],
        outcome=Outcome(one["outcome"]),
        sentence=one["sentence"],
        cure=one["cure"],
        records=tuple(DnsRecord(**record) for record in one["records"]),
        evidence=tuple(Evidence(**told) for told in one["evidence"]),
    )


def _with_bar(examined: "Examined") -> "tuple[Finding, ...]":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    if not for_person():
        return asyncio.run(examined(None))
    columns = (TextColumn("asking the DNS"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        return asyncio.run(examined(lambda done, of: bar.update(task, completed=done, total=of)))
