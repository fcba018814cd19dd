"""Addresses as Toxiproxy writes them, `host:port`, and listening sockets on them."""

from __future__ import annotations

import asyncio
import os
import re
import socket

from chaos.runtimes.toxiproxy.errors import ListenError

DEFAULT_HOST = "127.0.0.1"
BACKLOG = 1024
PORT_LIMIT = 65535
IPV4 = r"\d+\.\d+\.\d+\.\d+"  # what is shorter, getaddrinfo would take, too


def split(address: str) -> tuple[str, int]:
    """Host and port of an address; no host means 127.0.0.1, no address any free port there.

    Toxiproxy would listen on every interface instead: here that takes the words `0.0.0.0`.

    Raises:
        ListenError: it is not of the form host:port, or the port has a name that nobody knows.
    """
    if not address:
        return DEFAULT_HOST, 0
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and not host.endswith("]"):
        raise ListenError(f"address {address}: missing {_missing(address)} in address")
    if not colon:
        raise ListenError(f"address {address}: missing port in address")
    if ":" in host and not host.startswith("["):
        raise ListenError(f"address {address}: too many colons in address")
    return host.strip("[]") or DEFAULT_HOST, _port(port)


def _missing(address: str) -> str:
    return "port" if "]" in address else "']'"


def _port(port: str) -> int:
    number = port.removeprefix("+") or "0"
    if re.fullmatch("-?[0-9]+", number, re.ASCII):
        if 0 <= int(number) <= PORT_LIMIT:
            return int(number)
        raise ListenError(f"address {port}: invalid port")
    try:
        return socket.getservbyname(port, "tcp")
    except OSError:
        raise ListenError(f"lookup tcp/{port}: unknown port") from None


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


async def dial(address: str) -> socket.socket:
    """A non-blocking socket that is connected to the address.

    Raises:
        OSError: nothing there takes the connection.
        ListenError: it is not of the form host:port.
    """
    host, port = split(address)
    loop = asyncio.get_running_loop()
    failed = OSError(f"lookup {host}: no such host")
    for family, kind, protocol, _, target in await loop.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        dialled = socket.socket(family, kind, protocol)
        dialled.setblocking(False)
        try:
            await loop.sock_connect(dialled, target)
        except OSError as problem:
            dialled.close()
            failed = problem
        except asyncio.CancelledError:
            dialled.close()
            raise
        else:
            return dialled
    raise failed


def address_of(listener: socket.socket) -> str:
    """The address that a socket is bound to."""
    host, port = listener.getsockname()[:2]
    return join(host, port)


def _find(address: str) -> tuple[socket.AddressFamily, tuple[str, int]]:
    host, port = split(address)
    if re.fullmatch("[0-9.]+", host) and not re.fullmatch(IPV4, host):
        raise ListenError(f"lookup {host}: no such host")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ListenError(f"lookup {host}: no such host") from None
    family, _, _, _, target = min(found, key=lambda each: each[0] is not socket.AF_INET)
    return family, (str(target[0]), int(target[1]))
