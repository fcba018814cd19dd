"""The bytes that went through, as Prometheus text under the names that Toxiproxy uses."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from chaos.runtimes.toxiproxy.registry import Registry

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LABELS = ("direction", "proxy", "listener", "upstream")


class ProxyBytes(Collector):
    """Reads the byte counts at the moment that somebody asks: counting must cost no time."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Both counters with a sample for each direction of each proxy."""
        received = CounterMetricFamily(
            "toxiproxy_proxy_received_bytes", "Bytes read from the sending side.", labels=LABELS
        )
        sent = CounterMetricFamily(
            "toxiproxy_proxy_sent_bytes", "Bytes written to the receiving side.", labels=LABELS
        )
        for labels, traffic in self._registry.traffic.items():
            received.add_metric(labels, traffic.received)
            sent.add_metric(labels, traffic.sent)
        yield received
        yield sent


def text(registry: Registry) -> bytes:
    """All metrics in the text format."""
    collected = CollectorRegistry()
    collected.register(ProxyBytes(registry))
    return generate_latest(collected)
