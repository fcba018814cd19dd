"""Live metrics of the generator for Prometheus: plain counters, read at each scrape."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from chaos.model.request_record import OUTCOMES
from scenarios.generator.dispatch_counts import DispatchCounts
from scenarios.generator.open_loop import Exchange

Snapshot = dict[str, list[float]]
Bucket = tuple[str, float]

LATENCY_S = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.075),
    *(0.1, 0.15, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0),
)
LAG_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
COUNTED = {
    "offered": "Requests whose time came",
    "sent": "Requests that left",
    "late": "Requests that left more than 10 ms after their time",
    "unsent": "Requests that could not be sent: too many in flight, overdue, or no socket",
}


class LatencyHistogram:
    """Counts by bucket; the last bucket is above every edge."""

    def __init__(self, edges: tuple[float, ...]) -> None:
        self._edges = edges
        self._counts = [0] * (len(edges) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count a value, in the unit of the edges."""
        self._counts[bisect_left(self._edges, value)] += 1
        self._sum += value

    def figures(self) -> list[float]:
        """The counts, then the sum of all values."""
        return [*self._counts, self._sum]


class LiveMetrics:
    """The counters of this process, over all its segments."""

    def __init__(self) -> None:
        self._past = dict.fromkeys(COUNTED, 0)
        self._segments: list[DispatchCounts] = []
        self._latency = {outcome: LatencyHistogram(LATENCY_S) for outcome in OUTCOMES}
        self._lag = LatencyHistogram(LAG_S)

    def follow(self, counts: DispatchCounts) -> None:
        """Include a new segment, and add up those that are over."""
        for over in [old for old in self._segments if not old.in_flight]:
            self._segments.remove(over)
            for name in COUNTED:
                self._past[name] += getattr(over, name)
        self._segments.append(counts)

    def observe(self, exchange: Exchange) -> None:
        """Count a finished request."""
        self._latency[exchange.answer.outcome].add(exchange.done_s - exchange.intended_s)
        self._lag.add(exchange.sent_s - exchange.intended_s)

    @property
    def in_flight(self) -> int:
        """Requests that wait for an answer now."""
        return sum(counts.in_flight for counts in self._segments)

    def snapshot(self) -> Snapshot:
        """Every figure by name, as plain lists that Locust can send to its master."""
        figures: Snapshot = {
            name: [self._past[name] + sum(getattr(counts, name) for counts in self._segments)]
            for name in COUNTED
        }
        figures["in_flight"] = [self.in_flight]
        figures["lag"] = self._lag.figures()
        return figures | {name: each.figures() for name, each in self._latency.items()}


class LiveMetricsCollector(Collector):
    """Collects the sum of all processes' snapshots for Prometheus."""

    def __init__(self, snapshots: Callable[[], Iterable[Snapshot]]) -> None:
        self._snapshots = snapshots

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; the registry calls this at each scrape."""
        total = _total(self._snapshots())
        for name, meaning in COUNTED.items():
            yield CounterMetricFamily(f"linkstorm_requests_{name}", meaning, value=total[name][0])
        waiting = total["in_flight"][0]
        yield GaugeMetricFamily("linkstorm_requests_in_flight", "Sent, no answer yet", waiting)
        latency = HistogramMetricFamily(
            "linkstorm_request_seconds", "From the intended time to the answer", labels=["outcome"]
        )
        for outcome in OUTCOMES:
            latency.add_metric([outcome], *_buckets(LATENCY_S, total[outcome]))
        yield latency
        lag = HistogramMetricFamily("linkstorm_dispatch_lag_seconds", "Sent after intended")
        lag.add_metric([], *_buckets(LAG_S, total["lag"]))
        yield lag


def _total(snapshots: Iterable[Snapshot]) -> Snapshot:
    total = LiveMetrics().snapshot()
    for snapshot in snapshots:
        for name, figures in snapshot.items():
            total[name] = [a + b for a, b in zip(total[name], figures, strict=True)]
    return total


def _buckets(edges: Sequence[float], figures: Sequence[float]) -> tuple[list[Bucket], float]:
    """Cumulative buckets, and the sum of all values."""
    *counts, total = figures
    names = [*map(str, edges), "+Inf"]
    return list(zip(names, accumulate(counts), strict=True)), total
