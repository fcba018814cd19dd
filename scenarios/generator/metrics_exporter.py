"""`/metrics` for Prometheus: on Locust's web page, or on a port of its own.

Locust's workers send theirs to the master with each report, so one scrape covers all processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from gevent.pywsgi import WSGIServer  # type: ignore[import-untyped]
from locust.env import Environment
from locust.runners import WorkerRunner
from locust.web import WebUI
from prometheus_client import CollectorRegistry, generate_latest, make_wsgi_app
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from scenarios.generator.live_metrics import LiveMetrics, LiveMetricsCollector, Snapshot

REPORT = "linkstorm"


def export_metrics(environment: Environment, live: LiveMetrics, web_ui: WebUI | None) -> None:
    """Serve `/metrics` until the process ends."""
    if isinstance(environment.runner, WorkerRunner):
        environment.events.report_to_master.add_listener(  # type: ignore[no-untyped-call]
            lambda data, **_: data.update({REPORT: live.snapshot()})
        )
        return
    reports: dict[str, Snapshot] = {}

    def note(client_id: str, data: dict[str, Any], **_: Any) -> None:
        if REPORT in data:
            reports[client_id] = data[REPORT]

    environment.events.worker_report.add_listener(note)  # type: ignore[no-untyped-call]

    def snapshots() -> Iterable[Snapshot]:
        return [live.snapshot(), *reports.values()]

    registry = CollectorRegistry()
    registry.register(LiveMetricsCollector(snapshots))
    if web_ui is not None:
        _on_page(web_ui, registry)
    if port := os.environ.get("LINKSTORM_METRICS_PORT"):
        address = ("127.0.0.1", int(port))
        WSGIServer(address, make_wsgi_app(registry), log=None).start()


def _on_page(web_ui: WebUI, registry: CollectorRegistry) -> None:
    def metrics() -> tuple[bytes, dict[str, str]]:
        return generate_latest(registry), {"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}

    assert web_ui.app is not None
    web_ui.app.add_url_rule("/metrics", view_func=metrics)
