"""The bytes that went through, as Prometheus text under the names that Toxiproxy uses."""

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
    """What `/metrics` tells; there is no such page if it is nothing."""

    proxies: bool = False
    runtime: bool = False


class ProxyBytes(Collector):
    """Both byte counts, for each direction of each proxy. A connection counts when it ends."""

    def __init__(self, registry: ProxyRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Both counters."""
        told = {
            what: CounterMetricFamily(f"toxiproxy_proxy_{what}_bytes", help_text, labels=LABELS)
            for what, help_text in (
                ("received", "Bytes read from the sending side."),
                ("sent", "Bytes written to the receiving side."),
            )
        }
        for (what, *labels), size_bytes in self._registry.traffic.items():
            told[what].add_metric(labels, size_bytes)
        return iter(told.values())


def text(registry: ProxyRegistry, shown: ShownMetrics) -> bytes:
    """What is shown, in the text format."""
    collected = CollectorRegistry()
    if shown.proxies:
        collected.register(ProxyBytes(registry))
    if shown.runtime:
        ProcessCollector(registry=collected)
        PlatformCollector(registry=collected)
    return generate_latest(collected)
