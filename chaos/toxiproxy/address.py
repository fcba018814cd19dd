"""Parse addresses, `host:port`, as Toxiproxy does; open sockets that listen or connect there.

A host is read as Go reads it: a number without needless zeros, or a name.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from typing import Any

from chaos.toxiproxy.errors import ListenError

DEFAULT_HOST = "127.0.0.1"
BACKLOG = 1024
PORT_LIMIT = 65535
LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
NAME = re.compile(rf"(?=.*[a-z_-]){LABEL}(\.{LABEL})*\.?", re.ASCII | re.IGNORECASE)
IDLE = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", 0))  # on macOS
KEEP_ALIVE = {  # Go's: nine probes, 15 s apart, once a connection has been idle for so long
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
    (socket.IPPROTO_TCP, IDLE): 15,
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): 15,
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): 9,
}


@dataclass(frozen=True)
class Target:
    """A resolved address: for the socket module, and as text."""

    family: int
    address: tuple[Any, ...]
    text: str

    @property
    def is_wildcard(self) -> bool:
        """True for the address of every interface."""
        return self.address[0] in ("0.0.0.0", "::")


def split(address: str) -> tuple[str, int]:
    """Split an address; no host means 127.0.0.1, an empty address any free port there.

    Toxiproxy listens on every interface instead: here that takes an explicit `0.0.0.0`.

    Raises:
        ListenError: it is not of the form host:port, or the port name is unknown.
    """
    if not address:
        return DEFAULT_HOST, 0
    host, colon, port = address.rpartition(":")
    if address.startswith("["):
        host, bracket, after = address[1:].partition("]")
        if not bracket:
            raise _malformed(address, "missing ']'")
        if after.count(":") > 1 and after.startswith(":"):
            raise _malformed(address, "too many colons")
        if after != f":{port}":
            raise _malformed(address, "missing port")
    elif not colon:
        raise _malformed(address, "missing port")
    elif ":" in host:
        raise _malformed(address, "too many colons")
    for bracket in "[]":
        if bracket in host + port:
            raise _malformed(address, f"unexpected '{bracket}'")
    return host or DEFAULT_HOST, port_number(port)


def _malformed(address: str, why: str) -> ListenError:
    return ListenError(f"address {address}: {why} in address")


def port_number(port: str) -> int:
    """Return a port number from its digits or service name; 0 for none.

    Raises:
        ListenError: there is no such port.
    """
    if re.fullmatch("[+-]?[0-9]*", port):
        digits = port.lstrip("+-").lstrip("0") or "0"
        if len(digits) <= len(str(PORT_LIMIT)) and (digits == "0" or not port.startswith("-")):
            number = int(digits)
            if number <= PORT_LIMIT:
                return number
        raise ListenError(f"address {port}: invalid port")
    try:
        return socket.getservbyname(port.lower(), "tcp")
    except (OSError, ValueError):
        raise ListenError(f"lookup tcp/{port}: unknown port") from None


def join(host: str, port: int) -> str:
    """Join host and port."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def resolve(address: str) -> str:
    """Return the address with its host resolved.

    Raises:
        ListenError: it is malformed, or the name does not resolve.
    """
    return _find(address).text


def listen(address: str) -> socket.socket:
    """Return a listening, non-blocking socket; a wildcard takes IPv4 and IPv6, as in Go.

    Raises:
        ListenError: the address is malformed, or cannot be bound.
    """
    try:
        target = _find(address)
    except ListenError as problem:
        raise ListenError(f"listen tcp: {problem.message}") from None
    family, bound = target.family, target.address
    if target.is_wildcard and socket.has_dualstack_ipv6():
        family, bound = socket.AF_INET6, ("::", bound[1])
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not target.is_wildcard)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _keep_alive(listener)
        listener.bind(bound)
        listener.listen(BACKLOG)
    except OSError as problem:
        listener.close()
        why = os.strerror(problem.errno or 0).lower()
        raise ListenError(f"listen tcp {target.text}: bind: {why}") from None
    listener.setblocking(False)
    return listener


async def dial(address: str) -> socket.socket:
    """Return a non-blocking socket connected to the address.

    Raises:
        OSError: the connection failed.
        ListenError: it is not of the form host:port, or the host is no valid name.
    """
    host, port = split(address)
    loop = asyncio.get_running_loop()
    if literal := _literal(host, port):
        found = [(literal.family, literal.address)]
    else:
        named = await loop.getaddrinfo(_name(host), port, type=socket.SOCK_STREAM)
        found = [(family, target) for family, _, _, _, target in named]
    failed = OSError(f"lookup {host}: no such host")
    for family, target in found:
        dialled = socket.socket(family, socket.SOCK_STREAM)
        dialled.setblocking(False)
        _keep_alive(dialled)
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
    """Return the address that a socket is bound to."""
    host, port = listener.getsockname()[:2]
    return join(host, port)


def _keep_alive(its_socket: socket.socket) -> None:
    """Turn on TCP keepalive; accepted sockets inherit it."""
    for (level, option), value in KEEP_ALIVE.items():
        its_socket.setsockopt(level, option, value)


def _find(address: str) -> Target:
    host, port = split(address)
    if literal := _literal(host, port):
        return literal
    try:
        found = socket.getaddrinfo(_name(host), port, type=socket.SOCK_STREAM)
    except OSError:
        raise _no_such(host) from None
    family, _, _, _, target = min(found, key=lambda each: each[0] is not socket.AF_INET)
    return Target(family, target, join(str(target[0]), int(target[1])))


def _literal(host: str, port: int) -> Target | None:
    """Return the target of a numeric host; None for a name."""
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(number, ipaddress.IPv6Address) and number.ipv4_mapped:
        number = number.ipv4_mapped
    if isinstance(number, ipaddress.IPv4Address):
        return Target(socket.AF_INET, (str(number), port), join(str(number), port))
    bare, _, zone = str(number).partition("%")
    return Target(
        socket.AF_INET6, (bare, port, 0, _interface(zone) if zone else 0), join(str(number), port)
    )


def _interface(zone: str) -> int:
    """Return the index of a network interface; 0 if there is none."""
    try:
        return socket.if_nametoindex(zone)
    except OSError:
        return int(zone) if re.fullmatch("[0-9]{1,9}", zone) else 0


def _name(host: str) -> str:
    """Return a host that may be resolved: the resolver would take `*` and `0x7f.1`, too.

    Raises:
        ListenError: it is no name.
    """
    if not NAME.fullmatch(host):
        raise _no_such(host)
    try:
        socket.inet_aton(host)
    except OSError:
        return host
    raise _no_such(host)


def _no_such(host: str) -> ListenError:
    return ListenError(f"lookup {host}: no such host")
