"""Metrics as plain integers, turned into Prometheus families only when somebody asks for them.

A prometheus_client counter and histogram cost more time a redirect than everything else it counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_BOUNDS_S = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0),
)


class Histogram:
    """Durations in seconds, counted into buckets."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS_S) + 1)
        self._sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(_BOUNDS_S, seconds)] += 1
        self._sum_s += seconds

    def family(self, name: str, about: str) -> HistogramMetricFamily:
        """The histogram as Prometheus wants it: cumulative, ending at infinity."""
        bounds = [*map(str, _BOUNDS_S), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        return HistogramMetricFamily(name, about, buckets=buckets, sum_value=self._sum_s)


def _zeros(names: str) -> Counter[str]:
    """Every label from the start: a rate over a series that begins at one would miss the first."""
    return Counter(dict.fromkeys(names.split(), 0))


@dataclass(slots=True)
class Metrics:
    """What a web process counts."""

    redirects: Counter[str] = field(default_factory=lambda: _zeros("found unknown gone error"))
    served: Counter[str] = field(default_factory=lambda: _zeros("hit stale early wait miss"))
    origin_queries: Counter[str] = field(default_factory=lambda: _zeros("replica primary"))
    clicks: Counter[str] = field(default_factory=lambda: _zeros("minted queued dropped"))
    cache_failures: int = 0
    origin_queries_in_flight: int = 0
    fills_in_flight: int = 0
    redirect_seconds: Histogram = field(default_factory=Histogram)

    @contextmanager
    def asking(self, database: str) -> Iterator[None]:
        """Count a look-up in a database, and that it is in flight."""
        self.origin_queries[database] += 1
        self.origin_queries_in_flight += 1
        try:
            yield
        finally:
            self.origin_queries_in_flight -= 1

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Count a fill of the cache as in flight."""
        self.fills_in_flight += 1
        try:
            yield
        finally:
            self.fills_in_flight -= 1

    def families(self) -> Iterable[Metric]:
        """Everything counted, as Prometheus families."""
        yield counter("shortener_redirects", "Redirects answered", self.redirects, "outcome")
        yield counter("shortener_cache", "Where links were served from", self.served, "result")
        yield counter(
            "shortener_origin_queries", "Look-ups sent to a database", self.origin_queries, "db"
        )
        yield counter("shortener_clicks", "Clicks by what became of them", self.clicks, "state")
        yield total("shortener_cache_failures", "Failed uses of the cache", self.cache_failures)
        yield GaugeMetricFamily(
            "shortener_origin_queries_in_flight",
            "Look-ups waiting for a database",
            value=self.origin_queries_in_flight,
        )
        yield GaugeMetricFamily(
            "shortener_fills_in_flight",
            "Fills of the cache under way, background refreshes included",
            value=self.fills_in_flight,
        )
        yield self.redirect_seconds.family(
            "shortener_redirect_seconds", "Time to answer a redirect, in seconds"
        )


def counter(name: str, about: str, values: Mapping[str, int], label: str) -> Metric:
    """A counter with one label."""
    family = CounterMetricFamily(name, about, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family


def total(name: str, about: str, value: int) -> Metric:
    """A counter without labels."""
    return CounterMetricFamily(name, about, value=value)


class _Families(Collector):
    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families()


def expose(families: Callable[[], Iterable[Metric]]) -> bytes:
    """The families in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Families(families))
    return generate_latest(registry)
