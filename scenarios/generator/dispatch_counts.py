"""The generator's own counts of one segment: what was due, what left, and how late."""

from __future__ import annotations

import math
from array import array
from time import monotonic, process_time

from chaos.model.evidence import LATE_S, Generator

_PER_LOG = 50.0  # buckets of 2 %
_LAG_BUCKETS = 1200  # up to 26,000 s


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
        self.visits = self.offered = self.late = self.no_socket = self.in_flight = 0
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
            visits=self.visits,
        )
