"""`homing demo`: both stories, played with real SMTP on loopback, and a page to look at afterwards.

Everything is real but the Internet: `homing.lab` stands in for DNS, other people's mail servers and the SMS provider.
The gateway is spoken to as an application speaks to it, over HTTP.
"""

import asyncio
import contextlib
import json
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from homing.app import Clock, build
from homing.cli.scenes import SCENES, DidNotComeTrue, Ledger, Stage
from homing.config import Settings
from homing.lab.sms import ACCOUNT, AUTH_TOKEN
from homing.lab.world import World

OPERATOR = "homing-demo.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    folder: Path
    port: int
    once: bool


async def play(options: DemoOptions) -> int:
    """The whole demo; the exit code. 0 only if every scene came true."""
    shown = Console(stderr=not sys.stdout.isatty())
    async with _stage(options) as stage:
        played = await _play_scenes(stage, shown)
        ledger = await stage.ledger()
        address = f"http://127.0.0.1:{stage.app.http_port}/"
        _tell(ledger, played, address, shown)
        came_true = len(played) == len(SCENES)
        if came_true and not options.once:
            await _stay(shown, address, options.folder)
        return 0 if came_true else 1


@contextlib.asynccontextmanager
async def _stage(options: DemoOptions) -> AsyncIterator[Stage]:
    shutil.rmtree(options.folder, ignore_errors=True)
    async with World(OPERATOR, hosts=24) as world:
        app = build(_settings(world, options), Clock())
        async with app.running():
            world.gateway_is_at("127.0.0.1", app.smtp_port)
            for key in app.keys.signing:
                world.publish_key(key.selector, key.dns_record())
            async with Stage.open(world, app) as stage:
                yield stage


def _settings(world: World, options: DemoOptions) -> Settings:
    return Settings(
        operator_domain=OPERATOR,
        operator_name="Homing",
        data_dir=options.folder,
        http_port=options.port,
        open_pages_here=True,
        smtp_host="127.0.0.1",
        smtp_port=0,
        administrator=f"postmaster@{OPERATOR}",
        dns_servers=[f"{ip}:{port}" for ip, port in world.dns.servers],
        lab_outbound_port=world.smtp_port,
        lab_private_addresses=True,
        sms_adapter="twilio",
        sms_url=world.sms.base_url,
        sms_account=ACCOUNT,
        sms_secret=AUTH_TOKEN,
        sms_sender="+15550100",
    )


async def _play_scenes(stage: Stage, shown: Console) -> list[str]:
    """The titles of the scenes that came true; stops at the first that did not."""
    played: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=shown, transient=True) as progress:
        bar = progress.add_task("playing", total=len(SCENES))
        for scene in SCENES:
            title, story = (scene.__doc__ or "").strip().split("\n", 1)
            progress.update(bar, description=title)
            try:
                told = await scene(stage)
            except (DidNotComeTrue, TimeoutError) as error:
                progress.console.print(Text.assemble(("✗ ", "bold red"), (title, "bold"), f"\n  {error}"))
                break
            played.append(title)
            progress.advance(bar)
            progress.console.print(Text.assemble(("✓ ", "bold green"), (title, "bold")))
            progress.console.print(Text("  " + " ".join(story.split()), style="dim"))
            progress.console.print(Text(f"  → {told}"))
    return played


def _tell(ledger: Ledger, played: list[str], address: str, shown: Console) -> None:
    if not sys.stdout.isatty():
        document = {"came_true": played, "scenes": len(SCENES), "messages": ledger, "page": address}
        print(json.dumps(document, indent=2))
        return
    table = Table(title="What became of every message", title_justify="left", expand=True)
    for column in ("From", "To", "Subject", "Outcome", "Why", "What Homing did"):
        table.add_column(column, overflow="fold")
    for line in _without_repeats(ledger):
        colour = {"delivered": "green", "bounced": "red", "expired": "red", "suppressed": "yellow"}.get(line["outcome"])
        outcome = line["outcome"] + (" (late)" if line["late"] else "")
        cells = [line["from"], line["to"], line["subject"]]
        table.add_row(*map(Text, cells), Text(outcome, style=colour or ""), Text(line["why"]), Text(line["done"]))
    shown.print(table)
    shown.print(Text(f"{len(played)} of {len(SCENES)} scenes came true.", style="bold"))


def _without_repeats(ledger: Ledger) -> Ledger:
    """Messages of one sender that simply arrived at one domain are told in one line."""
    told: Ledger = []
    for line in ledger:
        domain = line["to"].rpartition("@")[2]
        before = told[-1] if told else None
        if before and not line["done"] and before["plain"] == (line["from"], domain, line["outcome"]):
            before["times"] += 1
            before["to"], before["subject"] = f"{before['times']} people at {domain}", "…"
        else:
            plain = None if line["done"] else (line["from"], domain, line["outcome"])
            told.append({**line, "plain": plain, "times": 1})
    return told


async def _stay(shown: Console, address: str, folder: Path) -> None:
    shown.print(Text.assemble("\nLook at it: ", (address, "bold underline"), "  (messages, timelines, cases)"))
    shown.print(Text(f"Everything is kept in {folder}/. End with Ctrl-C."))
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


def run(options: DemoOptions) -> int:
    """Play it in a loop of its own; Ctrl-C ends it politely."""
    try:
        return asyncio.run(play(options))
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        Console(stderr=True).print(Text(f"cannot start: {error}. Is port {options.port} taken? Try --port.", "red"))
        return 1
