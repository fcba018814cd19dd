"""Bytes through each proxy, as Prometheus text under Toxiproxy's names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from chaos.toxiproxy.proxies import ProxyRegistry

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
LABELS = ("direction", "proxy", "listener", "upstream")


@dataclass(frozen=True)
class ShownMetrics:
    """Groups of metrics at `/metrics`; without any there is no such page."""

    proxies: bool = False
    runtime: bool = False


class ProxyBytes(Collector):
    """Bytes received and sent, for each direction of each proxy, counted when a connection ends."""

    def __init__(self, registry: ProxyRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield both counters."""
        counters = {
            what: CounterMetricFamily(f"toxiproxy_proxy_{what}_bytes", help_text, labels=LABELS)
            for what, help_text in (
                ("received", "Bytes read from the sending side."),
                ("sent", "Bytes written to the receiving side."),
            )
        }
        for (what, *labels), size_bytes in self._registry.traffic.items():
            counters[what].add_metric(labels, size_bytes)
        return iter(counters.values())


def text(registry: ProxyRegistry, shown: ShownMetrics) -> bytes:
    """Render the chosen metrics."""
    collected = CollectorRegistry()
    if shown.proxies:
        collected.register(ProxyBytes(registry))
    if shown.runtime:
        ProcessCollector(registry=collected)
        PlatformCollector(registry=collected)
    return generate_latest(collected)
