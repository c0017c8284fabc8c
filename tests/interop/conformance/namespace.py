"""A network, mounts and processes of one's own: ports 25 and 53 are free there, and all ends with its first process.

Whoever connects to the server that is looked at comes from `GATEWAY`, which is nobody to it; the server's own helpers
reach it at `INSIDE`, from `HELPER`.
"""

import os
import socket
import subprocess
import sys

SERVER = "127.0.2.1"
INSIDE = "127.0.2.4"
SRS = "127.0.2.5"
DOVECOT = "127.0.2.2"
NAMES = "127.0.0.53"
GATEWAY = "127.0.0.9"
HELPER = "127.0.2.9"


def enter(arguments: list[str], folder: str) -> int:
    """This program once more, as the first process of namespaces of its own, with its temporary files in `folder`; the
    status with which it ended. What a gateway logs is not shown."""
    unshare = ["unshare", "--mount", "--net", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
    command = [*unshare, sys.executable, "-m", "tests.interop.conformance", *arguments]
    environment = {**os.environ, "TMPDIR": folder}
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment, check=False
    ).returncode


def why_not() -> str:
    """Why no namespace can be had here, "" if one can."""
    if os.geteuid() != 0:
        return "only root may make namespaces and start mail servers"
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--uts", "--fork", "true"], capture_output=True, text=True, check=False
    )
    return tried.stderr.strip()


def settle_in() -> None:
    """Called inside: loopback comes up, with the addresses from which the servers are reached."""
    for command in (
        "link set lo up",
        *(f"address add {ip}/32 dev lo" for ip in (SERVER, INSIDE, SRS)),
        *(f"route replace local {ip} dev lo src {GATEWAY} table local" for ip in (SERVER, SRS)),
        f"route replace local {INSIDE} dev lo src {HELPER} table local",
    ):
        subprocess.run(["ip", *command.split()], check=True)
    socket.sethostname("mx.hall.com")
