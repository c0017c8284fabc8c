"""A root file system for a server: this machine's own, and above it a layer in memory that takes all changes.

There its packages are unpacked and its configuration stands at the usual paths, with users of its own. Needs a mount
namespace of our own (`namespace.py`), whose end takes all of it away.
"""

import asyncio
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
PATIENCE = 30.0


@dataclass(slots=True)
class Machine:
    """`syslog` is what its servers have logged, `processes` what was started on it."""

    root: Path
    syslog: list[str] = field(default_factory=list)
    processes: "list[subprocess.Popen[bytes]]" = field(default_factory=list)
    _numbers: int = 7000

    def path(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def unpack(self, packages: Iterable[Path]) -> None:
        """Debian's packages, without their scripts; what is the same on all of the machine's links stays a link."""
        for package in packages:
            files = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True).stdout
            subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", self.root], input=files, check=True)

    def user(self, name: str, home: str = "/nonexistent") -> int:
        """A user with a group of his name, unless there is one; his number."""
        group = self.group(name)
        number = self._number("/etc/passwd", name)
        if number is None:
            number = group
            self._append("/etc/passwd", f"{name}:x:{number}:{group}::{home}:/usr/sbin/nologin")
        return number

    def group(self, name: str) -> int:
        number = self._number("/etc/group", name)
        if number is None:
            self._numbers += 1
            number = self._numbers
            self._append("/etc/group", f"{name}:x:{number}:")
        return number

    def _number(self, path: str, name: str) -> int | None:
        lines = (line.split(":") for line in self.path(path).read_text().splitlines())
        return next((int(fields[2]) for fields in lines if fields[0] == name), None)

    def _append(self, path: str, line: str) -> None:
        with self.path(path).open("a") as file:
            file.write(line + "\n")

    def write(self, path: str, text: str, mode: int = 0o644, owner: str = "root:root") -> None:
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        if owner != "root:root":
            self.run("chown", owner, path)

    def folder(self, path: str, mode: int = 0o755, owner: str = "root:root") -> None:
        self.path(path).mkdir(parents=True, exist_ok=True)
        self.path(path).chmod(mode)
        self.run("chown", owner, path)

    def bind(self, source: Path, path: str) -> None:
        """A folder of this machine, at `path`."""
        self.path(path).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", source, self.path(path)], check=True)

    def run(self, *command: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """A command that ends by itself."""
        done = subprocess.run(
            ["chroot", self.root, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done

    def start(self, *command: str) -> "subprocess.Popen[bytes]":
        """A server that stays in the foreground."""
        with self.path("/var/log/output").open("ab") as output:
            process = subprocess.Popen(
                ["chroot", self.root, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    async def listens(self, ip: str, port: int) -> None:
        """Wait until somebody takes connections there."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection(ip, port)
                writer.close()
                return
            ended = [process.args for process in self.processes if process.poll() is not None and process.returncode]
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"nobody listens at {ip}:{port}; {ended}\n" + "\n".join(self.lines()[-40:]))
            await asyncio.sleep(0.05)

    def lines(self) -> list[str]:
        """What was printed, or else what was logged: a server does one or the other."""
        output = self.path("/var/log/output")
        printed = output.read_text(errors="replace").splitlines() if output.exists() else []
        return max(printed, self.syslog, key=len)

    def take_log(self) -> None:
        """Be its system log: there is none in a root of one's own."""
        path = self.path("/dev/log")
        log_socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        log_socket.bind(str(path))
        path.chmod(0o666)

        def read() -> None:
            with suppress(BlockingIOError):
                while True:
                    self.syslog.append(log_socket.recv(65536).decode(errors="replace"))

        asyncio.get_running_loop().add_reader(log_socket, read)


def a_machine() -> Machine:
    """A root of its own. Its layer must not lie below this machine's root, so it lies in memory."""
    layers = Path(tempfile.mkdtemp(prefix="homing-machine-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", layers], check=True)
    upper, work, root = (layers / name for name in ("upper", "work", "root"))
    for each in (upper, work, root):
        each.mkdir()
        each.chmod(0o755)
    options = f"lowerdir=/,upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", root], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
    for name in ("dev", "run", "tmp"):
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "mode=1777" if name == "tmp" else "mode=755", "tmpfs", root / name],
            check=True,
        )
    for device in _DEVICES:
        (root / "dev" / device).touch()
        subprocess.run(["mount", "--bind", f"/dev/{device}", root / "dev" / device], check=True)
    (root / "dev" / "shm").mkdir(mode=0o1777)
    (root / "dev" / "shm").chmod(0o1777)
    for link, target in {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1"}.items():
        (root / "dev" / link).symlink_to(target)
    machine = Machine(root)
    machine.write("/etc/resolv.conf", "nameserver 127.0.0.53\n")
    machine.write("/etc/hosts", "127.0.0.1 localhost\n127.0.2.1 mx.hall.com mx\n")
    machine.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n")
    machine.write("/etc/hostname", "mx.hall.com\n")
    machine.write("/etc/mailname", "hall.com\n")
    return machine
