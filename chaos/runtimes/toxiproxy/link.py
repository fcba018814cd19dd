"""One direction of a connection: a source, a chain of stages with a toxic each, an outlet.

Everything runs in callbacks of one event loop and no step waits, so toxics can come and go
between two chunks: nothing is ever half on its way. Without toxics a chunk goes from the read
to the write in the same callback.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from chaos.runtimes.toxiproxy.toxic import Dose, End, Item, Release, Toxic

ITEM_OVERHEAD_BYTES = 256
TIMER_S = 0.001  # uvloop's timers count whole milliseconds


@dataclass(slots=True)
class Traffic:
    """Bytes that a proxy read and wrote in one direction, over all its connections."""

    received: int = 0
    sent: int = 0


class Node(Protocol):
    """What takes items, in order; a polite giver holds back while it is not `ready`."""

    on_ready: Callable[[], None]

    @property
    def ready(self) -> bool:
        """Whether it has room."""

    def take(self, item: Item) -> None:
        """Take an item; it is never refused, ready or not."""


class Outlet:
    """The last node of a link: it writes to the receiving socket."""

    def __init__(
        self, sink: asyncio.WriteTransport, traffic: Traffic, end: Callable[[End], None]
    ) -> None:
        self.ready = True
        self.on_ready: Callable[[], None] = _nothing
        self._sink = sink
        self._traffic = traffic
        self._end = end

    def take(self, item: Item) -> None:
        """Write data; what comes for a socket that is closing is dropped."""
        if isinstance(item, End):
            self._end(item)
        elif not self._sink.is_closing():
            self._sink.write(item)
            self._traffic.sent += len(item)

    def pause(self) -> None:
        """The socket's write buffer is full."""
        self.ready = False

    def resume(self) -> None:
        """The socket's write buffer has drained."""
        self.ready = True
        self.on_ready()


class Stage:
    """A toxic at work on one link: a line of items, and one timer for the first of them."""

    def __init__(self, toxic: Toxic, following: Node) -> None:
        self.following = following
        self.on_ready: Callable[[], None] = _nothing
        self._toxic = toxic
        self._items: deque[tuple[float, Item]] = deque()
        self._held_bytes = 0
        self._release: Release | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._running = False

    @property
    def ready(self) -> bool:
        """Whether there is room for more."""
        return self._held_bytes < self._toxic.room_bytes

    def take(self, item: Item) -> None:
        """Put an item at the end of the line."""
        self._items.append((monotonic(), item))
        self._held_bytes += _size(item)
        if len(self._items) == 1:
            self._release = None
            self.run()

    def run(self) -> None:
        """Pass on all that is due, as long as the next node takes it."""
        if self._running:
            return
        self._running = True
        was_full = not self.ready
        while self.following.ready and self._step():
            pass
        self._running = False
        if was_full and self.ready:
            self.on_ready()

    def change(self, toxic: Toxic) -> None:
        """Go on with another toxic; what is held falls under the new one."""
        self._toxic = toxic
        self._release = None
        self._cancel_timer()
        self.run()

    def leave(self) -> None:
        """Pass on all that is held, in order, since the toxic is being removed."""
        items, when_removed = list(self._items), self._toxic.when_removed
        self.stop()
        for _, item in items:
            self.following.take(item)
        if when_removed:
            self.following.take(when_removed)

    def stop(self) -> None:
        """Forget everything: the connection is gone."""
        self._cancel_timer()
        self._items.clear()
        self._held_bytes = 0
        self._release = None
        self._toxic = Toxic()

    def _step(self) -> bool:
        """Pass on one item if its time has come, else set the timer."""
        release = self._release = self._release or self._plan()
        if release is None:
            return False
        wait_s = release.at_s - monotonic()
        if wait_s > 0:
            self._set_timer(wait_s)
            return False
        self._release = None
        self._drop_first(release.rest)
        if release.item is not None:
            self.following.take(release.item)
        return True

    def _plan(self) -> Release | None:
        now_s = monotonic()
        if not self._items:
            return self._toxic.idle(now_s)
        arrived_s, item = self._items[0]
        return self._toxic.next(item, arrived_s, now_s)

    def _drop_first(self, rest: bytes) -> None:
        if not self._items:
            return
        arrived_s, item = self._items.popleft()
        self._held_bytes -= _size(item)
        if rest:
            self._items.appendleft((arrived_s, rest))
            self._held_bytes += _size(rest)

    def _set_timer(self, wait_s: float) -> None:
        self._cancel_timer()
        if wait_s < math.inf:
            whole_s = math.ceil(wait_s / TIMER_S) * TIMER_S
            self._timer = asyncio.get_running_loop().call_later(whole_s, self.run)

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


class Link:
    """The chain from one socket of a connection to the other."""

    def __init__(
        self,
        source: asyncio.ReadTransport,
        outlet: Outlet,
        traffic: Traffic,
        doses: Iterable[Dose],
    ) -> None:
        self.outlet = outlet
        self._source = source
        self._traffic = traffic
        self._paused = False
        self._stages = {dose.name: Stage(dose.draw(), outlet) for dose in doses}
        self._head: Node = outlet
        self._connect()

    def receive(self, item: Item) -> None:
        """Take what the source sent, and stop reading from it while the chain is full."""
        if not isinstance(item, End):
            self._traffic.received += len(item)
        self._head.take(item)
        if not self._head.ready and not self._paused and not self._source.is_closing():
            self._paused = True
            self._source.pause_reading()

    def add(self, dose: Dose) -> None:
        """Put a toxic at the end of the chain."""
        self._stages[dose.name] = Stage(dose.draw(), self.outlet)
        self._connect()

    def update(self, dose: Dose) -> None:
        """Go on with a toxic's new attributes; whether it hits this link is drawn anew."""
        self._stages[dose.name].change(dose.draw())

    def remove(self, name: str) -> None:
        """Take a toxic out of the chain; what it holds goes on at once."""
        self._stages.pop(name).leave()
        self._connect()

    def stop(self) -> None:
        """Drop what is held, and let no timer outlive the connection."""
        for stage in self._stages.values():
            stage.stop()

    def _connect(self) -> None:
        following: Node = self.outlet
        for stage in reversed(self._stages.values()):
            stage.following, following.on_ready = following, stage.run
            following = stage
        self._head, following.on_ready = following, self._resume
        for stage in list(self._stages.values()):
            stage.run()
        if self._head.ready:
            self._resume()

    def _resume(self) -> None:
        if self._paused and not self._source.is_closing():
            self._paused = False
            self._source.resume_reading()


def _size(item: Item) -> int:
    return ITEM_OVERHEAD_BYTES + (0 if isinstance(item, End) else len(item))


def _nothing() -> None:
    """Nobody waits."""
