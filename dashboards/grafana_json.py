"""Dashboards as Grafana's classic JSON, in a stable order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from dashboards.panel import Dashboard, Panel, Query
from dashboards.panel_colours import CALM, GOOD, VERMILION, colours

Json = dict[str, Any]

# The provisioning files name these, too.
DATASOURCE = "linkstorm-prometheus"
FOLDER = "linkstorm"
TAG = "linkstorm"

LOCUST = "http://127.0.0.1:8089"
PROMETHEUS = "http://127.0.0.1:9090"

COLUMNS = 24
HEIGHTS = {"stat": 4, "text": 5}
HEIGHT = 8
SOURCE = {"type": "prometheus", "uid": DATASOURCE}
GRAFANA = {"type": "grafana", "uid": "-- Grafana --"}
REFS = "ABCDEFGH"
RATED = {True: GOOD, False: VERMILION, None: CALM[-1]}


def text(dashboard: Dashboard) -> str:
    """The file that Grafana loads."""
    return json.dumps(as_json(dashboard), indent=2, ensure_ascii=False) + "\n"


def as_json(dashboard: Dashboard) -> Json:
    """A dashboard for Grafana 10 and newer."""
    return {
        "uid": f"linkstorm-{dashboard.name}",
        "title": dashboard.title,
        "description": dashboard.about,
        "tags": [TAG],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,  # one crosshair on all panels
        "timezone": "browser",
        "refresh": "5s",
        "time": {"from": "now-5m", "to": "now"},
        "annotations": {
            "list": [
                _annotations("run", "#999999"),
                _annotations("fault", VERMILION),
                _fault_annotations(),
            ]
        },
        "templating": {"list": _variables(dashboard)},
        "links": _links(),
        "panels": list(_panels(dashboard)),
    }


def _annotations(kind: str, colour: str) -> Json:
    """Annotations that the lab sends to Grafana: windows of runs or faults, by name."""
    return {
        "name": f"{kind}s",
        "datasource": GRAFANA,
        "enable": True,
        "hide": False,
        "iconColor": colour,
        "target": {"type": "tags", "tags": [TAG, kind], "matchAny": False, "limit": 100},
    }


def _fault_annotations() -> Json:
    """The faults' windows from Prometheus, for a lab without annotations in Grafana."""
    return {
        "name": "faults, as scraped",
        "datasource": SOURCE,
        "enable": False,
        "hide": False,
        "iconColor": VERMILION,
        "expr": "max by (fault) (linkstorm_fault_active)",
        "step": "1s",
        "titleFormat": "{{fault}}",
        "textFormat": "in force",
        "tagKeys": "",
        "useValueForTime": False,
    }


def _variables(dashboard: Dashboard) -> list[Json]:
    return [
        {
            "name": "part",
            "label": "part",
            "type": "query",
            "datasource": SOURCE,
            "definition": f"label_values({dashboard.parts}, part)",
            "query": {"query": f"label_values({dashboard.parts}, part)", "refId": "part"},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        },
        _address("locust", LOCUST),
        _address("prometheus", PROMETHEUS),
    ]


def _address(name: str, url: str) -> Json:
    """The URL of another page of the lab, as a variable in case it has another port."""
    return {
        "name": name,
        "type": "textbox",
        "hide": 2,
        "query": url,
        "current": {"selected": True, "text": url, "value": url},
        "options": [{"selected": True, "text": url, "value": url}],
    }


def _links() -> list[Json]:
    between = {
        "type": "dashboards",
        "title": "Dashboards",
        "tags": [TAG],
        "asDropdown": True,
        "includeVars": False,
        "keepTime": True,
        "targetBlank": False,
    }
    return [
        between,
        _link("Locust", "The load: start, change and stop it", "${locust}/"),
        _link("Chaos", "Inject and heal faults, start an experiment", "${locust}/chaos"),
        _link("Alerts", "Alerts that fire now", "${prometheus}/alerts"),
    ]


def _link(title: str, tooltip: str, url: str) -> Json:
    return {
        "type": "link",
        "title": title,
        "tooltip": tooltip,
        "url": url,
        "icon": "external link",
        "targetBlank": True,
    }


def _panels(dashboard: Dashboard) -> Iterator[Json]:
    number, y = 0, 0
    for section in dashboard.sections:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": section.title,
            "collapsed": False,
            "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y},
            "panels": [],
        }
        y += 1
        x = 0
        height = 0
        for panel in section.panels:
            if x + panel.width > COLUMNS:
                x, y, height = 0, y + height, 0
            number += 1
            own = HEIGHTS.get(panel.kind, HEIGHT)
            yield _panel(
                panel, dashboard.part_names, number, {"h": own, "w": panel.width, "x": x, "y": y}
            )
            x += panel.width
            height = max(height, own)
        y += height


def _text(panel: Panel, number: int, place: Json) -> Json:
    return {
        "id": number,
        "type": "text",
        "title": panel.title,
        "gridPos": place,
        "options": _options(panel),
    }


def _panel(panel: Panel, parts: Sequence[str], number: int, place: Json) -> Json:
    if panel.kind == "text":
        return _text(panel, number, place)
    found = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides(panel, parts)},
        "options": _options(panel),
        "targets": [
            _target(query, ref, panel) for query, ref in zip(panel.queries, REFS, strict=False)
        ],
    }
    if panel.kind == "table":
        found["transformations"] = [
            {"id": "organize", "options": {"excludeByName": {"Time": True, "Value": True}}}
        ]
    return found


def _target(query: Query, ref: str, panel: Panel) -> Json:
    instant = panel.kind in ("stat", "table")
    return {
        "refId": ref,
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend,
        "interval": f"{query.every_s}s",
        "range": not instant,
        "instant": instant,
        "format": "table" if panel.kind == "table" else "time_series",
    }


def _defaults(panel: Panel) -> Json:
    found: Json = {"unit": panel.unit}
    if panel.least is not None:
        found["min"] = panel.least
    if panel.kind == "timeseries":
        found |= {"color": {"mode": "palette-classic"}, "custom": _line(panel)}
    if panel.kind == "state-timeline":
        found |= {"color": {"mode": "fixed", "fixedColor": CALM[-1]}, "mappings": [_mapping(panel)]}
        found["custom"] = {"fillOpacity": 70, "lineWidth": 0}
    if panel.limit is not None:
        found["thresholds"] = {
            "mode": "absolute",
            "steps": [
                {"color": "transparent", "value": None},
                {"color": VERMILION, "value": panel.limit},
            ],
        }
    return found


def _line(panel: Panel) -> Json:
    return {
        "drawStyle": "line",
        "lineInterpolation": "stepAfter" if panel.unit == "none" else "linear",
        "lineWidth": 1,
        "fillOpacity": 40 if panel.stacked else 0,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "off" if panel.limit is None else "dashed"},
    }


def _mapping(panel: Panel) -> Json:
    return {
        "type": "value",
        "options": {
            str(value): {
                "text": state.text,
                "color": RATED[state.good],
                "index": index,
            }
            for index, (value, state) in enumerate(panel.states.items())
        },
    }


def _overrides(panel: Panel, parts: Sequence[str]) -> list[Json]:
    if panel.kind != "timeseries":
        return []
    found = [
        _override("byName", name, "color", {"mode": "fixed", "fixedColor": colour})
        for name, colour in colours((query.legend for query in panel.queries), parts).items()
    ]
    dashed = {"fill": "dash", "dash": [8, 6]}
    return found + [
        _override("byFrameRefID", ref, "custom.lineStyle", dashed)
        for query, ref in zip(panel.queries, REFS, strict=False)
        if query.dashed
    ]


def _override(matcher: str, what: str, identity: str, value: Json) -> Json:
    return {
        "matcher": {"id": matcher, "options": what},
        "properties": [{"id": identity, "value": value}],
    }


def _options(panel: Panel) -> Json:
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
    match panel.kind:
        case "timeseries":
            return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
        case "state-timeline":
            return {"legend": legend, "mergeValues": True, "showValue": "auto", "rowHeight": 0.8}
        case "stat":
            return {
                "colorMode": "none",
                "graphMode": "none",
                "textMode": "value" if len(panel.queries) == 1 else "value_and_name",
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            }
        case "table":
            return {"showHeader": True, "cellHeight": "sm"}
        case "text":
            return {"mode": "markdown", "content": panel.description}
