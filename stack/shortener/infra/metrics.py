"""Metrics as plain integers, turned into Prometheus families at a scrape.

One counter and one histogram of prometheus_client cost a redirect more time than all of these.
"""

from __future__ import annotations

import os
import platform
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from stack.shortener import __version__

_started_s = 0.0
_BOUNDS_S = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0),
)
_BOUNDS = (*map(str, _BOUNDS_S), "+Inf")
_API_ROUTES = (
    *("create", "bulk", "list", "read", "change", "delete", "stats", "qr", "docs", "other"),
)
_CLASSES = "1xx 2xx 3xx 4xx 5xx"


def _begin() -> None:
    """Set the start time of the process, also after a fork."""
    global _started_s
    _started_s = time.time()


_begin()
os.register_at_fork(after_in_child=_begin)


class DurationHistogram:
    """Durations in seconds, counted into buckets."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS_S) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(_BOUNDS_S, seconds)] += 1
        self.sum_s += seconds

    def buckets(self) -> list[tuple[str, int]]:
        """The buckets for Prometheus: cumulative, ending at infinity."""
        return list(zip(_BOUNDS, accumulate(self._counts), strict=True))


def _zeros(names: str) -> Counter[str]:
    """Start every label at 0: a rate over a series that begins at 1 misses the first event."""
    return Counter(dict.fromkeys(names.split(), 0))


def _statuses() -> dict[str, Counter[str]]:
    return {route: _zeros(_CLASSES) for route in _API_ROUTES}


def _durations() -> dict[str, DurationHistogram]:
    return {route: DurationHistogram() for route in _API_ROUTES}


@dataclass(slots=True)
class Metrics:
    """Metrics of a web process.

    Requests are those for links and for the API; probes, scrapes and malformed HTTP are not
    counted. Redirects are counted by outcome, and turned into statuses at a scrape.
    """

    redirects: Counter[str] = field(default_factory=lambda: _zeros("found unknown gone error"))
    served: Counter[str] = field(default_factory=Counter)  # by value of X-Cache
    origin_queries: Counter[str] = field(default_factory=lambda: _zeros("replica primary"))
    clicks: Counter[str] = field(default_factory=lambda: _zeros("minted queued dropped"))
    permits: Counter[str] = field(default_factory=lambda: _zeros("taken used_up"))
    retries: Counter[str] = field(default_factory=lambda: _zeros("made refused"))
    write_retries: Counter[str] = field(
        default_factory=lambda: _zeros("read_back sent_again refused")
    )
    cache_failures: int = 0
    admission_refused: int = 0
    rate_limited: int = 0
    origin_queries_in_flight: int = 0
    fills_in_flight: int = 0
    requests_in_flight: int = 0
    redirects_refused: int = 0  # errors of redirects that are the client's (4xx)
    redirect_seconds: DurationHistogram = field(default_factory=DurationHistogram)
    api_statuses: dict[str, Counter[str]] = field(default_factory=_statuses)
    api_seconds: dict[str, DurationHistogram] = field(default_factory=_durations)

    @contextmanager
    def asking(self, database: str) -> Iterator[None]:
        """Count a look-up in a database, and count it as in flight."""
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

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request to the API."""
        self.api_statuses[route][f"{status // 100}xx"] += 1
        self.api_seconds[route].observe(seconds)

    def _redirect_statuses(self) -> Mapping[str, int]:
        redirects, refused = self.redirects, self.redirects_refused
        return _zeros(_CLASSES) | {
            "3xx": redirects["found"],
            "4xx": redirects["unknown"] + redirects["gone"] + refused,
            "5xx": redirects["error"] - refused,
        }

    def families(self) -> Iterable[Metric]:
        """All metrics, as Prometheus families."""
        requests = CounterMetricFamily(
            "shortener_requests", "Requests answered", labels=["route", "status"]
        )
        for route, statuses in {"redirect": self._redirect_statuses(), **self.api_statuses}.items():
            for status, count in statuses.items():
                requests.add_metric([route, status], count)
        yield requests
        yield labelled_histogram(
            "shortener_request_seconds",
            "Time to answer a request, in seconds",
            {"redirect": self.redirect_seconds, **self.api_seconds},
            "route",
        )
        yield GaugeMetricFamily(
            "shortener_requests_in_flight", "Requests in flight", value=self.requests_in_flight
        )
        yield labelled_counter(
            "shortener_redirects", "Redirects answered", self.redirects, "outcome"
        )
        yield labelled_counter(
            "shortener_cache", "Where links were served from", self.served, "result"
        )
        yield labelled_counter(
            "shortener_origin_queries", "Look-ups sent to a database", self.origin_queries, "db"
        )
        yield labelled_counter("shortener_clicks", "Clicks by state", self.clicks, "state")
        yield counter("shortener_cache_failures", "Failed uses of the cache", self.cache_failures)
        yield labelled_counter(
            "shortener_permits", "Clicks on links with a limit, by permit", self.permits, "outcome"
        )
        yield labelled_counter(
            "shortener_retries", "Look-ups that could be retried", self.retries, "outcome"
        )
        yield labelled_counter(
            "shortener_write_retries",
            "Steps taken for writes of unknown outcome",
            self.write_retries,
            "step",
        )
        yield counter(
            "shortener_rate_limited", "API requests rejected by the rate limit", self.rate_limited
        )
        yield counter(
            "shortener_admission_refused",
            "Requests rejected since too many were in flight",
            self.admission_refused,
        )
        yield GaugeMetricFamily(
            "shortener_origin_queries_in_flight",
            "Look-ups waiting for a database",
            value=self.origin_queries_in_flight,
        )
        yield GaugeMetricFamily(
            "shortener_fills_in_flight",
            "Cache fills in flight, background refreshes included",
            value=self.fills_in_flight,
        )
        yield HistogramMetricFamily(
            "shortener_redirect_seconds",
            "Time to answer a redirect, in seconds",
            buckets=self.redirect_seconds.buckets(),
            sum_value=self.redirect_seconds.sum_s,
        )


def labelled_counter(name: str, about: str, values: Mapping[str, int], label: str) -> Metric:
    """Make a counter with one label."""
    family = CounterMetricFamily(name, about, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family


def counter(name: str, about: str, value: int) -> Metric:
    """Make a counter without labels."""
    return CounterMetricFamily(name, about, value=value)


def labelled_histogram(
    name: str, about: str, values: Mapping[str, DurationHistogram], label: str
) -> Metric:
    """Make a histogram with one label."""
    family = HistogramMetricFamily(name, about, labels=[label])
    for value, histogram in values.items():
        family.add_metric([value], histogram.buckets(), histogram.sum_s)
    return family


def build_info(fill: str = "") -> Metric:
    """Version, Python and cache fill of the process, as labels; a worker has no fill."""
    labels = {"version": __version__, "python": platform.python_version(), "fill": fill}
    return InfoMetricFamily("shortener_build", "Version of the process and its fill", labels)


def settings_in_force(values: Mapping[str, str]) -> Metric:
    """Settings of the process, as labels."""
    family = GaugeMetricFamily(
        "shortener_setting", "Settings in force, each with the value 1", labels=["name", "value"]
    )
    for name, value in values.items():
        family.add_metric([name, value], 1)
    return family


def start_time() -> Metric:
    """Start time of the process, at which its counters began."""
    about = "Start of the process, in seconds since 1970"
    return GaugeMetricFamily("process_start_time_seconds", about, value=_started_s)


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def expose(families: Iterable[Metric], names: Collection[str] = ()) -> bytes:
    """Format families as Prometheus' text: all, or those with the names of `# TYPE` lines."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(
        _Families([one for one in families if not names or _exposed_name(one) in names])
    )
    return generate_latest(registry)


def _exposed_name(family: Metric) -> str:
    return family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
