"""One direction of a connection: a chain of stages with a toxic each, and an outlet.

Everything runs in callbacks of one event loop and no callback waits, so toxics are added and
removed between two chunks. Without toxics a chunk goes from the read to the write in the same
callback. Each node queues a bounded number of chunks and passes one on only if the next node has
room, so a slow reader holds its sender back (backpressure).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from time import monotonic
from typing import Protocol

from chaos.toxiproxy import timers
from chaos.toxiproxy.toxic import END, Chunk, End, Item, Release, Toxic, ToxicWrapper

READ_AHEAD = 2  # as in Toxiproxy, whose reader holds one, and its hidden first toxic another
PASS = Toxic()


class LinkSink(Protocol):
    """The socket that a link writes to."""

    def write(self, data: bytes) -> bool:
        """Write; False if the buffer is full until `LinkOutlet.resume` is called."""

    def close(self) -> None:
        """Close the socket."""


class Node(Protocol):
    """A consumer of items in order; its producer waits until it is `ready`."""

    on_ready: Callable[[], None]

    @property
    def ready(self) -> bool:
        """True while there is room for an item."""

    def take(self, item: Item) -> None:
        """Take an item; the end of a stream may come even when not ready."""


class LinkOutlet:
    """Last node of a link: writes to the receiving socket, and closes it at the end."""

    def __init__(self, sink: LinkSink) -> None:
        self.ready = True
        self.on_ready: Callable[[], None] = _nothing
        self.sent_bytes = 0
        self._sink = sink
        self.ending = False

    def take(self, item: Item) -> None:
        """Write data; at the end of the stream close the socket once all is written."""
        if isinstance(item, Chunk):
            self.write(item.data)
            return
        self.ending = True
        if self.ready:
            self._sink.close()

    def write(self, data: bytes) -> None:
        """Write data."""
        self.sent_bytes += len(data)
        self.ready = self._sink.write(data)

    def resume(self) -> None:
        """Continue: the socket takes data again."""
        self.ready = True
        if self.ending:
            self._sink.close()
        else:
            self.on_ready()


class Stage:
    """A toxic on one link: a queue of items, and a timer for the first of them."""

    def __init__(self, wrapper: ToxicWrapper, following: Node) -> None:
        self.following = following
        self.on_ready: Callable[[], None] = _nothing
        self.on_left: Callable[[], None] = _nothing
        self.wrapper = wrapper
        self._leaving = False
        self.ahead = 0
        self._toxic = replace(wrapper.toxic)
        self._acting = self._draw()
        self._line: deque[Item] = deque()
        self._release: Release | None = None
        self._met = False
        self._over = False
        self._timers = timers.queue()
        self._timer: timers.Timer | None = None
        self._running = False

    @property
    def ready(self) -> bool:
        """True while the queue has room; after the end only for data read ahead."""
        room = 0 if self._over else self._toxic.room
        return len(self._line) < room + self.ahead

    @property
    def empty(self) -> bool:
        """True if the queue is empty."""
        return not self._line

    @property
    def closing(self) -> bool:
        """True if the stream has ended here, or irrevocably will."""
        return self._over or self.committed_until_s is not None

    @property
    def passes(self) -> bool:
        """True if data passes unchanged and at once."""
        return self._acting.passes and not self._over

    @property
    def left(self) -> bool:
        """True if the stage can be dropped from the chain."""
        return self._leaving and self.empty and not self._over

    @property
    def committed_until_s(self) -> float | None:
        """Time of an irrevocable release; None if there is none."""
        if not self._acting.commits or self._release is None or self._over:
            return None
        return self._release.at_s

    def take(self, item: Item) -> None:
        """Queue an item; drop it if the stream has ended here."""
        if self._over:
            self.ahead -= 1
            return
        if isinstance(item, Chunk) and not (self._line or self._met) and self.following.ready:
            passed = self._acting.at_once(item, monotonic())
            if passed is not None:
                self.following.take(passed)
                return
        self._line.append(item)
        if len(self._line) == 1:
            if not self._met:
                self._release = None
            self.run()

    def run(self) -> None:
        """Pass on all due items, as long as the next node has room."""
        if self._running:
            return
        self._running = True
        was_full = len(self._line) >= self._toxic.room + self.ahead
        while self._is_due() and self.following.ready:
            self._pass_on()
        self._running = False
        if self._leaving and self.left:
            self.on_left()
        elif was_full and self.ready:
            self.on_ready()

    def set(self, attributes: dict[str, int]) -> None:
        """Apply attributes; the release already planned keeps the earlier ones."""
        self._toxic.set(attributes)

    def interrupt(self) -> None:
        """Release the first chunk unchanged, and draw again by toxicity."""
        if self.closing:
            return
        self._let_go()
        self._toxic.restart()
        self._acting = self._draw()
        self.run()

    def leave(self) -> None:
        """Pass on all queued items: the toxic is being removed."""
        if self.closing:
            return
        self._leaving = True
        self._let_go()
        if self._toxic.closes_when_removed:
            self._line.append(END)
        self._toxic = self._acting = PASS
        self.run()

    def stop(self) -> None:
        """Drop everything: the connection is closed."""
        self._cancel_timer()
        self._line.clear()
        self._release = None
        self._over = True

    def _draw(self) -> Toxic:
        return self._toxic if self.wrapper.draw() else PASS

    def _let_go(self) -> None:
        """Release the first item now, unless it is already due or is the end."""
        self._cancel_timer()
        if self._met:
            return
        self._release = None
        if self._line and (self._leaving or self._line[0] is not END):
            self._release = Release(monotonic(), self._line[0])

    def _is_due(self) -> bool:
        """Return True if the first item is due; else set a timer."""
        if self._met:
            return True
        release = self._release = self._release or self._plan()
        if release is None:
            return False
        now_s = monotonic()
        if release.at_s > now_s:
            self._set_timer(release.at_s)
            return False
        self._met = True
        self._acting.met_s = now_s
        return True

    def _plan(self) -> Release | None:
        if self._line:
            first = self._line[0]
            if isinstance(first, End):
                return Release(self._acting.end_s(monotonic()), END)
            return self._acting.next(first, monotonic())
        return None if self._over else self._acting.idle(monotonic())

    def _pass_on(self) -> None:
        assert self._release
        _, item, rest = self._release
        self._release, self._met = None, False
        if rest is not None:
            self._line[0] = rest
        elif self._line:
            self._line.popleft()
        if item is END:
            self.stop()
        if item is not None:
            self.following.take(item)

    def _set_timer(self, at_s: float) -> None:
        """Run at that time; a timer that fires earlier will do, as it then sets another."""
        if at_s == math.inf:
            self._cancel_timer()
        elif self._timer is None or self._timer.call is None or self._timer.at_s > at_s:
            self._cancel_timer()
            self._timer = self._timers.set(at_s, self.run)

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timers.cancel(self._timer)
            self._timer = None


class ToxicLink:
    """The chain from one socket of a connection to the other.

    `hold` and `go_on` stop and start the reading from the sender.
    """

    def __init__(
        self,
        sink: LinkSink,
        toxics: Iterable[ToxicWrapper],
        hold: Callable[[], None],
        go_on: Callable[[], None],
    ) -> None:
        self.outlet = LinkOutlet(sink)
        self.received_bytes = 0
        self.stages = [Stage(wrapper, self.outlet) for wrapper in toxics]
        self._hold = hold
        self._go_on = go_on
        self._held = False
        self._head: Node = self.outlet
        self._passes = True
        self._connect()

    @property
    def ready(self) -> bool:
        """True while there is room for data."""
        return self._head.ready

    def receive(self, data: bytes) -> None:
        """Take data from the sender, and pause reading while the chain is full."""
        self.received_bytes += len(data)
        if self._passes and self.outlet.ready and not self.outlet.ending:
            self.outlet.write(data)
        else:
            self._head.take(Chunk(data, monotonic()))
        if not self._head.ready and not self._held:
            self._held = True
            self._hold()

    def end(self) -> None:
        """End the stream: the sender is done, or its socket is closed."""
        self._head.take(END)

    def add(self, wrapper: ToxicWrapper) -> None:
        """Append a toxic to the chain."""
        if self.stages:
            if self.stages[-1].closing:
                return
            self.stages[-1].interrupt()
        self.stages.append(Stage(wrapper, self.outlet))
        self._connect()

    def set(self, wrapper: ToxicWrapper) -> None:
        """Apply new attributes without interrupting the toxic."""
        for stage in self._of(wrapper):
            stage.set(wrapper.toxic.attributes)

    def update(self, wrapper: ToxicWrapper) -> None:
        """Apply new attributes and toxicity."""
        for stage in self._of(wrapper):
            stage.set(wrapper.toxic.attributes)
            stage.interrupt()
        self._connect()

    def remove(self, wrapper: ToxicWrapper) -> None:
        """Remove a toxic from the chain; its queue is passed on at once."""
        for stage in self._of(wrapper):
            before = self.stages[: self.stages.index(stage)][-1:]
            stage.leave()
            for previous in before:
                previous.interrupt()
        self._connect()

    def committed_until_s(self) -> float:
        """Return the time of the last irrevocable release; 0 if there is none."""
        return max((stage.committed_until_s or 0 for stage in self.stages), default=0)

    @property
    def holds_data(self) -> bool:
        """True if data is queued or unsent."""
        return not self.outlet.ready or any(not stage.empty for stage in self.stages)

    def stop(self) -> None:
        """Drop queued data and cancel all timers."""
        for stage in self.stages:
            stage.stop()

    def _of(self, wrapper: ToxicWrapper) -> list[Stage]:
        return [stage for stage in self.stages if stage.wrapper is wrapper]

    def _connect(self) -> None:
        """Connect the stages, without removed ones that are empty."""
        self.stages = [stage for stage in self.stages if not stage.left]
        following: Node = self.outlet
        for stage in reversed(self.stages):
            stage.following, following.on_ready = following, stage.run
            following = stage
        self._head, following.on_ready = following, self._resume
        for place, stage in enumerate(self.stages):
            stage.on_left = self._connect
            stage.ahead = 0 if place else READ_AHEAD
        for stage in reversed(self.stages):
            stage.run()
        self._passes = all(stage.passes for stage in self.stages)
        self._resume()

    def _resume(self) -> None:
        if self._held and self._head.ready:
            self._held = False
            self._go_on()


def _nothing() -> None:
    """Do nothing: no producer waits."""
