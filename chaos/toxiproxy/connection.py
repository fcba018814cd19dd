"""A client's connection through a proxy: two sockets, and a link each way between them.

As in Toxiproxy, a link that ends closes the socket it writes to, whole; with that the link that
reads from this socket ends, too, and closes the other one after what is still on its way there.
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
Count = Callable[[str, str, int], None]  # what was counted, direction, bytes


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
        """Read on."""
        if not self._ended and not self.closed:
            self._loop.add_reader(self._socket, self._readable)

    def hold(self) -> None:
        """Read no more for now."""
        if not self.closed:
            self._loop.remove_reader(self._socket)

    def write(self, data: bytes | memoryview) -> bool:
        """Write; False if there is no room for more yet, or the receiver is gone."""
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
        """Close the socket, by which its sender's stream ends, too."""
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
        """Whenever the socket is closed, let that be by a TCP RST."""
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
        """Read what the link has room for: closing with data unread would reset the sender."""
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
    """Both sides and both links; `on_gone` is called once neither socket is open any more."""

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
        """Let data flow."""
        for side in (self._client, self._server):
            side.read()

    def add(self, wrapper: ToxicWrapper) -> None:
        """Put a toxic on the link that it is for."""
        self._links[wrapper.direction].add(wrapper)

    def set(self, wrapper: ToxicWrapper) -> None:
        """Go on with a toxic's new attributes, without a break."""
        self._links[wrapper.direction].set(wrapper)

    def update(self, wrapper: ToxicWrapper) -> None:
        """Go on with a toxic's new attributes and toxicity."""
        self._links[wrapper.direction].update(wrapper)

    def remove(self, wrapper: ToxicWrapper) -> None:
        """Take a toxic off the link that it is on."""
        self._links[wrapper.direction].remove(wrapper)

    def committed_until_s(self, direction: str) -> float:
        """When the last decision that nothing changes any more is carried out, on one link."""
        return self._links[direction].committed_until_s()

    def abort(self) -> None:
        """Close both sockets at once, and drop what is on its way."""
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
