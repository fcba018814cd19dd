"""Who sent a request: the peer itself, or whom a trusted proxy in front of us names."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network


def networks(names: str) -> tuple[str, ...]:
    """The networks in a list with commas; raises `ValueError` for what is none."""
    return tuple(str(ip_network(name.strip())) for name in names.split(",") if name.strip())


def parsed(address: str) -> IPv4Address | IPv6Address | None:
    """One value for all notations of an address, without its zone; `None` if it is none."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:  # a Unix socket has no address, and a proxy may hide one
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


class TrustedProxies:
    """Knows the proxies whose word is taken: those in `trusted`, networks with commas between."""

    def __init__(self, trusted: str) -> None:
        self._trusted = tuple(map(ip_network, networks(trusted)))
        self.is_trusted = lru_cache(maxsize=4096)(self._is_trusted)

    def address(self, peer: str, forwarded: bytes) -> str:
        """The client's address; of X-Forwarded-For only the last entry is the proxy's own word.

        It is the proxy's own address where that entry names none (`unknown`, `_hidden`).
        """
        if not forwarded or not self.is_trusted(peer):
            return peer
        return _last(forwarded) or peer

    def _is_trusted(self, peer: str) -> bool:
        address = parsed(peer)
        return address is not None and any(address in network for network in self._trusted)


@lru_cache(maxsize=4096)
def _last(forwarded: bytes) -> str:
    """The address in the last entry, in one notation and without its port; empty for none."""
    entry = forwarded.decode("latin-1").rstrip(", \t").rpartition(",")[2].strip(' \t"')
    if entry.startswith("["):
        host = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:
        host = entry.partition(":")[0]
    else:
        host = entry
    return str(parsed(host) or "")
