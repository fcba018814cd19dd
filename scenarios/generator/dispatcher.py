"""The open-loop dispatcher: every request leaves at its intended time, independent of all others.

Latency counts from the intended time, so neither a stalled server nor a stalled generator can hide
requests that were due ("coordinated omission", G. Tene). The generator's own failures are counted:
`late`, `unsent`, and of these `no_socket`.
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
from scenarios.generator.http_client import HttpClient, OutOfSockets, Response
from scenarios.generator.timer import PreciseTimer

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


class LagHistogram:
    """Delays in buckets of 2 %, in memory that does not grow."""

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * _LAG_BUCKETS))
        self._total = 0

    def add(self, lag_s: float) -> None:
        """Count a delay; a negative one counts as 0."""
        bucket = int(_PER_LOG * math.log1p(max(lag_s, 0.0) * 1e6))
        self._counts[min(bucket, _LAG_BUCKETS - 1)] += 1
        self._total += 1

    def quantile_ms(self, share: float) -> float:
        """The quantile `share` in milliseconds, to 2 %; 0 without samples."""
        wanted, seen = share * self._total, 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return math.expm1((bucket + 1) / _PER_LOG) / 1000
        return 0.0


class DispatchCounts:
    """Counts and lags of one segment, in memory that does not grow."""

    def __init__(self) -> None:
        self.offered = self.late = self.no_socket = self.in_flight = 0
        self._tried = self._skipped = 0
        self._dispatch_lags, self._read_lags = LagHistogram(), LagHistogram()
        self._began_s, self._began_cpu_s = monotonic(), process_time()

    @property
    def sent(self) -> int:
        """Requests that left."""
        return self._tried - self.no_socket

    @property
    def unsent(self) -> int:
        """Requests that could not leave: too many in flight, overdue, or no socket."""
        return self._skipped + self.no_socket

    def note_skipped(self) -> None:
        """Count a request that is not even tried."""
        self._skipped += 1

    def note_sent(self, lag_s: float) -> None:
        """Count a request that leaves `lag_s` after its intended time."""
        self._tried += 1
        if lag_s > LATE_S:
            self.late += 1
        self._dispatch_lags.add(lag_s)

    def note_read(self, lag_s: float) -> None:
        """Count an answer that was read `lag_s` after the kernel received it."""
        self._read_lags.add(lag_s)

    def summary(self) -> Generator:
        """The generator's figures; CPU is that of the whole process since the segment began."""
        elapsed_s = max(monotonic() - self._began_s, 1e-9)
        return Generator(
            offered=self.offered,
            sent=self.sent,
            late=self.late,
            unsent=self.unsent,
            lag_p50_ms=self._dispatch_lags.quantile_ms(0.5),
            lag_p99_ms=self._dispatch_lags.quantile_ms(0.99),
            no_socket=self.no_socket,
            read_lag_p99_ms=self._read_lags.quantile_ms(0.99),
            cpu_share=(process_time() - self._began_cpu_s) / elapsed_s,
        )


class Dispatcher:
    """Sends the requests of one segment."""

    def __init__(
        self,
        client: HttpClient,
        requests: Sequence[bytes],
        timeout_s: float,
        max_in_flight: int,
        observers: Sequence[Callable[[Exchange], None]],
    ) -> None:
        self.counts = DispatchCounts()
        self._client = client
        self._requests = requests
        self._timeout_s = timeout_s
        self._max_in_flight = max_in_flight
        self._observers = observers
        self._arrivals: Iterator[tuple[float, int]] = iter(())
        self._next: tuple[float, int] | None = None
        self._hub = gevent.get_hub()
        self._idle: list[gevent.greenlet.greenlet] = []

    def run(self, batches: Iterable[Batch], started_s: float) -> None:
        """Send each request at `started_s` plus its time, and return when the last has left.

        Answers that have arrived are read before each further request is sent, even when many are
        overdue. If all left at once, each would find no idle connection and open another, at twice
        the cost, and a stall of a few milliseconds would grow to hundreds.
        """
        self._arrivals = _absolute(batches, started_s)
        self._next = next(self._arrivals, None)
        timer = PreciseTimer()
        try:
            while self._next is not None:
                timer.sleep_until(self._next[0])
                if (arrival := self._take()) is not None:
                    self._start(arrival)
        finally:
            timer.close()
            self._next = None

    def drain(self) -> None:
        """Wait for every answer; each request has its own timeout, so this ends."""
        while self.counts.in_flight:
            gevent.sleep(DRAIN_POLL_S)
        while self._idle:
            self._hub.loop.run_callback(self._idle.pop().switch, None)

    def _start(self, arrival: Arrival) -> None:
        """Send in an idle greenlet, or in a new one.

        Mapping and unmapping memory for a new greenlet costs a tenth of a request.
        """
        if self._idle:
            self._hub.loop.run_callback(self._idle.pop().switch, arrival)
        else:
            gevent.spawn_raw(self._work, arrival)

    def _work(self, arrival: Arrival | None) -> None:
        """Send what this greenlet is given, idle in between, until it is given `None`."""
        this = gevent.getcurrent()
        while arrival is not None:
            self._send_all_due(arrival)
            self._idle.append(this)
            arrival = self._hub.switch()

    def _take(self) -> Arrival | None:
        """The next arrival that is due; skips and counts those that can no longer be sent."""
        counts = self.counts
        while self._next is not None and (late_s := monotonic() - self._next[0]) >= 0:
            intended_s, rank = self._next
            self._next = next(self._arrivals, None)
            counts.offered += 1
            if counts.in_flight < self._max_in_flight and late_s <= self._timeout_s:
                counts.in_flight += 1
                return counts.offered, intended_s, rank
            counts.note_skipped()
        return None

    def _send_all_due(self, arrival: Arrival | None) -> None:
        """Send a request, and after its answer all that are due by then.

        After a freeze thousands of answers come at once, and `run` gets no turn before all of them
        are processed.
        """
        while arrival is not None:
            try:
                self._send(*arrival)
            finally:
                self.counts.in_flight -= 1
            arrival = self._take()

    def _send(self, number: int, intended_s: float, rank: int) -> None:
        sent_s = monotonic()
        self.counts.note_sent(sent_s - intended_s)
        try:
            answer = self._client.exchange(self._requests[rank], self._timeout_s)
        except OutOfSockets:
            self.counts.no_socket += 1
            return
        self.counts.note_read(monotonic() - answer.done_s)
        exchange = Exchange(number, rank, intended_s, sent_s, answer.done_s, answer)
        for observe in self._observers:
            observe(exchange)


def _absolute(batches: Iterable[Batch], started_s: float) -> Iterator[tuple[float, int]]:
    """Intended times on the monotonic clock, with ranks."""
    for times, ranks in batches:
        yield from zip((times + started_s).tolist(), ranks.tolist(), strict=True)
