"""A proxy: it listens on one address, and joins each client to one upstream address."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import Any

from chaos.runtimes.toxiproxy import address, errors
from chaos.runtimes.toxiproxy.connection import Connection, Side
from chaos.runtimes.toxiproxy.link import Traffic
from chaos.runtimes.toxiproxy.toxic import Dose

ACCEPTS_AT_ONCE = 64
DIRECTIONS = ("upstream", "downstream")
Meter = Callable[["Proxy"], Mapping[str, Traffic]]


class Proxy:
    """Listener, connections and toxics. Starting and stopping are done when they return."""

    def __init__(self, name: str, listen: str, upstream: str, meter: Meter) -> None:
        self.name = name
        self.listen = listen
        self.upstream = upstream
        self._meter = meter
        self._listener: socket.socket | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self._connections: set[Connection] = set()
        self._doses: dict[str, Dose] = {}

    @property
    def enabled(self) -> bool:
        """Whether it listens."""
        return self._listener is not None

    @property
    def doses(self) -> list[Dose]:
        """Its toxics: upstream first, and each stream's in the order they were added."""
        return sorted(self._doses.values(), key=lambda dose: DIRECTIONS.index(dose.direction))

    def start(self) -> None:
        """Listen, if it does not yet.

        Raises:
            ListenError: the address is malformed, or not to be had.
        """
        if self._listener is None:
            self._listener = address.listen(self.listen)
            self.listen = address.address_of(self._listener)
            asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    def stop(self) -> None:
        """Stop listening, and drop every connection."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for task in self._opening:
            task.cancel()
        for connection in self._connections:
            connection.abort()

    def differs(self, listen: str, upstream: str) -> bool:
        """Whether these addresses are others than the proxy's.

        Raises:
            ListenError: `listen` is malformed.
        """
        return address.resolve(listen) != self.listen or upstream != self.upstream

    def update(self, listen: str, upstream: str, *, enabled: bool) -> None:
        """Move to other addresses, which drops every connection, and start or stop.

        Raises:
            ListenError: the address is malformed, or not to be had; then the proxy is stopped.
        """
        if self.differs(listen, upstream):
            self.stop()
            self.listen, self.upstream = listen, upstream
        if enabled:
            self.start()
        else:
            self.stop()

    def add(self, dose: Dose) -> None:
        """Put a toxic on every connection there is and will be.

        Raises:
            ApiError: 409, there is one of that name.
        """
        if dose.name in self._doses:
            raise errors.toxic_exists()
        self._doses[dose.name] = dose
        for connection in self._connections:
            connection.add(dose)

    def dose(self, name: str) -> Dose:
        """The toxic of that name.

        Raises:
            ApiError: 404, there is none.
        """
        try:
            return self._doses[name]
        except KeyError:
            raise errors.no_toxic() from None

    def update_dose(self, dose: Dose) -> None:
        """Replace the toxic of the same name and stream."""
        self._doses[dose.name] = dose
        for connection in self._connections:
            connection.update(dose)

    def remove(self, name: str) -> None:
        """Take a toxic off every connection.

        Raises:
            ApiError: 404, there is none of that name.
        """
        dose = self.dose(name)
        del self._doses[name]
        for connection in self._connections:
            connection.remove(dose)

    def remove_all(self) -> None:
        """Take every toxic off."""
        for name in list(self._doses):
            self.remove(name)

    def as_json(self) -> dict[str, Any]:
        """The proxy as the HTTP API shows it."""
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "toxics": [dose.as_json() for dose in self.doses],
        }

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setblocking(False)
            task = asyncio.get_running_loop().create_task(self._open(client))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, client: socket.socket) -> None:
        """Join a client to the upstream, or close it if the upstream cannot be reached."""
        loop = asyncio.get_running_loop()
        try:
            _, server_side = await loop.create_connection(Side, *address.split(self.upstream))
        except (OSError, UnicodeError, errors.ListenError, asyncio.CancelledError):
            client.close()
            return
        try:
            _, client_side = await loop.connect_accepted_socket(Side, client)
        except (OSError, asyncio.CancelledError):
            server_side.transport.abort()
            client.close()
            return
        connection = Connection(
            client_side, server_side, self._meter(self), self.doses, self._connections.discard
        )
        self._connections.add(connection)
        connection.start()
