"""`/healthz`, `/readyz` and `/metrics`, the same for web and worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import parse_qs

from prometheus_client.metrics_core import Metric

from stack.shortener.http import asgi
from stack.shortener.http.problems import Problem
from stack.shortener.infra.metrics import expose

PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
_PROMETHEUS = b"text/plain; version=1.0.0; charset=utf-8"


class HealthEndpoints:
    """Liveness, readiness and metrics."""

    def __init__(self, ready: Callable[[], bool], families: Callable[[], Iterable[Metric]]) -> None:
        self._ready = ready
        self._families = families

    async def __call__(self, scope: asgi.Scope, _receive: asgi.Receive, send: asgi.Send) -> None:
        """200 if live; 200 if ready, or 503 until every connection is open.

        `/metrics?name[]=A&name[]=B` shows these metrics only, for frequent scrapes.
        """
        path = scope["path"]
        if path not in PATHS:
            await asgi.problem(send, Problem(404, "there is nothing here"))
        elif scope["method"] not in ("GET", "HEAD"):
            await asgi.problem(send, Problem(405, "only GET", headers={"Allow": "GET, HEAD"}))
        elif path == "/metrics":
            names = parse_qs(scope["query_string"].decode("latin-1")).get("name[]", [])
            await asgi.text(send, 200, expose(self._families(), names), _PROMETHEUS)
        elif path == "/healthz" or self._ready():
            await asgi.text(send, 200, b"ok\n")
        else:
            await asgi.problem(send, Problem(503, "still connecting"))
