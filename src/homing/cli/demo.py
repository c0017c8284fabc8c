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

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from homing.app import CannotListen, Clock, build
from homing.cli.demo_scenes import SCENES
from homing.cli.demo_world import DemoWorld, DidNotComeTrue, Json, Ledger
from homing.cli.exits import ExitCode, unsuccessful
from homing.cli.log import log_to_stderr
from homing.cli.serve import opening
from homing.config import Settings
from homing.lab.sms import ACCOUNT, AUTH_TOKEN
from homing.lab.world import World
from homing.mail.address import domain_of

OPERATOR = "homing-demo.com"
MARK = "this-is-a-demo"
"""A file in the demo's folder: only a folder that has it may be emptied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    folder: Path
    port: int
    once: bool


async def play(options: DemoOptions) -> int:
    """The whole demo; the exit code. 0 only if every scene came true."""
    shown = Console(stderr=not sys.stdout.isatty())
    async with _stage(options) as demo:
        played = await _play_scenes(demo, shown)
        ledger = await demo.ledger()
        address = f"http://127.0.0.1:{demo.app.http_port}/"
        _tell(ledger, played, address, shown)
        came_true = len(played) == len(SCENES)
        if came_true and not options.once:
            await _stay(shown, address, options.folder)
        return 0 if came_true else 1


@contextlib.asynccontextmanager
async def _stage(options: DemoOptions) -> AsyncIterator[DemoWorld]:
    async with World(OPERATOR, hosts=24) as world:
        app = build(_settings(world, options), Clock())
        async with app.running():
            world.gateway_is_at("127.0.0.1", app.smtp_port)
            for key in app.keys.signing:
                world.publish_key(key.selector, key.dns_record())
            async with DemoWorld.open(world, app) as demo:
                yield demo


def _emptied(folder: Path) -> None:
    """A fresh folder. Raises Unsuccessful before anything of somebody else's is removed."""
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            detail = "The demo empties its folder first. Choose another one with --folder, or remove this one yourself."
            raise unsuccessful(
                ExitCode.INPUT, "folder-in-use", f"{folder}/ contains files that are not from a demo.", detail
            )
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / MARK).touch()


def _settings(world: World, options: DemoOptions) -> Settings:
    return Settings(
        operator_domain=OPERATOR,
        operator_name="Homing",
        data_dir=options.folder,
        http_port=options.port,
        open_pages_here=True,
        smtp_host="127.0.0.1",
        smtp_port=0,
        disk_reserve_mib=64,
        gather_letters_minutes=0,
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


async def _play_scenes(demo: DemoWorld, shown: Console) -> list[str]:
    """The titles of the scenes that came true; stops at the first that did not."""
    played: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=shown, transient=True) as progress:
        bar = progress.add_task("playing", total=len(SCENES))
        for scene in SCENES:
            title, story = (scene.__doc__ or "").strip().split("\n", 1)
            progress.update(bar, description=title)
            try:
                told = await scene(demo)
            except (DidNotComeTrue, TimeoutError) as error:
                why = str(error) or "what the scene waited for did not come in time"
                progress.console.print(Text.assemble(("✗ ", "bold red"), (title, "bold")), _indented(Text(why)))
                break
            played.append(title)
            progress.advance(bar)
            progress.console.print(
                Text.assemble(("✓ ", "bold green"), (title, "bold")),
                _indented(Text(" ".join(story.split()), style="dim")),
                _indented(Text(f"→ {told}")),
            )
    return played


def _indented(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 2))


def _tell(ledger: Ledger, played: list[str], address: str, shown: Console) -> None:
    if not sys.stdout.isatty():
        document = {"came_true": played, "scenes": len(SCENES), "messages": ledger, "page": address}
        print(json.dumps(document, indent=2))
        return
    table = Table(title="What became of every message", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("From", "To, and subject", "Outcome", "What Homing did"):
        table.add_column(column, overflow="fold")
    for line in _without_repeats(ledger):
        outcome = line["outcome"] + (" (late)" if line["late"] else "")
        table.add_row(
            Text(line["from"]),
            Text.assemble(line["to"], "\n", (line["subject"], "dim")),
            Text.assemble((outcome, _COLOURS.get(line["outcome"], "")), "\n", (line["why"], "dim")),
            Text(_done(line)),
        )
    shown.print(table)
    shown.print(Text(f"{len(played)} of {len(SCENES)} scenes came true.", style="bold"))


_COLOURS = {"delivered": "green", "bounced": "red", "expired": "red", "suppressed": "yellow"}
_STEPS = {"live": "pop-up", "sms": "text message"}
_NOTED = {
    "resent": "sent again to the right address",
    "replied": "“Oops!” to whoever replied",
    "forwarding_failed": "the address stays in use",
}


def _done(line: Json) -> str:
    steps = [
        _STEPS.get(step["kind"], step["kind"]) + (" (unread)" if step["state"] == "unheard" else "")
        for step in line["steps"]
        if step["state"] in {"done", "heard", "unheard"}
    ]
    return ", ".join(steps + [_NOTED.get(word, word) for word in line["noted"]])


def _without_repeats(ledger: Ledger) -> Ledger:
    """Messages of one sender that simply arrived at one domain are told in one line."""
    told: Ledger = []
    for line in ledger:
        domain = domain_of(line["to"])
        plain = None if line["steps"] or line["noted"] else (line["from"], domain, line["outcome"])
        before = told[-1] if told else None
        if before and plain and before["plain"] == plain:
            before["times"] += 1
            before["to"], before["subject"] = f"{before['times']} people at {domain}", "…"
        else:
            told.append({**line, "plain": plain, "times": 1})
    return told


async def _stay(shown: Console, address: str, folder: Path) -> None:
    shown.print(Text.assemble("\nLook at it: ", (address, "bold underline"), "  (messages, timelines, cases)"))
    shown.print(Text(f"Everything is kept in {folder}/. End with Ctrl-C."))
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


def run(options: DemoOptions) -> int:
    """Play it in a loop of its own; Ctrl-C ends it politely. Raises Unsuccessful where it cannot begin."""
    log_to_stderr()
    with opening(Settings(operator_domain=OPERATOR, data_dir=options.folder)):
        _emptied(options.folder)
        try:
            return asyncio.run(play(options))
        except CannotListen as error:
            detail = "Another program may have this port; choose another one with --port."
            raise unsuccessful(ExitCode.OTHER, "cannot-listen", f"{error}.".capitalize(), detail) from None
        except KeyboardInterrupt:
            return 130
