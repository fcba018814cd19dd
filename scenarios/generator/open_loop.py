"""The open loop: every request leaves at its intended time, independent of all others.

Latency counts from the intended time, so neither a stalled server nor a stalled generator can hide
requests that were due ("coordinated omission", G. Tene). The generator's own failures are counted:
`late`, `unsent`, and of these `no_socket`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

import gevent  # type: ignore[import-untyped]

from chaos.model.arrivals import Batch
from chaos.model.traffic import Operation
from scenarios.generator.dispatch_counts import DispatchCounts
from scenarios.generator.http_client import HttpClient, Response
from scenarios.generator.timer import PreciseTimer

DRAIN_POLL_S = 0.005


class Exchange(NamedTuple):
    """One request that was sent, and its answer; times on the monotonic clock.

    `session` and `step` count from 1 in their process and segment, and name the operation. The key
    of a shared link is that of its rank; `written` is the target that a create or an edit sent.
    """

    session: int
    rank: int
    intended_s: float
    sent_s: float
    done_s: float
    answer: Response
    operation: Operation = "follow"
    step: int = 1
    attempt: int = 1
    last: bool = True
    own_key: str = ""
    written: str = ""


Observers = Sequence[Callable[[Exchange], None]]
Due = TypeVar("Due")


class OpenLoop(ABC, Generic[Due]):
    """Sends the requests of one segment; subclasses say which are due, and what follows them."""

    def __init__(
        self, client: HttpClient, timeout_s: float, max_in_flight: int, observers: Observers
    ) -> None:
        self.counts = DispatchCounts()
        self._client = client
        self._timeout_s = timeout_s
        self._max_in_flight = max_in_flight
        self._observers = observers
        self._arrivals: Iterator[tuple[float, int]] = iter(())
        self._next: tuple[float, int] | None = None
        self._ends_s = math.inf
        self._timer = PreciseTimer()
        self._hub = gevent.get_hub()
        self._idle: list[gevent.greenlet.greenlet] = []

    def run(self, batches: Iterable[Batch], started_s: float, ends_s: float = math.inf) -> None:
        """Send each request at `started_s` plus its time, and return when the last has left.

        What follows from an answer is sent if it is due by `ends_s`.

        Answers that have arrived are read before each further request is sent, even when many are
        overdue. If all left at once, each would find no idle connection and open another, at twice
        the cost, and a stall of a few milliseconds would grow to hundreds.
        """
        self._ends_s = ends_s
        self._arrivals = _absolute(batches, started_s)
        try:
            self._next = next(self._arrivals, None)
            while (due_s := self._next_due_s()) is not None:
                self._timer.sleep_until(due_s)
                if (due := self._take()) is not None:
                    self._start(due)
        except BaseException:
            self._stop()
            raise
        finally:
            self._timer.close()

    def drain(self) -> None:
        """Wait for every answer; each request has its own timeout, so this ends."""
        while self.counts.in_flight:
            gevent.sleep(DRAIN_POLL_S)
        while self._idle:
            self._hub.loop.run_callback(self._idle.pop().switch, None)

    @abstractmethod
    def _next_due_s(self) -> float | None:
        """When to take the next request that may be due; `None` after the last one."""

    @abstractmethod
    def _take(self) -> Due | None:
        """A request that is due, now in flight; skips and counts those that can no longer leave."""

    @abstractmethod
    def _send(self, due: Due) -> None:
        """Send a request, and tell the observers its answer."""

    def _stop(self) -> None:
        """Let nothing be due any more; requests in flight still get their answers."""
        self._next = None

    def _start(self, due: Due) -> None:
        """Send in an idle greenlet, or in a new one.

        Mapping and unmapping memory for a new greenlet costs a tenth of a request.
        """
        if self._idle:
            self._hub.loop.run_callback(self._idle.pop().switch, due)
        else:
            gevent.spawn_raw(self._work, due)

    def _work(self, due: Due | None) -> None:
        """Send what this greenlet is given, idle in between, until it is given `None`."""
        this = gevent.getcurrent()
        while due is not None:
            self._send_all_due(due)
            self._idle.append(this)
            due = self._hub.switch()

    def _send_all_due(self, due: Due | None) -> None:
        """Send a request, and after its answer all that are due by then.

        After a freeze thousands of answers come at once, and `run` gets no turn before all of them
        are processed.
        """
        while due is not None:
            try:
                self._send(due)
            finally:
                self.counts.in_flight -= 1
            due = self._take()


def _absolute(batches: Iterable[Batch], started_s: float) -> Iterator[tuple[float, int]]:
    """Intended times on the monotonic clock, with ranks."""
    for times, ranks in batches:
        yield from zip((times + started_s).tolist(), ranks.tolist(), strict=True)
