"""A check that each panel has data: its queries, sent to the real Prometheus."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from dashboards.panel import RANGE, RATE, Dashboard, Query

TIMEOUT_S = 10.0
POINTS = 300  # of each query: about as many as a panel is wide
SCRAPES = 4  # that a rate spans at least, as Grafana has it


class QueryRefused(Exception):
    """Prometheus did not answer, or rejected the query."""


@dataclass(frozen=True)
class QueryAnswer:
    """The number of samples that one query of a panel returned."""

    dashboard: str
    panel: str
    query: Query
    figures: int

    @property
    def missing(self) -> bool:
        """True if a query without data should always have some."""
        return not self.figures and self.query.only_while is None


def query_panels(
    prometheus: str, dashboards: Sequence[Dashboard], since_s: float
) -> Iterator[QueryAnswer]:
    """Send every query of every panel to Prometheus, for the last `since_s` seconds."""
    for dashboard in dashboards:
        for panel in dashboard.panels:
            for query in panel.queries:
                figures = _figures(prometheus, query, since_s)
                yield QueryAnswer(dashboard.title, panel.title, query, figures)


def with_variables(query: Query, since_s: float) -> str:
    """The expression as Grafana would send it, all parts chosen."""
    values = {RATE: f"{SCRAPES * query.every_s}s", RANGE: f"{math.ceil(since_s)}s", "$part": ".*"}
    expr = query.expr
    for name, value in values.items():
        expr = expr.replace(name, value)
    return expr


def _figures(prometheus: str, query: Query, since_s: float) -> int:
    """The number of samples in all series, without NaN, which draws nothing."""
    now_s = time.time()
    asked = {
        "query": with_variables(query, since_s),
        "start": f"{now_s - since_s:.3f}",
        "end": f"{now_s:.3f}",
        "step": f"{max(1.0, since_s / POINTS):.3f}",
    }
    series = _get(f"{prometheus.rstrip('/')}/api/v1/query_range", asked)["data"]["result"]
    values = [float(value) for each in series for _, value in each["values"]]
    return sum(map(math.isfinite, values))


def _get(url: str, asked: dict[str, str]) -> dict[str, Any]:
    try:
        response = requests.get(url, params=asked, timeout=TIMEOUT_S)
        found: dict[str, Any] = response.json()
    except requests.RequestException as error:
        raise QueryRefused(f"Prometheus does not answer at {url}: {error}") from None
    if found.get("status") != "success":
        raise QueryRefused(f"Prometheus refuses {asked['query']}: {found.get('error')}")
    return found
