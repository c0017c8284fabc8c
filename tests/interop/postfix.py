"""A Postfix of our own: Debian's programs in a folder of their own, on loopback, no system service, ended by its pid.

It takes mail for two domains whose mailboxes virtual(8) keeps. One looks at RCPT whether the mailbox is there; the
other, like many a gateway in front of somebody's real server, says 250 to every name and finds out later.
"""

import asyncio
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from .others import as_root, program

OWNER = "postfix"
_MAILBOXES = "nobody"
_PATIENCE = 20.0

_SERVICES = """\
{ip}:{port} inet n - n - - smtpd
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
error     unix  - - n - - error
retry     unix  - - n - - error
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a Postfix is for. `late` and `strict` are its domains; `mailboxes` the addresses that exist in them.

    `way_back` is where all mail for other domains goes: the gateway's MX door. `at_rcpt` are restrictions that come
    before its own, `settings` more lines of main.cf.
    """

    ip: str
    port: int
    way_back: tuple[str, int]
    hostname: str = "mx.late.com"
    late: str = "late.com"
    strict: str = "strict.com"
    mailboxes: tuple[str, ...] = ()
    at_rcpt: str = ""
    settings: tuple[str, ...] = ()


@dataclass(slots=True)
class Postfix:
    plan: Plan
    folder: Path
    master: "subprocess.Popen[bytes]"

    @property
    def log(self) -> list[str]:
        """What it has logged, a line each."""
        file = self.folder / "log"
        return file.read_text(errors="replace").splitlines() if file.exists() else []

    def logged(self, pattern: str) -> list[str]:
        return [line for line in self.log if re.search(pattern, line)]

    async def logs(self, pattern: str, seconds: float = _PATIENCE) -> str:
        """The first log line that matches, as soon as there is one."""
        deadline = time.monotonic() + seconds
        while not (found := self.logged(pattern)):
            assert time.monotonic() < deadline, f"Postfix never logged {pattern}:\n" + "\n".join(self.log[-60:])
            await asyncio.sleep(0.02)
        return found[0]

    def mails(self, address: str) -> list[bytes]:
        """What lies in a mailbox, in the order of arrival."""
        new = self.folder / "mail" / address / "new"
        files = sorted(new.iterdir(), key=lambda file: file.stat().st_mtime_ns) if new.is_dir() else []
        return [file.read_bytes() for file in files]


@asynccontextmanager
async def a_postfix(plan: Plan) -> AsyncIterator[Postfix]:
    """A running Postfix that listens at `plan.ip` and `plan.port`; nothing of it is left afterwards."""
    master_program = program("master", "postfix")
    as_root("Postfix")
    folder = Path(tempfile.mkdtemp(prefix="homing-postfix-"))  # pytest's own folders are closed to its users
    try:
        _lay_out(plan, folder, master_program.parent)
        with (folder / "output").open("wb") as output:
            master = subprocess.Popen(
                [master_program, "-c", folder / "config", "-d"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        postfix = Postfix(plan, folder, master)
        try:
            await _until_it_listens(postfix)
            yield postfix
        finally:
            await asyncio.to_thread(_stop, master)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lay_out(plan: Plan, folder: Path, programs: Path) -> None:
    folder.chmod(0o755)
    _make(folder / "config", 0o755)
    _make(folder / "data", 0o700, OWNER)
    _make(folder / "mail", 0o755, _MAILBOXES)
    _make(folder / "queue", 0o755)
    _make(folder / "queue" / "pid", 0o755)
    for name, mode in _QUEUE.items():
        _make(folder / "queue" / name, mode, OWNER, "postdrop" if name in {"maildrop", "public"} else None)
    certificate = trustme.CA().issue_cert(plan.hostname)
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "config" / "tls.pem")
    (folder / "config" / "tls.pem").chmod(0o600)
    (folder / "config" / "main.cf").write_text("\n".join(_main(plan, folder, programs)) + "\n")
    (folder / "config" / "master.cf").write_text(_SERVICES.format(ip=plan.ip, port=plan.port))


def _make(folder: Path, mode: int, owner: str | None = None, group: str | None = None) -> None:
    folder.mkdir()
    folder.chmod(mode)
    if owner:
        shutil.chown(folder, owner, group)


_QUEUE = {
    "active": 0o700,
    "bounce": 0o700,
    "corrupt": 0o700,
    "defer": 0o700,
    "deferred": 0o700,
    "flush": 0o700,
    "hold": 0o700,
    "incoming": 0o700,
    "maildrop": 0o730,
    "private": 0o700,
    "public": 0o710,
    "saved": 0o700,
    "trace": 0o700,
}


def _main(plan: Plan, folder: Path, programs: Path) -> Iterable[str]:
    mailbox_owner = pwd.getpwnam(_MAILBOXES)
    mailboxes = ", ".join(f"{{ {address} = {address}/ }}" for address in plan.mailboxes)
    door, door_port = plan.way_back
    return (
        "compatibility_level = 3.6",
        f"queue_directory = {folder}/queue",
        f"data_directory = {folder}/data",
        f"daemon_directory = {programs}",
        f"maillog_file = {folder}/log",
        f"maillog_file_prefixes = {folder}",
        "inet_interfaces = 127.0.0.1",
        "inet_protocols = ipv4",
        f"myhostname = {plan.hostname}",
        "mydestination =",
        "mynetworks =",
        "alias_maps =",
        "local_recipient_maps =",
        "biff = no",
        "fast_flush_domains =",
        "smtp_dns_support_level = disabled",
        "smtpd_peername_lookup = no",
        f"default_transport = smtp:[{door}]:{door_port}",
        "smtp_tls_security_level = may",
        "smtp_tls_loglevel = 1",
        "smtpd_tls_security_level = may",
        "smtpd_tls_loglevel = 1",
        f"smtpd_tls_chain_files = {folder}/config/tls.pem",
        f"virtual_mailbox_domains = {plan.late}, {plan.strict}",
        f"virtual_mailbox_base = {folder}/mail",
        f"virtual_mailbox_maps = inline:{{ {mailboxes} }}" if mailboxes else "virtual_mailbox_maps =",
        f"virtual_uid_maps = static:{mailbox_owner.pw_uid}",
        f"virtual_gid_maps = static:{mailbox_owner.pw_gid}",
        "smtpd_reject_unlisted_recipient = no",
        "smtpd_relay_restrictions = reject_unauth_destination",
        f"smtpd_recipient_restrictions = {plan.at_rcpt}",
        f"  check_recipient_access inline:{{ {{ {plan.strict} = reject_unlisted_recipient }} }}",
        *plan.settings,
    )


async def _until_it_listens(postfix: Postfix) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            _, writer = await asyncio.open_connection(postfix.plan.ip, postfix.plan.port)
        except OSError:
            said = [*postfix.log, (postfix.folder / "output").read_text(errors="replace")]
            assert postfix.master.poll() is None, "Postfix ended:\n" + "\n".join(said)
            assert time.monotonic() < deadline, "Postfix does not listen:\n" + "\n".join(said)
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


def _stop(master: "subprocess.Popen[bytes]") -> None:
    """Its master ends its daemons: they are the process group that it leads."""
    master.send_signal(signal.SIGTERM)
    try:
        master.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(master.pid, signal.SIGKILL)
        master.wait()
