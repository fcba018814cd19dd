"""A client's connection through a proxy: two sockets, and a link each way between them."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from chaos.runtimes.toxiproxy.link import Link, Outlet, Traffic
from chaos.runtimes.toxiproxy.toxic import Dose, End, Item

WRITE_BUFFER_BYTES = 256 * 1024
NO_LINGER = struct.pack("ii", 1, 0)  # closing then sends RST and drops what was unsent


class Side(asyncio.Protocol):
    """One socket of a connection."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.outlet: Outlet | None = None
        self.on_lost: Callable[[], None] | None = None
        self.lost = False
        self._early: list[Item] = []
        self._receive: Callable[[Item], None] = self._early.append

    def attach(self, link: Link) -> None:
        """Read into `link` from now on, beginning with what came before it stood."""
        self._receive = link.receive
        for item in self._early:
            link.receive(item)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Hand data to the link."""
        self._receive(data)

    def eof_received(self) -> bool:
        """Hand the half-close to the link, and keep the socket open for writing.

        uvloop may report the end more than once; a half-close may be done more than once.
        """
        self._receive(End.FINISHED)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the other side get what is on its way, and then be closed too."""
        del exc
        self.lost = True
        self._receive(End.CLOSED)
        if self.on_lost:
            self.on_lost()

    def pause_writing(self) -> None:
        """Hold the link back."""
        if self.outlet:
            self.outlet.pause()

    def resume_writing(self) -> None:
        """Let the link go on."""
        if self.outlet:
            self.outlet.resume()


class Connection:
    """Both sides and both links; `on_gone` is called once neither socket is open any more."""

    def __init__(
        self,
        client: Side,
        server: Side,
        traffic: Mapping[str, Traffic],
        doses: Iterable[Dose],
        on_gone: Callable[[Connection], None],
    ) -> None:
        self._sides = client, server
        self._half_closed: set[Side] = set()
        self._on_gone = on_gone
        doses = list(doses)
        self._links = {
            way: self._link(source, sink, traffic[way], [x for x in doses if x.direction == way])
            for way, source, sink in (("upstream", client, server), ("downstream", server, client))
        }

    def start(self) -> None:
        """Let data flow, beginning with what came while the other side was being reached."""
        for side, link in zip(self._sides, self._links.values(), strict=True):
            side.attach(link)
        self._look_if_gone()

    def add(self, dose: Dose) -> None:
        """Put a toxic on the link that it is for."""
        self._links[dose.direction].add(dose)

    def update(self, dose: Dose) -> None:
        """Go on with a toxic's new attributes."""
        self._links[dose.direction].update(dose)

    def remove(self, dose: Dose) -> None:
        """Take a toxic off the link that it is on."""
        self._links[dose.direction].remove(dose.name)

    def close(self) -> None:
        """Close both sockets; what is already written to them still goes out."""
        self._stop(lambda transport: transport.close())

    def abort(self) -> None:
        """Close both sockets at once."""
        self._stop(lambda transport: transport.abort())

    def reset(self) -> None:
        """Close both sockets with a TCP RST."""
        for side in self._sides:
            if not side.lost:
                its_socket = side.transport.get_extra_info("socket")
                its_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self.abort()

    def _link(self, source: Side, sink: Side, traffic: Traffic, doses: Iterable[Dose]) -> Link:
        outlet = Outlet(sink.transport, traffic, lambda end: self._end(sink, end))
        sink.outlet, sink.on_lost = outlet, self._look_if_gone
        return Link(source.transport, outlet, traffic, doses)

    def _end(self, sink: Side, end: End) -> None:
        if end is End.RESET:
            self.reset()
        elif end is End.CLOSED:
            self.close()
        else:
            self._half_close(sink)

    def _half_close(self, sink: Side) -> None:
        self._half_closed.add(sink)
        if len(self._half_closed) == len(self._sides):
            self.close()
        elif not sink.transport.is_closing():
            sink.transport.write_eof()

    def _stop(self, leave: Callable[[asyncio.Transport], None]) -> None:
        for link in self._links.values():
            link.stop()
        for side in self._sides:
            leave(side.transport)

    def _look_if_gone(self) -> None:
        if all(side.lost for side in self._sides):
            self._on_gone(self)
