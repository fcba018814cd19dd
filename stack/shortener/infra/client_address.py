"""The address of a client: the peer, or the one that a trusted proxy forwards."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_OCTET = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_NORMALIZED_IPV4 = re.compile(rb"(?:%b\.){3}%b" % (_OCTET, _OCTET))


def networks(names: str) -> tuple[str, ...]:
    """Parse a comma-separated list of networks; raises `ValueError`."""
    return tuple(str(ip_network(name.strip())) for name in names.split(",") if name.strip())


def parsed(address: str) -> IPv4Address | IPv6Address | None:
    """Normalize an address, without its zone; `None` if it is invalid."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:  # as of a Unix socket, or hidden by a proxy
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


class TrustedProxies:
    """Proxies whose X-Forwarded-For is trusted; `trusted` is a comma-separated list of networks."""

    def __init__(self, trusted: str) -> None:
        self._trusted = tuple(map(ip_network, networks(trusted)))
        self.is_trusted = lru_cache(maxsize=4096)(self._is_trusted)

    def address(self, peer: str, forwarded: bytes) -> str:
        """Return the client's address: the last entry of X-Forwarded-For, which the proxy wrote.

        Where that entry is no address (`unknown`, `_hidden`), it is the proxy's own.
        """
        if not forwarded or not self.is_trusted(peer):
            return peer
        return _last_entry(forwarded) or peer

    def _is_trusted(self, peer: str) -> bool:
        address = parsed(peer)
        return address is not None and any(address in network for network in self._trusted)


def _last_entry(forwarded: bytes) -> str:
    """Return the address in the last entry, normalized and without its port, or ''."""
    if _NORMALIZED_IPV4.fullmatch(forwarded):  # most are, and parsing takes ten times as long
        return forwarded.decode("ascii")
    entry = forwarded.decode("latin-1").rstrip(", \t").rpartition(",")[2].strip(' \t"')
    if entry.startswith("["):
        host = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:
        host = entry.partition(":")[0]
    else:
        host = entry
    return str(parsed(host) or "")
