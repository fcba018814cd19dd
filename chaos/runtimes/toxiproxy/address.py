"""Addresses as Toxiproxy writes them, `host:port`, and listening sockets on them."""

from __future__ import annotations

import os
import socket

from chaos.runtimes.toxiproxy.errors import ListenError

DEFAULT_HOST = "127.0.0.1"
BACKLOG = 1024
PORT_LIMIT = 65535


def split(address: str) -> tuple[str, int]:
    """Host and port of an address; no host means 127.0.0.1, no address any free port there.

    Toxiproxy would listen on every interface instead: here that takes the words `0.0.0.0`.

    Raises:
        ListenError: it is not of the form host:port.
    """
    if not address:
        return DEFAULT_HOST, 0
    host, colon, port = address.rpartition(":")
    if not colon:
        raise ListenError(f"address {address}: missing port in address")
    if not port.isascii() or not port.isdigit() or int(port) > PORT_LIMIT:
        raise ListenError(f"address {port}: invalid port")
    return host.strip("[]") or DEFAULT_HOST, int(port)


def join(host: str, port: int) -> str:
    """The address of a host and port."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def resolve(address: str) -> str:
    """The address with its host as a number.

    Raises:
        ListenError: it is malformed, or nothing has that name.
    """
    _, (host, port) = _find(address)
    return join(host, port)


def listen(address: str) -> socket.socket:
    """A listening, non-blocking socket.

    Raises:
        ListenError: the address is malformed, or not to be had.
    """
    try:
        family, target = _find(address)
    except ListenError as problem:
        raise ListenError(f"listen tcp: {problem.message}") from None
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(target)
        listener.listen(BACKLOG)
    except OSError as problem:
        listener.close()
        why = os.strerror(problem.errno or 0).lower()
        raise ListenError(f"listen tcp {join(*target)}: bind: {why}") from None
    listener.setblocking(False)
    return listener


def address_of(listener: socket.socket) -> str:
    """The address that a socket is bound to."""
    host, port = listener.getsockname()[:2]
    return join(host, port)


def _find(address: str) -> tuple[socket.AddressFamily, tuple[str, int]]:
    host, port = split(address)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ListenError(f"lookup {host}: no such host") from None
    family, _, _, _, target = min(found, key=lambda each: each[0] is not socket.AF_INET)
    return family, (str(target[0]), int(target[1]))
