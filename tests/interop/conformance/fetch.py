"""Other people's servers, downloaded but not installed: Debian's packages, which could not stand beside each other, and
Haraka from npm. They lie in a folder of the user's cache, or in HOMING_SERVERS."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

_USUAL = Path.home() / ".cache" / "homing-servers"
_QUIETLY = ("-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root")


def folder_of_servers() -> Path:
    return Path(os.environ.get("HOMING_SERVERS") or _USUAL)


def fetched(name: str) -> bool:
    """Whether a server's packages of Debian are there already."""
    return (folder_of_servers() / name / "done").exists()


def debian(name: str, packages: Iterable[str]) -> list[Path]:
    """The packages of a server, with all they need and this machine lacks; downloaded unless they are there."""
    folder = folder_of_servers() / name
    done = folder / "done"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        wanted = _lacking(packages)
        if wanted:
            _call("apt-get", *_QUIETLY, "download", "-qq", *wanted, folder=folder)
        done.touch()
    return sorted(folder.glob("*.deb"))


def npm(name: str, package: str) -> Path:
    """The folder with the `node_modules` that hold an npm package; without scripts of strangers and without a lock."""
    folder = folder_of_servers() / f"{name}-npm"
    done = folder / "done"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"name": "scratch", "private": true}')
        options = ("--silent", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional")
        _call("npm", "install", *options, package, folder=folder)
        done.touch()
    return folder


def _lacking(packages: Iterable[str]) -> list[str]:
    """What apt would install for these. It only asks; what would have to go for it does not matter."""
    plan = _call("apt-get", *_QUIETLY, "--simulate", "--no-install-recommends", "install", *packages)
    return [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]


def _call(*command: str, folder: Path | None = None) -> str:
    if shutil.which(command[0]) is None:
        raise SystemExit(f"no {command[0]} here")
    called = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if called.returncode:
        raise SystemExit(f"{' '.join(command)}: {called.stderr.strip() or called.stdout.strip()}")
    return called.stdout
