"""All proxies of a server by name, and operations on several at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from chaos.toxiproxy.connection import Count
from chaos.toxiproxy.errors import ApiError
from chaos.toxiproxy.proxy import Proxy

Series = tuple[str, str, str, str, str]  # received or sent, direction, proxy, listener, upstream


@dataclass(frozen=True)
class ProxySpec:
    """A proxy as requested by a client."""

    name: str
    listen: str
    upstream: str
    enabled: bool = True


@dataclass
class ProxyRegistry:
    """Proxies by name, and the bytes of their closed connections."""

    proxies: dict[str, Proxy] = field(default_factory=dict)
    traffic: Counter[Series] = field(default_factory=Counter)

    def get(self, name: str) -> Proxy:
        """Return the proxy of that name.

        Raises:
            ApiError: 404, there is none.
        """
        try:
            return self.proxies[name]
        except KeyError:
            raise ApiError("proxy not found", 404) from None

    def create(self, wanted: ProxySpec) -> Proxy:
        """Create a proxy.

        Raises:
            ApiError: 409, there is one of that name.
            ListenError: it cannot listen; then it is not created.
        """
        if wanted.name in self.proxies:
            raise ApiError("proxy already exists", 409)
        return self._start(wanted)

    def populate(self, all_wanted: Sequence[ProxySpec]) -> Iterator[Proxy]:
        """Create or replace each proxy in turn; one with the same addresses stays as it is.

        Raises:
            ListenError: one cannot listen; those before it stay.
        """
        for wanted in all_wanted:
            there = self.proxies.get(wanted.name)
            if there and not there.differs(wanted.listen, wanted.upstream):
                yield there
                continue
            if there:
                there.stop()
            yield self._start(wanted)

    def delete(self, name: str) -> None:
        """Stop and remove a proxy.

        Raises:
            ApiError: 404, there is none of that name.
        """
        self.get(name).stop()
        del self.proxies[name]

    def reset(self) -> None:
        """Start every stopped proxy, and remove every toxic.

        Raises:
            ListenError: a proxy cannot listen; those after it are not reset.
        """
        for proxy in self.proxies.values():
            proxy.start()
            proxy.remove_all()

    def stop(self) -> None:
        """Stop every proxy."""
        for proxy in self.proxies.values():
            proxy.stop()

    def _start(self, wanted: ProxySpec) -> Proxy:
        proxy = Proxy(wanted.name, wanted.listen, wanted.upstream, self._meter)
        if wanted.enabled:
            proxy.start()
        self.proxies[wanted.name] = proxy
        return proxy

    def _meter(self, proxy: Proxy) -> Count:
        where = (proxy.name, proxy.listen, proxy.upstream)

        def count(what: str, direction: str, size_bytes: int) -> None:
            self.traffic[what, direction, *where] += size_bytes

        return count
