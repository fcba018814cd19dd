"""Lint rules for dashboards: each reads a dashboard's JSON and yields its violations."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import promql_parser as promql

from dashboards.grafana_json import DATASOURCE
from dashboards.panel_colours import CALM, VERMILION
from dashboards.panel_data import SCRAPES
from tests.support.known_metrics import OF_TARGETS, Known

Json = dict[str, Any]
Metrics = Mapping[str, Known]

RATES = {"rate", "increase"}
VARIABLES = {"$__rate_interval": "61s", "$__range": "3601s", "$__interval": "7s", "$part": ".*"}
WINDOWS = {"rate": {timedelta(seconds=61)}, "increase": {timedelta(seconds=3601)}}
EXPORTERS = ("pg_", "redis_", "replication:")
LONG_ENOUGH = 40  # characters that say what to look for


def panels(dashboard: Json) -> list[Json]:
    """Panels that show figures: neither rows, which are headings, nor texts."""
    return [panel for panel in dashboard["panels"] if panel["type"] not in ("row", "text")]


def queries(dashboard: Json) -> Iterator[tuple[str, Json]]:
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target


def parsed(expr: str) -> promql.Expr:
    """An expression as Prometheus gets it, Grafana's variables filled in."""
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    return promql.parse(expr)


def uses(
    node: Any, within: str | None = None
) -> Iterator[tuple[promql.VectorSelector, timedelta | None, str | None]]:
    """Every metric in an expression, with its window and the function that the window is for."""
    match node:
        case promql.VectorSelector():
            yield node, None, within
        case promql.MatrixSelector():
            yield node.vector_selector, node.range, within
        case promql.Call():
            for argument in node.args:
                yield from uses(argument, node.func.name)
        case promql.BinaryExpr():
            yield from uses(node.lhs)
            yield from uses(node.rhs)
        case promql.AggregateExpr() | promql.UnaryExpr():
            yield from uses(node.expr)
        case promql.ParenExpr() | promql.SubqueryExpr():
            yield from uses(node.expr, within)


# --- rules of words and looks ------------------------------------------------------------------


def says_what_it_shows(dashboard: Json, _known: Metrics) -> Iterator[str]:
    for panel in panels(dashboard):
        if not panel.get("title"):
            yield f"panel {panel['id']} has no title"
        if len(panel.get("description", "")) < LONG_ENOUGH:
            yield f"{panel['title']} does not say what to look for"


def has_a_unit(dashboard: Json, _known: Metrics) -> Iterator[str]:
    for panel in panels(dashboard):
        if not panel["fieldConfig"]["defaults"].get("unit"):
            yield f"{panel['title']} has no unit"


def names_its_series(dashboard: Json, _known: Metrics) -> Iterator[str]:
    for where, target in queries(dashboard):
        if not target.get("legendFormat"):
            yield f"{where} has no legend"


def keeps_to_the_palette(dashboard: Json, _known: Metrics) -> Iterator[str]:
    for colour in re.findall(r"#[0-9A-Fa-f]{6}", json.dumps(dashboard)):
        if colour not in (VERMILION, *CALM):
            yield f"{colour} is no colour of ours"


def shows_nothing_twice(dashboard: Json, _known: Metrics) -> Iterator[str]:
    titles = Counter(panel["title"] for panel in panels(dashboard))
    shown = Counter(target["expr"] for _, target in queries(dashboard))
    yield from (f"{what} is there {n} times" for what, n in (titles + shown).items() if n > 1)


def fits_on_the_grid(dashboard: Json, _known: Metrics) -> Iterator[str]:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        own = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        if own & taken or at["x"] + at["w"] > 24:
            yield f"{panel['title']} lies on another panel, or sticks out"
        taken |= own


def shades_fault_windows(dashboard: Json, _known: Metrics) -> Iterator[str]:
    marked = [
        sorted(mark["target"]["tags"])
        for mark in dashboard["annotations"]["list"]
        if mark["enable"] and mark["datasource"]["type"] == "grafana"
    ]
    for tags in (["fault", "linkstorm"], ["linkstorm", "run"]):
        if tags not in marked:
            yield f"nothing marks what is tagged {tags}"


# --- rules of data -----------------------------------------------------------------------------


def asks_our_data_source(dashboard: Json, _known: Metrics) -> Iterator[str]:
    asked = [(where, target) for where, target in queries(dashboard)]
    asked += [(panel["title"], panel) for panel in panels(dashboard)]
    for where, asking in asked:
        if asking.get("datasource") != {"type": "prometheus", "uid": DATASOURCE}:
            yield f"{where} does not ask {DATASOURCE}"


def parses(dashboard: Json, _known: Metrics) -> Iterator[str]:
    for where, target in queries(dashboard):
        try:
            parsed(target["expr"])
        except ValueError as error:
            yield f"{where}: {error}"


def _all_uses(
    dashboard: Json,
) -> Iterator[tuple[str, Json, promql.VectorSelector, timedelta | None, str | None]]:
    for where, target in queries(dashboard):
        for selector, window, function in uses(parsed(target["expr"])):
            yield where, target, selector, window, function


def knows_its_metrics(dashboard: Json, known: Metrics) -> Iterator[str]:
    for where, _, selector, _, _ in _all_uses(dashboard):
        if selector.name not in known:
            yield f"{where}: nobody exposes {selector.name}"


def matches_labels_that_exist(dashboard: Json, known: Metrics) -> Iterator[str]:
    for where, _, selector, _, _ in _all_uses(dashboard):
        metric = known.get(selector.name or "")
        if metric is None or not metric.ours:
            continue
        for matcher in selector.matchers.matchers:
            if matcher.name in OF_TARGETS:
                continue
            values = metric.labels.get(matcher.name, set())
            if matcher.op == promql.MatchOp.Equal and matcher.value not in values:
                yield f"{where}: {selector.name} has no {matcher.name}={matcher.value}"


def takes_rates_of_counters_only(dashboard: Json, known: Metrics) -> Iterator[str]:
    for where, _, selector, _, function in _all_uses(dashboard):
        metric = known.get(selector.name or "")
        if metric is not None and (metric.kind == "counter") != (function in RATES):
            yield f"{where}: {selector.name} is a {metric.kind}, and {function} is taken of it"


def leaves_the_window_to_grafana(dashboard: Json, _known: Metrics) -> Iterator[str]:
    for where, _, selector, window, function in _all_uses(dashboard):
        if function in RATES and window not in WINDOWS[function]:
            yield f"{where}: {function} of {selector.name} has a window of its own"


def asks_as_often_as_is_scraped(dashboard: Json, _known: Metrics) -> Iterator[str]:
    """A rate over four scrapes at 1 s has one scrape of an exporter in it, or none: no rate."""
    assert SCRAPES == 4
    for where, target, selector, _, _ in _all_uses(dashboard):
        if (selector.name or "").startswith(EXPORTERS) and target.get("interval") != "5s":
            yield f"{where}: {selector.name} comes every 5 s"


RULES = (
    says_what_it_shows,
    has_a_unit,
    names_its_series,
    keeps_to_the_palette,
    shows_nothing_twice,
    fits_on_the_grid,
    shades_fault_windows,
    asks_our_data_source,
    parses,
    knows_its_metrics,
    matches_labels_that_exist,
    takes_rates_of_counters_only,
    leaves_the_window_to_grafana,
    asks_as_often_as_is_scraped,
)
