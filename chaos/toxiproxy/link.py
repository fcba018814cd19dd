"""One direction of a connection: a chain of stages with a toxic each, and an outlet.

Everything runs in callbacks of one event loop and no step waits, so toxics can come and go
between two chunks: nothing is ever half on its way. Without toxics a chunk goes from the read
to the write in the same callback. Each node holds a bounded number of chunks and gives only to
one that has room, so a reader that does not read holds its sender back.
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
    """Where a link writes to."""

    def write(self, data: bytes) -> bool:
        """Write; False if there is no room for more until `Outlet.resume` is called."""

    def close(self) -> None:
        """Close it."""


class Node(Protocol):
    """What takes items, in order; a giver holds back while it is not `ready`."""

    on_ready: Callable[[], None]

    @property
    def ready(self) -> bool:
        """Whether it has room."""

    def take(self, item: Item) -> None:
        """Take an item; the end of a stream may be given to one that is not ready, too."""


class LinkOutlet:
    """The last node of a link: it writes to the receiving socket, and closes it at the end."""

    def __init__(self, sink: LinkSink) -> None:
        self.ready = True
        self.on_ready: Callable[[], None] = _nothing
        self.sent_bytes = 0
        self._sink = sink
        self.ending = False

    def take(self, item: Item) -> None:
        """Write data; the end comes once all data is written."""
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
        """The socket takes data again."""
        self.ready = True
        if self.ending:
            self._sink.close()
        else:
            self.on_ready()


class Stage:
    """A toxic at work on one link: a line of items, and one timer for the first of them."""

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
        """Whether there is room for more; after the end that is for what is read ahead of it."""
        room = 0 if self._over else self._toxic.room
        return len(self._line) < room + self.ahead

    @property
    def empty(self) -> bool:
        """Whether nothing waits here."""
        return not self._line

    @property
    def closing(self) -> bool:
        """Whether the stream has ended here, or is bound to."""
        return self._over or self.committed_until_s is not None

    @property
    def passes(self) -> bool:
        """Whether data goes through as if nothing were here."""
        return self._acting.passes and not self._over

    @property
    def left(self) -> bool:
        """Whether the chain can do without it."""
        return self._leaving and self.empty and not self._over

    @property
    def committed_until_s(self) -> float | None:
        """When a decision that nothing changes any more is carried out; None: there is none."""
        if not self._acting.commits or self._release is None or self._over:
            return None
        return self._release.at_s

    def take(self, item: Item) -> None:
        """Put an item at the end of the line; drop it if the stream has ended here."""
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
        """Pass on all that is due, as long as the next node takes it."""
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
        """Go on with these attributes; what is in hand was decided under the earlier ones."""
        self._toxic.set(attributes)

    def interrupt(self) -> None:
        """Let go of the chunk in hand as it is, and draw anew whether the toxic acts here."""
        if self.closing:
            return
        self._let_go()
        self._toxic.restart()
        self._acting = self._draw()
        self.run()

    def leave(self) -> None:
        """Pass on all that is held, in order, since the toxic is being removed."""
        if self.closing:
            return
        self._leaving = True
        self._let_go()
        if self._toxic.closes_when_removed:
            self._line.append(END)
        self._toxic = self._acting = PASS
        self.run()

    def stop(self) -> None:
        """Forget everything: the connection is gone."""
        self._cancel_timer()
        self._line.clear()
        self._release = None
        self._over = True

    def _draw(self) -> Toxic:
        return self._toxic if self.wrapper.draw() else PASS

    def _let_go(self) -> None:
        """Have the first item leave now, unless it is on its way already or is the end."""
        self._cancel_timer()
        if self._met:
            return
        self._release = None
        if self._line and (self._leaving or self._line[0] is not END):
            self._release = Release(monotonic(), self._line[0])

    def _is_due(self) -> bool:
        """Whether the first item may leave; if it may later, a timer is set."""
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
        """Run at that time; an alarm that goes off before it will do, for it then sets another."""
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
        """Whether there is room for more."""
        return self._head.ready

    def receive(self, data: bytes) -> None:
        """Take what the sender sent, and stop reading from it while the chain is full."""
        self.received_bytes += len(data)
        if self._passes and self.outlet.ready and not self.outlet.ending:
            self.outlet.write(data)
        else:
            self._head.take(Chunk(data, monotonic()))
        if not self._head.ready and not self._held:
            self._held = True
            self._hold()

    def end(self) -> None:
        """The sender is done, or its socket is closed."""
        self._head.take(END)

    def add(self, wrapper: ToxicWrapper) -> None:
        """Put a toxic at the end of the chain."""
        if self.stages:
            if self.stages[-1].closing:
                return
            self.stages[-1].interrupt()
        self.stages.append(Stage(wrapper, self.outlet))
        self._connect()

    def set(self, wrapper: ToxicWrapper) -> None:
        """Go on with a toxic's new attributes, without a break."""
        for stage in self._of(wrapper):
            stage.set(wrapper.toxic.attributes)

    def update(self, wrapper: ToxicWrapper) -> None:
        """Go on with a toxic's new attributes and toxicity."""
        for stage in self._of(wrapper):
            stage.set(wrapper.toxic.attributes)
            stage.interrupt()
        self._connect()

    def remove(self, wrapper: ToxicWrapper) -> None:
        """Take a toxic out of the chain; what it holds goes on at once."""
        for stage in self._of(wrapper):
            before = self.stages[: self.stages.index(stage)][-1:]
            stage.leave()
            for previous in before:
                previous.interrupt()
        self._connect()

    def committed_until_s(self) -> float:
        """When the last decision that nothing changes any more is carried out."""
        return max((stage.committed_until_s or 0 for stage in self.stages), default=0)

    @property
    def holds_data(self) -> bool:
        """Whether anything is on its way."""
        return not self.outlet.ready or any(not stage.empty for stage in self.stages)

    def stop(self) -> None:
        """Drop what is held, and let no timer outlive the connection."""
        for stage in self.stages:
            stage.stop()

    def _of(self, wrapper: ToxicWrapper) -> list[Stage]:
        return [stage for stage in self.stages if stage.wrapper is wrapper]

    def _connect(self) -> None:
        """Join the stages, without those that have left and are empty."""
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
    """Nobody waits."""
