"""The open-loop dispatcher: every request leaves at its own time, whatever the others are doing.

Latency counts from the intended time, so neither a stalled server nor a stalled generator can hide
requests that should have been under way ("coordinated omission", G. Tene). What the generator
itself failed to do is counted: `late`, `unsent`, and of these `no_socket`.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import monotonic, process_time
from typing import NamedTuple

import gevent  # type: ignore[import-untyped]

from chaos.model.evidence import Generator
from scenarios.generator.arrivals import Batch
from scenarios.generator.timer import PreciseTimer
from scenarios.generator.wire import OutOfSockets, Response, Wire

LATE_S = 0.010
DRAIN_POLL_S = 0.005

_PER_LOG = 50.0  # buckets of 2 %
_LAG_BUCKETS = 1200  # up to 26,000 s


Arrival = tuple[int, float, int]  # number, intended_s, rank


class Exchange(NamedTuple):
    """One request that was sent, and its answer; times on the monotonic clock."""

    number: int
    rank: int
    intended_s: float
    sent_s: float
    done_s: float
    answer: Response


class Lags:
    """Delays in buckets of 2 %, in memory that does not grow."""

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * _LAG_BUCKETS))
        self._total = 0

    def add(self, lag_s: float) -> None:
        """One more; a negative one is 0."""
        bucket = int(_PER_LOG * math.log1p(max(lag_s, 0.0) * 1e6))
        self._counts[min(bucket, _LAG_BUCKETS - 1)] += 1
        self._total += 1

    def ms(self, share: float) -> float:
        """The delay that `share` of them stayed within, to 2 %; 0 without any."""
        wanted, seen = share * self._total, 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return math.expm1((bucket + 1) / _PER_LOG) / 1000
        return 0.0


class DispatchCounts:
    """What the generator did in one segment, in memory that does not grow."""

    def __init__(self) -> None:
        self.offered = self.late = self.no_socket = self.in_flight = 0
        self._tried = self._passed_over = 0
        self._dispatch_lags, self._read_lags = Lags(), Lags()
        self._began_s, self._began_cpu_s = monotonic(), process_time()

    @property
    def sent(self) -> int:
        """Those that left."""
        return self._tried - self.no_socket

    @property
    def unsent(self) -> int:
        """Those that could not leave: too many in flight, overdue, or no socket."""
        return self._passed_over + self.no_socket

    def note_passed_over(self) -> None:
        """One more is not even tried."""
        self._passed_over += 1

    def note_sent(self, lag_s: float) -> None:
        """One more leaves, `lag_s` after its intended time."""
        self._tried += 1
        if lag_s > LATE_S:
            self.late += 1
        self._dispatch_lags.add(lag_s)

    def note_read(self, lag_s: float) -> None:
        """One more answer was read, `lag_s` after it had come."""
        self._read_lags.add(lag_s)

    def summary(self) -> Generator:
        """The figures that a run is judged by; the CPU of the whole process, since this began."""
        elapsed_s = max(monotonic() - self._began_s, 1e-9)
        return Generator(
            offered=self.offered,
            sent=self.sent,
            late=self.late,
            unsent=self.unsent,
            lag_p50_ms=self._dispatch_lags.ms(0.5),
            lag_p99_ms=self._dispatch_lags.ms(0.99),
            no_socket=self.no_socket,
            read_lag_p99_ms=self._read_lags.ms(0.99),
            cpu_share=(process_time() - self._began_cpu_s) / elapsed_s,
        )


class Dispatcher:
    """Sends what arrives; one is made for each segment."""

    def __init__(
        self,
        wire: Wire,
        requests: Sequence[bytes],
        timeout_s: float,
        max_in_flight: int,
        observers: Sequence[Callable[[Exchange], None]],
    ) -> None:
        self.tally = DispatchCounts()
        self._wire = wire
        self._requests = requests
        self._timeout_s = timeout_s
        self._max_in_flight = max_in_flight
        self._observers = observers
        self._arrivals: Iterator[tuple[float, int]] = iter(())
        self._next: tuple[float, int] | None = None
        self._hub = gevent.get_hub()
        self._resting: list[gevent.greenlet.greenlet] = []

    def run(self, batches: Iterable[Batch], started_s: float) -> None:
        """Send each request at `started_s` plus its time, and return when the last has left.

        Whatever has come is read before each further one is sent, even when many are overdue. Sent
        all at once, each would find no idle connection and open another, which takes twice as long,
        so that a stall of a few milliseconds grows to hundreds.
        """
        self._arrivals = _each(batches, started_s)
        self._next = next(self._arrivals, None)
        alarm = PreciseTimer()
        try:
            while self._next is not None:
                alarm.sleep_until(self._next[0])
                if (arrival := self._take()) is not None:
                    self._hand_over(arrival)
        finally:
            alarm.close()
            self._next = None

    def drain(self) -> None:
        """Wait for every answer; each request has its own timeout, so this ends."""
        while self.tally.in_flight:
            gevent.sleep(DRAIN_POLL_S)
        while self._resting:
            self._hub.loop.run_callback(self._resting.pop().switch, None)

    def _hand_over(self, arrival: Arrival) -> None:
        """Have a greenlet send it, one that rests or else a new one.

        Python maps memory for each new greenlet and unmaps it afterwards: a tenth of a request.
        """
        if self._resting:
            self._hub.loop.run_callback(self._resting.pop().switch, arrival)
        else:
            gevent.spawn_raw(self._work, arrival)

    def _work(self, arrival: Arrival | None) -> None:
        """Send, rest until there is more to send, and end when there is `None`."""
        this = gevent.getcurrent()
        while arrival is not None:
            self._visit(arrival)
            self._resting.append(this)
            arrival = self._hub.switch()

    def _take(self) -> Arrival | None:
        """The next arrival if its time has come, past those that can no longer be sent."""
        tally = self.tally
        while self._next is not None and (late_s := monotonic() - self._next[0]) >= 0:
            intended_s, rank = self._next
            self._next = next(self._arrivals, None)
            tally.offered += 1
            if tally.in_flight < self._max_in_flight and late_s <= self._timeout_s:
                tally.in_flight += 1
                return tally.offered, intended_s, rank
            tally.note_passed_over()
        return None

    def _visit(self, arrival: Arrival | None) -> None:
        """Send, and after the answer whatever is due by then.

        When thousands of answers come at once, as they do after a freeze, `run` would have to wait
        until all of them are dealt with.
        """
        while arrival is not None:
            try:
                self._send(*arrival)
            finally:
                self.tally.in_flight -= 1
            arrival = self._take()

    def _send(self, number: int, intended_s: float, rank: int) -> None:
        sent_s = monotonic()
        self.tally.note_sent(sent_s - intended_s)
        try:
            answer = self._wire.exchange(self._requests[rank], self._timeout_s)
        except OutOfSockets:
            self.tally.no_socket += 1
            return
        self.tally.note_read(monotonic() - answer.done_s)
        seen = Exchange(number, rank, intended_s, sent_s, answer.done_s, answer)
        for observe in self._observers:
            observe(seen)


def _each(batches: Iterable[Batch], started_s: float) -> Iterator[tuple[float, int]]:
    """Intended time on the monotonic clock, and rank."""
    for times, ranks in batches:
        yield from zip((times + started_s).tolist(), ranks.tolist(), strict=True)
