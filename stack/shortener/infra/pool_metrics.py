"""The pools of database connections, as Prometheus families."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from stack.shortener.infra.database import Database
from stack.shortener.infra.metrics import histograms


def pools(*databases: Database) -> Iterable[Metric]:
    """How long uses waited for a connection (in vain, too), and how many there are."""
    yield histograms(
        "shortener_pool_wait_seconds",
        "Time to get a connection from the pool, in seconds",
        {database.name: database.waits for database in databases},
        "db",
    )
    connections = GaugeMetricFamily(
        "shortener_pool_connections", "Open connections of the pool", labels=["db", "state"]
    )
    for database in databases:
        for state, count in database.connections.items():
            connections.add_metric([database.name, state], count)
    yield connections
