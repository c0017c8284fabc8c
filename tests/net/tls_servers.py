"""Mail hosts whose TLS is not in order. Each connection has a thread of its own: its handshake is looked at first."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from homing.net.route import Host

Handshake = Callable[[socket.socket, ssl.SSLContext, int], socket.socket | None]
"""The socket after STARTTLS, or None: the connection is over. The number counts the handshakes from 0."""
_TLS_1_3_OFFERED = b"\x03\x04"
_SUPPORTED_VERSIONS = b"\x00\x2b"


def accepts(sock: socket.socket, context: ssl.SSLContext, _number: int) -> socket.socket:
    return context.wrap_socket(sock, server_side=True)


def fails(times: int) -> Handshake:
    """Closes on the first handshakes."""
    return lambda sock, context, number: None if number < times else accepts(sock, context, number)


def dislikes_tls_1_3(sock: socket.socket, context: ssl.SSLContext, number: int) -> socket.socket | None:
    hello = sock.recv(4096, socket.MSG_PEEK)
    versions = hello.partition(_SUPPORTED_VERSIONS)[2][:16]
    return None if _TLS_1_3_OFFERED in versions else accepts(sock, context, number)


def drops_tls_1_3_late(sock: socket.socket, context: ssl.SSLContext, number: int) -> socket.socket | None:
    secure = accepts(sock, context, number)
    return None if secure.version() == "TLSv1.3" else secure


@contextmanager
def demanding(
    handshake: Handshake,
    context: ssl.SSLContext,
    ip: str = "127.0.0.1",
    port: int = 0,
    *,
    thinks: float = 0.0,
    closes: bool = False,
) -> Iterator[Host]:
    """A server that takes mail in TLS alone: in clear it refuses MAIL FROM. It `thinks` before it takes a message, and
    `closes` as soon as it has."""
    counted = iter(range(10**6))
    listener = socket.create_server((ip, port))

    def serve(sock: socket.socket) -> None:
        with suppress(OSError), sock:
            stream, secure = sock, False
            stream.sendall(b"220 hi\r\n")
            reader = stream.makefile("rb")
            while line := reader.readline():
                command = line[:4].upper()
                if command == b"STAR":
                    stream.sendall(b"220 go\r\n")
                    after = handshake(sock, context, next(counted))
                    if after is None:
                        return
                    stream, secure = after, True
                    reader = stream.makefile("rb")
                elif command == b"EHLO":
                    stream.sendall(b"250 hi\r\n" if secure else b"250-hi\r\n250 STARTTLS\r\n")
                elif command == b"MAIL" and not secure:
                    stream.sendall(b"530 5.7.0 Must issue a STARTTLS command first\r\n")
                elif command == b"DATA":
                    stream.sendall(b"354 go\r\n")
                    while reader.readline() not in {b".\r\n", b""}:
                        pass
                    time.sleep(thinks)
                    stream.sendall(b"250 2.0.0 taken\r\n")
                    if closes:
                        return
                else:
                    stream.sendall(b"250 ok\r\n")

    def accept() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                sock.settimeout(20)
                threading.Thread(target=serve, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield Host("mx.b.example", ip, listener.getsockname()[1])
    finally:
        listener.close()
