"""A proxy: listens on one address, and connects each client to one upstream address."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from chaos.toxiproxy import address
from chaos.toxiproxy.connection import Count, ProxyConnection
from chaos.toxiproxy.errors import ApiError, ListenError
from chaos.toxiproxy.toxic import ToxicWrapper

ACCEPT_AGAIN_S = 0.02
DIRECTIONS = ("upstream", "downstream")
Meter = Callable[["Proxy"], Count]


class Proxy:
    """Listener, connections and toxics. `start` and `stop` have taken effect when they return.

    Upstream connections are opened one after the other: one that hangs delays the next.
    """

    def __init__(self, name: str, listen: str, upstream: str, meter: Meter) -> None:
        self.name = name
        self.listen = listen
        self.upstream = upstream
        self._meter = meter
        self._listener: socket.socket | None = None
        self._opening: asyncio.Task[None] | None = None
        self._connections: set[ProxyConnection] = set()
        self._toxics: dict[str, ToxicWrapper] = {}

    @property
    def enabled(self) -> bool:
        """True while it listens."""
        return self._listener is not None

    @property
    def toxics(self) -> list[ToxicWrapper]:
        """Toxics: upstream first, each stream's in the order they were added."""
        return sorted(
            self._toxics.values(), key=lambda wrapper: DIRECTIONS.index(wrapper.direction)
        )

    def start(self) -> None:
        """Listen, unless it does already.

        Raises:
            ListenError: the address is malformed, or cannot be bound.
        """
        if self._listener is None:
            self._listener = address.listen(self.listen)
            self.listen = address.address_of(self._listener)
            self._await_client(self._listener)

    def stop(self) -> None:
        """Stop listening, and close every connection."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        if self._opening:
            self._opening.cancel()
        for connection in list(self._connections):
            connection.abort()

    def differs(self, listen: str, upstream: str) -> bool:
        """Return True if an address differs from the proxy's.

        Raises:
            ListenError: `listen` is malformed.
        """
        return address.resolve(listen) != self.listen or upstream != self.upstream

    def update(self, listen: str, upstream: str, *, enabled: bool) -> None:
        """Change addresses, which closes every connection, and start or stop.

        Raises:
            ListenError: the address is malformed, or cannot be bound; then the proxy is stopped.
        """
        if self.differs(listen, upstream):
            self.stop()
            self.listen, self.upstream = listen, upstream
        if enabled:
            self.start()
        else:
            self.stop()

    def add(self, wrapper: ToxicWrapper) -> None:
        """Add a toxic to every present and future connection."""
        self._toxics[wrapper.name] = wrapper
        for connection in list(self._connections):
            connection.add(wrapper)

    def toxic(self, name: str) -> ToxicWrapper:
        """Return the toxic of that name.

        Raises:
            ApiError: 404, there is none.
        """
        try:
            return self._toxics[name]
        except KeyError:
            raise ApiError("toxic not found", 404) from None

    def set_toxic(self, wrapper: ToxicWrapper) -> None:
        """Apply a toxic's attributes without interrupting it."""
        for connection in list(self._connections):
            connection.set(wrapper)

    def update_toxic(self, wrapper: ToxicWrapper) -> None:
        """Apply a toxic's attributes and toxicity."""
        for connection in list(self._connections):
            connection.update(wrapper)

    def remove(self, name: str) -> ToxicWrapper:
        """Remove a toxic from every connection.

        Raises:
            ApiError: 404, there is none of that name.
        """
        wrapper = self.toxic(name)
        del self._toxics[name]
        for connection in list(self._connections):
            connection.remove(wrapper)
        return wrapper

    def remove_all(self) -> None:
        """Remove every toxic."""
        for wrapper in self.toxics:
            self.remove(wrapper.name)

    def committed_until_s(self, direction: str) -> float:
        """Return the time of the last irrevocable release of a toxic; 0 if there is none."""
        return max((each.committed_until_s(direction) for each in self._connections), default=0)

    def as_json(self) -> dict[str, Any]:
        """Return the proxy as the HTTP API shows it."""
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "Logger": {},
            "toxics": [wrapper.as_json() for wrapper in self.toxics],
        }

    def _await_client(self, listener: socket.socket) -> None:
        if listener is self._listener:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        try:
            client, _ = listener.accept()
        except OSError:  # such as no file descriptors: retrying at once would take all CPU
            loop.call_later(ACCEPT_AGAIN_S, self._await_client, listener)
            return
        client.setblocking(False)
        self._opening = loop.create_task(self._open(client))
        self._opening.add_done_callback(lambda _: self._await_client(listener))

    async def _open(self, client: socket.socket) -> None:
        """Connect a client to the upstream, or close it if that fails."""
        try:
            server = await address.dial(self.upstream)
        except (OSError, UnicodeError, ListenError, asyncio.CancelledError):
            client.close()
            return
        connection = ProxyConnection(
            client, server, self.toxics, self._meter(self), self._connections.discard
        )
        self._connections.add(connection)
        connection.start()
