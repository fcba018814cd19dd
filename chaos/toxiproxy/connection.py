"""A client's connection through a proxy: two sockets, and a link each way between them.

As in Toxiproxy, a link that ends closes both directions of the socket it writes to. That ends the
link that reads from this socket, which closes the other socket after delivering its data.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterable

from chaos.toxiproxy.link import READ_AHEAD, ToxicLink
from chaos.toxiproxy.toxic import ToxicWrapper

CHUNK_BYTES = 32 * 1024
NO_LINGER = struct.pack("ii", 1, 0)  # closing then sends RST and drops what was unsent
Count = Callable[[str, str, int], None]  # received or sent, direction, bytes


class Side:
    """One socket of a connection: it reads into `link`, and the other link writes to it."""

    link: ToxicLink
    outlet_resume: Callable[[], None]

    def __init__(
        self, its_socket: socket.socket, on_end: Callable[[], None], on_close: Callable[[], None]
    ) -> None:
        its_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.closed = False
        self.broken = False
        self._socket = its_socket
        self._loop = asyncio.get_running_loop()
        self._ended = False
        self._unsent = memoryview(b"")
        self._on_end = on_end
        self._on_close = on_close
        self._recv = its_socket.recv
        self._send = its_socket.send

    def read(self) -> None:
        """Resume reading."""
        if not self._ended and not self.closed:
            self._loop.add_reader(self._socket, self._readable)

    def hold(self) -> None:
        """Pause reading."""
        if not self.closed:
            self._loop.remove_reader(self._socket)

    def write(self, data: bytes | memoryview) -> bool:
        """Write; False if the socket buffer is full, or the receiver is gone."""
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.broken = True
            self.close()
            return False
        if sent == len(data):
            return True
        self._unsent = memoryview(data)[sent:]
        self._loop.add_writer(self._socket, self._writable)
        return False

    def close(self) -> None:
        """Close the socket, which also ends the stream read from it."""
        if self.closed:
            return
        self.closed = True
        self._read_ahead()
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._end()
        self._on_close()

    def close_by_reset(self) -> None:
        """Make a later close send a TCP RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)

    def _readable(self) -> None:
        try:
            data = self._recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.link.receive(data)
        else:
            self.hold()
            self._end()

    def _read_ahead(self) -> None:
        """Read as much as the link has room for: closing with unread data would send a RST."""
        for _ in range(READ_AHEAD):
            if self._ended or not self.link.ready:
                return
            try:
                data = self._recv(CHUNK_BYTES)
            except OSError:
                return
            if data:
                self.link.receive(data)

    def _writable(self) -> None:
        self._loop.remove_writer(self._socket)
        if self.write(self._unsent):
            self._unsent = memoryview(b"")
            self.outlet_resume()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._on_end()
            self.link.end()


class ProxyConnection:
    """Both sides and both links; `on_gone` is called once both sockets are closed."""

    def __init__(
        self,
        client: socket.socket,
        server: socket.socket,
        toxics: Iterable[ToxicWrapper],
        count: Count,
        on_gone: Callable[[ProxyConnection], None],
    ) -> None:
        self._count = count
        self._on_gone = on_gone
        toxics = list(toxics)
        self._client = self._side(client, "upstream", "downstream")
        self._server = self._side(server, "downstream", "upstream")
        self._links = {
            "upstream": self._link("upstream", self._client, self._server, toxics),
            "downstream": self._link("downstream", self._server, self._client, toxics),
        }
        if any(wrapper.toxic.resets for wrapper in toxics):
            self._client.close_by_reset()
            self._server.close_by_reset()

    def start(self) -> None:
        """Start reading on both sides."""
        for side in (self._client, self._server):
            side.read()

    def add(self, wrapper: ToxicWrapper) -> None:
        """Add a toxic to the link of its direction."""
        self._links[wrapper.direction].add(wrapper)

    def set(self, wrapper: ToxicWrapper) -> None:
        """Apply new attributes without interrupting the toxic."""
        self._links[wrapper.direction].set(wrapper)

    def update(self, wrapper: ToxicWrapper) -> None:
        """Apply new attributes and toxicity."""
        self._links[wrapper.direction].update(wrapper)

    def remove(self, wrapper: ToxicWrapper) -> None:
        """Remove a toxic from its link."""
        self._links[wrapper.direction].remove(wrapper)

    def committed_until_s(self, direction: str) -> float:
        """Return the time of the last irrevocable release on the link of this direction."""
        return self._links[direction].committed_until_s()

    def abort(self) -> None:
        """Close both sockets at once, and drop data in flight."""
        for side in (self._client, self._server):
            side.close()

    def _side(self, its_socket: socket.socket, reads: str, writes: str) -> Side:
        return Side(its_socket, lambda: self._ended(reads), lambda: self._closed(writes))

    def _link(
        self, way: str, source: Side, sink: Side, toxics: Iterable[ToxicWrapper]
    ) -> ToxicLink:
        mine = [wrapper for wrapper in toxics if wrapper.direction == way]
        link = source.link = ToxicLink(sink, mine, source.hold, source.read)
        sink.outlet_resume = link.outlet.resume
        return link

    def _ended(self, way: str) -> None:
        self._count("received", way, self._links[way].received_bytes)

    def _closed(self, way: str) -> None:
        link = self._links[way]
        broken = (self._server if way == "upstream" else self._client).broken
        if not broken and not link.holds_data:
            self._count("sent", way, link.outlet.sent_bytes)
        if self._client.closed and self._server.closed:
            for each in self._links.values():
                each.stop()
            self._on_gone(self)
