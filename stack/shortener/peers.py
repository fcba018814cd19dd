"""Who sent a request: the peer itself, or whom a trusted proxy in front of us names."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address, ip_network


def networks(names: str) -> tuple[str, ...]:
    """The networks in a list with commas; raises `ValueError` for what is none."""
    return tuple(str(ip_network(name.strip())) for name in names.split(",") if name.strip())


class Peers:
    """Knows the proxies whose word is taken: those in `trusted`, networks with commas between."""

    def __init__(self, trusted: str) -> None:
        self._trusted = tuple(map(ip_network, networks(trusted)))
        self.is_trusted = lru_cache(maxsize=4096)(self._is_trusted)

    def address(self, peer: str, forwarded: bytes) -> str:
        """The client's address; of X-Forwarded-For only the last entry is the proxy's own word."""
        if not forwarded or not self.is_trusted(peer):
            return peer
        last = forwarded[forwarded.rfind(b",") + 1 :].strip()
        return last.decode("ascii", "replace") or peer

    def _is_trusted(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:  # a Unix socket has no address
            return False
        return any(address in network for network in self._trusted)
